//! Which layers are best left float.

use super::calibration::CalibrationSet;
use super::noise::Noise;
use super::quantizer::{OnStage, Quantized, Quantizer, Stage};
use super::simulate::{Part, Simulation};
use crate::error::Result;
use crate::graph::NodeId;
use crate::tensor::Tensor;

/// A layer, and the noise that it alone in 8 bits makes at the network's output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sensitivity {
    /// The layer.
    pub node: NodeId,
    /// The network's output against the float network's.
    pub output: Noise,
}

/// Every layer alone in 8 bits, on up to `samples` inputs evenly spread over the set: those that hurt
/// most first. `done` is called after each layer.
///
/// # Errors
/// If the inputs do not fit the network.
pub fn sensitivities(
    simulation: &Simulation,
    set: &CalibrationSet,
    samples: usize,
    done: &mut dyn FnMut(),
) -> Result<Vec<Sensitivity>> {
    let inputs: Vec<&Tensor> = set.spread(samples);
    let float = simulation.with(Part::Nothing)?;
    let expected = inputs.iter().map(|input| float.run(input)).collect::<Result<Vec<_>>>()?;
    let mut all = Vec::with_capacity(simulation.layers().len());
    for layer in simulation.layers() {
        let simulated = simulation.with(Part::Layers(&[*layer]))?;
        let mut output = Noise::default();
        for (input, expected) in inputs.iter().zip(&expected) {
            output.add(Noise::of(expected.data(), simulated.run(input)?.data()));
        }
        all.push(Sensitivity { node: *layer, output });
        done();
    }
    all.sort_by(|a, b| b.output.noise.total_cmp(&a.output.noise).then(a.node.cmp(&b.node)));
    Ok(all)
}

/// Quantises with as few float layers as bring `drop` to `max_drop` or below, the most sensitive
/// first: doubles their number until that is reached, then halves the step back. `drop` measures a
/// quantised network, in whatever unit `max_drop` has. Returns the network and the names of the
/// layers that stay float besides those that the options name.
///
/// # Errors
/// Those of [`Quantizer::quantize`], [`sensitivities`] and `drop`.
pub fn keep_fewest(
    quantizer: &Quantizer,
    set: &CalibrationSet,
    max_drop: f64,
    drop: &mut dyn FnMut(&Quantized) -> Result<f64>,
    on: OnStage,
) -> Result<(Quantized, Vec<String>)> {
    let all = quantizer.quantize(&[], on)?;
    if drop(&all)? <= max_drop {
        return Ok((all, Vec::new()));
    }
    let (mut done, count) = (0, all.simulation.layers().len());
    let ranked = sensitivities(&all.simulation, set, RANKED, &mut || {
        done += 1;
        on(Stage::Ranking, done, count);
    })?;
    let graph = quantizer.graph();
    let names: Vec<String> = ranked.iter().map(|layer| graph.node(layer.node).name.clone()).collect();
    // Not enough float layers, and enough: found or assumed (with all float nothing is lost).
    let (mut few, mut enough, mut best) = (0, names.len(), None);
    let mut next = 1;
    while few + 1 < enough || best.is_none() {
        let number = if best.is_none() { next.min(names.len()) } else { few + (enough - few) / 2 };
        let kept = &names[..number];
        let quantized = quantizer.quantize(kept, on)?;
        if drop(&quantized)? <= max_drop || number == names.len() {
            enough = number;
            best = Some((quantized, kept.to_vec()));
        } else {
            few = number;
            next = number * 2;
        }
    }
    Ok(best.unwrap_or((all, Vec::new())))
}

/// Inputs that layers are ranked on.
const RANKED: usize = 16;
