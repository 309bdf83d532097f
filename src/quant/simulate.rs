//! Quantised networks on the float executor: the reference of what 8 bits cost.

use std::collections::BTreeSet;

use super::grid;
use super::quantization::Quantization;
use crate::cpu::{CpuExecutor, Visitor};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::tensor::Tensor;

/// A network before and after quantisation, to be run with any part of it in 8 bits.
///
/// Nothing is computed in integers: values are rounded to their grids between the nodes of a float
/// network (“fake quantisation”). Of networks that [`Quantizer`](super::Quantizer) made, integer arithmetic adds
/// nothing to that but what `f32` rounds itself, and, for GELU and the sigmoid behind sums, the rounding of the sum to
/// a [table](crate::int8::table)'s steps: their biases are whole numbers of the sums' units, and so are the scales of
/// residuals.
#[derive(Clone, Debug)]
pub struct Simulation {
    float: Graph,
    quantized: Graph,
    quantization: Quantization,
    layers: Vec<NodeId>,
}

/// What of a network is in 8 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part<'a> {
    /// Nothing: the float network.
    Nothing,
    /// The whole network, as integer arithmetic has it: whoever makes a value that has a scale rounds
    /// it, all of its readers get the same.
    Everything,
    /// These layers, of [`Simulation::layers`]: their weights and biases are the quantised ones, and
    /// what they read is rounded, for themselves alone.
    Layers(&'a [NodeId]),
}

impl Simulation {
    /// Two graphs of the same nodes, one with float weights and one with those that `quantization`
    /// has the scales of.
    ///
    /// # Errors
    /// [`Error::Argument`] if they are not of the same nodes, or the scales do not fit
    /// ([`Quantization::check`]).
    pub fn new(float: Graph, quantized: Graph, quantization: Quantization) -> Result<Self> {
        quantization.check(&quantized)?;
        let nodes = |graph: &Graph| graph.nodes().iter().map(|n| (n.name.clone(), n.shape)).collect::<Vec<_>>();
        if nodes(&float) != nodes(&quantized) {
            return Err(Error::argument(format!("{}: other nodes before quantisation than after", float.name)));
        }
        let has_scales = |id: &NodeId| {
            quantized.node(*id).op.params().iter().any(|(_, param)| quantization.weight(*param).is_some())
        };
        let layers = quantized.ids().filter(has_scales).collect();
        Ok(Simulation { float, quantized, quantization, layers })
    }

    /// A quantised network alone, as a file holds it: weights are the quantised ones whatever part is
    /// asked for.
    ///
    /// # Errors
    /// As [`Simulation::new`].
    pub fn quantized_only(quantized: Graph, quantization: Quantization) -> Result<Self> {
        Simulation::new(quantized.clone(), quantized, quantization)
    }

    /// The float network; its values are those of the original multiplied by 1 /
    /// [`Quantization::factors`].
    pub fn float(&self) -> &Graph {
        &self.float
    }

    /// The network with quantised weights.
    pub fn quantized(&self) -> &Graph {
        &self.quantized
    }

    /// The scales.
    pub fn quantization(&self) -> &Quantization {
        &self.quantization
    }

    /// The nodes that have quantised weights, from the input to the output.
    pub fn layers(&self) -> &[NodeId] {
        &self.layers
    }

    /// A network to run, with that part of it in 8 bits.
    ///
    /// # Errors
    /// [`Error::Argument`] for a node that is not in [`Simulation::layers`].
    pub fn with(&self, part: Part) -> Result<Simulated> {
        let (graph, on) = match part {
            Part::Nothing => (self.float.clone(), None),
            Part::Everything => (self.quantized.clone(), None),
            Part::Layers(layers) => (self.mixed(layers)?, Some(layers.iter().copied().collect())),
        };
        let rounds = part != Part::Nothing;
        let quantization = rounds.then(|| self.quantization.clone());
        Ok(Simulated { executor: CpuExecutor::new(graph)?, quantization, on })
    }

    /// The float network with these layers' parameters quantised.
    fn mixed(&self, layers: &[NodeId]) -> Result<Graph> {
        let mut graph = self.float.clone();
        for &layer in layers {
            if !self.layers.contains(&layer) {
                let (name, index) = (&graph.name, layer.0);
                return Err(Error::argument(format!("{name}: node {index} is no layer with quantised weights")));
            }
            let params = self.float.node(layer).op.params().into_iter();
            for ((_, ours), (_, theirs)) in params.zip(self.quantized.node(layer).op.params()) {
                graph.set_param(ours, self.quantized.params().get(theirs).tensor.clone())?;
            }
        }
        Ok(graph)
    }
}

/// A network some part of which is in 8 bits.
#[derive(Clone, Debug)]
pub struct Simulated {
    executor: CpuExecutor,
    quantization: Option<Quantization>,
    /// The layers that are; all if `None`.
    on: Option<BTreeSet<NodeId>>,
}

impl Simulated {
    /// The output, `[n, classes, 1, 1]`, for the input `[n, c, h, w]`.
    ///
    /// # Errors
    /// [`Error::Argument`] if the input has another shape.
    pub fn run(&self, input: &Tensor) -> Result<Tensor> {
        match &self.quantization {
            None => self.executor.run(input),
            Some(_) => self.run_seeing(input, &mut |_, _| {}),
        }
    }

    /// The output and the values of the `wanted` nodes. Values are as their readers get them: where
    /// the whole network is in 8 bits, rounded.
    ///
    /// # Errors
    /// [`Error::Argument`] if the input has another shape, or a wanted node does not exist or is not
    /// needed for the output.
    pub fn run_with(&self, input: &Tensor, wanted: &[NodeId]) -> Result<(Tensor, Vec<Tensor>)> {
        let mut found: Vec<Option<Tensor>> = vec![None; wanted.len()];
        let output = self.run_seeing(input, &mut |id, value| {
            for (slot, _) in found.iter_mut().zip(wanted).filter(|(_, wanted)| **wanted == id) {
                *slot = Some(value.clone());
            }
        })?;
        let name = &self.executor.graph().name;
        let found: Option<Vec<Tensor>> = found.into_iter().collect();
        let found = found.ok_or_else(|| Error::argument(format!("{name}: a wanted value is never computed")))?;
        Ok((output, found))
    }

    /// The output; `see` gets every value in order, the input's too, as its readers do.
    ///
    /// # Errors
    /// [`Error::Argument`] if the input has another shape.
    pub fn run_seeing(&self, input: &Tensor, see: &mut dyn FnMut(NodeId, &Tensor)) -> Result<Tensor> {
        let (quantization, on) = (self.quantization.as_ref(), self.on.as_ref());
        self.executor.run_visited(input, &mut Rounding { quantization, on, see })
    }
}

struct Rounding<'a> {
    quantization: Option<&'a Quantization>,
    on: Option<&'a BTreeSet<NodeId>>,
    see: &'a mut dyn FnMut(NodeId, &Tensor),
}

impl Visitor for Rounding<'_> {
    fn made(&mut self, node: NodeId, value: &mut Tensor) {
        if self.on.is_none()
            && let Some(scale) = self.quantization.and_then(|q| q.activation(node))
        {
            grid::round_all(value.data_mut(), scale);
        }
        (self.see)(node, value);
    }

    fn read(&mut self, reader: NodeId, input: NodeId, value: &Tensor) -> Option<Tensor> {
        self.on.filter(|on| on.contains(&reader))?;
        let scale = self.quantization?.activation(input)?;
        let mut value = value.clone();
        grid::round_all(value.data_mut(), scale);
        Some(value)
    }

    fn between(&mut self, node: NodeId, value: &mut Tensor) {
        let on = self.on.is_none_or(|on| on.contains(&node));
        if let Some(scale) = self.quantization.and_then(|q| q.between(node)).filter(|_| on) {
            grid::round_all(value.data_mut(), scale);
        }
    }
}
