//! What quantising each layer costs at the network's output (QARepVGG, Fig 6): one layer at a time,
//! and layers switched on one after another.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::layers::Layers;
use super::measure::Scales;
use super::quantiser::{NoiseLevel, per_channel, quantised_weights};
use super::{Progress, Stage};
use crate::cpu::{CpuExecutor, Visitor};
use crate::error::Result;
use crate::graph::{NodeId, ParamId};
use crate::quant::{Noise, grid};
use crate::tensor::Tensor;

/// The cost of layers in 8 bits, weights and what they read, without any repair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sensitivity {
    /// Each layer by itself in 8 bits, all others float.
    pub alone: Vec<Cost>,
    /// Each layer and all before it in 8 bits; the last is the whole network.
    pub cumulative: Vec<Cost>,
}

/// What some part of a network in 8 bits costs at its output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// The layer, or the last one.
    pub layer: String,
    /// Noise of the logits.
    #[serde(flatten)]
    pub noise: NoiseLevel,
    /// Pictures whose most likely class is another than the float network's.
    pub top1_changed: usize,
}

/// Runs the network with each layer, and with each number of layers, in 8 bits.
pub(super) fn sensitivity(
    layers: &Layers,
    scales: &Scales,
    inputs: &[Tensor],
    progress: &mut dyn FnMut(Progress),
) -> Result<Sensitivity> {
    let sweep = Sweep::new(layers, scales, inputs)?;
    let total = 2 * layers.all.len();
    let mut done = 0;
    let mut costs = |parts: &mut dyn Iterator<Item = std::ops::Range<usize>>| {
        let cost = |part| {
            let cost = sweep.cost(part)?;
            done += 1;
            progress(Progress { stage: Stage::Sensitivity, done, total });
            Ok(cost)
        };
        parts.map(cost).collect::<Result<Vec<Cost>>>()
    };
    let count = layers.all.len();
    Ok(Sensitivity {
        alone: costs(&mut (0..count).map(|at| at..at + 1))?,
        cumulative: costs(&mut (1..=count).map(|end| 0..end))?,
    })
}

struct Sweep<'a> {
    layers: &'a Layers,
    scales: &'a Scales,
    inputs: &'a [Tensor],
    /// All weights, rounded.
    weights: Vec<(NodeId, ParamId, Arc<Tensor>)>,
    /// The float network's logits for each input.
    exact: Vec<Tensor>,
}

impl<'a> Sweep<'a> {
    fn new(layers: &'a Layers, scales: &'a Scales, inputs: &'a [Tensor]) -> Result<Self> {
        let executor = CpuExecutor::new(layers.graph.clone())?;
        // By the same kernels as the quantised runs, so that what differs is the rounding.
        let exact = inputs.iter().map(|input| executor.run_visited(input, &mut Nothing)).collect::<Result<_>>()?;
        let params = layers.all.iter().flat_map(|layer| layer.weights.iter().map(|(_, id)| (layer.id, *id)));
        let rounded = |(layer, id): (NodeId, ParamId)| {
            let weights = layers.graph.params().tensor(id);
            (layer, id, Arc::new(quantised_weights(weights, per_channel(weights))))
        };
        Ok(Sweep { layers, scales, inputs, weights: params.map(rounded).collect(), exact })
    }

    /// The cost of the layers of that range.
    fn cost(&self, part: std::ops::Range<usize>) -> Result<Cost> {
        let on = self.layers.all.get(part).unwrap_or_default();
        let last = on.last().map_or("", |layer| self.layers.maker(layer.id));
        let on: BTreeSet<NodeId> = on.iter().map(|layer| layer.id).collect();
        let mut graph = self.layers.graph.clone();
        for (_, id, rounded) in self.weights.iter().filter(|(layer, ..)| on.contains(layer)) {
            graph.set_param(*id, rounded.clone())?;
        }
        let executor = CpuExecutor::new(graph)?;
        let (mut noise, mut changed) = (Noise::default(), 0);
        for (input, exact) in self.inputs.iter().zip(&self.exact) {
            let logits = executor.run_visited(input, &mut Rounding { on: &on, scales: self.scales })?;
            noise.add(Noise::of(exact.data(), logits.data()));
            changed += usize::from(top1(exact.data()) != top1(logits.data()));
        }
        Ok(Cost { layer: last.to_owned(), noise: noise.into(), top1_changed: changed })
    }
}

/// The index of the largest value, the first of several.
pub(super) fn top1(logits: &[f32]) -> Option<usize> {
    (0..logits.len()).max_by(|&i, &j| logits[i].total_cmp(&logits[j]).then(j.cmp(&i)))
}

struct Nothing;

impl Visitor for Nothing {}

/// Rounds what the layers that are on read.
struct Rounding<'a> {
    on: &'a BTreeSet<NodeId>,
    scales: &'a Scales,
}

impl Visitor for Rounding<'_> {
    fn read(&mut self, reader: NodeId, input: NodeId, value: &Tensor) -> Option<Tensor> {
        self.on.contains(&reader).then(|| self.scales.read(input, value)).flatten()
    }

    fn between(&mut self, node: NodeId, value: &mut Tensor) {
        if let Some(scale) = self.scales.between(node).filter(|_| self.on.contains(&node)) {
            grid::round_all(value.data_mut(), scale);
        }
    }
}
