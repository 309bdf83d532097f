//! `foveate bench`.

mod machine;
mod show;
mod subject;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use foveate::bench::{self, KIND, Measured, Mode, Protocol, Record, SCHEMA_VERSION};
use foveate::{DeviceChoice, Error, Picture, gpu};

use super::args::{BackendArg, DeviceArgs, ModelArgs, PrecisionArg, at_least_one};
use super::{Failure, Outcome, output, progress, say, source, tell};
use subject::Opened;

/// Arguments of `foveate bench`.
#[derive(clap::Args)]
pub struct Bench {
    /// Files, or names of networks or of published weights, separated by commas; the built-in network if
    /// not given.
    #[arg(long, value_name = "FILE|NAME,…", value_delimiter = ',')]
    pub model: Vec<PathBuf>,
    /// Seeded random weights for the networks named by --model.
    #[arg(long, requires = "model")]
    pub random: bool,
    /// The seed of --random.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "random")]
    pub seed: u64,
    /// Never open a connection: published weights are taken from the cache (also: FOVEATE_OFFLINE=1).
    #[arg(long, requires = "model")]
    pub offline: bool,
    /// Number formats, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub precision: Vec<PrecisionArg>,
    /// Pictures to a run, separated by commas.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1", value_parser = at_least_one())]
    pub batch: Vec<usize>,
    /// As for classify; or `all`: every adapter, software ones too, and the CPU executor.
    #[arg(long, value_name = "auto|cpu|gpu|NAME|INDEX|all", default_value = "auto")]
    pub device: String,
    /// Look at this backend only.
    #[arg(long, value_enum)]
    pub backend: Option<BackendArg>,
    /// Leave the shaders' runtime checks on (slower).
    #[arg(long)]
    pub safe_shaders: bool,
    /// Keep the queue full and count runs a second, instead of one frame in flight.
    #[arg(long, group = "mode")]
    pub throughput: bool,
    /// The least counts of MLPerf's single stream scenario: 1024 runs and ten minutes for each.
    #[arg(long, group = "mode")]
    pub mlperf_like: bool,
    /// Run for so many minutes and show how latency develops.
    #[arg(long, value_name = "MINUTES", group = "mode", value_parser = minutes)]
    pub sustained: Option<f64>,
    /// Runs before the first one that counts.
    #[arg(long, value_name = "N")]
    pub warm_ups: Option<usize>,
    /// Least number of runs that count.
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub runs: Option<usize>,
    /// Least time that they take together, in seconds.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub seconds: Option<f64>,
    /// Size of the camera's frames.
    #[arg(long, value_name = "W×H", default_value = "640x480", value_parser = size)]
    pub frame: [u32; 2],
    /// Write the record, with all samples, to a file.
    #[arg(short, long, value_name = "FILE.json")]
    pub output: Option<PathBuf>,
    /// Overwrite that file.
    #[arg(long, requires = "output")]
    pub force: bool,
    /// The record on stdout instead of the table.
    #[arg(long)]
    pub json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=86_400.0).contains(&number) { Ok(number) } else { Err("must lie between 0 and a day".into()) }
}

fn minutes(text: &str) -> Result<f64, String> {
    seconds(text).map(|minutes| minutes * 60.0).and_then(|s| if s > 0.0 { Ok(s) } else { Err("must not be 0".into()) })
}

fn size(text: &str) -> Result<[u32; 2], String> {
    let (width, height) = text.split_once(['x', '×']).ok_or("expected WIDTHxHEIGHT, such as 640x480")?;
    let side = |text: &str| match text.trim().parse() {
        Ok(side @ 1..=8192) => Ok(side),
        _ => Err("each side must be a number from 1 to 8192".to_owned()),
    };
    Ok([side(width)?, side(height)?])
}

impl Bench {
    fn protocol(&self) -> Protocol {
        let mode = match (self.throughput, self.mlperf_like, self.sustained) {
            (true, ..) => Mode::Throughput,
            (_, true, _) => Mode::SingleStream,
            (.., Some(_)) => Mode::Sustained,
            _ => Mode::Latency,
        };
        let protocol = Protocol::of(mode);
        Protocol {
            warm_ups: self.warm_ups.unwrap_or(protocol.warm_ups),
            runs: self.runs.unwrap_or(protocol.runs),
            seconds: self.seconds.or(self.sustained).unwrap_or(protocol.seconds),
            frame: self.frame,
            ..protocol
        }
    }

    /// The arguments of each model by itself.
    fn models(&self) -> Vec<ModelArgs> {
        let args = |model: Option<PathBuf>| ModelArgs {
            model,
            arch: None,
            use_ema: false,
            random: self.random,
            offline: self.offline,
            seed: self.seed,
        };
        if self.model.is_empty() { vec![args(None)] } else { self.model.iter().cloned().map(Some).map(args).collect() }
    }

    /// The arguments of each device by itself.
    fn devices(&self) -> Vec<DeviceArgs> {
        let args = |device| DeviceArgs { device, backend: self.backend, safe_shaders: self.safe_shaders };
        if !self.device.eq_ignore_ascii_case("all") {
            return vec![args(DeviceChoice::parse(&self.device))];
        }
        let backend = self.backend.map(gpu::Backend::from);
        let wanted = |choice: &gpu::AdapterChoice| {
            backend.is_none_or(|b| gpu::parse_backend(choice.summary.backend).ok() == Some(b))
        };
        let adapters = pollster::block_on(gpu::adapters());
        let indices = adapters.iter().filter(|choice| wanted(choice)).filter_map(|choice| choice.summary.index);
        indices.map(DeviceChoice::Index).chain([DeviceChoice::Cpu]).map(args).collect()
    }
}

pub fn run(args: &Bench) -> Outcome {
    if let Some(path) = &args.output {
        output::check(path, args.force)?;
    }
    let protocol = args.protocol();
    let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut opened = open(args)?;
    let frames = frames(args)?;
    let stop = interrupt()?;
    let bar = progress::runs();
    let watch = |now: bench::Progress| {
        bar.set_length(now.of);
        bar.set_position(now.done);
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let results = subject::measure(&mut opened, &protocol, &frames, watch);
    bar.finish_and_clear();
    let complete = !stop.load(Ordering::Relaxed) && results.iter().all(|measured| measured.error.is_none());
    let record = Record {
        kind: KIND.to_owned(),
        schema_version: SCHEMA_VERSION,
        foveate: env!("CARGO_PKG_VERSION").to_owned(),
        git: option_env!("FOVEATE_GIT").map(str::to_owned),
        started,
        complete,
        machine: machine::here(),
        protocol,
        results,
    };
    finish(args, &record)
}
