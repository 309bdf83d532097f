//! A few numbers about many.

/// Range, mean, spread and share of zeros. Values that are not finite are counted and left out of
/// the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Stats {
    /// The smallest value; 0 if there is none.
    pub min: f32,
    /// The largest value; 0 if there is none.
    pub max: f32,
    /// The mean.
    pub mean: f64,
    /// The standard deviation of the population.
    pub std: f64,
    /// Share of values that are exactly zero, 0 to 1.
    pub zeros: f64,
    /// How many values are NaN or infinite.
    pub not_finite: usize,
}

impl Stats {
    /// Of these values.
    pub fn of(values: &[f32]) -> Stats {
        let finite = || values.iter().copied().filter(|v| v.is_finite());
        let count = finite().count();
        let not_finite = values.len() - count;
        if count == 0 {
            return Stats { not_finite, ..Stats::default() };
        }
        let mean = finite().map(f64::from).sum::<f64>() / count as f64;
        let variance = finite().map(|v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count as f64;
        Stats {
            min: finite().fold(f32::INFINITY, f32::min),
            max: finite().fold(f32::NEG_INFINITY, f32::max),
            mean,
            std: variance.sqrt(),
            zeros: finite().filter(|v| *v == 0.0).count() as f64 / values.len() as f64,
            not_finite,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_counted_and_left_out() {
        let stats = Stats::of(&[-1.0, f32::NAN, 3.0, 0.0, -0.0, f32::INFINITY, 2.0, f32::NEG_INFINITY]);
        assert_eq!((stats.min, stats.max, stats.not_finite), (-1.0, 3.0, 3));
        assert_eq!((stats.mean, stats.zeros), (0.8, 0.25));
        assert!((stats.std - (10.8f64 / 5.0).sqrt()).abs() < 1e-12, "{stats:?}");
        assert_eq!(Stats::of(&[f32::NAN]), Stats { not_finite: 1, ..Stats::default() });
        assert_eq!(Stats::of(&[]), Stats::default());
    }
}
