//! The page: one file that fetches nothing, for light and dark screens, wide and narrow.

mod axis;
mod chart;
mod figures;

use std::fmt;

use foveate::analyze::BUDGET_DB;

use super::report::{Contender, Report, decibels};
use crate::cli::html::escape;

/// The page of a report.
pub struct Page<'a>(pub &'a Report);

/// Styles are the page's own; nothing else may be loaded or run, whatever names come from files.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let models = &self.0.models;
        let names: Vec<&str> = models.iter().map(|model| model.label.as_str()).collect();
        let title = format!("What 8 bits make of {}", escape(&names.join(" and ")));
        f.write_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")?;
        writeln!(f, "<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">")?;
        f.write_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")?;
        writeln!(f, "<title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>", include_str!("page.css"))?;
        writeln!(f, "<header><h1>{title}</h1>")?;
        self.legend(f)?;
        f.write_str("</header>\n<nav aria-label=\"Sections\">")?;
        for (id, name) in SECTIONS {
            write!(f, "<a href=\"#{id}\">{name}</a>")?;
        }
        f.write_str("</nav>\n<main>\n")?;
        self.verdict(f)?;
        self.weights(f)?;
        self.norms(f)?;
        self.activations(f)?;
        self.sensitivity(f)?;
        f.write_str("</main>\n</body>\n</html>\n")
    }
}

/// Ids and titles of the sections.
const SECTIONS: [(&str, &str); 5] = [
    ("verdict", "Verdict"),
    ("c1", "C1: weights"),
    ("norms", "Batch norms"),
    ("c2", "C2: activations"),
    ("sensitivity", "Sensitivity"),
];

fn open(f: &mut fmt::Formatter<'_>, section: usize) -> fmt::Result {
    let (id, title) = SECTIONS[section];
    writeln!(f, "<section id=\"{id}\">\n<h2>{title}</h2>")
}

impl Page<'_> {
    fn legend(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<ul class=\"legend\">\n")?;
        for (at, model) in self.0.models.iter().enumerate() {
            let pictures = model.analysis.calibration.images;
            let plural = if pictures == 1 { "" } else { "s" };
            let [label, name, source, calib] =
                [&model.label, &model.name, &model.source, &self.0.calib].map(|text| escape(text));
            write!(f, "<li><span class=\"key {}\"></span><b>{label}</b> ", chart::class(at))?;
            writeln!(f, "<span class=\"soft\">{name}, {source}, on {pictures} picture{plural} of {calib}</span></li>")?;
        }
        f.write_str("</ul>\n")
    }

    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        open(f, 0)?;
        f.write_str("<div class=\"panels\">\n")?;
        for (at, model) in self.0.models.iter().enumerate() {
            card(f, at, model)?;
        }
        f.write_str("</div>\n<details><summary>How this is judged</summary>\n")?;
        writeln!(
            f,
            "<p>A network bears 8 bits if its weights (condition C1 of the QARepVGG paper) and its activations (C2) are \
             distributed so that rounding leaves enough of them. Here every layer's value before activation is computed \
             three times: exactly, with only its weights in 8 bits (C1), and with only what it reads in 8 bits (C2), by \
             the paper's plain scheme: symmetric, ranges by the largest magnitude, a scale for each output channel of \
             weights and one for each activation tensor.</p>\n<p>Rounding errors of different layers are as good as \
             independent, so their noise-to-signal ratios add up to about what arrives at the output. A condition holds \
             if the sum over all layers leaves {BUDGET_DB:.0} dB, noise of a hundredth of the signal: on the small \
             CIFAR-10 networks that this was measured with, 20 dB changed the most likely class of a few per cent of the \
             pictures, 12 dB of a sixth, 5 dB of a third. Other networks may bear more or less; <code>foveate quantize \
             --eval</code> counts. Where a condition fails, the layers are named that take more \
             than their share, a hundredth divided by the number of layers.</p>\n</details>\n</section>"
        )
    }

    fn weights(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        open(f, 1)?;
        let models = &self.0.models;
        write!(f, "{}", figures::weights(models))?;
        let what = "only its weights are in 8 bits, a scale for each output channel";
        let chart = figures::left(
            models,
            "What 8-bit weights leave",
            what,
            |m| &m.analysis.verdict.weights,
            |l| l.weight_noise,
        );
        writeln!(f, "{chart}</section>")
    }

    fn norms(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        open(f, 2)?;
        let models = &self.0.models;
        for model in models {
            if let Some(why) = model.analysis.norms_missing {
                writeln!(f, "<p><b>{}:</b> {}</p>", escape(&model.label), escape(why))?;
            }
        }
        let about = "What each batch norm multiplies its channels with when it is folded (Figs 4 and 12): a stroke for \
                     each channel (of many, evenly spaced quantiles), the median drawn bold. Channels far from the others \
                     widen weights and activations.";
        let scale = figures::norms(models, "γ / √(σ² + ε)", about, |norm| &norm.scale);
        scale.map_or(Ok(()), |chart| write!(f, "{chart}"))?;
        let shift = figures::norms(models, "β", "What each batch norm adds to its channels.", |norm| &norm.shift);
        shift.map_or(Ok(()), |chart| write!(f, "{chart}"))?;
        f.write_str("</section>\n")
    }

    fn activations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        open(f, 3)?;
        let models = &self.0.models;
        write!(f, "{}", figures::activations(models))?;
        let (title, what) =
            ("What 8-bit activations leave", "only what it reads is in 8 bits, one scale for all of it");
        let chart = figures::left(models, title, what, |m| &m.analysis.verdict.activations, |l| l.input_noise);
        write!(f, "{chart}")?;
        write!(f, "{}", figures::branches(models))?;
        if models.iter().any(|model| model.analysis.branches.parts.len() == 1) {
            f.write_str(
                "<p>Where only the fused layer is shown, the file holds no branches: in fused form they are one \
                 convolution. The checkpoint in training form shows them.</p>\n",
            )?;
        }
        f.write_str("</section>\n")
    }

    fn sensitivity(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        open(f, 4)?;
        let models = &self.0.models;
        let about = "Each layer by itself in 8 bits, weights and what it reads, all others float (Fig 6): signal over \
                     noise of the logits, their mean squared error, and on how many pictures the most likely class \
                     changes.";
        let Some(alone) = figures::costs(models, "One layer at a time", about, |s| &s.alone) else {
            return f.write_str("<p>Not measured (--no-sensitivity).</p>\n</section>\n");
        };
        let about = "Each layer and all before it in 8 bits; the last row is the whole network (Fig 6).";
        let cumulative = figures::costs(models, "Layers switched on one after another", about, |s| &s.cumulative);
        write!(f, "{alone}")?;
        cumulative.map_or(Ok(()), |chart| write!(f, "{chart}"))?;
        f.write_str("</section>\n")
    }
}

/// A model's verdict.
fn card(f: &mut fmt::Formatter<'_>, at: usize, model: &Contender) -> fmt::Result {
    let verdict = &model.analysis.verdict;
    let label = escape(&model.label);
    writeln!(
        f,
        "<article>\n<h3><span class=\"key {}\"></span>{label}</h3>\n<ul class=\"conditions\">",
        chart::class(at)
    )?;
    for (name, condition) in [("C1, weights", &verdict.weights), ("C2, activations", &verdict.activations)] {
        let (class, word) = if condition.holds { ("good", "✓ holds") } else { ("bad", "✗ fails") };
        writeln!(f, "<li class=\"{class}\"><b>{name}</b> {word}, {:.1} dB</li>", condition.left_db)?;
    }
    f.write_str("</ul>\n")?;
    if let Some(whole) = model.analysis.sensitivity.as_ref().and_then(|s| s.cumulative.last()) {
        let pictures = model.analysis.calibration.images;
        f.write_str("<table class=\"numbers\"><thead><tr><th scope=\"col\">whole network in 8 bits</th>")?;
        f.write_str("<th scope=\"col\">dB</th><th scope=\"col\">top-1 changed</th></tr></thead><tbody>\n")?;
        let repaired =
            model.analysis.repaired.as_ref().map(|r| ("repaired, as quantize does", r.noise, r.top1_changed));
        for (name, noise, changed) in [("plain", whole.noise, whole.top1_changed)].into_iter().chain(repaired) {
            write!(f, "<tr><th scope=\"row\">{name}</th><td>{}</td>", decibels(noise))?;
            writeln!(f, "<td>{changed} of {pictures}</td></tr>")?;
        }
        f.write_str("</tbody></table>\n")?;
    }
    for finding in verdict.findings() {
        writeln!(f, "<p>{}</p>", escape(&finding.text))?;
        if !finding.layers.is_empty() {
            f.write_str("<ul>")?;
            finding.layers.iter().try_for_each(|layer| write!(f, "<li>{}</li>", escape(layer)))?;
            f.write_str("</ul>\n")?;
        }
    }
    if let Some(command) = &model.command {
        writeln!(f, "<p>{}</p>\n<pre><code>{}</code></pre>", model.advice(), escape(command))?;
    }
    f.write_str("</article>\n")
}
