//! From what was seen of a value to the range that its grid spans.

use super::grid::LARGEST;
use super::histogram::Histogram;
use super::options::{Calibrator, Options};

/// Levels of one side of the grid, zero not counted.
const LEVELS: usize = LARGEST as usize;

/// Candidates for the range with the least error: the largest magnitude times `i / CANDIDATES`.
const CANDIDATES: usize = 128;

/// The range of the grid: a value of that magnitude becomes ±127. 0 if nothing but zeros was seen.
pub fn range(histogram: &Histogram, options: &Options) -> f32 {
    if histogram.bins().is_empty() {
        return 0.0;
    }
    match options.calibrator {
        Calibrator::Max => histogram.largest(),
        Calibrator::Percentile => percentile(histogram, options.percentile),
        // Tried before anything is quantised; whoever asks without gets its first.
        Calibrator::Auto | Calibrator::Mse => least_squares(histogram),
        Calibrator::Entropy => entropy(histogram),
    }
}

/// The upper edge of the first bin by whose end `percent` of all values were met.
fn percentile(histogram: &Histogram, percent: f64) -> f32 {
    let wanted = percent / 100.0 * histogram.count() as f64;
    let mut met = histogram.zeros() as f64;
    for (i, count) in histogram.bins().iter().enumerate() {
        met += *count as f64;
        if *count > 0 && met >= wanted {
            return edge(histogram, i + 1);
        }
    }
    histogram.largest()
}

/// Upper edge of the first `bins` bins, at most the largest magnitude.
fn edge(histogram: &Histogram, bins: usize) -> f32 {
    ((bins as f64 * histogram.width()) as f32).min(histogram.largest())
}

/// The range with the least mean squared error.
fn least_squares(histogram: &Histogram) -> f32 {
    let largest = f64::from(histogram.largest());
    let candidates = (CANDIDATES / 16..=CANDIDATES).rev().map(|i| largest * i as f64 / CANDIDATES as f64);
    let cost = |range: f64| (range, squared_error(histogram, range));
    // The first, largest, of the best: nothing saturates without need.
    let best = candidates.map(cost).reduce(|best, next| if next.1 < best.1 { next } else { best });
    best.map_or(histogram.largest(), |(range, _)| range as f32)
}

/// Σ (x̂ − x)² for a grid of that range: what rounds to zero loses itself, what saturates what lies
/// beyond the range, all between a twelfth of the step's square.
pub(super) fn squared_error(histogram: &Histogram, range: f64) -> f64 {
    let step = range / LEVELS as f64;
    let error = |(i, count): (usize, &u64)| {
        let x = (i as f64 + 0.5) * histogram.width();
        let each = if x > range {
            (x - range).powi(2)
        } else if x < step / 2.0 {
            x * x
        } else {
            step * step / 12.0
        };
        each * *count as f64
    };
    histogram.bins().iter().enumerate().map(error).sum()
}

/// The range for which the histogram, quantised to the grid's levels, says least other than it said
/// before (Kullback–Leibler), what saturates being counted to the last level. Zeros are left out: they
/// are kept exactly, and would drown the rest.
fn entropy(histogram: &Histogram) -> f32 {
    const STEP: usize = 16;
    let bins = histogram.bins();
    let mut best = (f64::INFINITY, bins.len());
    let mut end = LEVELS.min(bins.len());
    loop {
        let divergence = divergence(bins, end);
        // The largest of the best.
        if divergence <= best.0 {
            best = (divergence, end);
        }
        if end == bins.len() {
            break;
        }
        end = (end + STEP).min(bins.len());
    }
    edge(histogram, best.1)
}

/// KL(P ‖ Q): P are the first `end` bins with all beyond put into the last, Q are these bins merged to
/// the levels and spread again over those that are not empty.
fn divergence(bins: &[u64], end: usize) -> f64 {
    let beyond: u64 = bins[end..].iter().sum();
    let total: u64 = bins.iter().sum();
    let inside = total - beyond;
    if inside == 0 {
        return f64::INFINITY;
    }
    let mut sum = 0.0;
    for level in 0..LEVELS {
        let (start, stop) = (level * end / LEVELS, (level + 1) * end / LEVELS);
        let group = &bins[start..stop];
        let filled = group.iter().filter(|count| **count > 0).count();
        if filled == 0 {
            if stop == end && beyond > 0 {
                // All that saturates goes where nothing was.
                return f64::INFINITY;
            }
            continue;
        }
        let q = group.iter().sum::<u64>() as f64 / filled as f64 / inside as f64;
        for (i, count) in group.iter().enumerate() {
            let last = start + i + 1 == end;
            let count = *count + if last { beyond } else { 0 };
            if count > 0 {
                let p = count as f64 / total as f64;
                sum += p * (p / q).ln();
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};
    use rand_pcg::Pcg64;

    use super::*;
    use crate::quant::grid;

    fn normal(n: usize) -> Vec<f32> {
        StandardNormal.sample_iter(Pcg64::seed_from_u64(1)).take(n).collect()
    }

    fn with(calibrator: Calibrator) -> Options {
        Options { calibrator, ..Options::default() }
    }

    fn mse(values: &[f32], range: f32) -> f64 {
        let scale = grid::scale_of(range);
        values.iter().map(|v| f64::from(grid::round(*v, scale) - v).powi(2)).sum()
    }

    #[test]
    fn the_model_of_the_error_is_the_error() {
        let values = normal(100_000);
        let histogram = Histogram::of(&values);
        for range in [0.5, 1.0, 2.0, 3.0, 4.0] {
            let (model, real) = (squared_error(&histogram, range), mse(&values, range as f32));
            assert!((model / real - 1.0).abs() < 0.02, "{range}: {model} {real}");
        }
    }

    #[test]
    fn ranges_of_a_normal_distribution_with_an_outlier() {
        let mut values = normal(100_000);
        values.push(40.0);
        let histogram = Histogram::of(&values);
        let range = |calibrator| range(&histogram, &with(calibrator));
        assert_eq!(range(Calibrator::Max), 40.0);
        // By definition: 10 of 100001 values may be larger, but for what shares its bin.
        let percentile = range(Calibrator::Percentile);
        let larger = |than: f32| values.iter().filter(|v| v.abs() > than).count();
        assert!(larger(percentile) <= 10 && larger(percentile - 2.0 * histogram.width() as f32) >= 10, "{percentile}");
        // Rounding n values costs n r² / 12 · 127², saturating the one (40 − r)²; their sum is least at 40 / 1.517,
        // where it is 0.66 of what it is at 40. Within 2.7 of there it rises by less than the 2 % that the model of the
        // error may be off by.
        let best = range(Calibrator::Mse);
        assert!((best - 40.0 / 1.517).abs() < 2.7, "{best}");
        assert!(mse(&values, best) < mse(&values, 40.0) * 0.7, "{best}");
        // Saturating gathers values in one level that were spread over several: never worth more than the few that
        // are out on their own, always worth the one that would leave nine tenths of the levels empty.
        let entropy = range(Calibrator::Entropy);
        assert!(entropy < 10.0 && larger(entropy) < 1000, "{entropy} {}", larger(entropy));
    }

    #[test]
    fn every_calibrator_bears_odd_histograms() {
        let sets: [&[f32]; 6] = [&[], &[0.0; 9], &[3.0], &[1e-30, 1e30], &[1.0, 1.0, 2.0], &[f32::NAN, f32::INFINITY]];
        for values in sets {
            for calibrator in Calibrator::ALL {
                let histogram = Histogram::of(values);
                let range = range(&histogram, &with(calibrator));
                let most = values.iter().copied().filter(|v| v.is_finite()).fold(0.0, f32::max);
                assert!(range.is_finite() && range >= 0.0 && range <= most, "{calibrator} {values:?} {range}");
                assert!((range > 0.0) == (most > 0.0), "{calibrator} {values:?} {range}");
            }
        }
        // What is on a grid already keeps its range.
        let grid: Vec<f32> = (0..=127).map(|q| q as f32).cycle().take(12_800).collect();
        for calibrator in [Calibrator::Max, Calibrator::Mse, Calibrator::Entropy] {
            // But for the width of a bin.
            let range = range(&Histogram::of(&grid), &with(calibrator));
            assert!((range - 127.0).abs() < 0.05, "{calibrator} {range}");
        }
    }
}
