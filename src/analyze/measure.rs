//! Weights and activations layer by layer, over calibration pictures.

use std::collections::BTreeMap;

use serde::Serialize;

use super::layers::{Layer, Layers};
use super::quantiser::{NoiseLevel, per_channel, quantised_weights};
use super::spread::{Collector, Spread};
use super::{Progress, Stage};
use crate::cpu::{CpuExecutor, Visitor};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, ParamId, Shape};
use crate::quant::{Noise, grid};
use crate::tensor::Tensor;

/// A layer with weights: how they and the values around them are distributed, and what 8 bits make of
/// them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerReport {
    /// Its node in the fused graph.
    pub name: String,
    /// Its operator.
    pub operator: &'static str,
    /// Shape of what it makes of one sample.
    pub output: Shape,
    /// Its weights, fused. RepNeXt's token mixers have several.
    pub weights: Vec<WeightReport>,
    /// What it makes, before activation (a residual that it adds included).
    pub before_activation: Spread,
    /// What it reads.
    pub input: InputReport,
    /// What is left of its value before activation when only its weights are in 8 bits, a scale
    /// for each output channel: condition C1 in one number.
    pub weight_noise: NoiseLevel,
    /// The same with one scale for each weight tensor.
    pub weight_noise_per_tensor: NoiseLevel,
    /// What is left of its value before activation when only the values that it reads are in 8 bits, one scale
    /// for all (a residual that it adds included): condition C2 in one number.
    pub input_noise: NoiseLevel,
}

/// A weight tensor of a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WeightReport {
    /// Its role: `weight`, or `small.weight` and so on for the parts of a token mixer.
    pub role: &'static str,
    /// `[out, in/groups, kh, kw]` or `[out, in]`.
    pub shape: Vec<usize>,
    /// How its values are distributed.
    pub spread: Spread,
    /// Largest magnitude of the widest output channel over that of the median one.
    pub channel_ratio: f64,
    /// Largest magnitude over root mean square of an output channel by itself, the median of all.
    pub channel_crest: f64,
}

/// The value that a layer reads, after the activation before it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputReport {
    /// The node of the fused graph that makes it: usually the layer before; `input` for pictures.
    pub made_by: String,
    /// The largest magnitude, which sets the quantiser's scale.
    pub max_abs: f64,
    /// Root mean square.
    pub rms: f64,
    /// `max_abs / rms`: how far the largest value is from the common ones.
    pub crest: f64,
    /// Largest magnitude of the widest channel over that of the median channel that is not all
    /// zeros.
    pub channel_ratio: f64,
    /// Channels that are zero on all pictures.
    pub dead_channels: usize,
}

/// Most bytes of values that are held at a time.
const MAX_BYTES: u64 = 4 << 30;

/// Measures every layer on these inputs, each `[1, c, h, w]`. Also returns the scales that were used.
///
/// # Errors
/// [`Error::Argument`] for inputs of another shape and for values of more than 4 GiB, [`Error::Graph`]
/// naming the first layer that makes a NaN or an infinity.
pub(super) fn measure(
    layers: &Layers,
    inputs: &[Tensor],
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<LayerReport>, Scales)> {
    check_size(layers)?;
    let exact = CpuExecutor::new(layers.graph.clone())?;
    let mut seen = Ranges::new(layers);
    for (done, input) in inputs.iter().enumerate() {
        exact.run_visited(input, &mut seen)?;
        seen.check()?;
        progress(Progress { stage: Stage::Ranges, done: done + 1, total: inputs.len() });
    }
    let (found, scales) = seen.finish();
    let by_channel = CpuExecutor::new(rounded(layers, per_channel)?)?;
    let by_tensor = CpuExecutor::new(rounded(layers, Tensor::len)?)?;
    let ids: Vec<NodeId> = layers.all.iter().map(|layer| layer.id).collect();
    let mut noises = [(); 3].map(|()| vec![Noise::default(); ids.len()]);
    for (done, input) in inputs.iter().enumerate() {
        let (_, values) = exact.run_with(input, &ids)?;
        let runs = [(&by_channel, None), (&by_tensor, None), (&exact, Some(&scales))];
        for ((executor, rounds), sums) in runs.into_iter().zip(&mut noises) {
            executor.run_visited(input, &mut Alone { ids: &ids, exact: &values, rounds, sums })?;
        }
        progress(Progress { stage: Stage::Noise, done: done + 1, total: inputs.len() });
    }
    let report = |(at, layer)| {
        let [weights, one_scale, inputs] = &noises;
        let level = |sums: &Vec<Noise>| NoiseLevel::from(sums.get(at).copied().unwrap_or_default());
        report(layers, layer, &found, [weights, one_scale, inputs].map(level))
    };
    Ok((layers.all.iter().enumerate().map(report).collect(), scales))
}

/// Refuses networks whose layers' values, all held for one picture, are too many.
fn check_size(layers: &Layers) -> Result<()> {
    let graph = &layers.graph;
    let bytes = layers.all.iter().map(|layer| 4 * graph.node(layer.id).shape.len() as u64);
    if bytes.fold(0, u64::saturating_add) <= MAX_BYTES {
        return Ok(());
    }
    Err(Error::argument(format!(
        "{}: the values of its {} layers for one {} input are more than 4 GiB; it is too large to be analysed",
        graph.name,
        layers.all.len(),
        graph.input_shape()
    )))
}

/// Looks at what layers read and make.
struct Ranges<'a> {
    layers: &'a Layers,
    values: BTreeMap<NodeId, Range>,
    /// Largest magnitude of the values within token mixers.
    between: BTreeMap<NodeId, f32>,
    /// The first node that made a value which is not finite.
    broken: Option<NodeId>,
}

struct Range {
    collector: Collector,
    /// Largest magnitude of each channel.
    channels: Vec<f32>,
}

/// What was seen of a value.
struct Found {
    spread: Spread,
    /// Largest magnitude of each channel.
    channels: Vec<f32>,
}

/// The scales of what layers read when activations are in 8 bits.
#[derive(Clone, Debug)]
pub(super) struct Scales {
    /// By the value that is read.
    read: BTreeMap<NodeId, f32>,
    /// Of the values within token mixers.
    between: BTreeMap<NodeId, f32>,
}

impl Scales {
    /// A value as layers read it; `None` if none does.
    pub(super) fn read(&self, id: NodeId, value: &Tensor) -> Option<Tensor> {
        let scale = *self.read.get(&id)?;
        let mut value = value.clone();
        grid::round_all(value.data_mut(), scale);
        Some(value)
    }

    /// The scale of the value within a token mixer.
    pub(super) fn between(&self, node: NodeId) -> Option<f32> {
        self.between.get(&node).copied()
    }
}

impl<'a> Ranges<'a> {
    fn new(layers: &'a Layers) -> Self {
        let ids = layers.all.iter().flat_map(|layer| [layer.input, layer.id]);
        let range = |id: NodeId| {
            let channels = vec![0.0; layers.graph.node(id).shape.channels];
            (id, Range { collector: Collector::new(), channels })
        };
        Ranges { layers, values: ids.map(range).collect(), between: BTreeMap::new(), broken: None }
    }

    fn check(&self) -> Result<()> {
        let Some(id) = self.broken else { return Ok(()) };
        let node = self.layers.graph.node(id);
        let reason = "makes NaN or infinite values of a calibration picture; the weights before it hold values too \
                      large, or the running variance of a batch norm is wrong";
        Err(Error::Graph { node: node.name.clone(), op: node.op.name(), reason: reason.into() })
    }

    fn finish(self) -> (BTreeMap<NodeId, Found>, Scales) {
        let found =
            |(id, range): (NodeId, Range)| (id, Found { spread: range.collector.finish(), channels: range.channels });
        let values: BTreeMap<NodeId, Found> = self.values.into_iter().map(found).collect();
        let read = self.layers.all.iter().map(|layer| layer.input);
        let scale = |id: NodeId| Some((id, grid::scale_of(values.get(&id)?.spread.max_abs() as f32)));
        let read = read.filter_map(scale).collect();
        let between = self.between.into_iter().map(|(id, range)| (id, grid::scale_of(range))).collect();
        (values, Scales { read, between })
    }
}

impl Visitor for Ranges<'_> {
    fn made(&mut self, node: NodeId, value: &mut Tensor) {
        if self.broken.is_none() && value.data().iter().any(|v| !v.is_finite()) {
            self.broken = Some(node);
        }
        let Some(range) = self.values.get_mut(&node) else { return };
        range.collector.add(value.data());
        let planes = value.data().chunks(self.layers.graph.node(node).shape.pixels().max(1));
        for (max, plane) in range.channels.iter_mut().zip(planes) {
            *max = plane.iter().fold(*max, |max, v| max.max(v.abs()));
        }
    }

    fn between(&mut self, node: NodeId, value: &mut Tensor) {
        let range = self.between.entry(node).or_default();
        *range = value.data().iter().fold(*range, |max, v| max.max(v.abs()));
    }
}

/// Lets each layer stand alone: what it makes is compared with the exact value, and the layers after
/// it read that.
struct Alone<'a> {
    ids: &'a [NodeId],
    exact: &'a [Tensor],
    /// Rounds what layers read, if they are given.
    rounds: Option<&'a Scales>,
    sums: &'a mut [Noise],
}

impl Visitor for Alone<'_> {
    fn made(&mut self, node: NodeId, value: &mut Tensor) {
        let Ok(at) = self.ids.binary_search(&node) else { return };
        if let (Some(exact), Some(sum)) = (self.exact.get(at), self.sums.get_mut(at)) {
            sum.add(Noise::of(exact.data(), value.data()));
            value.clone_from(exact);
        }
    }

    fn read(&mut self, reader: NodeId, input: NodeId, value: &Tensor) -> Option<Tensor> {
        self.ids.binary_search(&reader).ok()?;
        self.rounds?.read(input, value)
    }

    fn between(&mut self, node: NodeId, value: &mut Tensor) {
        if let Some(scale) = self.rounds.and_then(|scales| scales.between(node)) {
            grid::round_all(value.data_mut(), scale);
        }
    }
}

/// The graph with rounded weights, `per_scale` of them sharing a scale.
fn rounded(layers: &Layers, per_scale: impl Fn(&Tensor) -> usize) -> Result<Graph> {
    let mut graph = layers.graph.clone();
    for (_, id) in layers.all.iter().flat_map(|layer| &layer.weights) {
        let weights = layers.graph.params().tensor(*id);
        graph.set_param(*id, quantised_weights(weights, per_scale(weights)))?;
    }
    Ok(graph)
}

fn report(
    layers: &Layers,
    layer: &Layer,
    found: &BTreeMap<NodeId, Found>,
    [weights, one_scale, inputs]: [NoiseLevel; 3],
) -> LayerReport {
    let node = layers.graph.node(layer.id);
    let of_weights = |(role, id): &(&'static str, ParamId)| {
        let tensor = layers.graph.params().tensor(*id);
        let largest = |channel: &[f32]| channel.iter().fold(0f32, |max, v| max.max(v.abs()));
        let channels: Vec<f32> = tensor.data().chunks(per_channel(tensor).max(1)).map(largest).collect();
        let (shape, spread) = (tensor.shape().to_vec(), Spread::of(tensor.data()));
        let channel_crest = channel_crest(tensor);
        WeightReport { role, shape, spread, channel_ratio: channel_ratio(&channels), channel_crest }
    };
    let spread = |id: NodeId| found.get(&id).map_or_else(|| Spread::of(&[]), |found| found.spread.clone());
    let channels = |id: NodeId| found.get(&id).map_or(&[][..], |found| found.channels.as_slice());
    let (read, read_channels) = (spread(layer.input), channels(layer.input));
    LayerReport {
        name: node.name.clone(),
        operator: node.op.name(),
        output: node.shape,
        weights: layer.weights.iter().map(of_weights).collect(),
        before_activation: spread(layer.id),
        input: InputReport {
            made_by: layers.maker(layer.input).to_owned(),
            max_abs: read.max_abs(),
            rms: read.rms(),
            crest: read.crest(),
            channel_ratio: channel_ratio(read_channels),
            dead_channels: read_channels.iter().filter(|max| **max == 0.0).count(),
        },
        weight_noise: weights,
        weight_noise_per_tensor: one_scale,
        input_noise: inputs,
    }
}

/// The widest channel over the median one of those that are not all zeros; 1 if all are.
fn channel_ratio(channels: &[f32]) -> f64 {
    let mut live: Vec<f32> = channels.iter().copied().filter(|max| *max > 0.0).collect();
    live.sort_by(f32::total_cmp);
    match (live.get(live.len() / 2), live.last()) {
        (Some(median), Some(widest)) => f64::from(*widest) / f64::from(*median),
        _ => 1.0,
    }
}

/// Largest magnitude over root mean square of the median channel; channels of zeros do not count.
fn channel_crest(weights: &Tensor) -> f64 {
    let crest = |channel: &[f32]| {
        let power: f64 = channel.iter().map(|v| f64::from(*v).powi(2)).sum();
        let max = channel.iter().fold(0f32, |max, v| max.max(v.abs()));
        (max > 0.0).then(|| f64::from(max) / (power / channel.len() as f64).sqrt())
    };
    let mut crests: Vec<f64> = weights.data().chunks(per_channel(weights).max(1)).filter_map(crest).collect();
    crests.sort_by(f64::total_cmp);
    crests.get(crests.len() / 2).copied().unwrap_or(1.0)
}
