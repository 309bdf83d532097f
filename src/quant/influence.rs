//! How much noise in each channel matters at the output.

use std::collections::BTreeMap;

use super::observe::Observed;
use super::parts::{Part, Place};
use crate::graph::{Graph, NodeId};
use crate::ops::{Activation, Op};

/// For every channel of every value: by how much a unit of noise variance in it raises the summed
/// variance of the outputs, were noise independent from value to value. Propagated backwards through
/// the squares of the weights; an activation lets through what part of its values the calibration
/// pictures left it.
pub(super) struct Influence {
    values: Vec<Vec<f64>>,
    between: BTreeMap<NodeId, Vec<f64>>,
    /// As `values`, but before the node's own activation.
    sums: Vec<Vec<f64>>,
}

impl Influence {
    pub(super) fn of(graph: &Graph, observed: &Observed) -> Self {
        let values: Vec<Vec<f64>> = graph.nodes().iter().map(|node| vec![0.0; node.shape.channels]).collect();
        let mut influence = Influence { sums: values.clone(), values, between: BTreeMap::new() };
        influence.values[graph.output().index()].fill(1.0);
        for id in graph.ids().rev().filter(|id| id.index() > 0) {
            influence.step(graph, observed, id);
        }
        influence
    }

    /// Of a channel.
    pub(super) fn at(&self, place: Place, channel: usize) -> f64 {
        let all = match place {
            Place::Value(id) => self.values.get(id.index()),
            Place::Between(id) => self.between.get(&id),
        };
        all.and_then(|all| all.get(channel)).copied().unwrap_or(0.0)
    }

    /// Of a channel of what a part makes, before the activation that follows.
    pub(super) fn before_activation(&self, place: Place, channel: usize) -> f64 {
        match place {
            Place::Value(id) => self.sums[id.index()].get(channel).copied().unwrap_or(0.0),
            Place::Between(_) => self.at(place, channel),
        }
    }

    /// Hands the influence of a node's value on to the values that it reads.
    fn step(&mut self, graph: &Graph, observed: &Observed, id: NodeId) {
        let node = graph.node(id);
        let seen = observed.value(id);
        let mut op = node.op.clone();
        let activation = match op {
            Op::Activate(ref activate) => activate.0,
            ref mut op => op.activation_mut().copied().unwrap_or_default(),
        };
        let passed = |channel: usize| match activation {
            Activation::None => 1.0,
            Activation::Relu | Activation::Gelu => seen.positive(channel),
            // The square of the slope, 1/16 at most.
            Activation::Sigmoid => 0.05,
        };
        let own: Vec<f64> = self.values[id.index()].iter().enumerate().map(|(c, g)| g * passed(c)).collect();
        self.sums[id.index()].clone_from(&own);
        let mut parts = Part::of(graph, id);
        // What is between is made by one part and read by a later one.
        parts.reverse();
        for part in &parts {
            self.part(graph, part);
        }
        match &node.op {
            Op::Conv2d(_) => node.inputs.iter().skip(1).for_each(|residual| self.add(*residual, 0, &own, 1.0)),
            Op::ChunkConv(_) => self.add(node.inputs[0], 0, &own[..own.len() / 4], 1.0),
            Op::Activate(_) | Op::Add(_) => node.inputs.iter().for_each(|input| self.add(*input, 0, &own, 1.0)),
            Op::Scale(scale) => self.add(node.inputs[0], 0, &own, f64::from(scale.factor).powi(2)),
            Op::AvgPool(pool) => self.add(node.inputs[0], 0, &own, pool.factor()),
            Op::GlobalAvgPool(_) => {
                let pixels = graph.node(node.inputs[0]).shape.pixels();
                self.add(node.inputs[0], 0, &own, (pixels as f64).recip());
            }
            Op::Slice(slice) => self.add(node.inputs[0], slice.start, &own, 1.0),
            Op::Concat(_) => {
                let mut start = 0;
                for input in &node.inputs {
                    let end = start + graph.node(*input).shape.channels;
                    self.add(*input, 0, &own[start..end], 1.0);
                    start = end;
                }
            }
            Op::BatchNorm(norm) => {
                let (gamma, variance) = (graph.params().tensor(norm.gamma), graph.params().tensor(norm.variance));
                let slopes = gamma.data().iter().zip(variance.data());
                let slopes = slopes.map(|(g, v)| f64::from(*g).powi(2) / (f64::from(*v) + f64::from(norm.eps)));
                let scaled: Vec<f64> = own.iter().zip(slopes).map(|(g, slope)| g * slope).collect();
                self.add(node.inputs[0], 0, &scaled, 1.0);
            }
            Op::Gate(_) => {
                let times = |other: NodeId| -> Vec<f64> {
                    let seen = observed.value(other);
                    own.iter().enumerate().map(|(c, g)| g * seen.power(c)).collect()
                };
                let (by_gate, by_value) = (times(node.inputs[1]), times(node.inputs[0]));
                self.add(node.inputs[0], 0, &by_gate, 1.0);
                self.add(node.inputs[1], 0, &by_value, 1.0);
            }
            Op::Linear(_) | Op::CopyConv(_) | Op::Input(_) => {}
        }
    }

    fn part(&mut self, graph: &Graph, part: &Part) {
        let weight = graph.params().tensor(part.weight).data();
        let rows = weight.chunks(part.columns * part.taps);
        for (row, weights) in rows.enumerate() {
            let own = self.before_activation(part.to, part.output(row));
            for (column, taps) in weights.chunks(part.taps).enumerate() {
                let squares: f64 = taps.iter().map(|w| f64::from(*w) * f64::from(*w)).sum();
                let channel = part.input(row, column);
                match part.from {
                    Place::Value(id) => self.values[id.index()][channel] += squares * own,
                    Place::Between(id) => {
                        let all = self.between.entry(id).or_insert_with(|| vec![0.0; part.rows]);
                        all[channel] += squares * own;
                    }
                }
            }
        }
    }

    fn add(&mut self, value: NodeId, start: usize, influence: &[f64], factor: f64) {
        let channels = self.values[value.index()].iter_mut().skip(start);
        channels.zip(influence).for_each(|(sum, own)| *sum += own * factor);
    }
}
