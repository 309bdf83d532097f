//! Benchmarks that can be trusted: a stated protocol, three clocks, raw samples, and records that say
//! where and how they were made.

pub mod compare;
pub mod frames;
pub mod network;
pub mod protocol;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
pub mod record;
#[cfg(test)]
mod record_tests;
pub mod stats;
mod sustained;

pub use compare::{Change, Clock, Comparison, Key, Median, Verdict, compare};
pub use frames::Frames;
pub use network::Network;
pub use protocol::{Burst, Collected, FrameTimes, Progress, Subject, interleave};
pub use record::{Clocks, Device, KIND, Machine, Measured, Mode, Protocol, Record, SCHEMA_VERSION, Samples};
pub use stats::{Summary, median_interval, quantile};
pub use sustained::{Part, sustained};
