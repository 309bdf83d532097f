//! MobileOne (Vasu et al. 2023): depthwise 3×3 and pointwise blocks in turn, each with several
//! parallel convolutions, a 1×1 scale branch and a skip branch.

use super::layers::{Conv, Layers};
use super::{Architecture, Form, ParamSource};
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::Activation;

/// One block: the stem, a depthwise or a pointwise one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// Output channels.
    pub channels: usize,
    /// Kernel size: 3 or 1. Blocks with a kernel larger than 1 have a scale branch.
    pub kernel: usize,
    /// Stride in both directions.
    pub stride: usize,
    /// Every channel by itself; channels in and out agree then.
    pub depthwise: bool,
    /// Parallel k×k convolutions in training form.
    pub branches: usize,
    /// Hidden width of squeeze-and-excitation, where the block has it.
    pub squeeze: Option<usize>,
}

/// A network: stage 0 is the stem's one block, then the stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MobileOne {
    /// Blocks of each stage; a pair of depthwise and pointwise counts as two.
    pub stages: Vec<Vec<Block>>,
    /// Number of classes.
    pub classes: usize,
}

impl MobileOne {
    /// A network of `(pairs, width)` per stage after a stem of `stem` channels; every stage starts
    /// with stride 2. The last `squeezed[s]` pairs of stage s+1 have squeeze-and-excitation to a
    /// 16th of the width.
    pub(super) fn new(
        stem: usize,
        stages: [(usize, usize); 4],
        branches: usize,
        squeezed: [usize; 4],
        classes: usize,
    ) -> Self {
        let stem = Block { channels: stem, kernel: 3, stride: 2, depthwise: false, branches: 1, squeeze: None };
        let mut all = vec![vec![stem]];
        let mut width = stem.channels;
        for ((pairs, channels), squeezed) in stages.into_iter().zip(squeezed) {
            let mut blocks = Vec::with_capacity(2 * pairs);
            for pair in 0..pairs {
                let squeeze = |channels: usize| (pair + squeezed >= pairs).then_some(channels / 16);
                let stride = if pair == 0 { 2 } else { 1 };
                let squeeze_in = squeeze(width);
                blocks.push(Block {
                    channels: width,
                    kernel: 3,
                    stride,
                    depthwise: true,
                    branches,
                    squeeze: squeeze_in,
                });
                let squeeze_out = squeeze(channels);
                blocks.push(Block { channels, kernel: 1, stride: 1, depthwise: false, branches, squeeze: squeeze_out });
                width = channels;
            }
            all.push(blocks);
        }
        MobileOne { stages: all, classes }
    }

    /// The names of the blocks, as in the official state dict.
    pub(crate) fn block_name(stage: usize, index: usize) -> String {
        if stage == 0 { "stage0".into() } else { format!("stage{stage}.{index}") }
    }

    pub(super) fn build(&self, model: &Architecture, form: Form, source: &mut dyn ParamSource) -> Result<Graph> {
        let mut layers = Layers::new(&model.name, model.input, source);
        let mut x = layers.graph.input();
        for (s, stage) in self.stages.iter().enumerate() {
            for (i, block) in stage.iter().enumerate() {
                x = block.build(&mut layers, &Self::block_name(s, i), form, x)?;
            }
            layers.graph.tap(format!("stage{s}"), x);
        }
        let pooled = layers.pool("gap", x)?;
        let logits = layers.linear("linear", pooled, self.classes)?;
        Ok(layers.finish(logits))
    }
}

impl Block {
    fn build(&self, layers: &mut Layers, name: &str, form: Form, x: NodeId) -> Result<NodeId> {
        let mut y = match form {
            Form::Train => self.branches(layers, name, x)?,
            Form::Fused => {
                layers.conv(&format!("{name}.reparam_conv"), x, self.conv(layers, x, self.kernel).bias(true))?
            }
        };
        if let Some(squeezed) = self.squeeze {
            y = layers.squeeze_excite([format!("{name}.se.reduce"), format!("{name}.se.expand")], y, squeezed)?;
        }
        layers.activate(&format!("{name}.activation"), y, Activation::Relu)
    }

    fn branches(&self, layers: &mut Layers, name: &str, x: NodeId) -> Result<NodeId> {
        let mut branches = Vec::with_capacity(self.branches + 2);
        for k in 0..self.branches {
            let conv = self.conv(layers, x, self.kernel);
            branches.push(layers.conv_norm(&format!("{name}.rbr_conv.{k}"), x, conv, Some("bn"))?);
        }
        if self.kernel > 1 {
            branches.push(layers.conv_norm(&format!("{name}.rbr_scale"), x, self.conv(layers, x, 1), Some("bn"))?);
        }
        if self.stride == 1 && layers.channels(x) == self.channels {
            branches.push(layers.batch_norm(&format!("{name}.rbr_skip"), x)?);
        }
        layers.sum(&format!("{name}.add"), &branches)
    }

    fn conv(&self, layers: &Layers, x: NodeId, kernel: usize) -> Conv {
        let groups = if self.depthwise { layers.channels(x) } else { 1 };
        Conv::new(self.channels, [kernel; 2]).stride([self.stride; 2]).groups(groups)
    }
}
