//! A histogram whose range grows with what comes in, so that one pass over the values is enough.

use serde::Serialize;

/// Counts in bins of equal width over `[-range, range)`. When a larger value comes, the range is
/// doubled and neighbouring bins are merged, which loses nothing but resolution: at any time a bin is
/// at most 1/512 of the largest magnitude wide.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    /// A power of two; zero before the first value that is not zero.
    range: f64,
    counts: Vec<u64>,
    /// Zeros that came before the range was known.
    zeros: u64,
}

/// Bins on either side of zero.
const HALF: usize = 1024;

impl Histogram {
    pub(super) fn new() -> Self {
        Histogram { range: 0.0, counts: vec![0; 2 * HALF], zeros: 0 }
    }

    /// Counts the finite ones of these values.
    pub(super) fn add(&mut self, values: &[f32]) {
        let finite = || values.iter().map(|v| f64::from(*v)).filter(|v| v.is_finite());
        self.grow(finite().fold(0.0, |max, v| v.abs().max(max)));
        if self.range == 0.0 {
            self.zeros += finite().count() as u64;
            return;
        }
        let per_bin = HALF as f64 / self.range;
        for value in finite() {
            // Between 0 and 2·HALF, since the range is larger than every magnitude.
            let bin = (value * per_bin + HALF as f64) as usize;
            if let Some(count) = self.counts.get_mut(bin) {
                *count += 1;
            }
        }
    }

    /// Makes the range larger than `magnitude`.
    fn grow(&mut self, magnitude: f64) {
        if magnitude == 0.0 {
            return;
        }
        if self.range == 0.0 {
            self.range = magnitude.log2().floor().exp2();
            self.counts[HALF] = self.zeros;
        }
        while self.range <= magnitude {
            let mut merged = vec![0; 2 * HALF];
            for (bin, count) in self.counts.iter().enumerate() {
                merged[HALF / 2 + bin / 2] += count;
            }
            self.counts = merged;
            self.range *= 2.0;
        }
    }

    /// The share of values in each of `bins` equal parts of `[low, high]`, which should hold all of
    /// them; bins that lie across a border are shared out by length.
    pub(super) fn density(&self, low: f64, high: f64, bins: usize) -> Density {
        let mut shares = vec![0.0; bins.max(1)];
        let total: u64 = self.counts.iter().sum();
        let width = (high - low) / shares.len() as f64;
        if self.range == 0.0 || total == 0 || width <= 0.0 {
            shares[bins / 2] = 1.0;
            return Density { low, high, shares };
        }
        let own = self.range / HALF as f64;
        for (bin, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let from = (bin as f64 - HALF as f64) * own;
            // What lies beyond the outermost values is empty: a bin's count lies within them.
            let (from, to) = (from.max(low), (from + own).min(high));
            let share = *count as f64 / total as f64;
            let place = |at: f64| ((at - low) / width).clamp(0.0, bins as f64);
            let (first, last) = (place(from), place(to));
            if last - first < 1e-9 {
                shares[(first as usize).min(bins - 1)] += share;
                continue;
            }
            for (i, part) in shares.iter_mut().enumerate().take(last.ceil() as usize).skip(first as usize) {
                let overlap = last.min(i as f64 + 1.0) - first.max(i as f64);
                *part += share * overlap.max(0.0) / (last - first);
            }
        }
        Density { low, high, shares }
    }
}

/// The shape of a distribution: the share of values in equal parts of a range.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Density {
    /// Where the first part begins: the smallest value.
    pub low: f64,
    /// Where the last part ends: the largest value.
    pub high: f64,
    /// Shares, which add up to 1.
    pub shares: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_loses_nothing_and_shares_are_those_of_a_plain_count() {
        let chunks: [&[f32]; 4] = [&[0.0, 0.0], &[0.01, -0.02, f32::NAN], &[900.0, -3.0, 4.0], &[0.5, f32::INFINITY]];
        let mut histogram = Histogram::new();
        chunks.iter().for_each(|chunk| histogram.add(chunk));
        assert_eq!(histogram.counts.iter().sum::<u64>(), 8);
        assert_eq!(histogram.range, 1024.0);
        let density = histogram.density(-3.0, 900.0, 10);
        assert_eq!((density.low, density.high, density.shares.len()), (-3.0, 900.0, 10));
        assert!((density.shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{density:?}");
        assert!((density.shares[0] - 7.0 / 8.0).abs() < 1e-9 && (density.shares[9] - 1.0 / 8.0).abs() < 1e-9);

        let even: Vec<f32> = (0..10_000).map(|i| (i as f32 / 5_000.0 - 1.0) * 7.0).collect();
        let mut histogram = Histogram::new();
        even.chunks(37).for_each(|chunk| histogram.add(chunk));
        let density = histogram.density(-7.0, 7.0, 14);
        for (bin, share) in density.shares.iter().enumerate() {
            let low = bin as f32 - 7.0;
            let counted = even.iter().filter(|v| **v >= low && **v < low + 1.0).count() as f64 / 10_000.0;
            assert!((share - counted).abs() < 2e-3, "{bin}: {share} {counted}");
        }
    }

    #[test]
    fn constants_and_nothing_have_a_density_too() {
        for values in [&[][..], &[0.0, 0.0], &[3.0, 3.0, 3.0], &[f32::MIN_POSITIVE], &[f32::MAX, f32::MIN]] {
            let mut histogram = Histogram::new();
            histogram.add(values);
            let low = values.iter().copied().fold(f32::INFINITY, f32::min).min(f32::MAX);
            let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max).max(f32::MIN);
            let density = histogram.density(low.into(), high.into(), 8);
            assert!((density.shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{values:?} {density:?}");
        }
    }
}
