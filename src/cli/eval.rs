//! `foveate eval`.

mod report;

use std::path::PathBuf;

use foveate::checkpoint::model_file;
use foveate::dataset::{ClassIndex, Dataset};
use foveate::eval::{self, Evaluation, Progress};
use foveate::labels::{self, normalised};
use foveate::models::Form;
use foveate::{Error, Model, Result, Session};

use super::args::{DeviceArgs, ModelArgs, PrecisionArg, at_least_one};
use super::calibrate::PrecisionArgs;
use super::{Failure, Outcome, device, output, progress, say, source, tell};
use report::{Contender, Report};

/// What the long help ends with; clap breaks the lines.
const NOTES: &str = "\
Folders are assigned to classes by the model's labels if all are called like labels (case, spaces, underscores and \
hyphens do not count), else by ImageNet's WordNet ids (n01440764), else in alphabetical order if there are as many \
folders as classes. Which of these it was is printed.

Pictures that cannot be read are named on stderr and left out; results are printed, and the exit code is 1.

--compare prints where the second model (B) differs from the first (A): on how many pictures both say the same, and B's \
accuracy minus A's with a 95 % interval (adjusted Wald for paired proportions, Bonett and Price 2012).";

/// Arguments of `foveate eval`.
#[derive(clap::Args)]
#[command(after_long_help = NOTES)]
pub struct Eval {
    /// The pictures: a folder per class, or any folder together with --truth.
    pub dir: PathBuf,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[command(flatten)]
    pub precision: PrecisionArgs,
    /// What the pictures in DIR show, a line for each: file name, tab, class (its index, WordNet id or label).
    #[arg(long, value_name = "FILE.tsv")]
    pub truth: Option<PathBuf>,
    /// Names of the classes: a file with one per line, or a built-in set; the model's own if not given.
    #[arg(long, value_name = "FILE|imagenet1k|cifar10")]
    pub labels: Option<PathBuf>,
    /// A second contender in the same run: another model, or `train` for the training form of this one (a file of that
    /// name is ./train).
    #[arg(long, value_name = "train|FILE|NAME")]
    pub compare: Option<String>,
    /// The architecture of the second model's file, where its keys and shapes cannot tell it.
    #[arg(long, value_name = "NAME", requires = "compare")]
    pub compare_arch: Option<String>,
    /// Pictures per run on the device.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = batch())]
    pub batch: usize,
    /// Take only N pictures, evenly spread over all.
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub limit: Option<usize>,
    /// One line of JSON on stdout.
    #[arg(long)]
    pub json: bool,
    /// Write the JSON to a file.
    #[arg(short, long, value_name = "FILE.json")]
    pub output: Option<PathBuf>,
    /// Overwrite the output.
    #[arg(long, requires = "output")]
    pub force: bool,
}

/// What `--compare` takes for the model's own training form.
const TRAIN: &str = "train";

/// Largest batch: beyond it memory grows and nothing gets faster.
const MAX_BATCH: u64 = 1024;

fn batch() -> impl clap::builder::TypedValueParser<Value = usize> {
    clap::builder::RangedU64ValueParser::<usize>::new().range(1..=MAX_BATCH)
}

pub fn run(args: &Eval) -> Outcome {
    args.output.as_ref().map_or(Ok(()), |file| output::check(file, args.force))?;
    let (model, compared) = models(args)?;
    let classes = ClassIndex::of(&model);
    let mut dataset = match &args.truth {
        Some(file) => Dataset::truth(&args.dir, file, &classes)?,
        None => Dataset::folder(&args.dir, &classes)?,
    };
    if let Some(limit) = args.limit {
        dataset = dataset.limited(limit);
    }
    dataset.notes().iter().for_each(|note| tell(format_args!("{}: {note}", args.dir.display())));
    if let Some(other) = compared.as_ref().filter(|other| !same_names(&model, other)) {
        let (a, b) = (model.name(), other.name());
        tell(format_args!("warning: {a} and {b} call their classes differently; they are compared by number"));
    }
    let batch = args.batch.min(dataset.samples().len());
    let model = args.precision.apply(model, args.model.random)?;
    let mut first = device::open(model, &args.device, args.precision.precision, batch)?;
    let mut second = compared.map(|model| opened_second(args, model, batch)).transpose()?;
    let evaluation = evaluated(&mut first, second.as_mut(), &dataset)?;
    let report = report(args, &dataset, &first, second.as_ref(), &evaluation);
    let json = serde_json::to_string(&report).map_err(Error::argument)?;
    // Printing may end the process (a closed pipe): the file comes first. Where it fails, the
    // results are still printed, for they may have taken hours.
    let written = args.output.as_ref().map(|file| model_file::write_file(file, format!("{json}\n").as_bytes()));
    if args.json {
        say(&json);
    } else {
        report.lines().iter().for_each(say);
    }
    written.transpose()?;
    if evaluation.unreadable.is_empty() {
        return Ok(());
    }
    let (bad, all) = (evaluation.unreadable.len(), dataset.samples().len());
    tell(format_args!("error: {bad} of {all} pictures could not be read and were left out"));
    Err(Failure::Said)
}

/// The model, and the one that it is compared with.
fn models(args: &Eval) -> Result<(Model, Option<Model>)> {
    let (model, compared) = match args.compare.as_deref() {
        None => (source::load(&args.model)?, None),
        Some(TRAIN) => {
            if args.compare_arch.is_some() {
                return Err(Error::argument("--compare-arch is for a second file; --compare train has the first's"));
            }
            let (fused, train) = source::load_both(&args.model)?;
            (fused, Some(train))
        }
        Some(other) => {
            let (model, arch) = (Some(other.into()), args.compare_arch.clone());
            let second = ModelArgs { model, arch, use_ema: false, random: false, seed: 0, offline: args.model.offline };
            (source::load(&args.model)?, Some(source::load(&second).map_err(of_second)?))
        }
    };
    match &args.labels {
        Some(file) => Ok((model.with_labels(labels::read(file)?)?, compared)),
        None => Ok((model, compared)),
    }
}

/// The second model's session. What is in training form cannot be quantised: it is compared in f32.
fn opened_second(args: &Eval, model: Model, batch: usize) -> Result<Session> {
    if model.details().form == Form::Train && matches!(args.precision.precision, Some(PrecisionArg::W8a8)) {
        tell(format_args!("{}: the training form is compared in f32", model.name()));
        return device::open(model, &args.device, Some(PrecisionArg::F32), batch);
    }
    device::open(args.precision.apply(model, false)?, &args.device, args.precision.precision, batch)
}

/// The second model's architecture has an option of its own.
fn of_second(error: Error) -> Error {
    match error {
        Error::Weights { model, reason } => {
            Error::Weights { model, reason: reason.replace("--arch", "--compare-arch") }
        }
        other => other,
    }
}

/// Whether two models call their classes the same, as far as both call them anything.
fn same_names(a: &Model, b: &Model) -> bool {
    let [a, b] = [a, b].map(|model| Some(model.labels()?.iter().map(|name| normalised(name)).collect::<Vec<_>>()));
    a.is_none() || b.is_none() || a == b
}

fn evaluated(first: &mut Session, second: Option<&mut Session>, dataset: &Dataset) -> Result<Evaluation> {
    let bar = progress::pictures(dataset.samples().len());
    let evaluation = eval::evaluate(first, second, dataset, &mut |progress| {
        if let Progress::Unreadable(unreadable) = progress {
            bar.suspend(|| tell(format_args!("error: {}", unreadable.error)));
        }
        bar.inc(1);
    });
    bar.finish_and_clear();
    evaluation
}

fn report<'a>(
    args: &Eval,
    dataset: &Dataset,
    first: &'a Session,
    second: Option<&'a Session>,
    evaluation: &Evaluation,
) -> Report<'a> {
    let mut rates = evaluation.speed.session_rates();
    let mut rate = || rates.next().unwrap_or_default();
    let names = first.model().labels();
    let source = args.model.model.as_ref().map_or_else(|| "built-in".to_owned(), |path| path.display().to_string());
    let other = args.compare.clone().filter(|other| other != TRAIN).unwrap_or_else(|| source.clone());
    let mut contenders = vec![Contender::new(source, first, names, &evaluation.first, rate())];
    if let (Some(session), Some((tally, ..))) = (second, &evaluation.second) {
        contenders.push(Contender::new(other, session, names, tally, rate()));
    }
    let truth = args.truth.as_ref().map(|file| file.display().to_string());
    Report::new(args.dir.display().to_string(), dataset.mapping(), truth, contenders, evaluation)
}
