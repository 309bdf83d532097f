//! What stands above the table of layers: a line or a few per fact, names on the left.

use foveate::checkpoint::{Average, Contents, FileFacts, Ignored, Naming, Why};
use foveate::describe::{BlockLayout, ModelInfo};
use foveate::models::Form;

use crate::cli::table::{WIDTH, grouped, rounded, shown, wrap};

/// Width of the names on the left, with the space behind them.
const NAMES: usize = 13;

/// How many names a line lists before it only counts.
const LISTED: usize = 4;

/// The form that the layers of a file are in, in words.
pub fn stored(info: &ModelInfo) -> &'static str {
    match info.form {
        Some(Form::Fused) => "as in the file, fused",
        Some(Form::Train) => "as in the file, training form",
        None => "training form",
    }
}

/// Collects lines.
#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    /// A fact; the second line of a long one is indented to the first's.
    fn fact(&mut self, name: &str, text: impl AsRef<str>) {
        for (i, line) in wrap(&shown(text.as_ref()), WIDTH - NAMES).into_iter().enumerate() {
            let name = if i == 0 { name } else { "" };
            self.0.push(format!("{name:NAMES$}{line}").trim_end().to_owned());
        }
    }

    /// Several facts of one name.
    fn facts(&mut self, name: &str, texts: impl IntoIterator<Item = String>) {
        texts.into_iter().enumerate().for_each(|(i, text)| self.fact(if i == 0 { name } else { "" }, text));
    }
}

/// All but the layers.
pub fn lines(info: &ModelInfo) -> Vec<String> {
    let mut lines = Lines::default();
    network(info, &mut lines);
    match &info.file {
        Some(file) => weights(info, file, &mut lines),
        None => lines.fact("file", "none: no weights are at hand, this is what the name stands for"),
    }
    let more = info.kept.len().saturating_sub(LISTED);
    let kept = info.kept.iter().take(LISTED).map(|note| format!("{}: {}", note.node, note.what));
    lines.facts("kept", kept.chain((more > 0).then(|| format!("and {more} more; --json lists them"))));
    lines.facts("note", info.notes.iter().cloned());
    lines.0
}

fn network(info: &ModelInfo, lines: &mut Lines) {
    lines.fact("family", info.family_name.unwrap_or("none that is known"));
    lines.fact("variant", &info.architecture);
    lines.fact(
        "form",
        match info.form {
            Some(Form::Train) => "training: branches are still apart",
            Some(Form::Fused) => "fused",
            None => "no weights",
        },
    );
    let join = |values: Vec<String>| values.join("-");
    let blocks = join(info.stages.iter().map(|stage| stage.blocks.to_string()).collect());
    let widths = join(info.stages.iter().map(|stage| stage.output.channels.to_string()).collect());
    if !info.stages.is_empty() {
        lines.fact("stages", format!("{} with the stem: blocks {blocks}, widths {widths}", info.stages.len()));
    }
    branches(info, lines);
    let labels = match &info.labels {
        None => "their names are not known".to_owned(),
        Some(labels) => {
            let from = if labels.built_in { "built in" } else { "in the file" };
            let first: Vec<&str> = labels.names.iter().take(LISTED).map(String::as_str).collect();
            let more = if labels.names.len() > LISTED { ", …" } else { "" };
            format!("{} names {from}: {}{more}", labels.names.len(), first.join(", "))
        }
    };
    lines.fact("classes", format!("{}; {labels}", info.classes));
    lines.fact("input", info.input.to_string());
    lines.facts("pictures", preprocess(info));
    let both = |stored: String, fused: String| {
        if stored == fused {
            stored
        } else {
            format!("{stored} {}, {fused} fused", if info.form.is_some() { "in the file" } else { "in training form" })
        }
    };
    lines.fact("parameters", both(grouped(info.stored.parameters), grouped(info.fused.parameters)));
    lines.fact("MACs", format!("{} ({}) fused, at {}", rounded(info.fused.macs), grouped(info.fused.macs), info.input));
}

fn preprocess(info: &ModelInfo) -> [String; 2] {
    let preprocess = &info.preprocess;
    let [rows, columns] = preprocess.crop;
    let filter = format!("{:?}", preprocess.resize.filter).to_lowercase();
    let list = |values: [f32; 3]| values.map(|v| v.to_string()).join(" ");
    let geometry = format!(
        "shorter side to {} ({filter}), centre {rows}×{columns} (crop ratio {:.3})",
        preprocess.resize.shorter, info.crop_ratio
    );
    [geometry, format!("mean {}, std {}", list(preprocess.mean), list(preprocess.std))]
}

fn branches(info: &ModelInfo, lines: &mut Lines) {
    let Some(branches) = &info.branches else { return };
    if let Some(kind) = branches.kind {
        let variant = branches.variant.map_or(String::new(), |variant| format!("{variant}: "));
        lines.fact("batch norms", format!("{variant}{kind}"));
    }
    let layout = |layout: &BlockLayout| {
        let (count, first) = (layout.blocks.len(), layout.blocks.first().map_or("", String::as_str));
        let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        format!("{layout}: {first}{more}")
    };
    lines.facts("branches", branches.layouts.iter().map(layout));
}

fn weights(info: &ModelInfo, file: &FileFacts, lines: &mut Lines) {
    let kind = match file.contents {
        Contents::StateDict => file.container.to_string(),
        contents => format!("{}, {contents}", file.container),
    };
    lines.fact("file", format!("{kind}, {}B ({} bytes)", spaced(rounded(file.bytes)), grouped(file.bytes)));
    let formats = file
        .formats
        .iter()
        .map(|(format, count)| format!("{format}: {} of {} numbers", tensors(count.tensors), grouped(count.values)));
    lines.fact("tensors", formats.collect::<Vec<_>>().join("; "));
    lines.fact(
        "averages",
        match file.average {
            Average::Absent => "no exponential moving average",
            Average::Beside => "an exponential moving average beside these weights; --use-ema takes it",
            Average::Taken => "these are an exponential moving average",
        },
    );
    lines.fact("SHA-256", &file.sha256);
    if let Some(source) = info.source_sha256.as_ref().filter(|source| **source != file.sha256) {
        lines.fact("made from", format!("SHA-256 {source}"));
    }
    let naming = match file.naming {
        None => "by the graph in the file",
        Some(Naming::Official) => "official",
        Some(Naming::Timm) => "timm's",
    };
    lines.fact("names", naming);
    let prefix = (!file.prefix.is_empty()).then(|| format!("{:?} taken off every name", file.prefix));
    let rules = file.renamings.iter().map(|rule| format!("{} → {} ({})", rule.from, rule.to, tensors(rule.tensors)));
    lines.facts("renamed", prefix.into_iter().chain(rules));
    lines.facts("ignored", ignored(&info.ignored));
}

/// `8.31 M` as `8.31 M`, `12` as `12 `: what a unit follows.
fn spaced(number: String) -> String {
    if number.contains(' ') { number } else { number + " " }
}

fn tensors(count: u64) -> String {
    format!("{} {}", grouped(count), if count == 1 { "tensor" } else { "tensors" })
}

/// A line for each reason, with the first names.
fn ignored(ignored: &[Ignored]) -> Vec<String> {
    let mut reasons: Vec<Why> = ignored.iter().map(|ignored| ignored.why).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let line = |why: Why| {
        let names: Vec<&str> = ignored.iter().filter(|i| i.why == why).map(|i| i.name.as_str()).collect();
        // What surrounds the weights differs from entry to entry; of the others a few tell the rest.
        let listed = names.len().min(if why == Why::Wrapper { 4 * LISTED } else { LISTED / 2 });
        let more = if names.len() > listed { ", …" } else { "" };
        format!("{} {why}: {}{more}", names.len(), names[..listed].join(", "))
    };
    reasons.into_iter().map(line).collect()
}
