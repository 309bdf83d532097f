//! How values are distributed: range, mean, standard deviation, shape.

use serde::Serialize;

use super::histogram::{Density, Histogram};

/// Parts of a distribution's shape.
const BINS: usize = 80;

/// How many values are distributed, of weights or of activations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Number of values that are finite.
    pub count: u64,
    /// How many values are NaN or infinite; they are left out of the rest.
    pub not_finite: u64,
    /// The smallest value; 0 if there is none.
    pub min: f64,
    /// The largest value; 0 if there is none.
    pub max: f64,
    /// The mean.
    pub mean: f64,
    /// The standard deviation of the population.
    pub std: f64,
    /// The shape, from `min` to `max`.
    pub density: Density,
}

impl Spread {
    /// Of these values.
    pub fn of(values: &[f32]) -> Spread {
        let mut collector = Collector::new();
        collector.add(values);
        collector.finish()
    }

    /// The largest magnitude, which a symmetric quantiser has to reach.
    pub fn max_abs(&self) -> f64 {
        self.max.abs().max(self.min.abs())
    }

    /// Root of the mean square.
    pub fn rms(&self) -> f64 {
        self.mean.hypot(self.std)
    }

    /// Largest magnitude over root mean square. A uniform distribution has √3, a normal one of a
    /// million values about 5; the higher, the fewer of the 255 levels most values use.
    pub fn crest(&self) -> f64 {
        if self.rms() > 0.0 { self.max_abs() / self.rms() } else { 1.0 }
    }
}

/// Collects a [`Spread`] from values that come in parts.
#[derive(Clone, Debug)]
pub(super) struct Collector {
    count: u64,
    not_finite: u64,
    min: f64,
    max: f64,
    mean: f64,
    /// Sum of squared distances from the mean.
    squares: f64,
    histogram: Histogram,
}

impl Collector {
    pub(super) fn new() -> Self {
        let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
        Collector { count: 0, not_finite: 0, min, max, mean: 0.0, squares: 0.0, histogram: Histogram::new() }
    }

    pub(super) fn add(&mut self, values: &[f32]) {
        let finite = || values.iter().map(|v| f64::from(*v)).filter(|v| v.is_finite());
        let count = finite().count() as u64;
        self.not_finite += values.len() as u64 - count;
        if count == 0 {
            return;
        }
        let (low, high, sum) = finite()
            .fold((self.min, self.max, 0.0), |(low, high, sum): (f64, f64, f64), v| (low.min(v), high.max(v), sum + v));
        (self.min, self.max) = (low, high);
        let mean = sum / count as f64;
        let squares: f64 = finite().map(|v| (v - mean).powi(2)).sum();
        // Two parts' squares about their own means make those about the common one (Chan et al. 1979).
        let (own, new) = (self.count as f64, count as f64);
        let apart = mean - self.mean;
        self.squares += squares + apart * apart * own * new / (own + new);
        self.mean += apart * new / (own + new);
        self.count += count;
        self.histogram.add(values);
    }

    pub(super) fn finish(self) -> Spread {
        let (min, max) = if self.count > 0 { (self.min, self.max) } else { (0.0, 0.0) };
        Spread {
            count: self.count,
            not_finite: self.not_finite,
            min,
            max,
            mean: self.mean,
            std: (self.squares / self.count.max(1) as f64).sqrt(),
            density: self.histogram.density(min, max, BINS),
        }
    }
}

/// A small set of values (one per channel) by its quantiles.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    /// Number of values.
    pub count: usize,
    /// The median.
    pub median: f64,
    /// The value of the largest magnitude, with its sign.
    pub widest: f64,
    /// The channel that has it.
    pub widest_channel: usize,
    /// The values in ascending order; of more than 129, evenly spaced quantiles with both ends.
    pub sorted: Vec<f64>,
}

impl Quantiles {
    const MOST: usize = 129;

    /// Of one value for each channel; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Quantiles> {
        let (widest_channel, widest) =
            values.iter().copied().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))?;
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(widest);
        if sorted.len() > Self::MOST {
            let last = sorted.len() - 1;
            let place = |i: usize| (i * last + (Self::MOST - 1) / 2) / (Self::MOST - 1);
            sorted = (0..Self::MOST).filter_map(|i| sorted.get(place(i)).copied()).collect();
        }
        Some(Quantiles { count: values.len(), median, widest, widest_channel, sorted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_the_same_spread_as_naive_sums_over_the_whole() {
        let values: Vec<f32> = (0..5000).map(|i| ((i * 7919) % 1009) as f32 / 31.0 + 400.0).collect();
        let mut collector = Collector::new();
        values.chunks(333).for_each(|part| collector.add(part));
        collector.add(&[f32::NAN, f32::INFINITY]);
        let spread = collector.finish();
        let exact: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
        let mean = exact.iter().sum::<f64>() / 5000.0;
        let std = (exact.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / 5000.0).sqrt();
        assert!((spread.mean - mean).abs() < 1e-9 && (spread.std - std).abs() < 1e-9, "{spread:?} {mean} {std}");
        assert_eq!((spread.count, spread.not_finite), (5000, 2));
        assert_eq!(spread.min, exact.iter().copied().fold(f64::INFINITY, f64::min));
        assert_eq!(spread.max, exact.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        let rms = (exact.iter().map(|v| v * v).sum::<f64>() / 5000.0).sqrt();
        assert!((spread.crest() - spread.max / rms).abs() < 1e-9);
        assert_eq!(Spread::of(&[]).max_abs(), 0.0);
        assert_eq!((Spread::of(&[0.0; 9]).crest(), Spread::of(&[f32::NAN]).not_finite), (1.0, 1));
    }

    #[test]
    fn quantiles_keep_both_ends_and_name_the_widest_channel() {
        let values: Vec<f64> = (0..1000).map(|i| f64::from((i * 37) % 1000)).collect();
        let quantiles = Quantiles::of(&values).unwrap();
        assert_eq!((quantiles.count, quantiles.sorted.len()), (1000, 129));
        assert_eq!((quantiles.sorted[0], quantiles.sorted[128], quantiles.median), (0.0, 999.0, 500.0));
        assert_eq!(values[quantiles.widest_channel], 999.0);
        assert!(quantiles.sorted.is_sorted());
        let few = Quantiles::of(&[1.0, -5.0, 2.0]).unwrap();
        assert_eq!((few.widest, few.widest_channel, few.median), (-5.0, 1, 1.0));
        assert_eq!((few.sorted, Quantiles::of(&[])), (vec![-5.0, 1.0, 2.0], None));
    }
}
