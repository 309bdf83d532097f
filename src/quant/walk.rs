//! A float network and its quantised form side by side, node by node, on one batch.

use super::grid;
use super::quantization::Quantization;
use crate::cpu::compute_alone;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::ops::Op;
use crate::tensor::Tensor;

/// The two values of every node that is still to be read.
pub(super) struct Walk {
    values: Vec<Option<Pair>>,
    reads: Vec<usize>,
}

/// A value of the float network, and of the quantised one as its readers get it.
#[derive(Clone)]
pub(super) struct Pair {
    pub float: Tensor,
    pub quantized: Tensor,
}

impl Walk {
    /// Before the first node: the input alone has values.
    pub(super) fn new(graph: &Graph, quantization: &Quantization, input: &Tensor) -> Self {
        let mut reads = graph.uses();
        // Taps are not read here.
        graph.taps().iter().for_each(|(_, id)| reads[id.index()] -= 1);
        let mut values = vec![None; reads.len()];
        let mut quantized = input.clone();
        rounded(quantization, graph.input(), &mut quantized);
        values[graph.input().index()] = Some(Pair { float: input.clone(), quantized });
        Walk { values, reads }
    }

    /// The values that a node reads.
    pub(super) fn inputs(&self, graph: &Graph, id: NodeId) -> Result<Vec<&Pair>> {
        let value = |input: &NodeId| {
            let missing = || Error::argument(format!("{:?} is read before it is made", graph.node(*input).name));
            self.values[input.index()].as_ref().ok_or_else(missing)
        };
        graph.node(id).inputs.iter().map(value).collect()
    }

    /// Stores a node's values, the quantised one rounded, and drops what nobody will read.
    pub(super) fn put(&mut self, graph: &Graph, quantization: &Quantization, id: NodeId, mut pair: Pair) {
        rounded(quantization, id, &mut pair.quantized);
        if self.reads[id.index()] > 0 {
            self.values[id.index()] = Some(pair);
        }
        for input in &graph.node(id).inputs {
            let reads = &mut self.reads[input.index()];
            *reads -= 1;
            if *reads == 0 {
                self.values[input.index()] = None;
            }
        }
    }

    /// Both values of a node, from what it reads; `op` takes the place of its own.
    pub(super) fn compute(
        &self,
        (float, quantized): (&Graph, &Graph),
        quantization: &Quantization,
        id: NodeId,
        op: &Op,
    ) -> Result<Pair> {
        let inputs = self.inputs(float, id)?;
        let of = |graph: &Graph, inputs: &[&Tensor], rounds: bool| {
            compute_alone(op, inputs, graph.node(id).shape, graph.params(), &mut |between| {
                if let Some(scale) = quantization.between(id).filter(|_| rounds) {
                    grid::round_all(between.data_mut(), scale);
                }
            })
        };
        let floats: Vec<&Tensor> = inputs.iter().map(|pair| &pair.float).collect();
        let rounded: Vec<&Tensor> = inputs.iter().map(|pair| &pair.quantized).collect();
        Ok(Pair { float: of(float, &floats, false), quantized: of(quantized, &rounded, true) })
    }

    /// The value that the quantised node makes from the *float* network's values: the error that the
    /// layer makes by itself.
    pub(super) fn alone(&self, quantized: &Graph, quantization: &Quantization, id: NodeId) -> Result<Tensor> {
        let node = quantized.node(id);
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for (input, pair) in node.inputs.iter().zip(self.inputs(quantized, id)?) {
            let mut value = pair.float.clone();
            if !quantization.is_float(id) {
                rounded(quantization, *input, &mut value);
            }
            inputs.push(value);
        }
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        Ok(compute_alone(&node.op, &inputs, node.shape, quantized.params(), &mut |between| {
            if let Some(scale) = quantization.between(id) {
                grid::round_all(between.data_mut(), scale);
            }
        }))
    }
}

fn rounded(quantization: &Quantization, id: NodeId, value: &mut Tensor) {
    if let Some(scale) = quantization.activation(id) {
        grid::round_all(value.data_mut(), scale);
    }
}
