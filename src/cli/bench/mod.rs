//! `foveate bench`.

pub mod machine;
mod open;
mod show;

pub use show::ms;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use foveate::bench::{self, Frames, Measured, Mode, Network, Protocol, Record};
use foveate::checkpoint::model_file;
use foveate::{DeviceChoice, Error, gpu};

use super::args::{BackendArg, DeviceArgs, ModelArgs, PrecisionArg, TestDriverArg, at_least_one};
use super::calibrate::PrecisionArgs;
use super::{Failure, Outcome, output, progress, say, tell};
use open::Opened;

/// What the long help ends with; clap breaks the lines.
const NOTES: &str = "\
Three clocks are kept apart. GPU: the device's own timestamps at both ends of a run, preprocessing included. Submit to \
readback: from handing the commands to the queue until the result is in the program's memory. End to end: from a \
camera's frame, RGBA bytes in memory, to labels; it includes copying the frame and uploading it.

Every model, precision, batch and device is a subject. Subjects take turns, one run each, so that a machine that grows \
warm or busy favours none. All of them are held in memory at once.

Ctrl-C ends the measurement; what was measured so far is shown and written, marked incomplete, and the exit code is 1.

The JSON holds every sample; `foveate report` makes a page of such files.";

/// Arguments of `foveate bench`.
#[derive(clap::Args)]
#[command(after_long_help = NOTES)]
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
    /// Number formats, separated by commas; what the model holds if not given.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub precision: Vec<PrecisionArg>,
    /// Calibration pictures for --precision w8a8 of a float model; random weights are calibrated on noise.
    #[arg(long, value_name = "DIR", requires = "precision")]
    pub calib: Option<PathBuf>,
    /// Take at most N calibration pictures, evenly spread over all.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one(), requires = "calib")]
    pub calib_images: usize,
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
    /// Use no tuned tiles and kernels, neither remembered nor built-in ones.
    #[arg(long)]
    pub untuned: bool,
    /// Keep the queue full and count runs a second, instead of one frame in flight.
    #[arg(long, group = "mode")]
    pub throughput: bool,
    /// The least counts of MLPerf's single-stream scenario: 1024 runs and ten minutes for each subject; the 90th
    /// percentile counts. No result of MLPerf.
    #[arg(long, group = "mode")]
    pub mlperf_like: bool,
    /// Run one subject for so many minutes and show how its latency develops.
    #[arg(long, value_name = "MINUTES", group = "mode", value_parser = minutes)]
    pub sustained: Option<f64>,
    /// Runs before the first one that counts.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=10_000_000))]
    pub warm_ups: Option<u32>,
    /// Least number of runs that count.
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub runs: Option<usize>,
    /// Least time that they take together, in seconds.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub seconds: Option<f64>,
    /// Size of the camera's frames.
    #[arg(long, value_name = "W×H", default_value = "640x480", value_parser = size)]
    pub frame: [u32; 2],
    /// What readers of the record should know, such as what else the machine was doing.
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
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
    if (0.0..=86_400.0).contains(&number) { Ok(number) } else { Err("must lie between 0 and a day, 86400".into()) }
}

fn minutes(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number > 0.0 && number <= 1440.0 { Ok(number * 60.0) } else { Err("must lie between 0 and a day, 1440".into()) }
}

fn size(text: &str) -> Result<[u32; 2], String> {
    let (width, height) = text.split_once(['x', '×']).ok_or("expected WIDTHxHEIGHT, such as 640x480")?;
    let side = |text: &str| match text.trim().parse() {
        Ok(side @ 1..=Frames::MAX_SIDE) => Ok(side),
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
            warm_ups: self.warm_ups.map_or(protocol.warm_ups, |count| count as usize),
            runs: self.runs.unwrap_or(protocol.runs),
            seconds: self.seconds.or(self.sustained).unwrap_or(protocol.seconds),
            frame: self.frame,
            ..protocol
        }
    }

    /// The arguments of each model by itself.
    fn models(&self) -> Vec<ModelArgs> {
        let (random, offline, seed) = (self.random, self.offline, self.seed);
        let args = |model| ModelArgs { model, arch: None, use_ema: false, random, offline, seed };
        if self.model.is_empty() { vec![args(None)] } else { self.model.iter().cloned().map(Some).map(args).collect() }
    }

    /// The arguments of each device by itself.
    fn devices(&self) -> Vec<DeviceArgs> {
        let (backend, safe_shaders, untuned) = (self.backend, self.safe_shaders, self.untuned);
        let (memory_budget, test_driver) = (None, TestDriverArg::Auto);
        let args =
            |device| DeviceArgs { device, backend, safe_shaders, memory_budget, test_driver, untuned, tune: false };
        if !self.device.eq_ignore_ascii_case("all") {
            return vec![args(DeviceChoice::parse(&self.device))];
        }
        let only = backend.map(gpu::Backend::from);
        let wanted = |choice: &gpu::AdapterChoice| {
            only.is_none_or(|b| gpu::parse_backend(choice.summary.backend).ok() == Some(b))
        };
        let adapters = pollster::block_on(gpu::adapters());
        let indices = adapters.iter().filter(|choice| wanted(choice)).filter_map(|choice| choice.summary.index);
        // The CPU executor has no backend.
        let cpu = only.is_none().then_some(DeviceChoice::Cpu);
        indices.map(DeviceChoice::Index).chain(cpu).map(args).collect()
    }

    /// Number formats; `None` is the model's own.
    fn precisions(&self) -> Vec<Option<PrecisionArg>> {
        if self.precision.is_empty() { vec![None] } else { self.precision.iter().copied().map(Some).collect() }
    }

    /// One of them with what it needs.
    fn format(&self, precision: Option<PrecisionArg>) -> PrecisionArgs {
        let calib = self.calib.clone().filter(|_| matches!(precision, Some(PrecisionArg::W8a8 | PrecisionArg::Auto)));
        PrecisionArgs { precision, calib, calib_images: self.calib_images }
    }
}

pub fn run(args: &Bench) -> Outcome {
    args.output.as_ref().map_or(Ok(()), |path| output::check(path, args.force))?;
    if args.calib.is_some()
        && !args.precision.iter().any(|precision| matches!(precision, PrecisionArg::W8a8 | PrecisionArg::Auto))
    {
        return Err(
            Error::argument("--calib is for --precision w8a8 or auto, which is not among the number formats").into()
        );
    }
    let protocol = args.protocol();
    let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let machine = machine::here();
    let stop = interrupt();
    let frames = Rc::new(Frames::new(args.frame)?);
    let subjects = open::all(args, &protocol, &frames, &stop)?;
    let (opened, results) = measure(subjects, &protocol, &stop);
    let interrupted = stop.load(Ordering::Relaxed);
    let failed = results.iter().any(|measured| measured.error.is_some());
    if !opened {
        let reason = if interrupted { "interrupted before anything was measured" } else { "nothing could be opened" };
        return Err(Error::argument(reason).into());
    }
    let complete = !interrupted && !failed;
    let record = Record { complete, results, note: args.note.clone(), ..Record::new(machine, protocol, started) };
    let json = record.to_json()?;
    if args.json {
        say(&json);
    } else {
        show::lines(&record).iter().for_each(say);
    }
    if let Some(path) = &args.output {
        if let Err(error) = model_file::write_file(path, json.as_bytes()) {
            // What took minutes to measure is not lost with a full disk.
            if !args.json {
                tell("the record is on stdout instead of in its file");
                say(&json);
            }
            return Err(error.into());
        }
        tell(format_args!("wrote {}{}", path.display(), if record.complete { "" } else { ", marked incomplete" }));
    }
    if interrupted {
        tell("interrupted: this is what was measured so far");
    }
    if record.complete { Ok(()) } else { Err(Failure::Said) }
}

/// Measures what could be opened; whether there was any of that, and the results of all.
fn measure(subjects: Vec<Opened>, protocol: &Protocol, stop: &AtomicBool) -> (bool, Vec<Measured>) {
    let mut networks: Vec<Network> = Vec::new();
    // Results keep their order: the failed ones stay where they were.
    let mut results: Vec<Option<Measured>> = Vec::new();
    for subject in subjects {
        match subject {
            Opened::Network(network) => {
                networks.push(*network);
                results.push(None);
            }
            Opened::Failed(measured) => results.push(Some(*measured)),
        }
    }
    let bar = progress::runs();
    let watch = |now: bench::Progress| {
        bar.set_length(now.of);
        bar.set_position(now.done);
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let (collected, _) = pollster::block_on(bench::interleave(&mut networks, protocol, watch));
    bar.finish_and_clear();
    let mut measured = networks.iter().zip(&collected).map(|(network, all)| network.measured(all, protocol.mode));
    let results = results.into_iter().filter_map(|failed| failed.or_else(|| measured.next())).collect();
    (!networks.is_empty(), results)
}

/// A flag that the first Ctrl-C sets; the second ends the program.
fn interrupt() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        tell("interrupted: the run under way is finished first; Ctrl-C again ends at once and writes nothing");
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        tell(format_args!("warning: an interrupt will lose what was measured: {error}"));
    }
    stop
}
