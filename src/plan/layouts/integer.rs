//! The same for nodes of integer programs.

use super::Spread;
use crate::graph::NodeId;
use crate::int8::program::{IntOp, Program};

impl Spread<'_> {
    /// The links of a program's node with its inputs, and the cuts that it asks for.
    pub(super) fn relate_in(&mut self, program: &Program, id: NodeId) {
        let node = &program.nodes[id.index()];
        let inputs: Vec<NodeId> = node.inputs.iter().map(|input| NodeId(input.0 as u32)).collect();
        match &node.op {
            IntOp::Float(_) => self.relate(id),
            IntOp::Quantize
            | IntOp::Dequantize
            | IntOp::Pool(_)
            | IntOp::Add(_)
            | IntOp::Gate(_)
            | IntOp::Affine(_)
            | IntOp::Activate(_) => inputs.iter().for_each(|input| self.alike(*input, id)),
            IntOp::Conv(conv) => {
                inputs.iter().skip(1).for_each(|residual| self.alike(*residual, id));
                if conv.groups > 1 && conv.shape[1] == 1 && conv.shape[0] == conv.groups {
                    self.alike(inputs[0], id);
                }
            }
            IntOp::Mixer(mixer) => {
                let mut start = 0;
                for part in &mixer.parts {
                    let channels = part.conv.channels();
                    self.link(inputs[0], part.source, id, start, channels);
                    self.cut(inputs[0], part.source);
                    self.cut(inputs[0], part.source + channels);
                    self.cut(id, start);
                    start += channels;
                }
            }
            IntOp::Slice { start } => {
                let channels = node.shape.channels;
                self.link(inputs[0], *start, id, 0, channels);
                self.cut(inputs[0], *start);
                self.cut(inputs[0], start + channels);
            }
            IntOp::Concat => {
                let mut start = 0;
                for input in inputs {
                    let channels = program.nodes[input.index()].shape.channels;
                    self.link(input, 0, id, start, channels);
                    self.cut(id, start);
                    start += channels;
                }
            }
            IntOp::Input => {}
        }
    }
}
