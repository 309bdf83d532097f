//! `foveate analyze`.

mod page;
mod repair;
mod report;
mod work;

use std::path::PathBuf;

use foveate::checkpoint::model_file;
use foveate::{Error, Model, Result, analyze};

use super::args::{ModelArgs, at_least_one};
use super::{Failure, Outcome, output, say, source, tell};
use page::Page;
use report::{Contender, Report};

/// What the long help ends with; clap breaks the lines.
const NOTES: &str = "\
The paper is QARepVGG (Chu et al. 2022): a network bears 8 bits if its weights (condition C1) and its activations (C2) are \
distributed so that rounding them leaves enough. Quantisation here is the paper's plain scheme (symmetric, ranges by the \
largest magnitude, weights per output channel, activations per tensor), because what is asked is whether a network needs \
repairs; what `foveate quantize` makes of it is measured beside it.

The criterion: each layer's value before activation is computed with its weights alone in 8 bits (C1), and with what it \
reads alone in 8 bits (C2). The noise-to-signal ratios of all layers add up; a condition holds if the sum leaves 20 dB, \
noise of a hundredth of the signal. Where it does not, the layers are named that take more than their share.

Time: about (10 + 2 × layers) runs of the network for each picture, on the CPU: seconds for CIFAR networks, a minute or \
two with 16 pictures for RepVGG-A0 or RepNeXt-M0 on two cores, some twenty for the largest. --no-sensitivity leaves out \
the 2 × layers.

Pictures that cannot be read are named on stderr and left out; results are printed, and the exit code is 1.";

/// Arguments of `foveate analyze`.
#[derive(clap::Args)]
#[command(after_long_help = NOTES)]
pub struct Analyze {
    /// A checkpoint or model file, or the name of published weights (see `foveate pull --list`). Checkpoints in training
    /// form show more: branches and batch norms.
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// A second one, to be shown beside the first.
    #[arg(value_name = "MODEL_B")]
    pub other: Option<PathBuf>,
    /// Pictures like those that the network will see, in any folders.
    #[arg(long, value_name = "DIR")]
    pub calib: PathBuf,
    /// Write a page with all plots: one file that fetches nothing.
    #[arg(short, long, value_name = "FILE.html")]
    pub output: Option<PathBuf>,
    /// One line of JSON on stdout instead of the table and the verdict.
    #[arg(long)]
    pub json: bool,
    /// Take at most N calibration pictures, evenly spread over all.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_least_one())]
    pub calib_images: usize,
    /// The block or layer whose branches are plotted; the one that makes the activations worst for 8 bits if not given.
    #[arg(long, value_name = "NAME")]
    pub layer: Option<String>,
    /// The channel of it; the widest if not given.
    #[arg(long, value_name = "N")]
    pub channel: Option<usize>,
    /// Do not run the network with one layer at a time, more and more layers, and all with repairs, in 8 bits.
    #[arg(long)]
    pub no_sensitivity: bool,
    /// The architecture of MODEL, where its keys and shapes cannot tell it.
    #[arg(long, value_name = "NAME")]
    pub arch: Option<String>,
    /// The architecture of MODEL_B; that of MODEL if not given.
    #[arg(long, value_name = "NAME", requires = "other")]
    pub arch_b: Option<String>,
    /// Take the exponential moving average of the weights that training scripts keep beside them.
    #[arg(long, conflicts_with = "random")]
    pub use_ema: bool,
    /// Seeded random weights for named networks.
    #[arg(long, conflicts_with = "arch")]
    pub random: bool,
    /// The seed of --random.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "random")]
    pub seed: u64,
    /// Never open a connection: published weights are taken from the cache (also: FOVEATE_OFFLINE=1).
    #[arg(long)]
    pub offline: bool,
    /// Overwrite the page.
    #[arg(long, requires = "output")]
    pub force: bool,
}

impl Analyze {
    fn options(&self) -> analyze::Options {
        analyze::Options { layer: self.layer.clone(), channel: self.channel, sensitivity: !self.no_sensitivity }
    }

    /// The models that are wanted, with their architectures.
    fn sources(&self) -> impl Iterator<Item = (&PathBuf, Option<&String>)> {
        let other = self.other.as_ref().map(|other| (other, self.arch_b.as_ref().or(self.arch.as_ref())));
        [(&self.model, self.arch.as_ref())].into_iter().chain(other)
    }

    fn load(&self, (path, arch): (&PathBuf, Option<&String>)) -> Result<(Model, Option<Model>)> {
        let (model, arch) = (Some(path.clone()), arch.cloned());
        let Analyze { use_ema, random, seed, offline, .. } = *self;
        source::load_with_training(&ModelArgs { model, arch, use_ema, random, seed, offline })
    }
}

pub fn run(args: &Analyze) -> Outcome {
    args.output.as_ref().map_or(Ok(()), |file| output::check(file, args.force))?;
    let mut contenders = Vec::new();
    for source in args.sources() {
        let named = |error| if source.0 == &args.model { error } else { of_second(error) };
        let (model, training) = args.load(source).map_err(named)?;
        let (analysis, unreadable) = work::analyzed(args, &model, training.as_ref())?;
        contenders.push(Contender::new(args, source, &model, analysis, unreadable));
    }
    let report = Report::new(args, contenders);
    if let Some(file) = &args.output {
        model_file::write_file(file, Page(&report).to_string().as_bytes())?;
        tell(format_args!("{}: the page with all plots", file.display()));
    }
    if args.json {
        say(serde_json::to_string(&report).map_err(Error::argument)?);
    } else {
        report.lines().iter().for_each(say);
    }
    match report.unreadable() {
        0 => Ok(()),
        bad => {
            tell(format_args!("error: {bad} pictures could not be read and were left out"));
            Err(Failure::Said)
        }
    }
}

/// The second model's architecture has an option of its own.
fn of_second(error: Error) -> Error {
    match error {
        Error::Weights { model, reason } => Error::Weights { model, reason: reason.replace("--arch", "--arch-b") },
        other => other,
    }
}
