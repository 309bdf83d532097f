//! Whether results became worse: a baseline, newer results, and the noise of both.

use std::fmt;

use serde::Serialize;

use super::record::{Clocks, Measured, Record, Samples};
use super::stats::median_interval;
use crate::error::{Error, Result};

/// One of the three clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// The device's own.
    Gpu,
    /// From submission until the result is in memory.
    SubmitToReadback,
    /// From the frame's bytes to labels.
    #[default]
    EndToEnd,
}

impl Clock {
    /// Its samples.
    pub fn of(self, clocks: &Clocks) -> Option<&Samples> {
        match self {
            Clock::Gpu => clocks.gpu.as_ref(),
            Clock::SubmitToReadback => clocks.submit_to_readback.as_ref(),
            Clock::EndToEnd => clocks.end_to_end.as_ref(),
        }
    }
}

/// What has to be equal for two results to be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Name of the network.
    pub model: String,
    /// Its number format.
    pub precision: String,
    /// Samples to a run.
    pub batch: usize,
    /// The device's name.
    pub device: String,
    /// Its backend.
    pub backend: String,
}

impl Key {
    /// Of a result.
    pub fn of(measured: &Measured) -> Key {
        let Measured { model, precision, batch, device, .. } = measured;
        let [model, precision, device, backend] =
            [model, precision, &device.name, &device.backend].map(|text| text.to_owned());
        Key { model, precision, batch: *batch, device, backend }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Key { model, precision, batch, device, backend } = self;
        write!(f, "{model}, {precision}, batch {batch}, {device}")?;
        if matches!(backend.as_str(), "" | "none") { Ok(()) } else { write!(f, ", {backend}") }
    }
}

/// A median with the interval that holds it with a probability of about 95 %, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Median {
    /// The interval's lower end.
    pub low: f64,
    /// The median.
    pub p50: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// What became of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Slower by more than is allowed, and by more than the noise: the intervals do not overlap.
    Slower,
    /// Faster by as much.
    Faster,
    /// Neither.
    Same,
}

/// A result then and now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What was measured.
    pub key: Key,
    /// The baseline.
    pub before: Median,
    /// The newer result.
    pub after: Median,
    /// The medians' ratio, newer to baseline.
    pub ratio: f64,
    /// What that comes to.
    pub verdict: Verdict,
}

/// Newer results against a baseline.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// What both have.
    pub changes: Vec<Change>,
    /// What only the baseline has, or has times for.
    pub missing: Vec<Key>,
}

impl Comparison {
    /// The results that became slower.
    pub fn slower(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.verdict == Verdict::Slower)
    }
}

/// Compares medians by one clock. `allowed` is the part by which a result may be slower, 0.05 for a
/// twentieth.
///
/// # Errors
/// [`Error::Argument`] if frames follow each other otherwise in the two records, or if they have nothing in
/// common.
pub fn compare(baseline: &Record, newer: &Record, clock: Clock, allowed: f64) -> Result<Comparison> {
    let modes = [baseline, newer].map(|record| record.protocol.mode);
    if modes[0] != modes[1] {
        let what = "records of different modes cannot be compared";
        return Err(Error::argument(format!("{what}: {:?} and {:?}", modes[0], modes[1])));
    }
    let find = |key: &Key| newer.results.iter().find(|measured| Key::of(measured) == *key);
    let mut comparison = Comparison::default();
    for measured in &baseline.results {
        let key = Key::of(measured);
        // What was not measured then is not missed now.
        let Some(before) = clock.of(&measured.clocks).and_then(median) else { continue };
        match find(&key).and_then(|after| clock.of(&after.clocks)).and_then(median) {
            Some(after) => comparison.changes.push(change(key, before, after, allowed)),
            None => comparison.missing.push(key),
        }
    }
    if comparison.changes.is_empty() {
        let what = "no result has the same model, precision, batch, device and clock in both records";
        return Err(Error::argument(format!("nothing can be compared: {what}")));
    }
    Ok(comparison)
}

fn median(samples: &Samples) -> Option<Median> {
    let mut sorted = samples.us.clone();
    sorted.sort_by(f64::total_cmp);
    let [low, high] = median_interval(&sorted)?;
    // Times of zero would be infinitely much faster than any other.
    (low > 0.0).then_some(Median { low, p50: samples.summary.p50, high })
}

fn change(key: Key, before: Median, after: Median, allowed: f64) -> Change {
    let ratio = after.p50 / before.p50;
    let verdict = if ratio > 1.0 + allowed && after.low > before.high {
        Verdict::Slower
    } else if ratio < 1.0 / (1.0 + allowed) && after.high < before.low {
        Verdict::Faster
    } else {
        Verdict::Same
    };
    Change { key, before, after, ratio, verdict }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Machine, Mode, Protocol};
    use super::*;

    fn record(mode: Mode, results: &[(&str, &[f64])]) -> Record {
        let measured = |(model, us): &(&str, &[f64])| Measured {
            model: (*model).to_owned(),
            clocks: Clocks { end_to_end: Samples::new(us.to_vec()), ..Clocks::default() },
            ..Measured::default()
        };
        let results = results.iter().map(measured).collect();
        Record { results, ..Record::new(Machine::default(), Protocol::of(mode), 0) }
    }

    /// A hundred times around a middle.
    fn around(middle: f64, spread: f64) -> Vec<f64> {
        (0..100).map(|i| middle + spread * (f64::from(i) - 49.5) / 50.0).collect()
    }

    #[test]
    fn slower_is_more_than_allowed_and_more_than_noise() {
        let verdict = |before: &[f64], after: &[f64]| {
            let [before, after] = [before, after].map(|us| record(Mode::Latency, &[("m", us)]));
            let comparison = compare(&before, &after, Clock::EndToEnd, 0.05).unwrap();
            assert_eq!(comparison.changes.len(), 1);
            comparison.changes[0].verdict
        };
        let base = around(100.0, 1.0);
        assert_eq!(verdict(&base, &around(110.0, 1.0)), Verdict::Slower);
        assert_eq!(verdict(&base, &around(104.0, 1.0)), Verdict::Same, "less than allowed");
        assert_eq!(verdict(&base, &around(110.0, 90.0)), Verdict::Same, "within the noise");
        assert_eq!(verdict(&base, &around(90.0, 1.0)), Verdict::Faster);
        assert_eq!(verdict(&base, &base), Verdict::Same);
    }

    #[test]
    fn what_is_missing_is_said_and_what_cannot_be_compared_refused() {
        let us = around(10.0, 1.0);
        let base = record(Mode::Latency, &[("a", &us), ("b", &us), ("failed", &[])]);
        let comparison = compare(&base, &record(Mode::Latency, &[("b", &us)]), Clock::EndToEnd, 0.0).unwrap();
        assert_eq!((comparison.changes.len(), comparison.slower().count()), (1, 0));
        assert_eq!(comparison.missing.iter().map(|key| key.model.as_str()).collect::<Vec<_>>(), ["a"]);
        let error = |newer: &Record, clock| compare(&base, newer, clock, 0.0).unwrap_err().to_string();
        assert!(error(&record(Mode::Latency, &[("c", &us)]), Clock::EndToEnd).contains("nothing can be compared"));
        assert!(error(&base, Clock::Gpu).contains("nothing can be compared"));
        assert!(error(&record(Mode::Throughput, &[("a", &us)]), Clock::EndToEnd).contains("modes"));
        let zero = record(Mode::Latency, &[("a", &[0.0, 0.0])]);
        assert!(compare(&zero, &zero, Clock::EndToEnd, 0.0).is_err(), "no division by zero");
    }
}
