//! Quantising without files.

use super::calibration::CalibrationSet;
use super::options::Options;
use super::quantizer::Quantizer;
use crate::error::Result;
use crate::session::Model;

/// Samples of noise that stand in for pictures.
const NOISE: usize = 4;

/// A fused float model in 8 bits, by what calibration inputs say of it: [`Quantizer::new`] and
/// [`Quantizer::quantize`] in one.
///
/// # Errors
/// Theirs.
pub fn quantize(model: &Model, set: CalibrationSet, options: Options) -> Result<Model> {
    let quantizer = Quantizer::new(model, Some(set), options, &mut |_, _, _| {})?;
    Ok(quantizer.quantize(&[], &mut |_, _, _| {})?.model)
}

/// A fused float model in w8a8, its ranges those of seeded noise and nothing repaired: for measuring the speed of
/// networks with random weights, whose answers mean nothing.
///
/// # Errors
/// Those of [`Quantizer::new`].
pub fn calibrated_on_noise(model: &Model) -> Result<Model> {
    quantize(model, CalibrationSet::noise(model.graph().input_shape(), NOISE, 0)?, Options::plain())
}
