//! What is remembered of tuning between runs: a file in the cache folder.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use foveate::gpu::{self, Backend, GpuContext};
use foveate::kernels::{Choices, Target};
use foveate::session::precision;
use foveate::tune::{self, Options, Outcome, Store};
use foveate::{DeviceChoice, Error, Graph, Model, Precision, Result};

use super::args::{DeviceArgs, PrecisionArg};
use super::weights::cache;
use super::{progress, tell};

/// How long `--tune` takes.
const BUDGET: Duration = Duration::from_secs(20);

/// `tuning.json` in the cache folder.
pub fn file() -> Result<PathBuf> {
    Ok(cache::base()?.join("tuning.json"))
}

/// What is remembered; what of it cannot be used is told on stderr, and never an error.
pub fn load() -> Store {
    let store = file().map(Store::load).unwrap_or_default();
    store.warnings().iter().for_each(|warning| tell(format_args!("warning: {warning}")));
    store
}

/// Adds choices for a device to what is remembered.
///
/// # Errors
/// If the file cannot be written.
pub fn save(context: &GpuContext, choices: &Choices, reset: bool) -> Result<PathBuf> {
    let path = file()?;
    let folder = path.parent().map(PathBuf::from).unwrap_or_default();
    std::fs::create_dir_all(&folder).map_err(|source| Error::io("cannot create the folder", folder, source))?;
    let mut store = Store::default();
    store.merge(context.tuning_key(), choices.clone());
    store.save(&path, reset)?;
    Ok(path)
}

/// Opens the GPU that is asked for.
///
/// # Errors
/// If there is none, or the CPU executor is asked for.
pub fn context(device: &DeviceChoice, backend: Option<Backend>) -> Result<GpuContext> {
    let request = device
        .request()
        .ok_or_else(|| Error::argument("the CPU executor has nothing to tune; name a GPU with --device"))?;
    progress::during("opening the device", || {
        pollster::block_on(async { GpuContext::request(&gpu::select_adapter(&request, backend).await?).await })
    })
}

/// What to plan for: the rules of the device with what is remembered for it, with values stored as 16-bit
/// floats or not.
pub fn target(context: &GpuContext, store: &Store, f16: bool) -> Target {
    let target = Target { f16, ..context.target() };
    let mut choices = (*target.choices).clone();
    if let Some(known) = store.get(&context.tuning_key()) {
        choices.kernels.extend(known.kernels.clone());
        choices.tiles.extend(known.tiles.clone());
    }
    Target { choices: choices.into(), ..target }
}

/// Tunes with a bar on stderr.
pub fn measure(context: &GpuContext, graph: &Graph, target: &Target, options: &Options) -> Result<Outcome> {
    let bar = progress::share();
    let watch = &mut |progress: tune::Progress<'_>| {
        bar.set_position((progress.spent * progress::SHARE as f64) as u64);
        bar.set_message(progress.what.to_owned());
        ControlFlow::Continue(())
    };
    let outcome = pollster::block_on(tune::tune(context, graph, target, options, watch));
    bar.finish_and_clear();
    let outcome = outcome?;
    for tune::Rejected { kernel, tile, key, reason } in &outcome.rejected {
        let tile = tile.map(|tile| format!(" with {tile}")).unwrap_or_default();
        tell(format_args!("warning: {kernel}{tile} is not used: {reason} ({key})"));
    }
    Ok(outcome)
}

/// `--precision auto`: the format that is fastest on the device that the arguments name, told on stderr.
///
/// # Errors
/// If the device cannot be opened.
pub fn precision(model: &Model, args: &DeviceArgs, batch: usize, store: Option<&Store>) -> Result<Precision> {
    let device = match args.device.request() {
        None => None,
        Some(_) => match context(&args.device, args.backend.map(Into::into)) {
            Ok(device) => Some(device),
            // Opening the session says what is run on instead.
            Err(Error::Device { .. }) if args.device == DeviceChoice::Auto => None,
            Err(error) => return Err(error),
        },
    };
    let chosen = precision::choose(model, batch, device.as_ref(), store);
    tell(format_args!("precision: auto takes {chosen}"));
    Ok(chosen.precision)
}

/// `--tune`: tunes the model before it is opened, and remembers the result. Returns all that is
/// remembered.
///
/// # Errors
/// If the device cannot be opened or is lost.
pub fn before(model: &Model, args: &DeviceArgs, precision: Option<PrecisionArg>, batch: usize) -> Result<Store> {
    let mut store = load();
    let precision = precision.and_then(PrecisionArg::named).unwrap_or(model.precision());
    if precision == Precision::W8a8 {
        tell("nothing is tuned: kernels of integers take the tiles that rules choose");
        return Ok(store);
    }
    let context = match context(&args.device, args.backend.map(Into::into)) {
        Ok(context) => context,
        // Opening the session says what is run on instead, or why nothing is.
        Err(Error::Device { .. }) if args.device == DeviceChoice::Auto => {
            tell("nothing is tuned: no GPU was found");
            return Ok(store);
        }
        Err(error) => return Err(error),
    };
    let f16 = precision == Precision::F16;
    let target = target(&context, &store, f16);
    let options = Options { batch, budget: BUDGET, safe_shaders: args.safe_shaders, ..Options::new(&target) };
    let outcome = measure(&context, model.graph(), &target, &options)?;
    let network = outcome.network.as_ref().filter(|network| network.taken);
    let won = network.map(|times| format!("; {:.2} ms → {:.2} ms a run", times.before_ms, times.after_ms));
    let (changes, seconds) = (outcome.changes(), outcome.seconds);
    let changed = changes.tiles.len() + changes.kernels.len();
    tell(format_args!("tuned in {seconds:.0} s: {changed} choices differ from the default{}", won.unwrap_or_default()));
    if let Some(reason) = &outcome.interrupted {
        tell(format_args!("warning: tuning ended early: {reason}"));
    }
    if let Err(error) = save(&context, &outcome.choices, false) {
        tell(format_args!("warning: the result is not remembered: {error}"));
    }
    store.merge(context.tuning_key(), outcome.choices);
    Ok(store)
}
