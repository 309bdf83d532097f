//! The work of `foveate quantize`, with progress.

use foveate::dataset::{ClassIndex, Dataset};
use foveate::eval::{self, Evaluation, Progress};
use foveate::quant::{self, CalibrationSet, Costs, Options, Part, Quantized, Quantizer};
use foveate::{DeviceChoice, Model, Precision, Result, Session};

use super::Quantize;
use crate::cli::calibrate::{self, Bar};
use crate::cli::{progress, tell};

/// Inputs on which the costs of layers are measured.
const MEASURED: usize = 16;

/// Pictures per run.
const BATCH: usize = 8;

/// What was done.
pub struct Done {
    pub quantized: Quantized,
    /// Layers that the search left float.
    pub found: Vec<String>,
    pub costs: Costs,
    /// Top-1 agreement with the float network on the calibration pictures, and their number.
    pub agreement: (usize, usize),
    pub evaluation: Option<Evaluation>,
    pub unreadable: usize,
}

pub fn quantize(args: &Quantize, options: Options, model: &Model) -> Result<Done> {
    let dataset = args.eval.as_ref().map(|dir| Dataset::folder(dir, &ClassIndex::of(model))).transpose()?;
    let (set, unreadable) = calibrate::pictures(model, &args.calib, args.calib_images)?;
    let bar = Bar::new();
    let quantizer = Quantizer::new(model, Some(set.clone()), options, &mut |stage, at, of| bar.show(stage, at, of))?;
    calibrate::tell_proof(&bar, model, &quantizer);
    let on = &mut |stage, at, of| bar.show(stage, at, of);
    let (quantized, found) = if args.is_auto() {
        let mut drop = |quantized: &Quantized| -> Result<f64> {
            let drop = match &dataset {
                Some(dataset) => {
                    bar.hide();
                    100.0 * lost(&evaluated(model, &quantized.model, dataset)?)
                }
                None => {
                    let (same, all) = agreement(quantized, &set)?;
                    100.0 * (all - same) as f64 / all as f64
                }
            };
            let kept = quantized.simulation.quantization().options.keep_float.len();
            bar.tell(format_args!("{}: {kept} layers float, {drop:.2} points lost", model.name()));
            Ok(drop)
        };
        quant::keep_fewest(&quantizer, &set, args.max_drop, &mut drop, on)?
    } else {
        (quantizer.quantize(&[], on)?, Vec::new())
    };
    bar.hide();
    quantized.notes.iter().for_each(|note| tell(format_args!("{}: {note}", model.name())));
    let costs = progress::during("measuring layers", || Costs::of(&quantized.simulation, &set, MEASURED))?;
    let agreement = progress::during("comparing answers", || agreement(&quantized, &set))?;
    let evaluation = dataset.map(|dataset| evaluated(model, &quantized.model, &dataset)).transpose()?;
    let unreadable = unreadable + evaluation.as_ref().map_or(0, |evaluation| evaluation.unreadable.len());
    Ok(Done { quantized, found, costs, agreement, evaluation, unreadable })
}

/// On how many of the inputs both forms say the same, and how many there are.
fn agreement(quantized: &Quantized, set: &CalibrationSet) -> Result<(usize, usize)> {
    let [float, whole] = [Part::Nothing, Part::Everything].map(|part| quantized.simulation.with(part));
    let (float, whole) = (float?, whole?);
    let mut agreement = eval::Agreement::default();
    for input in set.inputs() {
        agreement.add(float.run(input)?.data(), whole.run(input)?.data());
    }
    Ok((agreement.same_top1 as usize, set.inputs().len()))
}

/// Both forms on labelled pictures, on the CPU.
fn evaluated(before: &Model, after: &Model, dataset: &Dataset) -> Result<Evaluation> {
    let open = |model: &Model, precision: Precision| {
        let builder = Session::builder().model(model.clone()).device(DeviceChoice::Cpu).batch(BATCH);
        pollster::block_on(builder.precision(precision).load())
    };
    let (mut first, mut second) = (open(before, Precision::F32)?, open(after, after.precision())?);
    let bar = progress::pictures(dataset.samples().len());
    let evaluation = eval::evaluate(&mut first, Some(&mut second), dataset, &mut |progress| {
        if let Progress::Unreadable(unreadable) = progress {
            bar.suspend(|| tell(format_args!("error: {}", unreadable.error)));
        }
        bar.inc(1);
    });
    bar.finish_and_clear();
    evaluation
}

/// Part of the pictures that were lost.
fn lost(evaluation: &Evaluation) -> f64 {
    evaluation.second.as_ref().map_or(0.0, |(_, paired, _)| -paired.difference())
}
