//! Quantisation with scales that somebody else found.

use std::collections::BTreeSet;

use super::options::Options;
use super::quantization::Quantization;
use super::quantizer::share;
use super::weights;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::ops::{ChunkConv, Op};

impl Quantization {
    /// Quantises a fused graph with these activation scales: `scale` is asked for every value that has one,
    /// `between` for the inside of every [`ChunkConv`]. Weights get the scales of their largest magnitudes; nothing is
    /// equalised or corrected. Returns the graph with its weights on their grids.
    ///
    /// # Errors
    /// [`Error::Argument`] for scales that cannot be any, wrong options, and names of float nodes that are no node's.
    pub fn with_scales(
        graph: &Graph,
        options: Options,
        scale: impl Fn(NodeId) -> f32,
        between: impl Fn(NodeId, &ChunkConv) -> f32,
    ) -> Result<(Graph, Quantization)> {
        let mut graph = graph.clone();
        weights::separate(&mut graph)?;
        let node = |name: &String| {
            let missing = || Error::argument(format!("{}: there is no node {name:?} to be kept float", graph.name));
            graph.find(name).ok_or_else(missing)
        };
        let float: BTreeSet<NodeId> = options.keep_float.iter().map(node).collect::<Result<_>>()?;
        let mut quantization = Quantization::new(options, float);
        for id in quantization.quantized_values(&graph) {
            quantization.activations.insert(id, scale(id));
        }
        for id in graph.ids().filter(|id| !quantization.is_float(*id)).collect::<Vec<_>>() {
            if let Op::ChunkConv(op) = &graph.node(id).op {
                quantization.between.insert(id, between(id, op));
            }
        }
        share(&graph, &mut quantization);
        for id in graph.ids().filter(|id| !quantization.is_float(*id)).collect::<Vec<_>>() {
            weights::quantize(&mut graph, &mut quantization, None, id)?;
        }
        quantization.check(&graph)?;
        Ok((graph, quantization))
    }
}
