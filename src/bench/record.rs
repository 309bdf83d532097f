//! The file that a benchmark leaves: everything that is needed to read its numbers without having been
//! there. JSON of the types below, versioned; `assets/benchmarks/README.md` lists its fields.
//!
//! A field that is new is optional and comes with a new version, so that older records are read and newer ones
//! refused by programs that would misread them.

use serde::{Deserialize, Serialize};

use super::stats::Summary;
use crate::error::{Error, Result};

/// The version of the schema that this program writes. Older ones are read.
pub const SCHEMA_VERSION: u32 = 2;

/// What [`Record::kind`] says, so that a file of another program is not taken for one of these.
pub const KIND: &str = "foveate-benchmark";

/// The largest file that is read: raw samples of a thousand results of a hundred thousand runs take less.
const MAX_BYTES: usize = 1 << 30;

/// A run of `foveate bench`, on one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`KIND`].
    pub kind: String,
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of the program.
    pub foveate: String,
    /// What `git describe` said when it was built, if it was built from a checkout.
    pub git: Option<String>,
    /// When it began: seconds since 1970, UTC.
    pub started: u64,
    /// Whether all that was asked for was measured; false after an interrupt.
    pub complete: bool,
    /// What whoever measured wants readers to know; since version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The machine.
    pub machine: Machine,
    /// How it was measured.
    pub protocol: Protocol,
    /// What was measured, one entry for each model, precision, batch and device: at most 10,000.
    #[serde(deserialize_with = "crate::json::at_most::<10_000, _, _>")]
    pub results: Vec<Measured>,
}

/// The machine, as far as it tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Operating system with its version.
    pub os: String,
    /// `x86_64`, `aarch64`, `wasm32`.
    pub arch: String,
    /// The processor's name.
    pub cpu: String,
    /// Logical processors that the program may use.
    pub threads: usize,
    /// `mains`, `battery`, or `None` where nobody says.
    pub power: Option<String>,
    /// The user agent of the browser that it ran in, if it did; since version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser: Option<String>,
}

/// How it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// What was kept going.
    pub mode: Mode,
    /// Runs before the first one that counts.
    pub warm_ups: usize,
    /// Least number of runs that count.
    pub runs: usize,
    /// Least time that they take together, in seconds.
    pub seconds: f64,
    /// Width and height of the frames, RGBA with 8 bits.
    pub frame: [u32; 2],
}

/// How frames follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// One frame in flight: the next begins when the last one's labels are there.
    #[default]
    Latency,
    /// The queue is kept full.
    Throughput,
    /// As latency, with the least counts of MLPerf's single stream scenario.
    SingleStream,
    /// As latency, for minutes.
    Sustained,
}

/// One model in one precision, batch size and device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// Name of the network.
    pub model: String,
    /// Where its weights are from: a file with its hash, a name, or a seed.
    pub weights: String,
    /// `f32`, `f16`, `w8`, `w8a8`: what ran.
    pub precision: String,
    /// What is to be known of that, such as why it is another than was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Samples to a run.
    pub batch: usize,
    /// Where it ran.
    pub device: Device,
    /// Multiply-accumulates of a run.
    pub macs: u64,
    /// Bytes of weights on the device.
    pub weight_bytes: u64,
    /// Dispatches of a run, or layers on the CPU.
    pub steps: usize,
    /// Reading the model and fusing it, in milliseconds.
    pub load_ms: f64,
    /// Quantising in memory what was loaded in floats, in milliseconds; `None` if nothing was, since version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantize_ms: Option<f64>,
    /// Opening the device, uploading weights, building pipelines, in milliseconds.
    pub compile_ms: f64,
    /// The first run, end to end, in milliseconds.
    pub first_ms: f64,
    /// The three clocks.
    pub clocks: Clocks,
    /// When each of those runs began, in seconds from the first; [`Mode::Sustained`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_s: Option<Vec<f64>>,
    /// Runs a second, where [`Mode::Throughput`] kept the queue full.
    pub runs_per_second: Option<f64>,
    /// Why it was not measured, or not to the end; the clocks hold what there is.
    pub error: Option<String>,
}

/// Where a network ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Device {
    /// `gpu` or `cpu`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `vulkan`, `metal`, `dx12`, `gl`, `webgpu`, or `none`.
    pub backend: String,
    /// Driver and version.
    pub driver: String,
    /// Whether a processor does the GPU's work.
    pub software: bool,
    /// Whether the shaders' runtime checks were on.
    pub safe_shaders: bool,
    /// Nanoseconds of a tick of the device's clock; `None` without timestamps.
    pub timestamp_ns: Option<f64>,
    /// Where the choice of kernels and tiles came from.
    pub tuning: String,
}

/// Three clocks over the same runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Clocks {
    /// The device's own time from the first dispatch to the last.
    pub gpu: Option<Samples>,
    /// From handing the commands to the queue until the result is in the program's memory.
    pub submit_to_readback: Option<Samples>,
    /// From the frame's bytes to labels.
    pub end_to_end: Option<Samples>,
}

/// Times in microseconds, in the order in which they were taken, and what is said of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// The summary, in microseconds.
    pub summary: Summary,
    /// Every run's time, in microseconds.
    pub us: Vec<f64>,
}

impl Samples {
    /// `None` if there are none.
    pub fn new(us: Vec<f64>) -> Option<Samples> {
        Some(Samples { summary: Summary::of(&us)?, us })
    }
}

impl Record {
    /// A record of this version of the program, which holds no results yet. `started` is in seconds since 1970.
    pub fn new(machine: Machine, protocol: Protocol, started: u64) -> Record {
        Record {
            kind: KIND.to_owned(),
            schema_version: SCHEMA_VERSION,
            foveate: env!("CARGO_PKG_VERSION").to_owned(),
            git: option_env!("FOVEATE_GIT").map(str::to_owned),
            started,
            complete: true,
            note: None,
            machine,
            protocol,
            results: Vec::new(),
        }
    }

    /// Reads a record of this or an older version from JSON. `origin` is what the bytes are called in messages.
    /// Summaries are made anew from the samples, so that they always agree.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is none, or one of a newer version.
    pub fn parse(bytes: &[u8], origin: &str) -> Result<Record> {
        /// What all versions have.
        #[derive(Deserialize)]
        struct Head {
            kind: String,
            schema_version: u32,
        }
        let none = |why: &dyn std::fmt::Display| {
            Error::argument(format!("{origin} is no benchmark record ({why}); `foveate bench -o FILE` writes them"))
        };
        if bytes.len() > MAX_BYTES {
            return Err(none(&"it is larger than a gigabyte"));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(none(&"it is empty"));
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|error| none(&error))?;
        if head.kind != KIND {
            return Err(none(&format_args!("its kind is {:?}", head.kind)));
        }
        if !(1..=SCHEMA_VERSION).contains(&head.schema_version) {
            return Err(Error::argument(format!(
                "{origin} has schema version {}, this program reads versions up to {SCHEMA_VERSION}; use a newer one",
                head.schema_version
            )));
        }
        let mut record: Record = serde_json::from_slice(bytes).map_err(|error| none(&error))?;
        record.schema_version = SCHEMA_VERSION;
        for measured in &mut record.results {
            let Clocks { gpu, submit_to_readback, end_to_end } = &mut measured.clocks;
            for samples in [gpu, submit_to_readback, end_to_end].into_iter().filter_map(Option::as_mut) {
                let summary = Summary::of(&samples.us).filter(|summary| summary.min >= 0.0);
                samples.summary = summary.ok_or_else(|| none(&"a list of times is empty or holds what is no time"))?;
            }
            let runs = measured.clocks.end_to_end.as_ref().map_or(0, |samples| samples.us.len());
            if measured.began_s.as_ref().is_some_and(|began| began.len() != runs || !began.is_sorted()) {
                return Err(none(&"a run has no beginning, or begins before the one before it"));
            }
        }
        Ok(record)
    }

    /// The record as one line of JSON.
    ///
    /// # Errors
    /// [`Error::Argument`] if a number is not finite.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(Error::argument)
    }
}
