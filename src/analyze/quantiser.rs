//! The plain quantiser that distributions are judged with: symmetric, uniform, 8 bits, its range set
//! by the largest magnitude (QARepVGG 4.1). Repairs are left out on purpose: what is asked is whether
//! a network needs them.

use serde::Serialize;

use crate::quant::{Noise, grid};
use crate::tensor::Tensor;

/// Weights rounded to 8 bits: a scale for each part of `per_scale` values (an output channel's), each
/// from its own largest magnitude.
pub(super) fn quantised_weights(weights: &Tensor, per_scale: usize) -> Tensor {
    let mut rounded = weights.clone();
    for part in rounded.data_mut().chunks_mut(per_scale.max(1)) {
        let range = part.iter().fold(0f32, |max, v| v.abs().max(max));
        grid::round_all(part, grid::scale_of(range));
    }
    rounded
}

/// Values of an output channel of weights `[out, …]`.
pub(super) fn per_channel(weights: &Tensor) -> usize {
    weights.len() / weights.shape().first().copied().unwrap_or(1).max(1)
}

/// What quantisation does to a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct NoiseLevel {
    /// Mean squared error.
    pub mse: f64,
    /// Signal-to-quantisation-noise ratio, `10·log₁₀(Σx² / Σ(x̂−x)²)`, in dB; `None` if there is no
    /// error at all.
    pub sqnr_db: Option<f64>,
}

impl NoiseLevel {
    /// Whether there is too much noise, less than `db`. No error at all is never too much.
    pub fn below(&self, db: f64) -> bool {
        self.sqnr_db.is_some_and(|own| own < db)
    }
}

impl From<Noise> for NoiseLevel {
    fn from(sums: Noise) -> Self {
        // A ratio that is not finite has no place in JSON: noise on a signal of zero is 1000 dB down.
        let sqnr_db = (sums.noise > 0.0).then(|| sums.sqnr().clamp(-1000.0, 1000.0));
        NoiseLevel { mse: sums.mse(), sqnr_db }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_has_its_own_scale() {
        let weights = Tensor::new([2, 1, 1, 2], vec![100.0, 0.3, 0.003, 0.001]).unwrap();
        let rounded = quantised_weights(&weights, per_channel(&weights));
        assert_eq!(rounded.data()[..2], [100.0, 0.0]);
        assert!((rounded.data()[3] - 0.001).abs() < 0.003 / 254.0);
        assert_eq!(quantised_weights(&weights, 4).data()[2..], [0.0, 0.0], "one scale for all");
        assert_eq!(quantised_weights(&Tensor::zeros([2, 2]), 2), Tensor::zeros([2, 2]));
    }

    #[test]
    fn an_even_distribution_loses_what_theory_says() {
        // A uniform signal over the whole range: 20·log10(254) dB, 6.02 dB for each of 8 bits.
        let values = Tensor::new([1, 100_001], (0..100_001).map(|i| i as f32 / 50_000.0 - 1.0).collect()).unwrap();
        let rounded = quantised_weights(&values, values.len());
        let level = NoiseLevel::from(Noise::of(values.data(), rounded.data()));
        assert!((level.sqnr_db.unwrap() - 20.0 * 254f64.log10()).abs() < 0.05, "{level:?}");
        assert!((level.mse / (1.0 / 127f64.powi(2) / 12.0) - 1.0).abs() < 0.01, "{level:?}");
        assert!(level.below(49.0) && !level.below(48.0));
    }

    #[test]
    fn ratios_that_are_not_finite_do_not_reach_json() {
        let exact = NoiseLevel::from(Noise::of(&[0.0, 1.0], &[0.0, 1.0]));
        assert_eq!(exact, NoiseLevel { mse: 0.0, sqnr_db: None });
        assert!(!exact.below(1e9));
        let lost = NoiseLevel::from(Noise::of(&[0.0], &[0.5]));
        assert!(lost.below(-999.0));
        assert!(serde_json::to_string(&lost).unwrap().contains("-1000"));
    }
}
