//! What planning an integer program takes beside.

use super::{Binding, Element, Format, Lowering, Storage, TensorId, int8};
use crate::error::Result;
use crate::graph::NodeId;
use crate::int8::program::{IntOp, Node, Program, Type};

/// How sums are stored.
const SUMS: Format = Format { storage: Storage::Buffer, element: Element::I32 };

impl<'g> Lowering<'g> {
    /// The same for an integer program, whose outline the graph is: nodes that are not float become integer
    /// kernels.
    pub(crate) fn of_program(self, program: &'g Program) -> Self {
        Lowering { program: Some(program), ..self }
    }

    /// What a value is held in, if not in floats.
    pub(in crate::kernels) fn integer_type(&self, id: NodeId) -> Option<&'g Type> {
        self.program
            .and_then(|program| program.nodes.get(id.index()))
            .map(|node| &node.ty)
            .filter(|ty| **ty != Type::F32)
    }

    /// How a value is stored, if not in floats.
    pub(super) fn integer_format(&self, id: NodeId) -> Option<Format> {
        Some(match self.integer_type(id)? {
            Type::I32 { .. } => SUMS,
            _ => self.integers_format(),
        })
    }

    fn integers_format(&self) -> Format {
        Format { storage: self.target.activations, element: Element::I8 }
    }

    /// A new tensor of integers of 8 bits between two steps of the node being lowered.
    pub(in crate::kernels) fn integers(&mut self, planes: usize, pixels: usize) -> Result<TensorId> {
        Ok(self.allocate_as(self.integers_format(), self.current, planes, pixels)?.tensor)
    }

    /// A new tensor of sums between two steps of the node being lowered.
    pub(in crate::kernels) fn sums(&mut self, planes: usize, pixels: usize) -> Result<TensorId> {
        Ok(self.allocate_as(SUMS, self.current, planes, pixels)?.tensor)
    }

    /// Weights of integers for upload.
    pub(in crate::kernels) fn integer_weights(&mut self, element: Element, words: Vec<u32>) -> Binding {
        let storage = self.target.weights.fitting(words.len() as u64 * 4 / element.bytes());
        self.constants(words, Format { storage, element })
    }

    /// How a tensor is stored.
    pub(in crate::kernels) fn tensor_format(&self, tensor: TensorId) -> Format {
        self.format(Binding::Tensor(tensor))
    }

    /// The program's node, if it is not one of floats.
    pub(super) fn integer_node(&self, id: NodeId) -> Option<&'g Node> {
        self.program?.nodes.get(id.index()).filter(|node| !matches!(node.op, IntOp::Float(_)))
    }

    /// A new tensor of what an integer value stands for, as the host reads it.
    pub(super) fn floats_of(&mut self, id: NodeId, planes: usize) -> Result<TensorId> {
        let into = self.allocate_in(Format::HOST, id, planes)?;
        int8::dequantize::push(id, into, self)?;
        Ok(into.tensor)
    }
}
