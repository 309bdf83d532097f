//! From a quantised graph to a [`Program`].

mod conv;
mod elementwise;
mod mixer;
mod sums;

use std::collections::BTreeMap;

use super::program::{IntOp, Node, Program, Type, ValueId};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, ParamId};
use crate::ops::{Activate, Activation, Op};
use crate::quant::{Quantization, Scheme};

/// The integer program of a fused graph, quantised with [`Scheme::W8a8`].
///
/// # Errors
/// What [`Quantization::check`] finds; [`Error::Argument`] for another scheme; [`Error::Graph`] naming the node where a
/// bias is not finite, scales are too far apart, or so many products are summed that 32 bits might not hold them.
pub fn lower(graph: &Graph, quantization: &Quantization) -> Result<Program> {
    if quantization.scheme() != Scheme::W8a8 {
        let scheme = quantization.scheme();
        return Err(Error::argument(format!(
            "{}: integer arithmetic needs the scheme w8a8, this network is quantised as {scheme}",
            graph.name
        )));
    }
    quantization.check(graph)?;
    let mut lowering = Lowering {
        graph,
        quantization,
        nodes: Vec::new(),
        values: vec![None; graph.nodes().len()],
        floats: BTreeMap::new(),
        weights: Graph::new(graph.name.clone(), graph.input_shape()),
        renumbered: BTreeMap::new(),
    };
    for id in graph.ids() {
        lowering.node(id)?;
    }
    lowering.finish()
}

/// A program in the making.
struct Lowering<'a> {
    graph: &'a Graph,
    quantization: &'a Quantization,
    nodes: Vec<Node>,
    /// What integer nodes read, or the only form there is.
    values: Vec<Option<ValueId>>,
    /// Values that have been converted to floats.
    floats: BTreeMap<ValueId, ValueId>,
    /// Holds the weights of float nodes.
    weights: Graph,
    renumbered: BTreeMap<ParamId, ParamId>,
}

impl Lowering<'_> {
    fn node(&mut self, id: NodeId) -> Result<()> {
        let node = self.graph.node(id);
        // Without a grid for the result, only convolutions have sums that are worth keeping.
        let sums = matches!(node.op, Op::Conv2d(_) | Op::Linear(_) | Op::ChunkConv(_) | Op::CopyConv(_));
        let float = self.quantization.is_float(id) || (self.scale(id).is_none() && !sums);
        match &node.op {
            Op::Input(_) => {
                let value = self.push(id, IntOp::Input, vec![], Type::F32);
                self.enter(id, value);
            }
            op if float => {
                let inputs = node.inputs.iter().map(|input| self.float(*input)).collect::<Result<Vec<_>>>()?;
                let op = self.float_op(op);
                let value = self.push(id, IntOp::Float(op), inputs, Type::F32);
                self.enter(id, value);
            }
            Op::Conv2d(conv) => self.conv(id, conv)?,
            Op::Linear(linear) => self.linear(id, linear)?,
            Op::ChunkConv(op) => self.chunk_conv(id, op)?,
            Op::CopyConv(op) => self.copy_conv(id, op)?,
            _ => self.elementwise(id)?,
        }
        Ok(())
    }

    /// Appends a node that belongs to that of the graph.
    fn push(&mut self, id: NodeId, op: IntOp, inputs: Vec<ValueId>, ty: Type) -> ValueId {
        let node = self.graph.node(id);
        self.nodes.push(Node { origin: id, name: node.name.clone(), op, inputs, shape: node.shape, ty });
        ValueId(self.nodes.len() - 1)
    }

    /// Declares a node's value; where it has a grid and is float, it gets onto it.
    fn enter(&mut self, id: NodeId, value: ValueId) {
        let is_float = self.nodes[value.0].ty == Type::F32;
        let value = match self.scale(id) {
            Some(scale) if is_float => self.push(id, IntOp::Quantize, vec![value], Type::I8 { scale }),
            _ => value,
        };
        self.values[id.index()] = Some(value);
    }

    /// Declares a node's sums, or what floats make of them.
    fn enter_sums(&mut self, id: NodeId, value: ValueId, activation: Activation) {
        self.values[id.index()] = Some(value);
        if activation != Activation::None && matches!(self.nodes[value.0].ty, Type::I32 { .. }) {
            let floats = self.dequantized(id, value);
            let activated = self.push(id, IntOp::Float(Activate(activation).into()), vec![floats], Type::F32);
            self.values[id.index()] = Some(activated);
        }
    }

    fn scale(&self, id: NodeId) -> Option<f32> {
        self.quantization.activation(id)
    }

    /// The value of a node that an integer node reads, and its scale.
    fn integer(&self, id: NodeId) -> Result<(ValueId, f32)> {
        let value = self.values[id.index()];
        match value.map(|value| (value, &self.nodes[value.0].ty)) {
            Some((value, Type::I8 { scale })) => Ok((value, *scale)),
            _ => Err(self.error(id, "an integer layer reads it, but it has no scale".into())),
        }
    }

    /// The value of a node in floats.
    fn float(&mut self, id: NodeId) -> Result<ValueId> {
        let value = self.values[id.index()].ok_or_else(|| self.error(id, "it has no value".into()))?;
        Ok(if self.nodes[value.0].ty == Type::F32 { value } else { self.dequantized(id, value) })
    }

    fn dequantized(&mut self, id: NodeId, value: ValueId) -> ValueId {
        if let Some(known) = self.floats.get(&value) {
            return *known;
        }
        let floats = self.push(id, IntOp::Dequantize, vec![value], Type::F32);
        self.floats.insert(value, floats);
        floats
    }

    /// The operator with its parameters among those that the program keeps.
    fn float_op(&mut self, op: &Op) -> Op {
        let (mut op, params) = (op.clone(), self.graph.params());
        let (weights, renumbered) = (&mut self.weights, &mut self.renumbered);
        op.remap(&mut |id| {
            *renumbered.entry(id).or_insert_with(|| {
                let param = params.get(id);
                weights.param(param.name.clone(), param.tensor.clone())
            })
        });
        op
    }

    fn error(&self, id: NodeId, reason: String) -> Error {
        let node = self.graph.node(id);
        Error::Graph { node: node.name.clone(), op: node.op.name(), reason }
    }

    fn finish(mut self) -> Result<Program> {
        let output = self.graph.output();
        let value = self.values[output.index()].ok_or_else(|| self.error(output, "it has no value".into()))?;
        let output = match self.nodes[value.0].ty {
            Type::I8 { .. } => self.dequantized(output, value),
            _ => value,
        };
        let Lowering { graph, nodes, values, weights, .. } = self;
        Ok(Program { name: graph.name.clone(), nodes, params: weights.params().clone(), output, values })
    }
}
