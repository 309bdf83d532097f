//! Weights and activations layer by layer, over calibration pictures.

use std::collections::BTreeMap;

use serde::Serialize;

use super::layers::{Layer, Layers};
use super::quantiser::{Noise, Sums, per_channel, quantise, quantised_weights, step};
use super::spread::{Collector, Spread};
use super::{Progress, Stage};
use crate::cpu::CpuExecutor;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Shape};
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
    /// What is left of its value before activation when only its weights are in 8 bits, a step for
    /// each output channel: condition C1 in one number.
    pub weight_noise: Noise,
    /// The same with one step for each weight tensor.
    pub weight_noise_per_tensor: Noise,
    /// What is left of its value before activation when only the values that it reads are in 8 bits, one step
    /// for all (a residual that it adds included): condition C2 in one number.
    pub input_noise: Noise,
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
}

/// The value that a layer reads, after the activation before it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputReport {
    /// The node of the fused graph that makes it: usually the layer before; `input` for pictures.
    pub made_by: String,
    /// The largest magnitude, which sets the quantiser's step.
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

/// Measures every layer on these inputs, each `[1, c, h, w]`.
pub(super) fn measure(
    layers: &Layers,
    inputs: &[Tensor],
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<LayerReport>> {
    let values = Values::of(layers)?;
    let ranges = values.ranges(layers, inputs, progress)?;
    let noises = values.noises(layers, inputs, &ranges, progress)?;
    let reports = layers.all.iter().zip(noises);
    Ok(reports.map(|(layer, noise)| report(layers, layer, &ranges, noise)).collect())
}

/// The values that are looked at: what layers read, and what they make.
struct Values {
    /// Without the network's input.
    ids: Vec<NodeId>,
    graph: CpuExecutor,
}

/// Range and distribution of the values that are looked at.
struct Ranges {
    spreads: BTreeMap<NodeId, Spread>,
    /// Largest magnitude of each channel.
    channels: BTreeMap<NodeId, Vec<f32>>,
}

/// What quantising weights, weights with one step, and inputs does to a layer.
type Noises = [Sums; 3];

impl Values {
    fn of(layers: &Layers) -> Result<Values> {
        let graph = &layers.graph;
        let mut ids: Vec<NodeId> = layers.all.iter().flat_map(|layer| [layer.input, layer.id]).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| *id != graph.input());
        // The values themselves, rounded, and computed again.
        let bytes = ids.iter().map(|id| 12 * graph.node(*id).shape.len() as u64).fold(0, u64::saturating_add);
        if bytes > MAX_BYTES {
            return Err(Error::argument(format!(
                "{}: the values of its {} layers for one {} input are more than 4 GiB; analyse it at a smaller input",
                graph.name,
                layers.all.len(),
                graph.input_shape()
            )));
        }
        Ok(Values { ids, graph: CpuExecutor::new(graph.clone())? })
    }

    /// The float values for one input, the input's own among them.
    fn exact(&self, input: &Tensor) -> Result<Vec<Tensor>> {
        let graph = self.graph.graph();
        let (_, values) = self.graph.run_with(input, &self.ids)?;
        for (id, value) in self.ids.iter().zip(&values) {
            if value.data().iter().any(|v| !v.is_finite()) {
                let node = graph.node(*id);
                let reason = "makes NaN or infinite values of a calibration picture; the weights before it hold \
                              values too large, or the running variance of a batch norm is wrong";
                return Err(Error::Graph { node: node.name.clone(), op: node.op.name(), reason: reason.into() });
            }
        }
        Ok(values)
    }

    fn ranges(&self, layers: &Layers, inputs: &[Tensor], progress: &mut dyn FnMut(Progress)) -> Result<Ranges> {
        let graph = &layers.graph;
        let all = || self.ids.iter().copied().chain([graph.input()]);
        let mut collectors: BTreeMap<NodeId, Collector> = all().map(|id| (id, Collector::new())).collect();
        let mut channels: BTreeMap<NodeId, Vec<f32>> =
            all().map(|id| (id, vec![0.0; graph.node(id).shape.channels])).collect();
        for (done, input) in inputs.iter().enumerate() {
            let values = self.exact(input)?;
            for (id, value) in all().zip(values.iter().chain([input])) {
                if let Some(collector) = collectors.get_mut(&id) {
                    collector.add(value.data());
                }
                let planes = value.data().chunks(graph.node(id).shape.pixels().max(1));
                for (max, plane) in channels.get_mut(&id).into_iter().flatten().zip(planes) {
                    *max = plane.iter().fold(*max, |max, v| max.max(v.abs()));
                }
            }
            progress(Progress { stage: Stage::Ranges, done: done + 1, total: inputs.len() });
        }
        let spreads = collectors.into_iter().map(|(id, collector)| (id, collector.finish())).collect();
        Ok(Ranges { spreads, channels })
    }

    fn noises(
        &self,
        layers: &Layers,
        inputs: &[Tensor],
        ranges: &Ranges,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Noises>> {
        let by_channel = CpuExecutor::new(rounded(layers, per_channel)?)?;
        let by_tensor = CpuExecutor::new(rounded(layers, Tensor::len)?)?;
        let mut sums = vec![Noises::default(); layers.all.len()];
        for (done, input) in inputs.iter().enumerate() {
            let exact = self.exact(input)?;
            let place = |id: NodeId| self.ids.binary_search(&id).ok();
            // Layers by themselves, each reading the float network's values.
            let own: Vec<(NodeId, &Tensor)> =
                layers.all.iter().filter_map(|layer| Some((layer.id, exact.get(place(layer.id)?)?))).collect();
            let with_weights = by_channel.run_forced(input, &own)?;
            let with_one_step = by_tensor.run_forced(input, &own)?;
            let read = |id: NodeId, value: &Tensor| self.read(layers, ranges, id, value);
            let read_input = read(layers.graph.input(), input);
            let read: Vec<Tensor> = self.ids.iter().zip(&exact).map(|(id, value)| read(*id, value)).collect();
            let forced: Vec<(NodeId, &Tensor)> = self.ids.iter().copied().zip(&read).collect();
            let with_inputs = self.graph.run_forced(&read_input, &forced)?;
            for (at, ((id, exact), sums)) in own.iter().zip(&mut sums).enumerate() {
                let of_inputs = place(*id).and_then(|place| with_inputs.get(place));
                let made = [with_weights.get(at), with_one_step.get(at), of_inputs];
                for (sum, made) in sums.iter_mut().zip(made) {
                    made.into_iter().for_each(|made| sum.add(exact.data(), made.data()));
                }
            }
            progress(Progress { stage: Stage::Noise, done: done + 1, total: inputs.len() });
        }
        Ok(sums)
    }

    /// A value as layers read it when activations are in 8 bits. What no layer reads stays as it is.
    fn read(&self, layers: &Layers, ranges: &Ranges, id: NodeId, value: &Tensor) -> Tensor {
        let mut value = value.clone();
        if layers.all.iter().any(|layer| layer.input == id)
            && let Some(spread) = ranges.spreads.get(&id)
        {
            quantise(value.data_mut(), step(spread.max_abs()));
        }
        value
    }
}

/// The graph with rounded weights, `per_step` of them sharing a step.
fn rounded(layers: &Layers, per_step: impl Fn(&Tensor) -> usize) -> Result<Graph> {
    let mut graph = layers.graph.clone();
    for (_, id) in layers.all.iter().flat_map(|layer| &layer.weights) {
        let weights = layers.graph.params().tensor(*id);
        graph.set_param(*id, quantised_weights(weights, per_step(weights)))?;
    }
    Ok(graph)
}

fn report(layers: &Layers, layer: &Layer, ranges: &Ranges, [weights, one_step, inputs]: Noises) -> LayerReport {
    let node = layers.graph.node(layer.id);
    let spread = |id: NodeId| ranges.spreads.get(&id).cloned().unwrap_or_else(|| Spread::of(&[]));
    let of_weights = |(role, id): &(&'static str, crate::ParamId)| {
        let tensor = layers.graph.params().tensor(*id);
        let largest = |channel: &[f32]| channel.iter().fold(0f32, |max, v| max.max(v.abs()));
        let channels: Vec<f32> = tensor.data().chunks(per_channel(tensor).max(1)).map(largest).collect();
        let (shape, spread) = (tensor.shape().to_vec(), Spread::of(tensor.data()));
        WeightReport { role, shape, spread, channel_ratio: channel_ratio(&channels) }
    };
    let read = spread(layer.input);
    let channels = ranges.channels.get(&layer.input).map_or(&[][..], Vec::as_slice);
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
            channel_ratio: channel_ratio(channels),
            dead_channels: channels.iter().filter(|max| **max == 0.0).count(),
        },
        weight_noise: weights.noise(),
        weight_noise_per_tensor: one_step.noise(),
        input_noise: inputs.noise(),
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
