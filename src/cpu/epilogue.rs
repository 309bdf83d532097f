//! What is done to a row of results before it is stored: bias, residual, activation.

use super::simd::Vectors;
use crate::ops::Activation;

/// Applies an activation to every value.
pub(super) fn activate(activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::None => {}
        // Unlike `max`, this lets NaN through: damaged weights should show.
        Activation::Relu => values.iter_mut().for_each(|v| *v = if *v < 0.0 { 0.0 } else { *v }),
        Activation::Gelu => Vectors::new().dispatch(|| values.iter_mut().for_each(|v| *v = gelu(*v))),
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

/// `x · Φ(x)`, with an absolute error below 5e-7 · max(1, |x|).
#[inline(always)]
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The error function as `x · P(x²)/Q(x²)`, without branches so that it vectorises. Beyond ±3.93
/// it rounds to ±1 in f32. The coefficients are a minimax fit of the relative error (2e-8, by
/// Lawson's reweighting); with f32's rounding the absolute error stays below 5e-7.
#[inline(always)]
fn erf(x: f32) -> f32 {
    const P: [f32; 6] =
        [std::f32::consts::FRAC_2_SQRT_PI, 1.907_733_7e-1, 5.278_870_6e-2, 3.779_108e-3, 2.847_888e-4, 2.041_94e-6];
    const Q: [f32; 6] = [1.0, 5.024_012e-1, 1.142_530_2e-1, 1.499_643_8e-2, 1.165_075_4e-3, 3.800_272e-5];
    let x = x.clamp(-3.93, 3.93);
    let t = x * x;
    let p = ((((P[5] * t + P[4]) * t + P[3]) * t + P[2]) * t + P[1]) * t + P[0];
    let q = ((((Q[5] * t + Q[4]) * t + Q[3]) * t + Q[2]) * t + Q[1]) * t + Q[0];
    (x * p / q).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_and_erf_keep_their_error_bounds() {
        let mut largest = [0.0f64; 2];
        for i in -120_000..=120_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x);
            let phi = 0.5 * libm::erfc(-exact * std::f64::consts::FRAC_1_SQRT_2);
            let errors =
                [f64::from(erf(x)) - libm::erf(exact), (f64::from(gelu(x)) - exact * phi) / exact.abs().max(1.0)];
            for (largest, error) in largest.iter_mut().zip(errors) {
                *largest = largest.max(error.abs());
            }
        }
        assert!(largest.iter().all(|e| *e < 5e-7), "{largest:?}");
        assert_eq!([erf(0.0), erf(20.0), erf(-20.0), gelu(-100.0)], [0.0, 1.0, -1.0, 0.0]);
        assert!(gelu(f32::NAN).is_nan() && erf(1e-6) > 1.128e-6);
    }

    #[test]
    fn a_row_gets_bias_residual_and_activation_in_that_order() {
        let mut row = [1.0, -4.0, 0.5];
        finish(&mut row, 1.0, Some(&[0.5, 2.0, -3.0]), Activation::Relu);
        assert_eq!(row, [2.5, 0.0, 0.0]);
        let mut row = [f32::NAN];
        finish(&mut row, 1.0, None, Activation::Relu);
        assert!(row[0].is_nan());
        let mut row = [0.0, 2.0];
        finish(&mut row, 0.0, None, Activation::Sigmoid);
        assert!((row[0] - 0.5).abs() < 1e-7 && (row[1] - 0.880_797).abs() < 1e-6);
    }
}
