//! What is left of the cost after the repairs that need no training.

use serde::Serialize;

use super::quantiser::NoiseLevel;
use super::sensitivity::top1;
use super::{Progress, Stage};
use crate::error::Result;
use crate::quant::{CalibrationSet, Noise, Options, Part, Quantizer};
use crate::session::Model;

/// The whole network in 8 bits, quantised with the default options: channel ranges moved between layers,
/// ranges searched, biases corrected.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Repaired {
    /// Noise of the logits.
    #[serde(flatten)]
    pub noise: NoiseLevel,
    /// Inputs whose most likely class is another than the float network's.
    pub top1_changed: usize,
}

/// Quantises the network and runs it.
pub(super) fn repaired(model: &Model, set: &CalibrationSet, progress: &mut dyn FnMut(Progress)) -> Result<Repaired> {
    let mut on = |_, done, total| progress(Progress { stage: Stage::Repair, done, total });
    let quantizer = Quantizer::new(model, Some(set.clone()), Options::default(), &mut on)?;
    let simulation = quantizer.quantize(&[], &mut on)?.simulation;
    let (float, whole) = (simulation.with(Part::Nothing)?, simulation.with(Part::Everything)?);
    let (mut noise, mut top1_changed) = (Noise::default(), 0);
    for input in set.inputs() {
        let (exact, rounded) = (float.run(input)?, whole.run(input)?);
        noise.add(Noise::of(exact.data(), rounded.data()));
        top1_changed += usize::from(top1(exact.data()) != top1(rounded.data()));
    }
    Ok(Repaired { noise: noise.into(), top1_changed })
}
