//! `foveate profile`.

mod flame;
mod show;

use std::path::PathBuf;

use clap::ValueEnum;
use foveate::bench::{Device, Frames};
use foveate::checkpoint::model_file;
use foveate::gpu::Stepwise;
use foveate::profile::{self, Options};
use foveate::{Error, Picture, Result};

use super::args::{DeviceArgs, ModelArgs, at_least_one};
use super::calibrate::PrecisionArgs;
use super::{Outcome, device, output, progress, roofline, say, source, tell};

/// What the long help ends with; clap breaks the lines.
const NOTES: &str = "\
Bytes are those of all values and weights that a step binds, counted once, whatever caches make of them. Roof is the \
least time that the device's memory or its f32 arithmetic would need for the step, as a part of its time (see `foveate \
roofline`); above 100 % where caches serve what the ceiling of memory was measured without.

Steps are told apart by timestamps between the dispatches of one pass; where a device has them at the boundaries of \
passes only, by a pass for each step, which costs steps the overlap that they have otherwise; without timestamps by \
repeating each. What that makes of the sum is said at the end.";

/// Arguments of `foveate profile`.
#[derive(clap::Args)]
#[command(after_long_help = NOTES)]
pub struct Profile {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[command(flatten)]
    pub precision: PrecisionArgs,
    /// Pictures to a run.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one())]
    pub batch: usize,
    /// Runs whose medians are shown; fewer if they take longer than 30 seconds.
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub runs: u32,
    /// How steps of a GPU are told apart; the best way that it has if not given.
    #[arg(long, value_enum)]
    pub method: Option<Method>,
    /// Do not compare with what the device can do at best, which is measured the first time.
    #[arg(long)]
    pub no_roofline: bool,
    /// Write the steps as Chrome trace JSON, for chrome://tracing or Perfetto.
    #[arg(long, value_name = "FILE.json")]
    pub trace: Option<PathBuf>,
    /// Write the profile as JSON to a file.
    #[arg(short, long, value_name = "FILE.json")]
    pub output: Option<PathBuf>,
    /// Overwrite files that are there.
    #[arg(long)]
    pub force: bool,
    /// One line of JSON on stdout.
    #[arg(long)]
    pub json: bool,
}

/// How steps are told apart.
#[derive(Clone, Copy, ValueEnum)]
pub enum Method {
    /// Timestamps between dispatches.
    Inside,
    /// Timestamps at the boundaries of a pass for each step.
    Passes,
    /// Repeated dispatches by the wall's clock.
    Repeat,
}

impl From<Method> for Stepwise {
    fn from(method: Method) -> Self {
        match method {
            Method::Inside => Stepwise::InsidePass,
            Method::Passes => Stepwise::Passes,
            Method::Repeat => Stepwise::Repeated,
        }
    }
}

pub fn run(args: &Profile) -> Outcome {
    for file in [&args.output, &args.trace].into_iter().flatten() {
        output::check(file, args.force)?;
    }
    let model = args.precision.apply(source::load(&args.model)?, args.model.random)?;
    let mut session = device::open(model, &args.device, args.precision.precision, args.batch)?;
    let place = Device::of(&mut session, args.device.safe_shaders);
    let context = session.gpu().map(|executor| executor.context().clone()).filter(|_| !args.no_roofline);
    let ceilings = context.map(|context| roofline::ceilings(&context, false)).transpose()?;
    let options = Options { runs: args.runs as usize, stepwise: args.method.map(Into::into), ..Options::default() };
    let pictures = pictures(args.batch)?;
    let measured = progress::during("timing every step", || {
        pollster::block_on(profile::profile(&mut session, place, &pictures, ceilings, &options))
    })?;
    let json = serde_json::to_string(&measured).map_err(Error::argument)?;
    if args.json {
        say(&json);
    } else {
        show::lines(&measured).iter().for_each(say);
    }
    let trace = args.trace.as_ref().map(|file| (file, profile::trace(&measured)));
    for (file, text) in trace.into_iter().chain(args.output.as_ref().map(|file| (file, json))) {
        model_file::write_file(file, text.as_bytes())?;
        tell(format_args!("wrote {}", file.display()));
    }
    Ok(())
}

/// A camera's frames, one for each picture of a run.
fn pictures(batch: usize) -> Result<Vec<Picture>> {
    let frames = Frames::new([640, 480])?;
    (0..batch).map(|at| frames.picture(at)).collect()
}
