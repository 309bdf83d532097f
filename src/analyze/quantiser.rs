//! The plain quantiser that distributions are judged with: symmetric, uniform, 8 bits, its range set
//! by the largest magnitude (QARepVGG 4.1). Repairs are left out on purpose: what is asked is whether
//! a network needs them.

use serde::Serialize;

use crate::tensor::Tensor;

/// Levels on either side of zero.
const LEVELS: f64 = 127.0;

/// The step of a quantiser that reaches `max_abs`.
pub(super) fn step(max_abs: f64) -> f64 {
    max_abs / LEVELS
}

/// Rounds every value to the nearest multiple of `step`, at most 127 of them either way.
pub(super) fn quantise(values: &mut [f32], step: f64) {
    if !(step.is_finite() && step > 0.0) {
        return;
    }
    for value in values {
        *value = ((f64::from(*value) / step).round_ties_even().clamp(-LEVELS, LEVELS) * step) as f32;
    }
}

/// Weights rounded to 8 bits: a step for each part of `per_step` values (an output channel's), each
/// from its own largest magnitude.
pub(super) fn quantised_weights(weights: &Tensor, per_step: usize) -> Tensor {
    let mut rounded = weights.clone();
    for part in rounded.data_mut().chunks_mut(per_step.max(1)) {
        let max_abs = part.iter().fold(0f32, |max, v| v.abs().max(max));
        quantise(part, step(max_abs.into()));
    }
    rounded
}

/// Values of an output channel of weights `[out, …]`.
pub(super) fn per_channel(weights: &Tensor) -> usize {
    weights.len() / weights.shape().first().copied().unwrap_or(1).max(1)
}

/// What quantisation does to a value: the mean squared error, and the signal-to-noise ratio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Noise {
    /// Mean squared error.
    pub mse: f64,
    /// Signal-to-quantisation-noise ratio, `10·log₁₀(Σx² / Σ(x−x̂)²)`, in dB; `None` if there is no
    /// error at all.
    pub sqnr_db: Option<f64>,
}

impl Noise {
    /// Less than `db`: too much noise. No error at all is never too much.
    pub fn below(&self, db: f64) -> bool {
        self.sqnr_db.is_some_and(|own| own < db)
    }
}

/// Sums that make a [`Noise`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    count: u64,
    signal: f64,
    noise: f64,
}

impl Sums {
    pub(super) fn add(&mut self, exact: &[f32], rounded: &[f32]) {
        for (a, b) in exact.iter().zip(rounded) {
            let (a, b) = (f64::from(*a), f64::from(*b));
            self.signal += a * a;
            self.noise += (a - b) * (a - b);
        }
        self.count += exact.len() as u64;
    }

    pub(super) fn noise(self) -> Noise {
        // A signal of zero with noise on it: no ratio is low enough, so the lowest that says so.
        let ratio = (self.signal.max(f64::MIN_POSITIVE) / self.noise).log10() * 10.0;
        let sqnr_db = (self.noise > 0.0).then_some(ratio);
        Noise { mse: self.noise / self.count.max(1) as f64, sqnr_db }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_distribution_loses_what_theory_says() {
        // A uniform signal over the whole range: 20·log10(254) dB, 6.02 dB for each of 8 bits.
        let values: Vec<f32> = (0..100_001).map(|i| i as f32 / 50_000.0 - 1.0).collect();
        let mut rounded = values.clone();
        quantise(&mut rounded, step(1.0));
        let mut sums = Sums::default();
        values.chunks(999).zip(rounded.chunks(999)).for_each(|(a, b)| sums.add(a, b));
        let noise = sums.noise();
        assert!((noise.sqnr_db.unwrap() - 20.0 * 254f64.log10()).abs() < 0.05, "{noise:?}");
        assert!((noise.mse / (1.0 / 127f64.powi(2) / 12.0) - 1.0).abs() < 0.01, "{noise:?}");
        let mut levels: Vec<u32> = rounded.iter().map(|v| v.to_bits()).collect();
        levels.sort_unstable();
        levels.dedup();
        assert!((255..=256).contains(&levels.len()), "255 levels, zero with either sign: {}", levels.len());
    }

    #[test]
    fn every_channel_has_its_own_step() {
        let weights = Tensor::new([2, 1, 1, 2], vec![100.0, 0.3, 0.003, 0.001]).unwrap();
        let per_channel = quantised_weights(&weights, per_channel(&weights));
        assert_eq!(per_channel.data()[..2], [100.0, 0.0]);
        assert!((per_channel.data()[3] - 0.001).abs() < 0.003 / 254.0);
        assert_eq!(quantised_weights(&weights, 4).data()[2..], [0.0, 0.0], "one step for all");
        assert_eq!(quantised_weights(&Tensor::zeros([2, 2]), 2), Tensor::zeros([2, 2]));
    }

    #[test]
    fn no_error_has_no_ratio() {
        let mut sums = Sums::default();
        sums.add(&[0.0, 1.0], &[0.0, 1.0]);
        assert_eq!(sums.noise(), Noise { mse: 0.0, sqnr_db: None });
        assert!(!sums.noise().below(1e9));
        let mut sums = Sums::default();
        sums.add(&[0.0], &[0.5]);
        assert!(sums.noise().below(-1000.0));
    }
}
