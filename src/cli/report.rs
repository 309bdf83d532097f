//! `foveate report`.

mod bars;
mod flame;
mod gather;
mod labels;
mod layers;
mod page;
mod picture;
mod plot;
mod scatter;
mod table;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use foveate::bench::{Change, Clock, Comparison, Median, Verdict, compare};
use foveate::checkpoint::model_file;
use foveate::{Error, Result};
use serde::Serialize;

use super::table::{Align, Table, shown};
use super::{Failure, Outcome, output, say, tell};
pub use gather::read;
use gather::{Gathered, Named};

/// What the long help ends with; clap breaks the lines.
const NOTES: &str = "\
With --baseline, a result is a regression if its median is larger by more than --fail-above and the intervals that \
hold the two medians with 95 % do not overlap; then the exit code is 1. Benchmarks on shared machines need a generous \
--fail-above, and several hundred runs.";

/// Arguments of `foveate report`.
#[derive(clap::Args)]
#[command(after_long_help = NOTES)]
pub struct Report {
    /// What `foveate bench -o` and `foveate profile -o` wrote, of any number of machines.
    #[arg(required = true, value_name = "FILE.json")]
    pub files: Vec<PathBuf>,
    /// Write a page that shows all of it and fetches nothing.
    #[arg(short, long, value_name = "FILE.html")]
    pub output: Option<PathBuf>,
    /// Write a picture of latency against accuracy and of the devices' bars, for a README.
    #[arg(long, value_name = "FILE.svg")]
    pub picture: Option<PathBuf>,
    /// Overwrite files that are there.
    #[arg(long)]
    pub force: bool,
    /// Compare the benchmarks with this one.
    #[arg(long, value_name = "FILE.json")]
    pub baseline: Option<PathBuf>,
    /// Fail if a result's median is larger than the baseline's by more than this.
    #[arg(long, value_name = "PERCENT", requires = "baseline", value_parser = percent)]
    pub fail_above: Option<f64>,
    /// The clock that is compared.
    #[arg(long, value_enum, default_value = "end-to-end", requires = "baseline")]
    pub clock: ClockArg,
    /// The comparison as one line of JSON on stdout.
    #[arg(long, requires = "baseline")]
    pub json: bool,
}

/// One of the three clocks.
#[derive(Clone, Copy, ValueEnum)]
pub enum ClockArg {
    /// The GPU's own time.
    Gpu,
    /// From submission until the result is in memory.
    SubmitToReadback,
    /// From a camera's bytes to labels.
    EndToEnd,
}

impl From<ClockArg> for Clock {
    fn from(clock: ClockArg) -> Self {
        match clock {
            ClockArg::Gpu => Clock::Gpu,
            ClockArg::SubmitToReadback => Clock::SubmitToReadback,
            ClockArg::EndToEnd => Clock::EndToEnd,
        }
    }
}

/// `5%` or `5` as 0.05.
fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text.trim().trim_end_matches('%').trim().parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1000.0).contains(&number) { Ok(number / 100.0) } else { Err("must lie between 0 and 1000 %".into()) }
}

pub fn run(args: &Report) -> Outcome {
    if args.output.is_none() && args.picture.is_none() && args.baseline.is_none() {
        let what =
            "nothing to do: -o FILE.html writes a page, --picture FILE.svg a picture, --baseline FILE.json compares";
        return Err(Error::argument(what).into());
    }
    for path in [&args.output, &args.picture].into_iter().flatten() {
        output::check(path, args.force)?;
    }
    let gathered = Gathered::read(&args.files)?;
    let slower = args.baseline.as_ref().map(|baseline| regressions(args, baseline, &gathered)).transpose()?;
    let page = args.output.as_ref().map(|path| (path, page::Page(&gathered).to_string()));
    let draw = |path| -> Result<(&PathBuf, String)> { Ok((path, picture::svg(&gathered)?)) };
    let picture = args.picture.as_ref().map(draw).transpose()?;
    for (path, text) in page.into_iter().chain(picture) {
        model_file::write_file(path, text.as_bytes())?;
        tell(format_args!("wrote {}", path.display()));
    }
    match slower.unwrap_or(0) {
        0 => Ok(()),
        _ if args.fail_above.is_none() => Ok(()),
        _ => Err(Failure::Said),
    }
}

/// A line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    schema_version: u32,
    file: &'a str,
    clock: Clock,
    fail_above: f64,
    #[serde(flatten)]
    comparison: &'a Comparison,
}

/// Shows what became of the baseline's results in each record; how many became slower or are gone.
fn regressions(args: &Report, baseline: &Path, gathered: &Gathered) -> Result<usize> {
    let base = gather::record(baseline)?;
    if gathered.records.is_empty() {
        return Err(Error::argument("a baseline can be compared with benchmarks only, and none was named"));
    }
    let (clock, allowed) = (Clock::from(args.clock), args.fail_above.unwrap_or(0.0));
    let mut bad = 0;
    for Named { label, item: record } in &gathered.records {
        let comparison = compare(&base, record, clock, allowed)?;
        bad += comparison.slower().count() + comparison.missing.len();
        if args.json {
            let line = Line { schema_version: 1, file: label, clock, fail_above: allowed, comparison: &comparison };
            say(serde_json::to_string(&line).map_err(Error::argument)?);
        } else {
            say(format_args!("{} against {}", shown(label), shown(&baseline.display().to_string())));
            lines(&comparison).iter().for_each(|line| say(format_args!("  {line}")));
        }
        for key in &comparison.missing {
            tell(format_args!("error: {label} has no {key}, which the baseline has"));
        }
        for Change { key, ratio, .. } in comparison.slower().filter(|_| args.fail_above.is_some()) {
            tell(format_args!("error: {key} became slower by {:.1} %", (ratio - 1.0) * 100.0));
        }
    }
    Ok(bad)
}

fn lines(comparison: &Comparison) -> Vec<String> {
    let columns = ["result", "before ms", "now ms", "change", ""];
    let left = |at| if matches!(at, 0 | 4) { Align::Left } else { Align::Right };
    let mut table = Table::new(std::array::from_fn::<_, 5, _>(|at| (columns[at], left(at))));
    let median = |Median { low, p50, high }: Median| {
        let [low, p50, high] = [low, p50, high].map(super::bench::ms);
        format!("{p50} ({low}–{high})")
    };
    for Change { key, before, after, ratio, verdict } in &comparison.changes {
        let word = match verdict {
            Verdict::Slower => "slower",
            Verdict::Faster => "faster",
            Verdict::Same => "within noise or what is allowed",
        };
        let change = format!("{:+.1} %", (ratio - 1.0) * 100.0);
        table.row([shown(&key.to_string()), median(*before), median(*after), change, word.to_owned()]);
    }
    table.lines()
}
