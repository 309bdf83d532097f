//! `foveate classify`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use foveate::{DeviceInfo, Error, Picture, Result, Session, Top, labels};
use serde::Serialize;

use super::args::{DeviceArgs, ModelArgs, at_least_one};
use super::calibrate::PrecisionArgs;
use super::table::shown;
use super::{Failure, Outcome, device, progress, say, source, tell, timing};

/// Arguments of `foveate classify`.
#[derive(clap::Args)]
pub struct Classify {
    /// The pictures.
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[command(flatten)]
    pub precision: PrecisionArgs,
    /// Names of the classes: a file with one per line, or a built-in set; the model's own if not given.
    #[arg(long, value_name = "FILE|imagenet1k|cifar10")]
    pub labels: Option<PathBuf>,
    /// How many classes to show.
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = at_least_one())]
    pub top: usize,
    /// One line of JSON per picture on stdout.
    #[arg(long)]
    pub json: bool,
    /// Also measure how long each step takes.
    #[arg(long)]
    pub timing: bool,
    /// Add the raw logits to the JSON.
    #[arg(long, requires = "json")]
    pub logits: bool,
}

/// Steady-state runs of a picture: this many, or fewer if they take longer than [`STEADY_TIME`].
const STEADY_RUNS: usize = 10;
const STEADY_TIME: Duration = Duration::from_millis(500);

/// A picture's line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    schema_version: u32,
    image: String,
    model: &'a str,
    precision: String,
    device: &'a DeviceInfo,
    top: Vec<Top>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logits: Option<&'a [f32]>,
    timing_ms: Timing,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<&'a [timing::Step]>,
}

#[derive(Clone, Copy, Serialize)]
struct Timing {
    load: f64,
    compile: f64,
    first: f64,
    run: f64,
}

pub fn run(args: &Classify) -> Outcome {
    let mut model = source::load(&args.model)?;
    if let Some(file) = &args.labels {
        model = model.with_labels(labels::read(file)?)?;
    }
    let model = args.precision.apply(model, args.model.random)?;
    let mut session = device::open(model, &args.device, args.precision.precision, 1)?;
    let foveate::session::Timing { load, compile } = session.timing();
    let mut first = None;
    let mut failed = false;
    for path in &args.images {
        let classified = classify(&mut session, path, args, &mut first).and_then(|(picture, answer, first, run)| {
            let steps = args.timing.then(|| timing::steps(&mut session, &picture)).transpose()?;
            Ok((answer, Timing { load, compile, first, run }, steps))
        });
        match classified {
            Ok((answer, times, steps)) => show(args, &session, path, answer, times, steps.as_deref())?,
            Err(error) => {
                tell(format_args!("error: {error}"));
                failed = true;
            }
        }
    }
    if failed { Err(Failure::Said) } else { Ok(()) }
}

/// What is said of a picture.
struct Answer {
    top: Vec<Top>,
    logits: Option<Vec<f32>>,
}

impl Answer {
    /// Logits are read back only if they are wanted.
    fn of(session: &mut Session, picture: &Picture, args: &Classify) -> Result<Self> {
        if !args.logits {
            return Ok(Answer { top: pollster::block_on(session.classify(picture, args.top))?, logits: None });
        }
        let answer = pollster::block_on(session.run(picture))?;
        Ok(Answer { top: answer.top(args.top), logits: Some(answer.logits().to_vec()) })
    }
}

/// The picture, the answer, the session's first run and this picture's median run, in
/// milliseconds.
fn classify(
    session: &mut Session,
    path: &Path,
    args: &Classify,
    first: &mut Option<f64>,
) -> Result<(Picture, Answer, f64, f64)> {
    let picture = Picture::open(path)?;
    let mut timed = || -> Result<(Answer, f64)> {
        let start = Instant::now();
        let answer = Answer::of(session, &picture, args)?;
        Ok((answer, milliseconds(start)))
    };
    let (answer, took) = progress::during("first run", &mut timed)?;
    let first = *first.get_or_insert(took);
    let mut runs = Vec::new();
    let start = Instant::now();
    while runs.is_empty() || (runs.len() < STEADY_RUNS && start.elapsed() < STEADY_TIME) {
        runs.push(timed()?.1);
    }
    runs.sort_by(f64::total_cmp);
    Ok((picture, answer, first, runs[runs.len() / 2]))
}

fn show(
    args: &Classify,
    session: &Session,
    path: &Path,
    answer: Answer,
    timing_ms: Timing,
    steps: Option<&[timing::Step]>,
) -> Result<()> {
    let image = path.display().to_string();
    let Answer { top, logits } = answer;
    let (name, precision) = (session.model().name(), session.precision().to_string());
    if args.json {
        let logits = logits.as_deref();
        let line = Line {
            schema_version: 1,
            image,
            model: name,
            precision,
            device: session.device(),
            top,
            logits,
            timing_ms,
            steps,
        };
        say(serde_json::to_string(&line).map_err(Error::argument)?);
        return Ok(());
    }
    say(format_args!("{}  ({name}, {precision})", shown(&image)));
    let labels: Vec<String> = top.iter().map(|t| shown(&t.label)).collect();
    let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    for (Top { score, .. }, label) in top.iter().zip(&labels) {
        let bar = "█".repeat((score * 40.0).round() as usize);
        say(format_args!("  {label:width$}  {:5.1} %  {bar}", score * 100.0));
    }
    let Timing { load, compile, first, run } = timing_ms;
    say(format_args!("  load {load:.1} ms, compile {compile:.1} ms, first run {first:.2} ms, steady {run:.2} ms"));
    steps.into_iter().for_each(timing::show);
    Ok(())
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
