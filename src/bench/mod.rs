//! Benchmarks that can be trusted: a stated protocol, three clocks, raw samples, and records that say
//! where and how they were made.

pub mod protocol;
pub mod record;
pub mod stats;

pub use protocol::{Collected, FrameTimes, Progress, Subject, interleave};
pub use record::{Clocks, Device, KIND, Machine, Measured, Mode, Protocol, Record, SCHEMA_VERSION, Samples};
pub use stats::{Summary, median_interval, quantile};
