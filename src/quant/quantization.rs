//! The numbers of a quantised network.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::grid;
use super::options::{Options, Scheme};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, ParamId};
use crate::ops::Op;

/// The pictures that ranges were found with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// SHA-256, in lower-case hexadecimals, over the pictures' own hashes in the order in which they
    /// were shown.
    pub sha256: String,
    /// How many there were.
    pub images: usize,
}

/// What makes a fused f32 [`Graph`] a quantised one: the scales of its weights and values, and how
/// they came about.
///
/// The graph beside it holds each quantised weight as `integer · scale`, exactly
/// ([`integers`](Self::integers) gets the integers back), so any executor of floats can run it. For
/// integer arithmetic ([`Scheme::W8a8`]):
///
/// - a node either [is float](Self::is_float) or computes in integers. Every value that a node of
///   integers reads has a scale ([`activation`](Self::activation)) and is held as `i8`; a float node
///   reads such a value dequantised. Values that only float nodes read, and the network's output,
///   have none and are float: whoever makes them dequantises its sums;
/// - a convolution or linear layer sums `i8 · i8` in i32. A unit of the sum is
///   `activation(x) · weight scale[o]`, in which the bias is rounded to i32 too. To that comes the
///   residual, rescaled; then the activation; the result is rounded to the output's scale. The sum
///   before the activation has no scale of its own;
/// - [`Concat`](crate::ops::Concat) and its operands share one scale, and
///   [`Slice`](crate::ops::Slice) has its source's: both copy. All other operators rescale, the
///   identity chunk of [`ChunkConv`](crate::ops::ChunkConv) too;
/// - the value between `wide` and `tall` of a [`ChunkConv`](crate::ops::ChunkConv) has a scale of
///   its own ([`between`](Self::between)).
///
/// All grids are symmetric, −127 to 127, rounded half to even: also behind ReLU, where half of the
/// grid is not used, and behind GELU, where the negative side (down to −0.17) is small.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantization {
    /// What was asked for. `options.keep_float` are the names of the float nodes.
    pub options: Options,
    /// What ranges were found with; `None` if no activation has a scale.
    pub calibration: Option<Calibration>,
    pub(crate) weights: BTreeMap<ParamId, Vec<f32>>,
    pub(crate) activations: BTreeMap<NodeId, f32>,
    pub(crate) between: BTreeMap<NodeId, f32>,
    pub(crate) float: BTreeSet<NodeId>,
    pub(crate) factors: BTreeMap<NodeId, Vec<f32>>,
}

impl Quantization {
    /// Without any scales yet.
    pub(crate) fn new(options: Options, float: BTreeSet<NodeId>) -> Self {
        Quantization {
            options,
            calibration: None,
            weights: BTreeMap::new(),
            activations: BTreeMap::new(),
            between: BTreeMap::new(),
            float,
            factors: BTreeMap::new(),
        }
    }

    /// What is held in 8 bits.
    pub fn scheme(&self) -> Scheme {
        self.options.scheme
    }

    /// Scales of a weight: one per output channel, or a single one for all. `None` for a parameter
    /// that stays float: biases, and weights of float nodes.
    pub fn weight(&self, param: ParamId) -> Option<&[f32]> {
        self.weights.get(&param).map(Vec::as_slice)
    }

    /// All weights' scales.
    pub fn weights(&self) -> impl Iterator<Item = (ParamId, &[f32])> {
        self.weights.iter().map(|(id, scales)| (*id, scales.as_slice()))
    }

    /// Scale of a value; `None` if it is float.
    pub fn activation(&self, value: NodeId) -> Option<f32> {
        self.activations.get(&value).copied()
    }

    /// Scale of the value between the convolutions `wide` and `tall` of a
    /// [`ChunkConv`](crate::ops::ChunkConv); `None` if it is float.
    pub fn between(&self, node: NodeId) -> Option<f32> {
        self.between.get(&node).copied()
    }

    /// Whether a node computes in floats. Its weights then are not quantised.
    pub fn is_float(&self, node: NodeId) -> bool {
        self.options.scheme == Scheme::W8 || self.float.contains(&node)
    }

    /// Per channel, what a value has to be multiplied with to be that of the network before its
    /// ranges were equalised; `None` if it still is. The network's output always is.
    pub fn factors(&self, value: NodeId) -> Option<&[f32]> {
        self.factors.get(&value).map(Vec::as_slice)
    }

    /// The integers of a quantised weight, in its row-major order; `None` if it is not quantised.
    pub fn integers(&self, graph: &Graph, param: ParamId) -> Option<Vec<i8>> {
        let (scales, tensor) = (self.weight(param)?, graph.params().tensor(param));
        let row = tensor.len() / scales.len().max(1);
        let mut integers = Vec::with_capacity(tensor.len());
        for (row, scale) in tensor.data().chunks(row.max(1)).zip(scales) {
            grid::quantize_all(row, *scale, &mut integers);
        }
        Some(integers)
    }

    /// The weights of a node that are quantised unless it stays float, with their roles.
    pub fn quantizable(op: &Op) -> Vec<(&'static str, ParamId)> {
        let weight = |role: &str| role == "weight" || role.ends_with(".weight");
        match op {
            Op::Conv2d(_) | Op::Linear(_) | Op::ChunkConv(_) | Op::CopyConv(_) => {
                op.params().into_iter().filter(|(role, _)| weight(role)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The values that have a scale under this scheme with these float nodes: those that a node of
    /// integers reads.
    pub(crate) fn quantized_values(&self, graph: &Graph) -> BTreeSet<NodeId> {
        let integer = graph.ids().skip(1).filter(|id| !self.is_float(*id));
        integer.flat_map(|id| graph.node(id).inputs.iter().copied()).collect()
    }

    /// Checks that it fits the graph: everything that has to have scales has them, each of them can
    /// be one, weights lie on their grid, and what has to be shared is.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the weight or value.
    pub fn check(&self, graph: &Graph) -> Result<()> {
        self.options.check()?;
        let fail = |what: String| Err(Error::argument(what));
        let count = graph.nodes().len();
        let nodes = self.activations.keys().chain(self.between.keys()).chain(&self.float).chain(self.factors.keys());
        if let Some(id) = nodes.copied().find(|id| id.index() >= count) {
            return fail(format!("a scale is for node {}, but there are only {count} nodes", id.0));
        }
        for id in graph.ids() {
            self.check_weights(graph, id)?;
            self.check_sharing(graph, id)?;
        }
        let quantized = self.quantized_values(graph);
        for id in graph.ids() {
            let name = &graph.node(id).name;
            match self.activation(id) {
                Some(scale) if !grid::is_scale(scale) => {
                    return fail(format!("the activation scale of {name:?} is {scale}; scales are positive numbers"));
                }
                None if quantized.contains(&id) => {
                    return fail(format!("the activation scale of {name:?} is missing"));
                }
                Some(_) if !quantized.contains(&id) => {
                    return fail(format!("{name:?} has an activation scale, but no layer of integers reads it"));
                }
                _ => {}
            }
            let wants = matches!(graph.node(id).op, Op::ChunkConv(_)) && !self.is_float(id);
            match self.between(id) {
                Some(scale) if !grid::is_scale(scale) => {
                    return fail(format!("the inner scale of {name:?} is {scale}; scales are positive numbers"));
                }
                None if wants => return fail(format!("the inner scale of {name:?} is missing")),
                Some(_) if !wants => return fail(format!("{name:?} has an inner scale, but nothing inside")),
                _ => {}
            }
            if let Some(factors) = self.factors(id) {
                let channels = graph.node(id).shape.channels;
                if factors.len() != channels || factors.iter().any(|f| !grid::is_scale(*f)) {
                    return fail(format!(
                        "{name:?} has {channels} channels and wants as many positive channel factors"
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_weights(&self, graph: &Graph, id: NodeId) -> Result<()> {
        let node = graph.node(id);
        let float = self.float.contains(&id);
        for (role, param) in Self::quantizable(&node.op) {
            let (name, tensor) = (&graph.params().get(param).name, graph.params().tensor(param));
            let fail = |what: String| Err(Error::argument(format!("{what} (the {role} of {:?})", node.name)));
            let scales = match (self.weight(param), float) {
                (None, true) => continue,
                (Some(_), true) => return fail(format!("{name:?} has scales, but its layer stays float")),
                (None, false) => return fail(format!("the scales of {name:?} are missing")),
                (Some(scales), false) => scales,
            };
            let rows = tensor.shape().first().copied().unwrap_or(0);
            if scales.len() != 1 && scales.len() != rows {
                let given = scales.len();
                return fail(format!(
                    "{name:?} has {given} scales; 1 or one for each of its {rows} outputs are wanted"
                ));
            }
            if let Some(at) = scales.iter().position(|scale| !grid::is_scale(*scale)) {
                return fail(format!("scale {at} of {name:?} is {}; scales are positive numbers", scales[at]));
            }
            let row = tensor.len() / scales.len();
            let on_grid = |(row, scale): (&[f32], &f32)| grid::all_lie_on(row, *scale);
            if !tensor.data().chunks(row.max(1)).zip(scales).all(on_grid) {
                return fail(format!("values of {name:?} are no multiples of their scales"));
            }
        }
        Ok(())
    }

    fn check_sharing(&self, graph: &Graph, id: NodeId) -> Result<()> {
        let node = graph.node(id);
        if self.is_float(id) || !copies(&node.op) {
            return Ok(());
        }
        let scales = node.inputs.iter().chain([&id]).filter_map(|value| self.activation(*value));
        let scales: Vec<f32> = scales.collect();
        if scales.windows(2).all(|pair| pair[0] == pair[1]) {
            return Ok(());
        }
        let (name, op) = (&node.name, node.op.name());
        Err(Error::argument(format!(
            "{name:?} ({op}) copies, so that its operands must have one scale, not {scales:?}"
        )))
    }
}

/// Whether an operator copies its operands, so that they and its value share one scale.
pub(crate) fn copies(op: &Op) -> bool {
    matches!(op, Op::Concat(_) | Op::Slice(_))
}
