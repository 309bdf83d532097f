//! RepVGG (Ding et al. 2021) and QARepVGG (Chu et al. 2022): 3×3, 1×1 and identity branches.

use std::fmt;

use serde::Serialize;

use super::layers::{Conv, Layers};
use super::{Architecture, Form, ParamSource};
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::Activation;

/// Which parts of a block carry a batch norm; the variants differ in nothing else (QARepVGG,
/// tables 3 and 5). The identity branch itself exists where input and output agree in shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct BlockKind {
    /// Batch norm after the 3×3 convolution.
    pub dense: bool,
    /// Batch norm after the 1×1 convolution.
    pub pointwise: bool,
    /// Batch norm on the identity branch; otherwise the identity is plain.
    pub identity: bool,
    /// Batch norm after the sum (and after squeeze-and-excitation).
    pub post: bool,
}

impl BlockKind {
    /// RepVGG; S0 and S1 of QARepVGG's table 3.
    pub const REPVGG: BlockKind = BlockKind { dense: true, pointwise: true, identity: true, post: false };
    /// QARepVGG as proposed: S4.
    pub const QAREPVGG: BlockKind = BlockKind { dense: true, pointwise: false, identity: false, post: true };

    const NAMED: [(BlockKind, &'static str); 7] = [
        (Self::REPVGG, "RepVGG"),
        (BlockKind { identity: false, ..Self::REPVGG }, "S2"),
        (BlockKind { post: false, ..Self::QAREPVGG }, "S3"),
        (Self::QAREPVGG, "S4"),
        (BlockKind { post: true, ..Self::REPVGG }, "batch norm in all branches and after the sum"),
        (BlockKind { identity: false, post: true, ..Self::REPVGG }, "S2 with batch norm after the sum"),
        (BlockKind { dense: false, ..Self::QAREPVGG }, "batch norm after the sum only"),
    ];

    /// What table 3 of the QARepVGG paper calls it; S0 and S1 differ only in how they were trained.
    pub fn table3(self) -> Option<&'static str> {
        match self.name() {
            "RepVGG" => Some("S0/S1"),
            name @ ("S2" | "S3" | "S4") => Some(name),
            _ => None,
        }
    }

    /// What the papers call it, where they do.
    pub fn name(self) -> &'static str {
        Self::NAMED.iter().find(|(kind, _)| *kind == self).map_or("batch norms of its own choice", |(_, name)| name)
    }
}

impl fmt::Display for BlockKind {
    /// `BN on 3×3 | 1×1 plain | identity plain | post-BN`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let branches = [(self.dense, "3×3"), (self.pointwise, "1×1"), (self.identity, "identity")];
        let branches =
            branches.map(|(norm, branch)| if norm { format!("BN on {branch}") } else { format!("{branch} plain") });
        write!(f, "{} | {}", branches.join(" | "), if self.post { "post-BN" } else { "no post-BN" })
    }
}

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// Output channels.
    pub channels: usize,
    /// Stride in both directions.
    pub stride: usize,
    /// Groups of the 3×3 and 1×1 convolutions.
    pub groups: usize,
    /// Hidden width of squeeze-and-excitation, where the block has it.
    pub squeeze: Option<usize>,
}

/// A network: stage 0 is the stem's one block, then the stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepVgg {
    /// Batch norms of the blocks, in training form.
    pub kind: BlockKind,
    /// Blocks of each stage.
    pub stages: Vec<Vec<Block>>,
    /// Number of classes.
    pub classes: usize,
}

impl RepVgg {
    /// A network of stages whose first blocks have these strides, the stem's first.
    ///
    /// `stages` gives depth and width of every stage, the stem included.
    pub(super) fn new(kind: BlockKind, stages: &[(usize, usize)], strides: &[usize], classes: usize) -> Self {
        let stage = |((depth, channels), stride): (&(usize, usize), &usize)| {
            let block =
                |i| Block { channels: *channels, stride: if i == 0 { *stride } else { 1 }, groups: 1, squeeze: None };
            (0..*depth).map(block).collect()
        };
        RepVgg { kind, stages: stages.iter().zip(strides).map(stage).collect(), classes }
    }

    /// Groups on even layers 2, 4, …, 26, counting blocks from 1 after the stem (the g2 and g4 nets).
    pub(super) fn with_groups(mut self, groups: usize) -> Self {
        let layers = self.stages.iter_mut().skip(1).flatten().zip(1..);
        layers.filter(|(_, layer)| layer % 2 == 0 && *layer <= 26).for_each(|(block, _)| block.groups = groups);
        self
    }

    /// Squeeze-and-excitation in every block, to a 16th of its width.
    pub(super) fn with_squeeze(mut self) -> Self {
        self.stages.iter_mut().flatten().for_each(|block| block.squeeze = Some(block.channels / 16));
        self
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
                let name = Self::block_name(s, i);
                let sum = match form {
                    Form::Train => self.branches(&mut layers, &name, block, x)?,
                    Form::Fused => layers.conv(&format!("{name}.rbr_reparam"), x, conv(block, 3).bias(true))?,
                };
                x = self.epilogue(&mut layers, &name, block, form, sum)?;
            }
            layers.graph.tap(format!("stage{s}"), x);
        }
        let pooled = layers.pool("gap", x)?;
        let logits = layers.linear("linear", pooled, self.classes)?;
        Ok(layers.finish(logits))
    }

    fn branches(&self, layers: &mut Layers, name: &str, block: &Block, x: NodeId) -> Result<NodeId> {
        let norm = |there: bool| there.then_some("bn");
        let dense = layers.conv_norm(&format!("{name}.rbr_dense"), x, conv(block, 3), norm(self.kind.dense))?;
        let pointwise = layers.conv_norm(&format!("{name}.rbr_1x1"), x, conv(block, 1), norm(self.kind.pointwise))?;
        let mut branches = vec![dense, pointwise];
        if block.stride == 1 && layers.channels(x) == block.channels {
            let identity = format!("{name}.rbr_identity");
            branches.push(if self.kind.identity { layers.batch_norm(&identity, x)? } else { x });
        }
        layers.sum(&format!("{name}.add"), &branches)
    }

    /// Training computes `relu(bn(se(sum)))`; in fused form the batch norm is in the convolution.
    fn epilogue(&self, layers: &mut Layers, name: &str, block: &Block, form: Form, sum: NodeId) -> Result<NodeId> {
        let mut y = sum;
        if let Some(squeezed) = block.squeeze {
            y = layers.squeeze_excite([format!("{name}.se.down"), format!("{name}.se.up")], y, squeezed)?;
        }
        if self.kind.post && form == Form::Train {
            y = layers.batch_norm(&format!("{name}.bn"), y)?;
        }
        layers.activate(&format!("{name}.nonlinearity"), y, Activation::Relu)
    }
}

fn conv(block: &Block, kernel: usize) -> Conv {
    Conv::new(block.channels, [kernel; 2]).stride([block.stride; 2]).groups(block.groups)
}
