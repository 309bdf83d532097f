//! Two networks on the same samples.

use serde::Serialize;

use super::statistics;
use super::tally::best;

/// How far the outputs of two networks agree; nothing needs to be known about the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Agreement {
    /// Samples compared.
    pub samples: u64,
    /// Those with the same most probable class.
    pub same_top1: u64,
    /// Largest |first − second| of all logits; infinite if one is NaN.
    pub max_abs: f32,
    /// Largest |first| of all logits.
    pub largest: f32,
}

impl Agreement {
    /// Compares the two networks' logits for a sample; as many of the one as of the other.
    pub fn add(&mut self, first: &[f32], second: &[f32]) {
        self.samples += 1;
        self.same_top1 += u64::from(best(first) == best(second));
        // A NaN on either side is as far apart as can be.
        let apart = |(a, b): (&f32, &f32)| if (a - b).is_nan() { f32::INFINITY } else { (a - b).abs() };
        self.max_abs = first.iter().zip(second).map(apart).fold(self.max_abs, f32::max);
        self.largest = first.iter().map(|v| v.abs()).fold(self.largest, f32::max);
    }

    /// The largest difference as a part of the largest logit.
    pub fn max_rel(&self) -> f32 {
        if self.max_abs == 0.0 { 0.0 } else { self.max_abs / self.largest }
    }

    /// Part of the samples with the same most probable class; 1 without samples.
    pub fn rate(&self) -> f64 {
        if self.samples == 0 { 1.0 } else { self.same_top1 as f64 / self.samples as f64 }
    }
}

/// Which of two networks was right, sample by sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Paired {
    /// Both.
    pub both: u64,
    /// The first alone.
    pub first_only: u64,
    /// The second alone.
    pub second_only: u64,
    /// None.
    pub neither: u64,
}

impl Paired {
    /// Counts a sample of class `truth` by the two networks' logits.
    pub fn add(&mut self, truth: usize, first: &[f32], second: &[f32]) {
        let count = match (best(first) == truth, best(second) == truth) {
            (true, true) => &mut self.both,
            (true, false) => &mut self.first_only,
            (false, true) => &mut self.second_only,
            (false, false) => &mut self.neither,
        };
        *count += 1;
    }

    /// Samples counted.
    pub fn samples(&self) -> u64 {
        self.both + self.first_only + self.second_only + self.neither
    }

    /// Accuracy of the second minus that of the first.
    pub fn difference(&self) -> f64 {
        (self.second_only as f64 - self.first_only as f64) / self.samples().max(1) as f64
    }

    /// 95 % confidence interval of [`difference`](Self::difference):
    /// [`statistics::paired_difference`].
    pub fn interval(&self) -> [f64; 2] {
        statistics::paired_difference(self.first_only, self.second_only, self.samples())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_by_hand() {
        let mut agreement = Agreement::default();
        assert_eq!((agreement.rate(), agreement.max_rel()), (1.0, 0.0));
        agreement.add(&[1.0, -4.0], &[1.5, -4.0]);
        agreement.add(&[1.0, 2.0], &[2.0, 1.0]);
        assert_eq!(agreement, Agreement { samples: 2, same_top1: 1, max_abs: 1.0, largest: 4.0 });
        assert_eq!((agreement.rate(), agreement.max_rel()), (0.5, 0.25));
        agreement.add(&[1.0, 2.0], &[f32::NAN, 2.0]);
        assert_eq!(agreement.max_abs, f32::INFINITY);
    }

    #[test]
    fn pairs_by_hand() {
        let (a, b) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]);
        let mut paired = Paired::default();
        for (truth, first, second) in [(0, a, a), (0, a, b), (1, a, b), (1, a, b), (2, a, b), (1, b, b)] {
            paired.add(truth, &first, &second);
        }
        assert_eq!(paired, Paired { both: 2, first_only: 1, second_only: 2, neither: 1 });
        assert_eq!((paired.samples(), paired.difference()), (6, 1.0 / 6.0));
        assert_eq!(paired.interval(), statistics::paired_difference(1, 2, 6));
        assert_eq!(Paired::default().difference(), 0.0);
    }
}
