//! The command line: arguments in, text or JSON out. Everything else is the library's work.
//!
//! Results go to stdout, all else to stderr. Exit codes: 0 good, 1 the work failed, 2 wrong usage.

mod adapters;
mod analyze;
mod args;
mod bench;
mod calibrate;
mod classify;
mod device;
mod eval;
mod features;
mod fuse;
mod html;
mod info;
mod log;
mod models;
mod output;
mod plan;
mod predict;
mod profile;
mod progress;
mod pull;
mod quantize;
mod report;
mod roofline;
mod source;
mod table;
mod timing;
mod tune;
mod tuning;
mod verify;
mod weights;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// Parses, runs, and reports; never panics on a closed pipe.
pub fn main() -> ExitCode {
    log::install();
    quiet_wayland();
    let args = Args::parse();
    let result = args.threads.map_or(Ok(()), limit_threads).and_then(|()| run(args.command));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Said) => ExitCode::FAILURE,
        Err(Failure::Error(error)) => {
            tell(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Outcome {
    match command {
        Command::Classify(args) => classify::run(&args),
        Command::Adapters(args) => adapters::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Fuse(args) => fuse::run(&args),
        Command::Analyze(args) => analyze::run(&args),
        Command::Quantize(args) => quantize::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Pull(args) => pull::run(&args),
        Command::Features(args) => features::run(&args),
        Command::Tune(args) => tune::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Roofline(args) => roofline::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Models => models::run(),
    }
}

/// For the whole program: the CPU executor and everything else work in rayon's global pool.
fn limit_threads(threads: u16) -> Outcome {
    rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global().map_err(|error| {
        tell(format_args!("error: {threads} threads could not be started: {error}; ask for fewer"));
        Failure::Said
    })
}

/// Looking for GL adapters asks libwayland for a display, which without this variable complains on
/// stderr in words that look like our own. Any folder without a display in it will do.
fn quiet_wayland() {
    const VARIABLE: &str = "XDG_RUNTIME_DIR";
    if cfg!(target_os = "linux") && std::env::var_os(VARIABLE).is_none() {
        // SAFETY: nothing has been started yet, so no other thread reads the environment.
        unsafe { std::env::set_var(VARIABLE, std::env::temp_dir()) };
    }
}

/// Why a command failed.
pub enum Failure {
    /// Not yet reported.
    Error(foveate::Error),
    /// Reported on stderr already.
    Said,
}

impl From<foveate::Error> for Failure {
    fn from(error: foveate::Error) -> Self {
        Failure::Error(error)
    }
}

/// What a command returns.
pub type Outcome = Result<(), Failure>;

/// Prints a line to stderr, if anybody listens.
pub fn tell(line: impl std::fmt::Display) {
    use std::io::Write;
    // Lines name files and what is in them, which need not be text. In one piece, so that lines of
    // runs at the same time stay whole.
    let text: String = line.to_string().lines().map(|line| table::shown(line) + "\n").collect();
    // If stderr is gone there is nobody to tell that, and the work goes on.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints a line to stdout. Whoever closes the pipe early (`| head`) has seen enough: that is no
/// error and no panic. Output that is lost otherwise (a full disk) is an error.
pub fn say(line: impl std::fmt::Display) {
    if let Err(error) = print(line) {
        std::process::exit(i32::from(!unheard(&error)));
    }
}

fn print(line: impl std::fmt::Display) -> std::io::Result<()> {
    use std::io::Write;
    if output::takes_stdout() {
        tell(line);
        return Ok(());
    }
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush())
}

/// Whether stdout failed only because nobody reads on; tells of every other reason.
fn unheard(error: &std::io::Error) -> bool {
    let unheard = error.kind() == std::io::ErrorKind::BrokenPipe;
    if !unheard {
        tell(format_args!("error: cannot write to stdout: {error}"));
    }
    unheard
}

/// Lines to stdout of a command whose work is files: unlike with [`say`], the work goes on if they
/// cannot be written, and is reported in the end.
#[derive(Default)]
pub struct Lines {
    lost: Option<std::io::Error>,
}

impl Lines {
    /// Prints a line, unless an earlier one could not be.
    pub fn say(&mut self, line: impl std::fmt::Display) {
        if self.lost.is_none() {
            self.lost = print(line).err();
        }
    }

    /// Whether all lines were written, or are not wanted.
    pub fn finish(self) -> Outcome {
        match self.lost {
            Some(error) if !unheard(&error) => Err(Failure::Said),
            _ => Ok(()),
        }
    }
}
