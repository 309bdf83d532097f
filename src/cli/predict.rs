//! `foveate predict`.

use std::path::PathBuf;
use std::time::Duration;

use foveate::bench::{Device, Frames};
use foveate::predict::{self, Demand, Efficiency, Peak, Prediction, Source};
use foveate::profile::{self, Profile};
use foveate::{DeviceChoice, Error, Model, Precision, Result, int8, quant};
use serde::Serialize;

use super::args::{BackendArg, DeviceArgs, ModelArgs, PrecisionArg, TestDriverArg, at_least_one, device};
use super::table::{Align, Table, rounded, shown};
use super::{Outcome, device as open, progress, report, roofline, say, source, tell};

/// What the long help ends with; clap breaks the lines.
const NOTES: &str = "\
The floor is what published peak rates allow, dispatch by dispatch: moving its bytes once or doing its arithmetic, \
whichever takes longer. Arithmetic alone is a floor even where caches hold all values. What is expected takes from \
profiles what part of the ceilings each kernel reaches, and what a dispatch costs beside its work; it is worth as much \
as the device is like the one that was measured. Times are the GPU's for the network, without preprocessing.";

/// Arguments of `foveate predict`.
#[derive(clap::Args)]
#[command(after_long_help = NOTES)]
pub struct Predict {
    #[command(flatten)]
    pub model: ModelArgs,
    /// The devices, separated by commas; all that rates are known of if not given.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub on: Vec<String>,
    /// Number format: f16 stores values as 16-bit floats, w8 weights as bytes, w8a8 computes in bytes (a float model
    /// is calibrated on noise for that: how long it takes does not depend on its ranges).
    #[arg(long, value_enum, default_value = "f32")]
    pub precision: PrecisionArg,
    /// Pictures to a run.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one())]
    pub batch: usize,
    /// Profiles (`foveate profile -o`) of devices to take the kernels' efficiency from; the GPU of --device is
    /// profiled now if none is given.
    #[arg(long, value_name = "FILE.json,…", value_delimiter = ',')]
    pub profile: Vec<PathBuf>,
    /// The GPU to profile: gpu (the best one), part of its name, or its index in `foveate adapters`.
    #[arg(long, value_name = "gpu|NAME|INDEX", default_value = "gpu", value_parser = device, conflicts_with = "profile")]
    pub device: DeviceChoice,
    /// Look at this backend only.
    #[arg(long, value_enum, conflicts_with = "profile")]
    pub backend: Option<BackendArg>,
    /// Measure nothing: floors only.
    #[arg(long, conflicts_with_all = ["profile", "device", "backend"])]
    pub floor: bool,
    /// One line of JSON on stdout.
    #[arg(long)]
    pub json: bool,
}

/// The line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    schema_version: u32,
    model: &'a str,
    precision: &'a str,
    batch: usize,
    macs: u64,
    bytes: u64,
    efficiency: &'a [Efficiency],
    predictions: &'a [Prediction],
    core_ml_iphone12_ms: Option<f64>,
}

pub fn run(args: &Predict) -> Outcome {
    let peaks = match args.on.as_slice() {
        [] => predict::devices()?,
        names => names.iter().map(|name| predict::device(name)).collect::<Result<_>>()?,
    };
    let precision = args.precision.named().ok_or_else(|| {
        Error::argument(
            "--precision auto is decided on a device, and predictions are of devices that are not here: \
                         name f32, f16, w8 or w8a8",
        )
    })?;
    let model = in_format(source::load(&args.model)?, precision)?;
    let demand = demand(&model, precision, args.batch)?;
    let measured = efficiencies(args, &model)?;
    let predictions: Vec<Prediction> = peaks.iter().map(|on| predict::predict(&demand, on, &measured)).collect();
    let reference = predict::core_ml_on_iphone12(model.name()).filter(|_| args.batch == 1);
    let precision = &precision.to_string();
    if args.json {
        let line = Line {
            schema_version: 2,
            model: model.name(),
            precision,
            batch: args.batch,
            macs: demand.macs(),
            bytes: demand.bytes(),
            efficiency: &measured,
            predictions: &predictions,
            core_ml_iphone12_ms: reference,
        };
        say(serde_json::to_string(&line).map_err(Error::argument)?);
        return Ok(());
    }
    let (macs, bytes, steps) = (rounded(demand.macs()), rounded(demand.bytes()), demand.steps.len());
    say(format_args!(
        "{}, {precision}, batch {}: {macs}MACs, {bytes}B moved by {steps} dispatches",
        model.name(),
        args.batch
    ));
    table(&predictions, &measured).iter().for_each(|line| say(format_args!("  {line}")));
    for by in &measured {
        let part = by.all * 100.0;
        let caution = if by.software { "; a software driver, which says little of GPUs" } else { "" };
        say(format_args!(
            "  expected ({}): its kernels reach {part:.0} % of its ceilings, {:.2} µs for a dispatch{caution}",
            shown(&by.device),
            by.dispatch_us
        ));
    }
    if demand.steps.iter().any(|(_, work)| work.dot4) {
        say("  products of bytes: the floor takes four times the f32 rate, what is expected the ratio measured here");
    }
    if let Some(ms) = reference {
        say(format_args!("  {}", core_ml(&model, ms)?));
    }
    sources(&predictions).iter().for_each(|line| say(format_args!("  {line}")));
    Ok(())
}

/// The model as a session of that precision would hold it.
fn in_format(model: Model, precision: Precision) -> Result<Model> {
    match precision {
        Precision::W8a8 if model.precision() != Precision::W8a8 => {
            progress::during("calibrating on noise", || quant::calibrated_on_noise(&model))
        }
        precision => model.with_precision(precision),
    }
}

fn demand(model: &Model, precision: Precision, batch: usize) -> Result<Demand> {
    match model.quantization().filter(|_| precision == Precision::W8a8) {
        Some(quantization) => Demand::of_program(&int8::lower(model.graph(), quantization)?, batch),
        None => Demand::of(model.graph(), batch, precision == Precision::F16),
    }
}

/// What the network's authors measured, and what it can be compared with.
fn core_ml(model: &Model, ms: f64) -> Result<String> {
    let phone = predict::device("iphone12")?;
    let floor = |f16| -> Result<f64> {
        let model = model.clone().with_precision(Precision::F32)?;
        Ok(predict::predict(&Demand::of(model.graph(), 1, f16)?, &phone, &[]).floor_ms)
    };
    let Peak { memory_gb_s, f32_gflop_s, f16_gflop_s, .. } = &phone;
    let halves = f16_gflop_s.unwrap_or(*f32_gflop_s) / 1e3;
    Ok(format!(
        "for reference: {} with Core ML on an iPhone 12 takes {ms:.2} ms by its authors' measurement. That ran on the Neural \
         Engine in 16 bits; the floor of the phone's GPU ({memory_gb_s:.0} GB/s, {:.2} TFLOP/s in f32, {halves:.2} in f16) \
         is {:.2} ms in f32 and {:.2} ms in f16",
        model.name(),
        f32_gflop_s / 1e3,
        floor(false)?,
        floor(true)?
    ))
}

/// How well kernels do where they can be measured.
fn efficiencies(args: &Predict, model: &Model) -> Result<Vec<Efficiency>> {
    let useless = |origin: &str| Error::argument(format!("{origin}: a profile of a GPU with its ceilings is needed"));
    if args.floor {
        return Ok(Vec::new());
    }
    if !args.profile.is_empty() {
        let read = |file: &PathBuf| {
            let origin = file.display().to_string();
            let profile = Profile::parse(&report::read(file)?, &origin)?;
            Efficiency::of(&profile).ok_or_else(|| useless(&origin))
        };
        return args.profile.iter().map(read).collect();
    }
    let measured = here(args, model);
    match measured {
        // The floor needs no device.
        Err(Error::Device { reason }) if args.device == DeviceChoice::Gpu => {
            tell(format_args!("floors only: {reason}; --profile takes the efficiency of another machine"));
            Ok(Vec::new())
        }
        Err(error) => Err(error),
        Ok(profile) => Ok(vec![Efficiency::of(&profile).ok_or_else(|| useless("the device that was profiled"))?]),
    }
}

/// A profile of the model on a GPU that is here.
fn here(args: &Predict, model: &Model) -> Result<Profile> {
    if args.device == DeviceChoice::Cpu {
        return Err(Error::argument("the CPU executor has other kernels; name a GPU with --device, or use --floor"));
    }
    let device = DeviceArgs {
        device: args.device.clone(),
        backend: args.backend,
        safe_shaders: false,
        memory_budget: None,
        test_driver: TestDriverArg::Auto,
        tune: false,
        untuned: false,
    };
    let mut session = open::open(model.clone(), &device, Some(args.precision), args.batch)?;
    let place = Device::of(&mut session, false);
    let context = session.gpu().map(|executor| executor.context().clone());
    let ceilings = context.map(|context| roofline::ceilings(&context, false)).transpose()?;
    let frames = Frames::new([640, 480])?;
    let pictures = (0..args.batch).map(|at| frames.picture(at)).collect::<Result<Vec<_>>>()?;
    // What kernels reach is a rough number: a few runs tell it.
    let options = profile::Options { warm_ups: 2, runs: 10, most: Duration::from_secs(10), ..Default::default() };
    progress::during("profiling the network here", || {
        pollster::block_on(profile::profile(&mut session, place, &pictures, ceilings, &options))
    })
}

fn table(predictions: &[Prediction], measured: &[Efficiency]) -> Vec<String> {
    let columns = ["device", "GB/s", "GFLOP/s", "arithmetic ms", "floor ms", "by memory", "expected ms"];
    let align = |at| if at == 0 { Align::Left } else { Align::Right };
    let mut table = Table::new(std::array::from_fn::<_, 7, _>(|at| (columns[at], align(at))));
    for Prediction { on, floor_ms, memory_part, arithmetic_ms, expected_ms } in predictions {
        let Peak { name, device, memory_gb_s, f32_gflop_s, .. } = on;
        let expected: Vec<String> = expected_ms.iter().map(|ms| format!("{ms:.2}")).collect();
        let expected = if measured.is_empty() { "–".to_owned() } else { expected.join(" / ") };
        table.row([
            format!("{name}: {device}"),
            format!("{memory_gb_s:.0}"),
            format!("{f32_gflop_s:.0}"),
            format!("{arithmetic_ms:.3}"),
            format!("{floor_ms:.3}"),
            format!("{:.0} %", memory_part * 100.0),
            expected,
        ]);
    }
    table.lines()
}

/// Where the rates are from.
fn sources(predictions: &[Prediction]) -> Vec<String> {
    let of = |on: &Peak| {
        let one = |Source { figure, url, says }: &Source| format!("  {figure}: {says} ({url})");
        std::iter::once(format!("rates of {}:", on.name)).chain(on.sources.iter().map(one)).collect::<Vec<_>>()
    };
    predictions.iter().flat_map(|one| of(&one.on)).collect()
}
