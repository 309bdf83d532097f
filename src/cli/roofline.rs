//! `foveate roofline`.

use std::path::PathBuf;

use foveate::gpu::GpuContext;
use foveate::roofline::{self, Ceilings, Known, Options};
use foveate::tune::DeviceKey;
use foveate::{DeviceChoice, Error, Result};
use serde::Serialize;

use super::args::{BackendArg, device};
use super::weights::cache;
use super::{Outcome, progress, say, tell, tuning};

/// What the long help ends with; clap breaks the lines.
const NOTES: &str = "\
Every number is the best of several runs of a small kernel: rates that networks come near to, not what a data sheet \
says. They are kept in roofline.json in the cache folder (FOVEATE_CACHE) by device and driver version, and `foveate \
profile` and `foveate predict` compare layers with them.";

/// Arguments of `foveate roofline`.
#[derive(clap::Args)]
#[command(after_long_help = NOTES)]
pub struct Roofline {
    /// auto or gpu (the best GPU), part of an adapter's name, or its index in `foveate adapters`.
    #[arg(long, value_name = "gpu|NAME|INDEX", default_value = "gpu", value_parser = device)]
    pub device: DeviceChoice,
    /// Look at this backend only.
    #[arg(long, value_enum)]
    pub backend: Option<BackendArg>,
    /// Measure again what is remembered.
    #[arg(long)]
    pub refresh: bool,
    /// One line of JSON on stdout.
    #[arg(long)]
    pub json: bool,
}

/// The line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    schema_version: u32,
    device: &'a DeviceKey,
    ceilings: Ceilings,
}

pub fn run(args: &Roofline) -> Outcome {
    if args.device == DeviceChoice::Cpu {
        let what = "ceilings are those of a GPU, and the CPU executor was asked for; name a GPU with --device";
        return Err(Error::argument(what).into());
    }
    let context = tuning::context(&args.device, args.backend.map(Into::into))?;
    tell(format_args!("device: {}", context.summary()));
    let ceilings = ceilings(&context, args.refresh)?;
    let device = context.tuning_key();
    if args.json {
        let line = Line { schema_version: 1, device: &device, ceilings };
        say(serde_json::to_string(&line).map_err(Error::argument)?);
        return Ok(());
    }
    say(device);
    lines(&ceilings).iter().for_each(say);
    Ok(())
}

/// A device's ceilings: those that are remembered, else measured now and remembered.
///
/// # Errors
/// If the device fails.
pub fn ceilings(context: &GpuContext, refresh: bool) -> Result<Ceilings> {
    let (file, device) = (file(), context.tuning_key());
    let known = file.as_ref().ok().map(Known::load).filter(|_| !refresh);
    if let Some(ceilings) = known.as_ref().and_then(|known| known.get(&device)) {
        return Ok(*ceilings);
    }
    let measured = progress::during("measuring the device's ceilings", || {
        pollster::block_on(roofline::measure(context, &Options::new(context)))
    })?;
    if let Err(error) = file.and_then(|file| remember(file, device, measured)) {
        tell(format_args!("warning: the device's ceilings are not remembered: {error}"));
    }
    Ok(measured)
}

fn remember(file: PathBuf, device: DeviceKey, ceilings: Ceilings) -> Result<()> {
    let folder = file.parent().map(PathBuf::from).unwrap_or_default();
    std::fs::create_dir_all(&folder).map_err(|source| Error::io("cannot create the folder", folder, source))?;
    Known::remember(file, device, ceilings)
}

/// `roofline.json` in the cache folder.
fn file() -> Result<PathBuf> {
    Ok(cache::base()?.join("roofline.json"))
}

fn lines(ceilings: &Ceilings) -> Vec<String> {
    let Ceilings { read_gb_s, copy_gb_s, f32_gflop_s, f16_gflop_s, dot4_gop_s, dispatch_us, round_trip_us, timestamps } =
        ceilings;
    let f16 = f16_gflop_s.map_or("no 16-bit floats in shaders".to_owned(), |rate| format!("{} GFLOP/s", rounded(rate)));
    let clock = if *timestamps { "the device's timestamps" } else { "the wall's clock; the device has none that runs" };
    let ridge = f32_gflop_s / ceilings.memory_gb_s();
    vec![
        format!("  memory, reading   {} GB/s", rounded(*read_gb_s)),
        format!("  memory, copying   {} GB/s, reads and writes together", rounded(*copy_gb_s)),
        format!("  f32               {} GFLOP/s", rounded(*f32_gflop_s)),
        format!("  f16               {f16}"),
        format!("  dot4I8Packed      {} Gop/s ({:.1} × f32)", rounded(*dot4_gop_s), dot4_gop_s / f32_gflop_s),
        format!("  a dispatch        {dispatch_us:.2} µs, waiting for the one before"),
        format!("  a round trip      {round_trip_us:.1} µs from submission to a result in memory"),
        format!("  f32 layers of fewer than {ridge:.1} operations to a byte are held back by memory"),
        format!("  measured by {clock}"),
    ]
}

/// Three digits or more.
fn rounded(number: f64) -> String {
    match number {
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}
