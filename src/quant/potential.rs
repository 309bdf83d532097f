//! How large the channels of values could be, as weights say it: what pictures did not show may still come.

use std::collections::BTreeMap;

use super::observe::Observed;
use super::parts::{Part, Place};
use crate::graph::{Graph, NodeId};
use crate::ops::Op;

/// For every channel of every value the standard deviation that its sums would have if what they read were independent:
/// before the activation and without the bias, so that a channel that a ReLU kept silent has it too, and one whose
/// weights are zero has none. It grows with the channel's weights, whatever their unit is.
pub(super) struct Potential {
    values: Vec<Vec<f64>>,
    between: BTreeMap<NodeId, Vec<f64>>,
}

impl Potential {
    pub(super) fn of(graph: &Graph, observed: &Observed) -> Self {
        let values = graph.nodes().iter().map(|node| vec![0.0; node.shape.channels]).collect();
        let mut potential = Potential { values, between: BTreeMap::new() };
        for id in graph.ids() {
            let own = potential.variances(graph, observed, id);
            potential.values[id.index()] = own.into_iter().map(f64::sqrt).collect();
        }
        potential
    }

    /// Of a channel.
    pub(super) fn at(&self, place: Place, channel: usize) -> f64 {
        let all = match place {
            Place::Value(id) => self.values.get(id.index()),
            Place::Between(id) => self.between.get(&id),
        };
        all.and_then(|all| all.get(channel)).copied().unwrap_or(0.0)
    }

    fn variances(&mut self, graph: &Graph, observed: &Observed, id: NodeId) -> Vec<f64> {
        let node = graph.node(id);
        let channels = node.shape.channels;
        let mut own = vec![0.0; channels];
        let variance = |input: NodeId, channel: usize| self.at(Place::Value(input), channel).powi(2);
        match &node.op {
            Op::Input(_) => (0..channels).for_each(|c| own[c] = observed.value(id).power(c)),
            // A residual comes on top of the sums.
            Op::Conv2d(_) => {
                for residual in node.inputs.iter().skip(1) {
                    (0..channels).for_each(|c| own[c] += variance(*residual, c));
                }
            }
            Op::ChunkConv(_) => (0..channels / 4).for_each(|c| own[c] = variance(node.inputs[0], c)),
            Op::Slice(slice) => (0..channels).for_each(|c| own[c] = variance(node.inputs[0], slice.start + c)),
            Op::Concat(_) => {
                let channels = |input: NodeId| (0..graph.node(input).shape.channels).map(move |c| (input, c));
                own = node.inputs.iter().flat_map(|x| channels(*x)).map(|(x, c)| variance(x, c)).collect();
            }
            Op::BatchNorm(norm) => {
                for (c, (factor, _)) in norm.affine(graph.params()).iter().enumerate() {
                    own[c] = variance(node.inputs[0], c) * factor.powi(2);
                }
            }
            Op::Gate(_) => (0..channels).for_each(|c| own[c] = variance(node.inputs[0], c)),
            Op::Activate(_) | Op::Add(_) | Op::Scale(_) | Op::AvgPool(_) | Op::GlobalAvgPool(_) => {
                for input in &node.inputs {
                    (0..channels).for_each(|c| own[c] += variance(*input, c));
                }
            }
            Op::Linear(_) | Op::CopyConv(_) => {}
        }
        for part in Part::of(graph, id) {
            let sums = sums(graph, observed, &part);
            match part.to {
                Place::Value(_) => sums.iter().enumerate().for_each(|(row, sum)| own[part.output(row)] += sum),
                Place::Between(_) => {
                    self.between.insert(id, sums.into_iter().map(f64::sqrt).collect());
                }
            }
        }
        own
    }
}

/// Per row, Σ w² · mean of x².
fn sums(graph: &Graph, observed: &Observed, part: &Part) -> Vec<f64> {
    let seen = match part.from {
        Place::Value(id) => Some(observed.value(id)),
        Place::Between(id) => observed.between(id),
    };
    let power = |channel: usize| seen.map_or(0.0, |seen| seen.power(channel));
    let rows = graph.params().tensor(part.weight).data().chunks((part.columns * part.taps).max(1));
    rows.enumerate()
        .map(|(row, weights)| {
            let columns = weights.chunks(part.taps.max(1)).enumerate();
            let squares = |taps: &[f32]| taps.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>();
            columns.map(|(column, taps)| squares(taps) * power(part.input(row, column))).sum()
        })
        .collect()
}
