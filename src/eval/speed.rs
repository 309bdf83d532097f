//! What an evaluation's time went into.

use serde::Serialize;

/// What an evaluation waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// Reading, decoding and preprocessing pictures.
    Decoding,
    /// The networks.
    Network,
}

/// Wall time, and the time of its two halves, which go on at the same time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Speed {
    /// Pictures, unreadable ones not counted.
    pub pictures: usize,
    /// Threads that decoded.
    pub threads: usize,
    /// Seconds that those threads spent at work, summed. They share the processor with whatever else
    /// runs, the CPU executor too.
    pub decoding: f64,
    /// Seconds that each session ran.
    pub network: Vec<f64>,
    /// Seconds from the first picture to the last answer.
    pub wall: f64,
}

impl Speed {
    /// Pictures per second, all in all.
    pub fn rate(&self) -> f64 {
        per_second(self.pictures, self.wall)
    }

    /// Pictures per second that the decoding threads could deliver.
    pub fn decode_rate(&self) -> f64 {
        per_second(self.pictures, self.decoding / self.threads.max(1) as f64)
    }

    /// Pictures per second through all sessions, one after the other.
    pub fn network_rate(&self) -> f64 {
        per_second(self.pictures, self.network.iter().sum())
    }

    /// Pictures per second through each session.
    pub fn session_rates(&self) -> impl Iterator<Item = f64> {
        self.network.iter().map(|seconds| per_second(self.pictures, *seconds))
    }

    /// The slower of the two.
    pub fn limit(&self) -> Limit {
        if self.decode_rate() < self.network_rate() { Limit::Decoding } else { Limit::Network }
    }
}

/// Zero for no time at all.
fn per_second(count: usize, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_by_hand() {
        let speed = Speed { pictures: 100, threads: 4, decoding: 8.0, network: vec![1.0, 4.0], wall: 5.5 };
        assert_eq!((speed.decode_rate(), speed.network_rate()), (50.0, 20.0));
        assert_eq!((speed.session_rates().collect::<Vec<_>>(), speed.limit()), (vec![100.0, 25.0], Limit::Network));
        assert_eq!(Speed { decoding: 24.0, ..speed }.limit(), Limit::Decoding);
        assert_eq!(Speed::default().rate(), 0.0);
    }
}
