//! The work of `foveate analyze`, with progress.

use foveate::analyze::{self, Analysis, Progress, Stage};
use foveate::eval::Unreadable;
use foveate::quant::{CalibrationSet, count_pictures};
use foveate::{Model, Result};
use indicatif::{ProgressBar, ProgressStyle};

use super::Analyze;
use crate::cli::{progress, tell};

/// Analyses a model. Also returns how many pictures could not be read.
pub fn analyzed(args: &Analyze, model: &Model, training: Option<&Model>) -> Result<(Analysis, usize)> {
    let (set, unreadable) = calibration(args, model)?;
    let mut bar = Bar(None);
    let training = training.map(Model::graph);
    let analysis = analyze::analyze(model, training, &set, &args.options(), &mut |at| bar.show(at));
    bar.clear();
    Ok((analysis?, unreadable))
}

fn calibration(args: &Analyze, model: &Model) -> Result<(CalibrationSet, usize)> {
    let bar = progress::pictures(count_pictures(&args.calib, args.calib_images)?);
    let mut unreadable = 0;
    let set = CalibrationSet::folder(&args.calib, model.preprocess(), args.calib_images, &mut |failed| {
        if let Some(Unreadable { error, .. }) = failed {
            unreadable += 1;
            bar.suspend(|| tell(format_args!("error: {error}")));
        }
        bar.inc(1);
    });
    bar.finish_and_clear();
    Ok((set?, unreadable))
}

/// One bar for all stages, the one that stands.
struct Bar(Option<(Stage, ProgressBar)>);

impl Bar {
    fn show(&mut self, Progress { stage, done, total }: Progress) {
        if self.0.as_ref().is_none_or(|(shown, _)| *shown != stage) {
            self.clear();
            let bar = ProgressBar::new(total as u64).with_message(words(stage));
            let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}, {eta} left");
            self.0 = Some((stage, style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)));
        }
        if let Some((_, bar)) = &self.0 {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        }
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

fn words(stage: Stage) -> &'static str {
    match stage {
        Stage::Ranges => "looking at activations",
        Stage::Noise => "each layer by itself",
        Stage::Branches => "branches of a block",
        Stage::Sensitivity => "layers in 8 bits",
        Stage::Repair => "quantising with repairs",
    }
}
