//! `foveate verify`.

mod replay;
mod show;

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use foveate::checkpoint::model_file;
use foveate::gpu::{self, AdapterChoice, GpuContext};
use foveate::quant::{self, CalibrationSet};
use foveate::verify::{self, Check, Device, Options, Report, Repro, Subject};
use foveate::{DeviceChoice, Error, Model, Picture, Precision, Result};

use super::args::{BackendArg, ModelArgs};
use super::{Failure, Outcome, output, progress, say, source, tell, tuning};

/// The picture that is looked at if none is given.
const CAT: &[u8] = include_bytes!("../../../assets/cat.png");

/// What the long help ends with; clap breaks the lines.
const NOTES: &str = "\
Every layer runs by itself on the values that the CPU executor has for a real picture, so that errors do not add up and \
the first layer that is off is the one whose kernel is wrong. Allowed are a relative error of 5e-5 for a layer in f32 and w8, \
5e-3 in f16, and none between integers. Then the whole network runs: logits within 1e-4 of the largest in f32 and w8, \
and bit for bit in w8a8.

In f16, logits within 5e-3 (relative) always agree. Rounding moves those of deep networks further, on a sound device \
too: then the CPU rounds what the device stores in 16 bits, and the device's logits may be off from the CPU's by twice \
what that moves them by, 5e-2 at most. Devices may round to the nearest or towards zero; the nearer counts. The report \
says which bound it was, and why.

A float model in w8a8 is quantised by the pictures that it is verified with.

The exit code is 0 if every device agrees in every number format, else 1. For a bug report, attach the output of --json, \
and what --write-repro wrote.";

/// Arguments of `foveate verify`.
#[derive(clap::Args)]
#[command(after_long_help = NOTES)]
pub struct Verify {
    /// Pictures to verify with, all in one run; one that is built in if not given.
    #[arg(value_name = "IMAGE", conflicts_with = "repro")]
    pub images: Vec<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
    /// As for classify; or `all`: every adapter, software ones too.
    #[arg(long, value_name = "auto|gpu|NAME|INDEX|all", default_value = "auto")]
    pub device: String,
    /// Look at this backend only.
    #[arg(long, value_enum)]
    pub backend: Option<BackendArg>,
    /// Number formats, separated by commas, or all; what the model holds if not given.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub precision: Vec<FormatArg>,
    /// Leave the shaders' runtime checks on.
    #[arg(long)]
    pub safe_shaders: bool,
    /// Use no tuned tiles and kernels, neither remembered nor built-in ones.
    #[arg(long)]
    pub untuned: bool,
    /// Write the first layer that is off, or the one that --layer names, to a file that --repro takes.
    #[arg(long, value_name = "FILE", conflicts_with = "repro")]
    pub write_repro: Option<PathBuf>,
    /// The layer for --write-repro, by its node's name (see `foveate plan`), whether it is off or not.
    #[arg(long, value_name = "NODE", requires = "write_repro")]
    pub layer: Option<String>,
    /// Overwrite that file.
    #[arg(long, requires = "write_repro")]
    pub force: bool,
    /// Run the layer in a file that --write-repro wrote, here or elsewhere; no model is needed. Its shaders run with
    /// runtime checks.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "precision", "safe_shaders", "untuned"])]
    pub repro: Option<PathBuf>,
    /// Run the file's shaders without runtime checks, as they ran where it comes from: only for files that you trust.
    #[arg(long, requires = "repro")]
    pub unchecked: bool,
    /// Seconds after which --repro gives up on the file's shaders.
    #[arg(long, value_name = "S", default_value_t = 120, requires = "repro",
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub time_limit: u64,
    /// One line of JSON on stdout, with adapters and drivers.
    #[arg(long)]
    pub json: bool,
}

/// A number format, or all that the model may run in.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    F32,
    F16,
    W8,
    W8a8,
    All,
}

impl FormatArg {
    fn formats(self) -> &'static [Precision] {
        match self {
            FormatArg::F32 => &[Precision::F32],
            FormatArg::F16 => &[Precision::F16],
            FormatArg::W8 => &[Precision::W8],
            FormatArg::W8a8 => &[Precision::W8a8],
            FormatArg::All => &[Precision::F32, Precision::F16, Precision::W8, Precision::W8a8],
        }
    }
}

pub fn run(args: &Verify) -> Outcome {
    if let Some(file) = &args.repro {
        return replay::run(args, file);
    }
    if let Some(file) = &args.write_repro {
        output::check(file, args.force)?;
    }
    let model = source::load(&args.model)?;
    let pictures = pictures(args)?;
    let formats = formats(args, &model);
    let adapters = adapters(args)?;
    let options = Options {
        tuned: (!args.untuned).then(|| Arc::new(tuning::load())),
        untuned: args.untuned,
        safe_shaders: args.safe_shaders,
        layer: args.layer.clone(),
        ..Options::default()
    };
    let mut devices: Vec<Device> =
        adapters.iter().map(|choice| Device { adapter: choice.summary.clone(), checks: Vec::new() }).collect();
    let mut kept = None;
    for precision in formats {
        let held = held(&model, precision, &pictures)?;
        let what = format!("computing on the CPU what to expect in {precision}");
        let subject = progress::during(&what, || Subject::new(&held, precision, &pictures))?;
        for (choice, device) in adapters.iter().zip(&mut devices) {
            let (check, repro) = one(choice, &subject, &pictures, precision, &options)?;
            tell_faults(&choice.summary.to_string(), &check);
            // Of several the first that is off; one that was named may be right.
            let off = !check.wrong.is_empty();
            if kept.as_ref().is_none_or(|(was_off, _): &(bool, Repro)| off && !was_off) {
                kept = repro.map(|repro| (off, repro)).or(kept);
            }
            device.checks.push(check);
        }
    }
    let report = Report::new(&model, pictures.len(), devices);
    if args.json {
        say(serde_json::to_string(&report).map_err(Error::argument)?);
    } else {
        show::lines(&report).iter().for_each(say);
    }
    if let Some(file) = &args.write_repro {
        match kept {
            Some((_, repro)) => {
                model_file::write_file(file, &repro.to_bytes()?)?;
                tell(format_args!("wrote {} of {}", repro.fault().node, file.display()));
            }
            None => tell(format_args!("no layer is off: {} was not written; --layer names one", file.display())),
        }
    }
    if report.agrees { Ok(()) } else { Err(Failure::Said) }
}

fn pictures(args: &Verify) -> Result<Vec<Picture>> {
    if args.images.is_empty() {
        return Ok(vec![Picture::decode(CAT, "the built-in picture")?]);
    }
    args.images.iter().map(Picture::open).collect()
}

fn formats(args: &Verify, model: &Model) -> Vec<Precision> {
    let mut formats: Vec<Precision> = args.precision.iter().flat_map(|format| format.formats()).copied().collect();
    if formats.is_empty() {
        formats.push(model.precision());
    }
    let mut seen = Vec::new();
    formats.retain(|format| {
        let new = !seen.contains(format);
        seen.push(*format);
        new
    });
    formats
}

/// The model as it is held in a number format; the pictures give the ranges that w8a8 needs.
fn held(model: &Model, precision: Precision, pictures: &[Picture]) -> Result<Model> {
    if precision == Precision::W8a8 && model.precision() != Precision::W8a8 {
        let prepared = pictures.iter().map(|picture| model.preprocess().apply(picture)).collect::<Result<Vec<_>>>()?;
        let set = CalibrationSet::new(prepared)?;
        return progress::during("quantising", || quant::quantize(model, set, quant::Options::default()));
    }
    model.clone().with_precision(precision)
}

/// The adapters that are asked for.
fn adapters(args: &Verify) -> Result<Vec<AdapterChoice>> {
    let backend = args.backend.map(gpu::Backend::from);
    if args.device.eq_ignore_ascii_case("all") {
        let wanted = |choice: &AdapterChoice| {
            backend.is_none_or(|backend| gpu::parse_backend(choice.summary.backend).ok() == Some(backend))
        };
        let all: Vec<_> = pollster::block_on(gpu::adapters()).into_iter().filter(wanted).collect();
        if all.is_empty() {
            let reason = "no adapter was found: a GPU wants its driver installed".to_owned();
            return Err(Error::Device { reason });
        }
        return Ok(all);
    }
    let choice = super::args::device(&args.device).map_err(Error::argument)?;
    let request = choice.request().ok_or_else(|| {
        Error::argument("the CPU executor is what devices are compared with; name a GPU with --device, or all")
    })?;
    match pollster::block_on(gpu::select_adapter(&request, backend)) {
        Err(Error::Device { reason }) if choice == DeviceChoice::Auto => {
            Err(Error::Device { reason: format!("{reason}; --device all takes every adapter") })
        }
        found => found.map(|found| vec![found]),
    }
}

fn one(
    choice: &AdapterChoice,
    subject: &Subject<'_>,
    pictures: &[Picture],
    precision: Precision,
    options: &Options,
) -> Result<(Check, Option<Repro>)> {
    let bar = progress::layers(&format!("{}, {precision}", choice.summary.name));
    let watch = {
        let bar = bar.clone();
        move |at: usize, of: usize| {
            bar.set_length(of as u64);
            bar.set_position(at as u64);
        }
    };
    let options = Options { watch: Arc::new(watch), ..options.clone() };
    let work = async {
        match GpuContext::request(choice).await {
            Ok(context) => verify::verify(&context, subject, pictures, &options).await,
            Err(error) => Ok((Check::failed(precision, error.to_string()), None)),
        }
    };
    let result = pollster::block_on(work);
    bar.finish_and_clear();
    result
}

/// What is wrong, for people, as soon as it is known.
fn tell_faults(device: &str, check: &Check) {
    if let Some(first) = check.wrong.first() {
        tell(format_args!("{device}, {}: the first layer that is off: {first}", check.precision));
        if check.wrong.len() > 1 {
            tell(format_args!("{device}, {}: {} more are off", check.precision, check.wrong.len() - 1));
        }
    }
    if let Some(error) = &check.error {
        tell(format_args!("{device}, {}: {error}", check.precision));
    }
}
