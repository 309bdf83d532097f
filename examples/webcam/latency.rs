//! The last runs' latencies by three clocks, and how many came a second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Runs that the figures are of.
const KEPT: usize = 300;

/// One run's times, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// On the GPU's own clock, where it has one.
    pub gpu: Option<f64>,
    /// From submission until the classes were in the program's memory.
    pub wall: f64,
    /// From the frame's arrival until the classes were there.
    pub end_to_end: f64,
}

/// The last runs.
#[derive(Default)]
pub struct Latency {
    runs: VecDeque<(Instant, Times)>,
}

impl Latency {
    pub fn add(&mut self, times: Times) {
        if self.runs.len() == KEPT {
            self.runs.pop_front();
        }
        self.runs.push_back((Instant::now(), times));
    }

    pub fn clear(&mut self) {
        self.runs.clear();
    }

    /// The clocks by name, each with what it said of the last runs.
    pub fn clocks(&self) -> [(&'static str, Vec<f64>); 3] {
        let all = |of: &dyn Fn(&Times) -> Option<f64>| self.runs.iter().filter_map(|(_, times)| of(times)).collect();
        [
            ("GPU", all(&|times| times.gpu)),
            ("wall", all(&|times| Some(times.wall))),
            ("end to end", all(&|times| Some(times.end_to_end))),
        ]
    }

    /// Runs in the last two seconds, per second.
    pub fn rate(&self) -> f64 {
        per_second(self.runs.iter().map(|(at, _)| *at))
    }
}

/// Events in the last two seconds, per second.
pub fn per_second(events: impl DoubleEndedIterator<Item = Instant>) -> f64 {
    let (now, window) = (Instant::now(), Duration::from_secs(2));
    let recent: Vec<Instant> = events.rev().take_while(|at| now.duration_since(*at) <= window).collect();
    match (recent.first(), recent.last()) {
        (Some(last), Some(first)) if recent.len() > 1 => {
            (recent.len() - 1) as f64 / last.duration_since(*first).as_secs_f64().max(1e-6)
        }
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_runs_count_and_missing_clocks_are_empty() {
        let mut latency = Latency::default();
        for i in 0..KEPT + 10 {
            latency.add(Times { gpu: None, wall: i as f64, end_to_end: 1.0 });
        }
        let [(_, gpu), (_, wall), (_, end)] = latency.clocks();
        assert_eq!((gpu.len(), wall.len(), end.len()), (0, KEPT, KEPT));
        assert_eq!(wall[0], 10.0);
    }
}
