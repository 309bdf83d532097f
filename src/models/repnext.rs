//! RepNeXt (Zhao et al. 2024): token mixers of serial and parallel depthwise branches in channel
//! chunks, then a 1×1–GELU–1×1 channel mixer.

use super::layers::{Conv, Layers};
use super::{Architecture, Form, ParamSource};
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::{Activation, Add, Concat, Scale, Slice};

/// The token mixers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mixer {
    /// `ChunkConv` in blocks, `CopyConv` in downsampling: the published networks.
    Chunked,
    /// One depthwise convolution, 11×11 in blocks, 7×7 with two outputs per input in
    /// downsampling: the E networks. No weights are published; the key `token_mixer.conv` is ours.
    Single,
}

/// A network. Stage 0's width is the stem's, widths double from stage to stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepNext {
    /// Channels of the stem and of the first stage.
    pub width: usize,
    /// Blocks of each stage, without the downsampling before all but the first.
    pub depths: Vec<usize>,
    /// Hidden width of the channel mixers, in widths.
    pub mlp_ratio: usize,
    /// The token mixers.
    pub mixer: Mixer,
    /// Number of classes.
    pub classes: usize,
}

/// Builds one network; knows the form.
struct Builder<'l, 's> {
    layers: &'l mut Layers<'s>,
    form: Form,
    config: &'l RepNext,
}

impl RepNext {
    pub(super) fn build(&self, model: &Architecture, form: Form, source: &mut dyn ParamSource) -> Result<Graph> {
        let mut layers = Layers::new(&model.name, model.input, source);
        let mut builder = Builder { layers: &mut layers, form, config: self };
        let mut x = builder.stem()?;
        builder.layers.graph.tap("stage0", x);
        for (s, depth) in self.depths.iter().enumerate() {
            if s > 0 {
                x = builder.downsample(&format!("stages.{s}.downsample"), x)?;
            }
            for b in 0..*depth {
                x = builder.block(&format!("stages.{s}.blocks.{b}"), x)?;
            }
            builder.layers.graph.tap(format!("stage{}", s + 1), x);
        }
        let logits = builder.head(x)?;
        Ok(layers.finish(logits))
    }
}

impl Builder<'_, '_> {
    /// A convolution and its batch norm, or what they fuse to.
    fn conv_norm(&mut self, name: &str, x: NodeId, conv: Conv) -> Result<NodeId> {
        match self.form {
            Form::Train => self.layers.conv_norm(name, x, conv, Some("norm")),
            Form::Fused => self.layers.conv(name, x, conv.bias(true)),
        }
    }

    fn stem(&mut self) -> Result<NodeId> {
        let (width, x) = (self.config.width, self.layers.graph.input());
        let conv = |channels| Conv::new(channels, [3, 3]).stride([2, 2]);
        let x = self.conv_norm("stem.stem.0", x, conv(width / 2))?;
        let x = self.layers.activate("stem.stem.1", x, Activation::Gelu)?;
        self.conv_norm("stem.stem.2", x, conv(width))
    }

    /// `x + mlp(norm(mix(x)))`.
    fn block(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        let mixer = format!("{name}.token_mixer");
        let mixed = match self.config.mixer {
            Mixer::Chunked => self.chunk_conv(&mixer, x)?,
            Mixer::Single => {
                let channels = self.layers.channels(x);
                let conv = Conv::new(channels, [11, 11]).groups(channels).bias(true);
                self.layers.conv(&format!("{mixer}.conv"), x, conv)?
            }
        };
        let normed = self.layers.batch_norm(&format!("{name}.norm"), mixed)?;
        self.channel_mixer(name, x, normed)
    }

    /// `y + mlp(y)` with `y = norm(mix(x))`: half the size, twice the channels.
    fn downsample(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        let mixer = format!("{name}.token_mixer");
        let mixed = match self.config.mixer {
            Mixer::Chunked => {
                let small = self.small(&format!("{mixer}.conv_s"), x, 2)?;
                let medium = self.medium(&format!("{mixer}.conv_m"), x, 2)?;
                self.layers.graph.add(format!("{mixer}.cat"), Concat, &[small, medium])?
            }
            Mixer::Single => {
                let channels = self.layers.channels(x);
                let conv = Conv::new(2 * channels, [7, 7]).stride([2, 2]).groups(channels).bias(true);
                self.layers.conv(&format!("{mixer}.conv"), x, conv)?
            }
        };
        let normed = self.layers.batch_norm(&format!("{name}.norm"), mixed)?;
        self.channel_mixer(name, normed, normed)
    }

    fn channel_mixer(&mut self, name: &str, residual: NodeId, x: NodeId) -> Result<NodeId> {
        let (channels, name) = (self.layers.channels(x), format!("{name}.channel_mixer"));
        let hidden = channels.saturating_mul(self.config.mlp_ratio);
        let y = self.conv_norm(&format!("{name}.0"), x, Conv::new(hidden, [1, 1]))?;
        let y = self.layers.activate(&format!("{name}.1"), y, Activation::Gelu)?;
        let y = self.conv_norm(&format!("{name}.2"), y, Conv::new(channels, [1, 1]))?;
        self.layers.graph.add(format!("{name}.add"), Add::default(), &[residual, y])
    }

    /// Four chunks of channels: identity | small | medium | 1×11 then 11×1, both with a bias.
    fn chunk_conv(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        let chunk = self.layers.channels(x) / 4;
        let mut chunks = Vec::with_capacity(4);
        for (i, part) in ["identity", "s", "m", "l"].into_iter().enumerate() {
            let slice = Slice { start: i * chunk, channels: chunk };
            chunks.push(self.layers.graph.add(format!("{name}.chunk.{part}"), slice, &[x])?);
        }
        chunks[1] = self.small(&format!("{name}.conv_s"), chunks[1], 1)?;
        chunks[2] = self.medium(&format!("{name}.conv_m"), chunks[2], 1)?;
        let wide = self.depthwise(&format!("{name}.conv_l.0"), chunks[3], [1, 11], [1, 1], true)?;
        chunks[3] = self.depthwise(&format!("{name}.conv_l.1"), wide, [11, 1], [1, 1], true)?;
        self.layers.graph.add(format!("{name}.cat"), Concat, &chunks)
    }

    fn depthwise(
        &mut self,
        name: &str,
        x: NodeId,
        kernel: [usize; 2],
        stride: [usize; 2],
        bias: bool,
    ) -> Result<NodeId> {
        let channels = self.layers.channels(x);
        self.layers.conv(name, x, Conv::new(channels, kernel).stride(stride).groups(channels).bias(bias))
    }

    /// A horizontal, then a vertical convolution of length `k`, without bias.
    fn serial(&mut self, name: &str, x: NodeId, k: usize, stride: usize) -> Result<NodeId> {
        let wide = self.depthwise(&format!("{name}.conv_{k}_w"), x, [1, k], [1, stride], false)?;
        self.depthwise(&format!("{name}.conv_{k}_h"), wide, [k, 1], [stride, 1], false)
    }

    /// `RepDWConvS`: 3×3, 3×1, 1×3 and a dilated 2×2. With stride 2 the 3×1 follows the 1×3 and
    /// neither has a bias.
    fn small(&mut self, name: &str, x: NodeId, stride: usize) -> Result<NodeId> {
        if self.form == Form::Fused {
            return self.depthwise(name, x, [3, 3], [stride; 2], true);
        }
        let mut branches = vec![self.depthwise(&format!("{name}.conv_3_3"), x, [3, 3], [stride; 2], true)?];
        if stride == 1 {
            branches.push(self.depthwise(&format!("{name}.conv_3_h"), x, [3, 1], [1, 1], true)?);
            branches.push(self.depthwise(&format!("{name}.conv_3_w"), x, [1, 3], [1, 1], true)?);
        } else {
            branches.push(self.serial(name, x, 3, stride)?);
        }
        let channels = self.layers.channels(x);
        let corners = Conv::new(channels, [2, 2]).stride([stride; 2]).groups(channels).dilation(2, 1).bias(true);
        branches.push(self.layers.conv(&format!("{name}.conv_2_2"), x, corners)?);
        self.layers.sum(&format!("{name}.add"), &branches)
    }

    /// `RepDWConvM`: 7×7, 5×3, 3×5, and the serial pairs of 7 and 5, which have no bias.
    fn medium(&mut self, name: &str, x: NodeId, stride: usize) -> Result<NodeId> {
        if self.form == Form::Fused {
            return self.depthwise(name, x, [7, 7], [stride; 2], true);
        }
        let mut branches = Vec::with_capacity(5);
        for [kh, kw] in [[7, 7], [5, 3], [3, 5]] {
            branches.push(self.depthwise(&format!("{name}.conv_{kh}_{kw}"), x, [kh, kw], [stride; 2], true)?);
        }
        branches.push(self.serial(name, x, 7, stride)?);
        branches.push(self.serial(name, x, 5, stride)?);
        self.layers.sum(&format!("{name}.add"), &branches)
    }

    /// Two classifiers, each a batch norm and a linear layer, averaged; fused, one linear layer.
    fn head(&mut self, x: NodeId) -> Result<NodeId> {
        let (pooled, classes) = (self.layers.pool("gap", x)?, self.config.classes);
        if self.form == Form::Fused {
            return self.layers.linear("head", pooled, classes);
        }
        let mut logits = Vec::with_capacity(2);
        for name in ["head.head", "head.head_dist"] {
            let normed = self.layers.batch_norm(&format!("{name}.norm"), pooled)?;
            logits.push(self.layers.linear(&format!("{name}.linear"), normed, classes)?);
        }
        let sum = self.layers.sum("head.add", &logits)?;
        self.layers.graph.add("head.mean", Scale { factor: 0.5 }, &[sum])
    }
}
