//! How latency develops over minutes.

use super::record::Measured;
use super::stats::Summary;

/// A part of a sustained run.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// When it begins, in seconds from the first run.
    pub from_s: f64,
    /// End-to-end times of the runs that began in it, in microseconds.
    pub summary: Summary,
}

/// Divides a sustained run into at most `count` parts of equal length; those in which no run began are left
/// out. Empty for results that do not say when runs began.
pub fn sustained(measured: &Measured, count: usize) -> Vec<Part> {
    let (Some(began), Some(samples)) = (&measured.began_s, &measured.clocks.end_to_end) else { return Vec::new() };
    let Some(last) = began.last().filter(|_| count > 0) else { return Vec::new() };
    // The last run belongs to the last part.
    let length = (last / count as f64).max(f64::MIN_POSITIVE);
    let part = |at: f64| ((at / length) as usize).min(count - 1);
    let runs: Vec<(usize, f64)> = began.iter().zip(&samples.us).map(|(at, us)| (part(*at), *us)).collect();
    let parts = runs.chunk_by(|a, b| a.0 == b.0).filter_map(|runs| {
        let (at, _) = runs.first()?;
        let us: Vec<f64> = runs.iter().map(|(_, us)| *us).collect();
        Some(Part { from_s: *at as f64 * length, summary: Summary::of(&us)? })
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::super::record::{Clocks, Samples};
    use super::*;

    fn measured(began: Vec<f64>, us: Vec<f64>) -> Measured {
        let clocks = Clocks { end_to_end: Samples::new(us), ..Clocks::default() };
        Measured { began_s: Some(began), clocks, ..Measured::default() }
    }

    #[test]
    fn runs_fall_into_the_part_in_which_they_began() {
        let measured = measured(vec![0.0, 1.0, 2.5, 9.0, 10.0], vec![1.0, 3.0, 5.0, 7.0, 9.0]);
        let parts = sustained(&measured, 4);
        let seen: Vec<(f64, usize, f64)> = parts.iter().map(|p| (p.from_s, p.summary.n, p.summary.p50)).collect();
        assert_eq!(seen, [(0.0, 2, 2.0), (2.5, 1, 5.0), (7.5, 2, 8.0)]);
    }

    #[test]
    fn nothing_and_a_single_run() {
        assert_eq!(sustained(&Measured::default(), 4), []);
        assert_eq!(sustained(&measured(vec![0.0], vec![1.0]), 0), []);
        assert_eq!(sustained(&measured(vec![0.0], vec![1.0]), 4).len(), 1);
    }
}
