//! What the values of a network are like on the calibration pictures.

use std::collections::BTreeMap;

use super::calibration::CalibrationSet;
use super::histogram::Histogram;
use crate::cpu::{CpuExecutor, Visitor};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::tensor::Tensor;

/// What was seen of one value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// All of its channels together.
    pub histogram: Histogram,
    /// Each of its channels.
    pub channels: Vec<Channel>,
    /// Number of values in each channel.
    pub count: u64,
    samples: u64,
}

/// What was seen of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Channel {
    /// Σ over samples of the largest magnitude in it.
    peaks: f64,
    /// Σ x.
    sum: f64,
    /// Σ x².
    squares: f64,
    /// How many values were above zero.
    positive: u64,
}

/// What was seen of all values.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    values: Vec<Seen>,
    between: BTreeMap<NodeId, Seen>,
}

impl Seen {
    /// The mean over samples of the largest magnitude in a channel: the channel's range, not ruled by
    /// a single picture.
    pub fn peak(&self, channel: usize) -> f64 {
        self.channels.get(channel).map_or(0.0, |c| c.peaks / self.samples.max(1) as f64)
    }

    /// Number of samples that were seen.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Mean of x² in a channel.
    pub fn power(&self, channel: usize) -> f64 {
        self.channels.get(channel).map_or(0.0, |c| c.squares / self.count.max(1) as f64)
    }

    /// Mean of a channel.
    pub fn mean(&self, channel: usize) -> f64 {
        self.channels.get(channel).map_or(0.0, |c| c.sum / self.count.max(1) as f64)
    }

    /// Part of a channel's values that are above zero.
    pub fn positive(&self, channel: usize) -> f64 {
        self.channels.get(channel).map_or(0.0, |c| c.positive as f64 / self.count.max(1) as f64)
    }

    /// Adds `[n, c, h, w]`.
    fn add(&mut self, value: &Tensor) {
        let &[samples, channels, height, width] = value.shape() else { return };
        self.histogram.add(value.data());
        self.channels.resize(channels, Channel::default());
        let pixels = height * width;
        self.samples += samples as u64;
        self.count += (samples * pixels) as u64;
        for (i, plane) in value.data().chunks_exact(pixels.max(1)).enumerate() {
            let channel = &mut self.channels[i % channels];
            let (mut peak, mut sum, mut squares, mut positive) = (0f32, 0f64, 0f64, 0u64);
            for value in plane {
                peak = peak.max(value.abs());
                sum += f64::from(*value);
                squares += f64::from(*value) * f64::from(*value);
                positive += u64::from(*value > 0.0);
            }
            channel.peaks += f64::from(peak);
            channel.sum += sum;
            channel.squares += squares;
            channel.positive += positive;
        }
    }
}

impl Observed {
    /// Runs the graph on every input of the set. `done` is called after each.
    ///
    /// # Errors
    /// [`Error::Argument`] if the inputs do not fit the graph, or a value is not finite, naming the
    /// node and the input.
    pub fn of(graph: &Graph, set: &CalibrationSet, done: &mut dyn FnMut()) -> Result<Self> {
        let mut observed = Observed { values: vec![Seen::default(); graph.nodes().len()], between: BTreeMap::new() };
        let executor = CpuExecutor::new(graph.clone())?;
        for (number, input) in set.inputs().iter().enumerate() {
            executor.run_visited(input, &mut observed)?;
            let odd = graph.ids().find(|id| observed.values[id.index()].histogram.not_finite() > 0);
            if let Some(id) = odd {
                let name = &graph.node(id).name;
                return Err(Error::argument(format!(
                    "{}: the value of {name:?} holds a NaN or an infinity on calibration picture {number} (counted \
                     from 0), so it has no range; the weights or the input hold values too large",
                    graph.name
                )));
            }
            done();
        }
        Ok(observed)
    }

    /// What was seen of a node's value.
    pub fn value(&self, node: NodeId) -> &Seen {
        &self.values[node.index()]
    }

    /// What was seen of the value between the convolutions `wide` and `tall` of a
    /// [`ChunkConv`](crate::ops::ChunkConv).
    pub fn between(&self, node: NodeId) -> Option<&Seen> {
        self.between.get(&node)
    }
}

impl Visitor for Observed {
    fn made(&mut self, node: NodeId, value: &mut Tensor) {
        self.values[node.index()].add(value);
    }

    fn between(&mut self, node: NodeId, value: &mut Tensor) {
        self.between.entry(node).or_default().add(value);
    }
}
