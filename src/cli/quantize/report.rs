//! What `foveate quantize` prints, as JSON and as lines of text.

use foveate::eval::{Evaluation, Tally};
use foveate::quant::{Calibration, LayerCost, Options};
use foveate::{Model, Result};
use serde::Serialize;

use super::Quantize;
use super::work::Done;
use crate::cli::table::{Align, Table, grouped, shown};

/// The result, in the form of its JSON.
#[derive(Serialize)]
pub struct Report {
    schema_version: u32,
    output: String,
    model: String,
    source_sha256: String,
    options: Options,
    calibration: Option<Calibration>,
    /// Pictures that could not be read.
    unreadable: usize,
    /// Bytes of the model file without and with 8 bits.
    bytes: [usize; 2],
    layers: Vec<Layer>,
    /// Layers that `--keep-float auto` found.
    kept_by_search: Vec<String>,
    /// Of the network's output, with everything in 8 bits; absent if nothing was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_sqnr_db: Option<f64>,
    /// Calibration pictures with the same top-1 as before.
    same_top1: Share,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<Accuracy>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Layer {
    name: String,
    operator: &'static str,
    input_scale: Option<f32>,
    output_scale: Option<f32>,
    weight_scales: [f32; 2],
    /// In decibels; absent if nothing was lost.
    weight_sqnr_db: Option<f64>,
    alone_sqnr_db: Option<f64>,
    accumulated_sqnr_db: Option<f64>,
}

#[derive(Serialize)]
struct Share {
    count: u64,
    total: u64,
}

#[derive(Serialize)]
struct Accuracy {
    dir: String,
    float: Share,
    quantized: Share,
    /// Quantised minus float, in percentage points.
    difference_points: f64,
    /// Its 95 % interval.
    interval_points: [f64; 2],
}

impl Report {
    pub fn new(args: &Quantize, model: &Model, done: &Done, bytes: usize) -> Result<Self> {
        let quantization = done.quantized.simulation.quantization();
        let (same, all) = done.agreement;
        Ok(Report {
            schema_version: 1,
            output: args.output.display().to_string(),
            model: model.name().to_owned(),
            source_sha256: model.details().source_sha256.clone(),
            options: quantization.options.clone(),
            calibration: quantization.calibration.clone(),
            unreadable: done.unreadable,
            bytes: [model.to_bytes()?.len(), bytes],
            layers: done.costs.layers.iter().map(Layer::new).collect(),
            kept_by_search: done.found.clone(),
            output_sqnr_db: finite(done.costs.output.sqnr()),
            same_top1: Share { count: same as u64, total: all as u64 },
            accuracy: args.eval.as_ref().zip(done.evaluation.as_ref()).and_then(|(dir, e)| accuracy(dir, e)),
            notes: done.quantized.notes.clone(),
        })
    }

    pub fn lines(&self) -> Vec<String> {
        let mut table = Table::new([
            ("layer", Align::Left),
            ("input scale", Align::Right),
            ("weight scales", Align::Right),
            ("weights dB", Align::Right),
            ("alone dB", Align::Right),
            ("output dB", Align::Right),
        ]);
        for layer in &self.layers {
            table.row([
                shown(&layer.name),
                layer.input_scale.map_or_else(|| "float".into(), scale),
                if layer.weight_scales[0] == layer.weight_scales[1] {
                    scale(layer.weight_scales[0])
                } else {
                    format!("{}–{}", scale(layer.weight_scales[0]), scale(layer.weight_scales[1]))
                },
                decibels(layer.weight_sqnr_db),
                decibels(layer.alone_sqnr_db),
                decibels(layer.accumulated_sqnr_db),
            ]);
        }
        let mut lines = table.lines();
        let [before, after] = self.bytes;
        let Options { scheme, calibrator, granularity, equalize, bias_correct, keep_float, .. } = &self.options;
        let mut done = vec![format!("{scheme}"), format!("{calibrator}"), format!("{granularity}")];
        done.extend(equalize.then(|| "equalised".to_owned()));
        done.extend(bias_correct.then(|| "biases corrected".to_owned()));
        lines.push(format!("options: {}", done.join(", ")));
        if !keep_float.is_empty() {
            lines.push(format!("float: {}", keep_float.join(", ")));
        }
        if let Some(calibration) = &self.calibration {
            lines.push(format!("calibrated on {} pictures, SHA-256 {}", calibration.images, calibration.sha256));
        }
        lines.push(format!("output: {} dB", decibels(self.output_sqnr_db)));
        let Share { count, total } = self.same_top1;
        lines.push(format!("same top-1 as f32 on {count} of {total} calibration pictures"));
        if let Some(Accuracy { dir, float, quantized, difference_points, interval_points: [low, high] }) =
            &self.accuracy
        {
            let share =
                |s: &Share| format!("{:.2} % ({}/{})", 100.0 * s.count as f64 / s.total as f64, s.count, s.total);
            let scheme = self.options.scheme;
            lines.push(format!(
                "top-1 on {dir}: f32 {}, {scheme} {}, difference {difference_points:+.2} points (95 %: {low:+.2} to \
                 {high:+.2})",
                share(float),
                share(quantized)
            ));
        }
        let [grouped_before, grouped_after] = [before, after].map(|bytes| grouped(bytes as u64));
        let times = before as f64 / after as f64;
        lines.push(format!("{}: {grouped_after} bytes, f32 {grouped_before} ({times:.2}×)", self.output));
        lines
    }
}

impl Layer {
    fn new(cost: &LayerCost) -> Self {
        Layer {
            name: cost.name.clone(),
            operator: cost.operator,
            input_scale: cost.input_scale,
            output_scale: cost.output_scale,
            weight_scales: cost.weight_scales,
            weight_sqnr_db: finite(cost.weights.sqnr()),
            alone_sqnr_db: finite(cost.alone.sqnr()),
            accumulated_sqnr_db: finite(cost.accumulated.sqnr()),
        }
    }
}

fn accuracy(dir: &std::path::Path, evaluation: &Evaluation) -> Option<Accuracy> {
    let (second, paired, _) = evaluation.second.as_ref()?;
    let share = |tally: &Tally| Share { count: tally.all().top1, total: tally.all().total };
    Some(Accuracy {
        dir: dir.display().to_string(),
        float: share(&evaluation.first),
        quantized: share(second),
        difference_points: 100.0 * paired.difference(),
        interval_points: paired.interval().map(|end| 100.0 * end),
    })
}

/// JSON knows no infinity.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn decibels(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.1}"))
}

fn scale(value: f32) -> String {
    format!("{value:.3e}")
}
