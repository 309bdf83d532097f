//! How far one signal is from another.

use serde::Serialize;

/// Sums of squares of a signal and of what was added to it. Sums of sums are possible, over pictures
/// and threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Noise {
    /// Number of values.
    pub count: u64,
    /// Σ x².
    pub signal: f64,
    /// Σ (x̂ − x)².
    pub noise: f64,
}

impl Noise {
    /// Of `after` against `before`, which are of the same length. A value that is not finite is
    /// infinitely far away.
    pub fn of(before: &[f32], after: &[f32]) -> Self {
        let mut sum = Noise { count: before.len().min(after.len()) as u64, ..Noise::default() };
        for (x, y) in before.iter().zip(after) {
            let (x, y) = (f64::from(*x), f64::from(*y));
            let apart = (y - x).powi(2);
            sum.signal += x * x;
            sum.noise += if apart.is_nan() { f64::INFINITY } else { apart };
        }
        sum
    }

    /// Takes more values into account.
    pub fn add(&mut self, other: Noise) {
        self.count += other.count;
        self.signal += other.signal;
        self.noise += other.noise;
    }

    /// Mean squared error.
    pub fn mse(&self) -> f64 {
        self.noise / self.count.max(1) as f64
    }

    /// Signal-to-quantisation-noise ratio in decibels, 10 · log₁₀(Σ x² / Σ (x̂ − x)²); infinite
    /// without noise.
    pub fn sqnr(&self) -> f64 {
        if self.noise == 0.0 { f64::INFINITY } else { 10.0 * (self.signal / self.noise).log10() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decibels_by_hand() {
        let mut noise = Noise::of(&[3.0, -4.0], &[3.5, -4.0]);
        assert_eq!((noise.mse(), noise.sqnr()), (0.125, 20.0));
        noise.add(Noise::of(&[0.0], &[0.0]));
        assert_eq!((noise.count, noise.sqnr()), (3, 20.0));
        assert_eq!(Noise::of(&[1.0], &[1.0]).sqnr(), f64::INFINITY);
        assert_eq!(Noise::of(&[1.0], &[f32::NAN]).sqnr(), f64::NEG_INFINITY);
    }
}
