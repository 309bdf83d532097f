//! What 8 bits cost, layer by layer.

use serde::Serialize;

use super::calibration::CalibrationSet;
use super::noise::Noise;
use super::quantization::Quantization;
use super::simulate::Simulation;
use super::walk::Walk;
use crate::error::{Error, Result};
use crate::graph::{NodeId, ParamId, Shape};

/// What was lost in a layer with quantised weights. Ratios compare a network with itself before
/// quantisation, after equalisation.
#[derive(Clone, Debug, Serialize)]
pub struct LayerCost {
    /// The node.
    #[serde(skip)]
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Its operator's name.
    pub operator: &'static str,
    /// Scale of the value that it reads first; `None` if that is float.
    pub input_scale: Option<f32>,
    /// Scale of its value; `None` if that is float.
    pub output_scale: Option<f32>,
    /// Smallest and largest scale of its weights.
    pub weight_scales: [f32; 2],
    /// The weights against the float ones.
    pub weights: Noise,
    /// Its value if it alone is in 8 bits, reading the float network's values.
    pub alone: Noise,
    /// Its value with everything in 8 bits.
    pub accumulated: Noise,
}

/// The costs of all layers of a simulation, and the noise of the network's output.
#[derive(Clone, Debug, Serialize)]
pub struct Costs {
    /// Layers from the input to the output.
    pub layers: Vec<LayerCost>,
    /// The output with everything in 8 bits.
    pub output: Noise,
}

impl Costs {
    /// Measures on up to `samples` inputs of the set, evenly spread over it.
    ///
    /// # Errors
    /// If the inputs do not fit the network.
    pub fn of(simulation: &Simulation, set: &CalibrationSet, samples: usize) -> Result<Self> {
        let (float, quantized, scales) = (simulation.float(), simulation.quantized(), simulation.quantization());
        let mut layers: Vec<LayerCost> = simulation.layers().iter().map(|id| cost(simulation, *id)).collect();
        let mut output = Noise::default();
        for input in set.spread(samples) {
            let Shape { channels, height, width } = float.input_shape();
            if input.shape().get(1..) != Some(&[channels, height, width]) {
                let (found, wanted) = (input.shape(), float.input_shape());
                return Err(Error::argument(format!("{}: an input has the shape {found:?}, not {wanted}", float.name)));
            }
            let mut walk = Walk::new(float, scales, input);
            for id in float.ids().skip(1) {
                let pair = walk.compute((float, quantized), scales, id, &quantized.node(id).op)?;
                let accumulated = Noise::of(pair.float.data(), pair.quantized.data());
                if let Some(layer) = layers.iter_mut().find(|layer| layer.node == id) {
                    let alone = walk.alone(quantized, scales, id)?;
                    layer.alone.add(Noise::of(pair.float.data(), alone.data()));
                    layer.accumulated.add(accumulated);
                }
                if id == float.output() {
                    output.add(accumulated);
                }
                walk.put(float, scales, id, pair);
            }
        }
        Ok(Costs { layers, output })
    }
}

/// What is known without running.
fn cost(simulation: &Simulation, id: NodeId) -> LayerCost {
    let (float, quantized, scales) = (simulation.float(), simulation.quantized(), simulation.quantization());
    let node = quantized.node(id);
    let ids: Vec<(ParamId, ParamId)> = Quantization::quantizable(&float.node(id).op)
        .into_iter()
        .zip(Quantization::quantizable(&node.op))
        .map(|((_, float), (_, quantized))| (float, quantized))
        .collect();
    let mut weights = Noise::default();
    let mut range = [f32::INFINITY, 0.0];
    for (before, after) in ids {
        weights.add(Noise::of(float.params().tensor(before).data(), quantized.params().tensor(after).data()));
        for scale in scales.weight(after).into_iter().flatten() {
            range = [range[0].min(*scale), range[1].max(*scale)];
        }
    }
    LayerCost {
        node: id,
        name: node.name.clone(),
        operator: node.op.name(),
        input_scale: node.inputs.first().and_then(|input| scales.activation(*input)),
        output_scale: scales.activation(id),
        weight_scales: range,
        weights,
        alone: Noise::default(),
        accumulated: Noise::default(),
    }
}
