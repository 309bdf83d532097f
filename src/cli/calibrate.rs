//! Ranges of activations from calibration pictures, with progress: for `quantize`, and for `--precision w8a8`.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use foveate::eval::Unreadable;
use foveate::proof::Proof;
use foveate::quant::{self, CalibrationSet, Options, Quantizer, Stage};
use foveate::{Error, Model, Precision, Result};
use indicatif::{ProgressBar, ProgressStyle};

use super::args::{PrecisionArg, at_least_one};
use super::{progress, tell};

/// In which number format.
#[derive(ClapArgs)]
pub struct PrecisionArgs {
    /// Number format: f16 stores activations and weights as 16-bit floats (f32 instead where a self-test fails), w8
    /// rounds weights to 8 bits, w8a8 activations too (with --calib, unless the file holds their ranges, or --random);
    /// auto takes what is fastest on the device (measured by `foveate tune --precision auto`, or else by rule) of the
    /// formats that round nothing further than the file does, or than --calib makes it; what the model file holds if
    /// not given.
    #[arg(long, value_enum)]
    pub precision: Option<PrecisionArg>,
    /// Pictures like those that the network will see, for --precision w8a8 or auto: the network is quantised in memory as
    /// `foveate quantize` does it by default.
    #[arg(long, value_name = "DIR", requires = "precision")]
    pub calib: Option<PathBuf>,
    /// Take at most N calibration pictures, evenly spread over all.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one(), requires = "calib")]
    pub calib_images: usize,
}

impl PrecisionArgs {
    /// The model as it is to be opened: for w8a8, a float one is quantised by the calibration pictures, or if it is
    /// `random` by noise.
    ///
    /// # Errors
    /// For calibration pictures that are not wanted, missing, or cannot be used.
    pub fn apply(&self, model: Model, random: bool) -> Result<Model> {
        let wants = match self.precision {
            Some(PrecisionArg::Auto) => self.calib.is_some(),
            other => matches!(other, Some(PrecisionArg::W8a8)),
        };
        if self.calib.is_some() && !wants {
            return Err(Error::argument(
                "--calib is for --precision w8a8 or auto; no other format needs calibration pictures",
            ));
        }
        if !wants || model.precision() == Precision::W8a8 {
            if self.calib.is_some() {
                tell(format_args!("{}: the file holds ranges of its own; --calib is not used", model.name()));
            }
            return Ok(model);
        }
        match &self.calib {
            Some(dir) => quantized(&model, dir, self.calib_images),
            None if random => {
                tell(format_args!("{}: random weights, calibrated on noise", model.name()));
                progress::during("calibrating on noise", || quant::calibrated_on_noise(&model))
            }
            // Says what is missing.
            None => model.with_precision(Precision::W8a8),
        }
    }
}

/// Quantises in memory, in the default way.
fn quantized(model: &Model, dir: &Path, images: usize) -> Result<Model> {
    let (set, unreadable) = pictures(model, dir, images)?;
    if unreadable > 0 {
        tell(format_args!("warning: {unreadable} calibration pictures could not be read and were left out"));
    }
    let bar = Bar::new();
    let on = &mut |stage, at, of| bar.show(stage, at, of);
    let quantizer = Quantizer::new(model, Some(set.clone()), Options::default(), on)?;
    let quantized = quantizer.quantize(&[], on)?;
    bar.hide();
    quantized.notes.iter().for_each(|note| tell(format_args!("{}: {note}", model.name())));
    tell(format_args!("{}: quantised in memory, calibrated on {} pictures", model.name(), set.inputs().len()));
    Ok(quantized.model)
}

/// Reads calibration pictures; those that cannot be read are named on stderr, and counted.
pub fn pictures(model: &Model, dir: &Path, images: usize) -> Result<(CalibrationSet, usize)> {
    let bar = progress::pictures(quant::count_pictures(dir, images)?);
    let mut unreadable = 0;
    let set = CalibrationSet::folder(dir, model.preprocess(), images, &mut |failed| {
        if let Some(Unreadable { error, .. }) = failed {
            unreadable += 1;
            bar.suspend(|| tell(format_args!("error: {error}")));
        }
        bar.inc(1);
    });
    bar.finish_and_clear();
    Ok((set?, unreadable))
}

/// What equalisation did.
pub fn tell_proof(bar: &Bar, model: &Model, quantizer: &Quantizer) {
    if let Some(Proof { max_abs, max_rel, input, .. }) = quantizer.proof() {
        bar.tell(format_args!(
            "{}: channel ranges moved; max |before − after| = {max_abs:.1e} (relative {max_rel:.1e}) on a seeded \
             {input} input",
            model.name()
        ));
    }
}

/// One bar for all stages.
pub struct Bar(RefCell<Option<(Stage, ProgressBar)>>);

impl Bar {
    pub fn new() -> Self {
        Bar(RefCell::new(None))
    }

    pub fn show(&self, stage: Stage, at: usize, of: usize) {
        let mut current = self.0.borrow_mut();
        if current.as_ref().is_none_or(|(shown, _)| *shown != stage) {
            if let Some((_, bar)) = current.take() {
                bar.finish_and_clear();
            }
            let bar = ProgressBar::new(of as u64).with_message(words(stage));
            let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}");
            *current = Some((stage, style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)));
        }
        if let Some((_, bar)) = current.as_ref() {
            bar.set_position(at as u64);
        }
    }

    pub fn hide(&self) {
        if let Some((_, bar)) = self.0.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }

    pub fn tell(&self, line: impl std::fmt::Display) {
        self.hide();
        tell(line);
    }
}

fn words(stage: Stage) -> &'static str {
    match stage {
        Stage::Observing => "looking at ranges",
        Stage::Equalizing => "moving ranges",
        Stage::ObservingAgain => "looking at ranges again",
        Stage::Choosing => "trying calibrators",
        Stage::Correcting => "correcting biases",
        Stage::Ranking => "one layer at a time",
    }
}
