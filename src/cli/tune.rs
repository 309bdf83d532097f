//! `foveate tune`.

mod formats;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use foveate::checkpoint::model_file;
use foveate::gpu::GpuContext;
use foveate::kernels::{Choices, Tile};
use foveate::tune::{DeviceKey, NetworkTimes, Options, Outcome, Store, Table as ChoiceTable};
use foveate::{DeviceChoice, Error, Model, Result};
use serde::Serialize;

use super::args::{BackendArg, ModelArgs, at_least_one, device};
use super::table::{Align, Table};
use super::{Failure, Outcome as Done, output, say, source, tell, tuning};

/// What the long help ends with; clap breaks the lines.
const NOTES: &str = "\
Every candidate first computes a seeded input and is compared with the CPU's result: one that differs is named on \
stderr and never taken. What is faster alone is then timed within the network, and the network itself without and with \
what was chosen, in turn; what does not win by more than the noise is not taken.

The result is kept in tuning.json in the cache folder (FOVEATE_CACHE) by device, driver and driver version, and used by \
every command from then on; --untuned leaves it out.

On software drivers compiling counts too (--repay). Mesa keeps what it has compiled: MESA_SHADER_CACHE_DISABLE=true \
shows what compiling really takes.";

/// The name of the network that is built in.
const BUILTIN: &str = "builtin";

/// Arguments of `foveate tune`.
#[derive(clap::Args)]
#[command(after_long_help = NOTES)]
pub struct Tune {
    /// The networks: names, checkpoints or model files; `builtin`, which is also what is tuned if none is given, is the
    /// built-in one.
    #[arg(long, value_name = "NAME|FILE,…", value_delimiter = ',')]
    pub model: Vec<PathBuf>,
    /// Seeded random weights for the networks named by --model: what is fastest does not depend on weights.
    #[arg(long, requires = "model")]
    pub random: bool,
    /// Never open a connection: published weights are taken from the cache (also: FOVEATE_OFFLINE=1).
    #[arg(long, requires = "model")]
    pub offline: bool,
    /// auto or gpu (the best GPU), part of an adapter's name, or its index in `foveate adapters`.
    #[arg(long, value_name = "gpu|NAME|INDEX", default_value = "gpu", value_parser = device)]
    pub device: DeviceChoice,
    /// Look at this backend only.
    #[arg(long, value_enum)]
    pub backend: Option<BackendArg>,
    /// Leave the shaders' runtime checks on (slower).
    #[arg(long)]
    pub safe_shaders: bool,
    /// Pictures per run; what is fastest depends on it.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one())]
    pub batch: usize,
    /// Number format of weights and activations; what is fastest depends on it. `auto` times whole networks in every
    /// format that rounds nothing further than the model file does (random weights as 8 bits), for `--precision auto`
    /// of other commands.
    #[arg(long, value_enum, default_value = "f32")]
    pub precision: Format,
    /// How long to measure, for each network.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub budget: u64,
    /// Runs within which a longer time for compiling has to be made good; 0 if it does not count. 200 on software
    /// drivers, 0 on others, if not given.
    #[arg(long, value_name = "RUNS")]
    pub repay: Option<u32>,
    /// Forget first what is remembered for the device.
    #[arg(long)]
    pub reset: bool,
    /// Also write what differs from the default to a file, in the form of the tables that come with the program.
    #[arg(short, long, value_name = "FILE.json")]
    pub output: Option<PathBuf>,
    /// Overwrite the output.
    #[arg(long, requires = "output")]
    pub force: bool,
    /// One line of JSON per network on stdout.
    #[arg(long)]
    pub json: bool,
}

/// The number formats that kernels compute with differently.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Format {
    F32,
    F16,
    Auto,
}

/// A network's line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    schema_version: u32,
    model: &'a str,
    batch: usize,
    device: &'a DeviceKey,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

pub fn run(args: &Tune) -> Done {
    if args.precision == Format::Auto && args.output.is_some() {
        return Err(Error::argument("a table of tiles and kernels (--output) comes of tuning in f32 or f16").into());
    }
    args.output.as_ref().map_or(Ok(()), |file| output::check(file, args.force))?;
    // Everything that may be wrong with the models is said before anything is measured.
    let models = models(args)?;
    let context = tuning::context(&args.device, args.backend.map(Into::into))?;
    tell(format_args!("device: {}", context.summary()));
    let mut store = tuning::load();
    let device = context.tuning_key();
    if args.reset {
        store.remove(&device);
    }
    if args.precision == Format::Auto {
        return formats::run(args, &models, &context, &mut store);
    }
    let mut changes = Choices::default();
    let mut failed = false;
    for (at, model) in models.iter().enumerate() {
        let outcome = tuned(args, &context, &store, model)?;
        store.merge(device.clone(), outcome.choices.clone());
        keep_changes(&mut changes, &outcome);
        // What was measured is kept before anything else can go wrong.
        let saved = tuning::save(&context, &outcome.choices, args.reset && at == 0);
        let written = args.output.as_ref().map(|file| write_table(file, &context, &changes));
        show(args, model.name(), &device, &outcome)?;
        match saved {
            Ok(path) => tell(format_args!("remembered in {}", path.display())),
            Err(error) => {
                tell(format_args!("error: {error}; name another folder with FOVEATE_CACHE"));
                failed = true;
            }
        }
        written.transpose()?;
        if let Some(reason) = &outcome.interrupted {
            tell(format_args!("error: tuning {} ended early: {reason}", model.name()));
            return Err(Failure::Said);
        }
    }
    if failed { Err(Failure::Said) } else { Ok(()) }
}

fn models(args: &Tune) -> Result<Vec<Model>> {
    let load = |name: &PathBuf| {
        let builtin = name.as_os_str() == BUILTIN && !name.exists();
        let model = (!builtin).then(|| name.clone());
        let random = args.random && !builtin;
        source::load(&ModelArgs { model, arch: None, use_ema: false, random, offline: args.offline, seed: 0 })
    };
    let builtin = [PathBuf::from(BUILTIN)];
    let names = if args.model.is_empty() { &builtin[..] } else { &args.model };
    names.iter().map(load).collect()
}

fn tuned(args: &Tune, context: &GpuContext, store: &Store, model: &Model) -> Result<Outcome> {
    let target = tuning::target(context, store, args.precision == Format::F16);
    let defaults = Options::new(&target);
    let repay = match args.repay {
        None => defaults.repay,
        Some(0) => None,
        Some(runs) => Some(f64::from(runs)),
    };
    let (batch, budget, safe_shaders) = (args.batch, Duration::from_secs(args.budget), args.safe_shaders);
    let options = Options { batch, budget, repay, safe_shaders, ..defaults };
    tuning::measure(context, model.graph(), &target, &options)
}

/// What differs from the default; what a later network found to be best as it is does not.
fn keep_changes(changes: &mut Choices, outcome: &Outcome) {
    let Choices { kernels, tiles } = &outcome.choices;
    changes.kernels.retain(|key, _| !kernels.contains_key(key));
    changes.tiles.retain(|key, _| !tiles.contains_key(key));
    let Choices { kernels, tiles } = outcome.changes();
    changes.kernels.extend(kernels);
    changes.tiles.extend(tiles);
}

fn write_table(file: &PathBuf, context: &GpuContext, changes: &Choices) -> Result<()> {
    let DeviceKey { name, driver, .. } = context.tuning_key();
    let drivers = vec![if driver.is_empty() { name } else { driver }];
    let measured = format!("{}; foveate {}", context.tuning_key(), env!("CARGO_PKG_VERSION"));
    let table = ChoiceTable { schema_version: 1, drivers, measured, choices: changes.clone() };
    model_file::write_file(file, table.to_json().as_bytes())
}

/// A tile in few characters: pixels × planes / invocations of a workgroup.
fn short(tile: Tile) -> String {
    format!("{}×{}/{}", tile.pixels, tile.planes, tile.workgroup)
}

fn ratio(before: f64, after: f64) -> String {
    if before > 0.0 { format!("{:.2}", after / before) } else { String::new() }
}

/// `a`, or `a → b` if they differ.
fn change(before: String, after: String) -> String {
    if before == after { before } else { format!("{before} → {after}") }
}

fn show(args: &Tune, name: &str, device: &DeviceKey, outcome: &Outcome) -> Result<()> {
    if args.json {
        let line = Line { schema_version: 1, model: name, batch: args.batch, device, outcome };
        say(serde_json::to_string(&line).map_err(Error::argument)?);
        return Ok(());
    }
    let columns = ["step", "kernel", "steps", "tile or kernel", "µs before", "after", "ratio", "compile ms", "tried"];
    let left = |at: usize| if matches!(at, 0 | 1 | 3) { Align::Left } else { Align::Right };
    let mut table = Table::new(std::array::from_fn::<_, 9, _>(|at| (columns[at], left(at))));
    for tuned in &outcome.tiles {
        table.row([
            tuned.node.clone(),
            tuned.kernel.to_owned(),
            tuned.steps.to_string(),
            change(short(tuned.default), short(tuned.tile)),
            format!("{:.1}", tuned.before_us),
            format!("{:.1}", tuned.after_us),
            ratio(tuned.before_us, tuned.after_us),
            change(format!("{:.0}", tuned.compile_before_ms), format!("{:.0}", tuned.compile_after_ms)),
            format!("{}/{}", tuned.tried, tuned.candidates),
        ]);
    }
    for tuned in &outcome.kernels {
        table.row([
            tuned.node.clone(),
            String::new(),
            tuned.decisions.to_string(),
            change(tuned.default.clone(), tuned.kernel.clone()),
            format!("{:.1}", tuned.before_us),
            format!("{:.1}", tuned.after_us),
            ratio(tuned.before_us, tuned.after_us),
            String::new(),
            String::new(),
        ]);
    }
    say(format_args!("{name}, batch {}: {:.0} s", args.batch, outcome.seconds));
    table.lines().iter().for_each(|line| say(format_args!("  {line}")));
    if outcome.left > 0 {
        say(format_args!("  {} more had no time; a larger --budget looks at them", outcome.left));
    }
    say(format_args!("  {}", summary(outcome)));
    Ok(())
}

/// What it came to for the whole network.
fn summary(outcome: &Outcome) -> String {
    let Some(NetworkTimes { before_ms, after_ms, rounds, taken }) = &outcome.network else {
        return "the whole network was not measured".to_owned();
    };
    let changes = outcome.changes();
    let mut by_kernel: BTreeMap<&str, usize> = BTreeMap::new();
    for tuned in outcome.tiles.iter().filter(|tuned| changes.tiles.contains_key(&tuned.key)) {
        *by_kernel.entry(tuned.kernel).or_default() += 1;
    }
    let times = format!("{before_ms:.2} ms → {after_ms:.2} ms, ratio {}", ratio(*before_ms, *after_ms));
    match (taken, by_kernel.is_empty() && changes.kernels.is_empty()) {
        (true, _) => format!("whole network: {times} (medians of {rounds}, in turn)"),
        (false, true) if before_ms == after_ms => format!("whole network: {before_ms:.2} ms; nothing was faster"),
        _ => format!("whole network: {times}: no more than the noise, so the default stays"),
    }
}
