//! What `foveate analyze` prints, as JSON and as lines of text.

use std::path::PathBuf;

use foveate::Model;
use foveate::analyze::{Analysis, NoiseLevel};
use serde::Serialize;

use super::{Analyze, repair};
use crate::cli::table::{Align, Table, WIDTH, shown, wrap};

/// The result, in the form of its JSON.
#[derive(Serialize)]
pub struct Report {
    schema_version: u32,
    /// The folder of calibration pictures.
    pub calib: String,
    /// One model or two.
    pub models: Vec<Contender>,
}

/// One model.
#[derive(Serialize)]
pub struct Contender {
    /// What tells it from the other.
    pub label: String,
    /// Where it comes from.
    pub source: String,
    /// Name of the network.
    pub name: String,
    source_sha256: String,
    /// The verdict in words.
    pub sentences: Vec<String>,
    /// What quantises it, with repairs as far as they are needed; absent for random weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Pictures that could not be read.
    unreadable: usize,
    #[serde(flatten)]
    pub analysis: Analysis,
}

impl Contender {
    pub fn new(
        args: &Analyze,
        (path, arch): (&PathBuf, Option<&String>),
        model: &Model,
        analysis: Analysis,
        unreadable: usize,
    ) -> Self {
        let stem = path.file_stem().map_or_else(|| path.to_string_lossy(), |stem| stem.to_string_lossy());
        let mut sentences = analysis.verdict.sentences();
        sentences.extend(measured(&analysis));
        Contender {
            label: stem.into_owned(),
            source: path.display().to_string(),
            name: model.name().to_owned(),
            source_sha256: model.details().source_sha256.clone(),
            sentences,
            command: repair::command(args, path, arch, &analysis),
            unreadable,
            analysis,
        }
    }

    /// What the command is for.
    pub fn advice(&self) -> &'static str {
        match (self.analysis.verdict.holds(), repair::falls_short(&self.analysis)) {
            (true, false) => "No repair is needed. This quantises it:",
            (false, false) => "This quantises it with the repairs that need no training:",
            (_, true) => "Repairs alone fall short. This also finds the layers that have to stay float:",
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut table = Table::new([
            ("layer", Align::Left),
            ("weight range", Align::Right),
            ("std", Align::Right),
            ("before activation", Align::Right),
            ("std", Align::Right),
            ("C1 dB", Align::Right),
            ("C2 dB", Align::Right),
            ("alone dB", Align::Right),
            ("so far dB", Align::Right),
        ]);
        let sensitivity = self.analysis.sensitivity.as_ref();
        for (at, layer) in self.analysis.layers.iter().enumerate() {
            let weights = layer.weights.iter().max_by(|a, b| a.spread.max_abs().total_cmp(&b.spread.max_abs()));
            let made = &layer.before_activation;
            let cost = |costs: Option<&Vec<foveate::analyze::Cost>>| {
                costs.and_then(|costs| costs.get(at)).map_or_else(|| "–".to_owned(), |cost| decibels(cost.noise))
            };
            table.row([
                shown(&layer.name),
                weights.map_or_else(String::new, |w| range(w.spread.min, w.spread.max)),
                weights.map_or_else(String::new, |w| number(w.spread.std)),
                range(made.min, made.max),
                number(made.std),
                decibels(layer.weight_noise),
                decibels(layer.input_noise),
                cost(sensitivity.map(|s| &s.alone)),
                cost(sensitivity.map(|s| &s.cumulative)),
            ]);
        }
        let mut lines = vec![format!("{} ({})", shown(&self.source), self.name)];
        lines.extend(table.lines());
        lines.extend(self.sentences.iter().flat_map(|sentence| wrap(&shown(sentence), WIDTH)));
        if let Some(command) = &self.command {
            lines.push(self.advice().to_owned());
            lines.push(format!("  {}", shown(command)));
        }
        lines
    }
}

impl Report {
    pub fn new(args: &Analyze, mut models: Vec<Contender>) -> Self {
        // Two files of one name, in different folders.
        if let [a, b] = &mut models[..]
            && a.label == b.label
        {
            (a.label, b.label) = (a.source.clone(), b.source.clone());
        }
        Report { schema_version: 1, calib: args.calib.display().to_string(), models }
    }

    pub fn unreadable(&self) -> usize {
        self.models.iter().map(|model| model.unreadable).max().unwrap_or(0)
    }

    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for model in &self.models {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            lines.extend(model.lines());
        }
        lines
    }
}

/// What running the network showed, in words.
fn measured(analysis: &Analysis) -> Vec<String> {
    let pictures = analysis.calibration.images;
    let whole = analysis.sensitivity.as_ref().and_then(|s| s.cumulative.last());
    let plain = whole.map(|cost| {
        let (db, changed) = (decibels(cost.noise), cost.top1_changed);
        format!("Measured with the whole network in plain 8 bits: {db} dB, another top-1 on {changed} of {pictures}.")
    });
    let repaired = analysis.repaired.as_ref().map(|cost| {
        let (db, changed) = (decibels(cost.noise), cost.top1_changed);
        format!("As foveate quantize makes it by default: {db} dB, another top-1 on {changed} of {pictures}.")
    });
    plain.into_iter().chain(repaired).collect()
}

/// A ratio in decibels, `∞` without any noise.
pub fn decibels(noise: NoiseLevel) -> String {
    noise.sqnr_db.map_or_else(|| "∞".to_owned(), |db| format!("{db:.1}"))
}

/// `-1.2 … 3.4`.
pub fn range(low: f64, high: f64) -> String {
    format!("{} … {}", number(low), number(high))
}

/// Three digits, without an exponent where it can be read without.
pub fn number(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        0.0 => "0".to_owned(),
        _ if !(1e-3..1e5).contains(&size) => format!("{value:.1e}"),
        _ => {
            let digits = (2.0 - size.log10().floor()).clamp(0.0, 5.0);
            format!("{value:.*}", digits as usize)
        }
    };
    text.replace('-', "−")
}
