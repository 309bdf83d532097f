//! What is done to a row of results before it is stored: bias, residual, activation.

use crate::ops::Activation;

/// Applies an activation to every value.
pub(super) fn activate(activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::None => {}
        Activation::Relu => values.iter_mut().for_each(|v| *v = v.max(0.0)),
        Activation::Gelu => {
            values.iter_mut().for_each(|v| *v *= 0.5 * libm::erfcf(-*v * std::f32::consts::FRAC_1_SQRT_2))
        }
        Activation::Sigmoid => values.iter_mut().for_each(|v| *v = 1.0 / (1.0 + (-*v).exp())),
    }
}

/// `row = activation(row + bias [+ residual])`.
pub(super) fn finish(row: &mut [f32], bias: f32, residual: Option<&[f32]>, activation: Activation) {
    match residual {
        Some(residual) => row.iter_mut().zip(residual).for_each(|(v, r)| *v += bias + r),
        None if bias != 0.0 => row.iter_mut().for_each(|v| *v += bias),
        None => {}
    }
    activate(activation, row);
}
