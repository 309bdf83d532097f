//! `foveate quantize`.

mod report;
mod work;

use std::path::PathBuf;

use clap::ValueEnum;
use foveate::checkpoint::model_file;
use foveate::quant::{Calibrator, Granularity, Options, Scheme};
use foveate::{Error, Result, labels};

use super::args::{ModelArgs, at_least_one};
use super::{Failure, Outcome, output, say, source, tell};
use report::Report;

/// What the long help ends with; clap breaks the lines.
const NOTES: &str = "\
Symmetric uniform 8 bits, as in the QARepVGG paper (4.1): one scale per output channel of a weight, one per activation, \
the inputs of every layer, first and last included. The default repairs what can be repaired without training: channel \
ranges are moved between layers, which changes nothing of the float network (the proof is printed), and the mean error of \
every channel is taken out of its bias. The papers' plain scheme is --calibrator max --no-equalize --no-bias-correct.

The table's ratios (SQNR, in decibels: higher is better, 20 dB is a tenth of the signal) are those of each layer's \
weights, of its output if it alone is in 8 bits, and of its output with everything in 8 bits.

Calibration pictures that cannot be read are named on stderr and left out; the model is written, and the exit code is 1.";

/// Arguments of `foveate quantize`.
#[derive(clap::Args)]
#[command(after_long_help = NOTES)]
pub struct Quantize {
    /// A checkpoint or model file, or the name of published weights (see `foveate pull --list`).
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Pictures like those that the network will see, in any folders; a hundred or more.
    #[arg(long, value_name = "DIR")]
    pub calib: PathBuf,
    /// Where to write the model file.
    #[arg(short, long, value_name = "FILE.safetensors")]
    pub output: PathBuf,
    /// What is held in 8 bits: weights, or weights and activations.
    #[arg(long, value_enum, default_value_t = SchemeArg::W8a8)]
    pub scheme: SchemeArg,
    /// How activations' ranges are found.
    #[arg(long, value_enum, default_value_t = CalibratorArg::Auto)]
    pub calibrator: CalibratorArg,
    /// Per cent of the values that --calibrator percentile keeps within the range.
    #[arg(long, value_name = "P", default_value_t = Options::default().percentile)]
    pub percentile: f64,
    /// Scales of a weight: one for each output channel, or one.
    #[arg(long, value_enum, default_value_t = GranularityArg::PerChannel)]
    pub granularity: GranularityArg,
    /// Layers that stay float, by the names of their nodes, with commas between them; `auto` finds the fewest that bring
    /// the drop to --max-drop.
    #[arg(long, value_name = "NODE,…|auto", value_delimiter = ',')]
    pub keep_float: Vec<String>,
    /// The largest drop of --keep-float auto, in percentage points: of top-1 on --eval, or else of answers that stay the
    /// same on the calibration pictures.
    #[arg(long, value_name = "POINTS", default_value_t = 0.5, requires = "keep_float")]
    pub max_drop: f64,
    /// Leave the channels' ranges where they are.
    #[arg(long)]
    pub no_equalize: bool,
    /// Leave the biases as they are.
    #[arg(long)]
    pub no_bias_correct: bool,
    /// Take at most N calibration pictures, evenly spread over all.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one())]
    pub calib_images: usize,
    /// Count right answers before and after on the pictures in this folder, a folder per class.
    #[arg(long, value_name = "DIR")]
    pub eval: Option<PathBuf>,
    /// The architecture of the file, where its keys and shapes cannot tell it.
    #[arg(long, value_name = "NAME")]
    pub arch: Option<String>,
    /// Take the exponential moving average of the weights that training scripts keep beside them.
    #[arg(long)]
    pub use_ema: bool,
    /// Never open a connection: published weights are taken from the cache (also: FOVEATE_OFFLINE=1).
    #[arg(long)]
    pub offline: bool,
    /// Names of the classes to be put into the file: a file with one per line, or a built-in set; the model's own if not
    /// given.
    #[arg(long, value_name = "FILE|imagenet1k|cifar10")]
    pub labels: Option<PathBuf>,
    /// One line of JSON on stdout instead of the table.
    #[arg(long)]
    pub json: bool,
    /// Overwrite the output.
    #[arg(long)]
    pub force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum SchemeArg {
    W8,
    W8a8,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum CalibratorArg {
    /// The one of mse, percentile and max that leaves the least noise in a trial on some of the pictures.
    Auto,
    /// The largest magnitude.
    Max,
    /// The magnitude that --percentile per cent do not exceed.
    Percentile,
    /// The range with the least squared error, for weights too.
    Mse,
    /// The range with the least Kullback–Leibler divergence.
    Entropy,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum GranularityArg {
    PerChannel,
    PerTensor,
}

/// What `--keep-float` takes for a search.
const AUTO: &str = "auto";

impl Quantize {
    fn options(&self) -> Result<Options> {
        let auto = self.keep_float.iter().any(|name| name == AUTO);
        if auto && self.keep_float.len() > 1 {
            return Err(Error::argument("--keep-float takes names of nodes, or auto, not both"));
        }
        if !(self.max_drop.is_finite() && self.max_drop >= 0.0) {
            return Err(Error::argument(format!("--max-drop is {}, a number from 0 on is wanted", self.max_drop)));
        }
        let options = Options {
            scheme: match self.scheme {
                SchemeArg::W8 => Scheme::W8,
                SchemeArg::W8a8 => Scheme::W8a8,
            },
            calibrator: match self.calibrator {
                CalibratorArg::Auto => Calibrator::Auto,
                CalibratorArg::Max => Calibrator::Max,
                CalibratorArg::Percentile => Calibrator::Percentile,
                CalibratorArg::Mse => Calibrator::Mse,
                CalibratorArg::Entropy => Calibrator::Entropy,
            },
            percentile: self.percentile,
            granularity: match self.granularity {
                GranularityArg::PerChannel => Granularity::PerChannel,
                GranularityArg::PerTensor => Granularity::PerTensor,
            },
            equalize: !self.no_equalize,
            bias_correct: !self.no_bias_correct,
            keep_float: if auto { Vec::new() } else { self.keep_float.clone() },
        };
        options.check()?;
        Ok(options)
    }

    fn is_auto(&self) -> bool {
        self.keep_float.first().is_some_and(|name| name == AUTO)
    }
}

pub fn run(args: &Quantize) -> Outcome {
    output::check(&args.output, args.force)?;
    let options = args.options()?;
    let (arch, use_ema, offline) = (args.arch.clone(), args.use_ema, args.offline);
    let named = ModelArgs { model: Some(args.model.clone()), arch, use_ema, random: false, offline, seed: 0 };
    let mut model = source::load(&named)?;
    if let Some(file) = &args.labels {
        model = model.with_labels(labels::read(file)?)?;
    }
    let done = work::quantize(args, options, &model)?;
    let bytes = done.quantized.model.to_bytes()?;
    model_file::write_file(&args.output, &bytes)?;
    let report = Report::new(args, &model, &done, bytes.len())?;
    if args.json {
        say(serde_json::to_string(&report).map_err(Error::argument)?);
    } else {
        report.lines().iter().for_each(say);
    }
    if done.unreadable == 0 {
        return Ok(());
    }
    tell(format_args!("error: {} pictures could not be read and were left out; the model is written", done.unreadable));
    Err(Failure::Said)
}
