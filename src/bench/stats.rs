//! What is said of a list of times.

use serde::{Deserialize, Serialize};

/// A summary of samples, in their unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of samples.
    pub n: usize,
    /// The least.
    pub min: f64,
    /// The arithmetic mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// What nine in ten samples do not exceed.
    pub p90: f64,
    /// What 99 in a hundred samples do not exceed.
    pub p99: f64,
    /// The most.
    pub max: f64,
    /// The standard deviation of a sample (divided by n − 1); 0 of a single one.
    pub std_dev: f64,
}

impl Summary {
    /// Of samples in any order; `None` if there are none or one is not a finite number.
    pub fn of(samples: &[f64]) -> Option<Summary> {
        if samples.iter().any(|sample| !sample.is_finite()) {
            return None;
        }
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let n = sorted.len();
        let mean = sorted.iter().sum::<f64>() / n as f64;
        let squares: f64 = sorted.iter().map(|sample| (sample - mean).powi(2)).sum();
        let std_dev = if n > 1 { (squares / (n - 1) as f64).sqrt() } else { 0.0 };
        let [p50, p90, p99] = [0.50, 0.90, 0.99].map(|p| quantile(&sorted, p));
        Some(Summary { n, min, mean, p50, p90, p99, max, std_dev })
    }
}

/// The quantile `p` of sorted samples, linear between neighbours (type 7 of Hyndman and Fan, what NumPy
/// and R do); 0 of none.
pub fn quantile(sorted: &[f64], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = p.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

/// The interval that holds the median with a probability of about 95 %, from the samples' order alone
/// (binomial, in its normal approximation); times are not normally distributed. The whole range where
/// there are too few samples to say more.
pub fn median_interval(sorted: &[f64]) -> Option<[f64; 2]> {
    let (n, last) = (sorted.len() as f64, sorted.len().checked_sub(1)?);
    let half = 1.96 * n.sqrt() / 2.0;
    let low = (n / 2.0 - half).floor().max(0.0) as usize;
    let high = (n / 2.0 + half).ceil() as usize;
    Some([sorted[low.min(last)], sorted[high.min(last)]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_samples() {
        // numpy.percentile([...], [50, 90, 99]), numpy.std(ddof=1)
        let samples = [4.0, 1.0, 3.0, 2.0, 10.0];
        let summary = Summary::of(&samples).unwrap();
        assert_eq!((summary.n, summary.min, summary.max, summary.mean, summary.p50), (5, 1.0, 10.0, 4.0, 3.0));
        assert!((summary.p90 - 7.6).abs() < 1e-12 && (summary.p99 - 9.76).abs() < 1e-12, "{summary:?}");
        assert!((summary.std_dev - 3.535_533_905_932_737_6).abs() < 1e-12, "{summary:?}");
    }

    #[test]
    fn one_none_and_what_is_no_number() {
        let one = Summary::of(&[2.5]).unwrap();
        assert_eq!(
            [one.min, one.mean, one.p50, one.p90, one.p99, one.max, one.std_dev],
            [2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 0.0]
        );
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[1.0, f64::NAN]), None);
        assert_eq!(Summary::of(&[1.0, f64::INFINITY]), None);
        assert_eq!(median_interval(&[]), None);
        assert_eq!(median_interval(&[1.0]), Some([1.0, 1.0]));
    }

    #[test]
    fn the_interval_of_a_hundred_is_that_of_the_tables() {
        // Order statistics 40 and 61, counted from 1, cover the median of a hundred with 96 %.
        let sorted: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(median_interval(&sorted), Some([41.0, 61.0]));
    }

    proptest! {
        #[test]
        fn order(mut samples in proptest::collection::vec(-1e9..1e9f64, 1..300)) {
            let Summary { n, min, mean, p50, p90, p99, max, std_dev } = Summary::of(&samples).unwrap();
            prop_assert_eq!(n, samples.len());
            prop_assert!(min <= p50 && p50 <= p90 && p90 <= p99 && p99 <= max);
            let slack = 1e-6;
            prop_assert!(min - slack <= mean && mean <= max + slack && std_dev >= 0.0);
            samples.sort_by(f64::total_cmp);
            let [low, high] = median_interval(&samples).unwrap();
            prop_assert!(low <= p50 && p50 <= high);
            // At least a share p of the samples does not exceed the quantile of p, rounded to one.
            for (p, value) in [(0.5, p50), (0.9, p90), (0.99, p99)] {
                let below = samples.iter().filter(|sample| **sample <= value).count();
                prop_assert!(below as f64 + 1.0 >= p * n as f64, "{} of {}", below, n);
            }
        }
    }
}
