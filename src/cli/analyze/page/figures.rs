//! The charts of a report.

use foveate::analyze::{Condition, Cost, LayerReport, NoiseLevel, NormReport, Quantiles, Sensitivity, Spread};

use super::axis::Axis;
use super::chart::{Chart, Mark, Row, Series};
use crate::cli::analyze::report::{Contender, decibels, number, range};

type Models<'a> = &'a [Contender];

/// Weights, layer by layer.
pub fn weights(models: Models<'_>) -> Chart<'_> {
    let all = || models.iter().flat_map(|model| &model.analysis.layers).flat_map(|layer| &layer.weights);
    let rows = |layer: &'_ LayerReport| layer.weights.len() > 1;
    let series = models.iter().map(|model| Series {
        label: model.label.clone(),
        line: None,
        rows: model
            .analysis
            .layers
            .iter()
            .flat_map(|layer| layer.weights.iter().map(move |weights| (layer, weights)))
            .map(|(layer, weights)| Row {
                name: if rows(layer) { format!("{} {}", layer.name, weights.role) } else { layer.name.clone() },
                mark: Mark::Violin(&weights.spread),
                cells: vec![extent(&weights.spread), number(weights.spread.std), number(weights.channel_ratio)],
                bad: false,
            })
            .collect(),
    });
    Chart {
        title: "Weights",
        rows: "layer",
        about:
            "Fused weights of each layer (Figs 2, 3, 8, 13 to 17): the shape of the distribution (its height is the \
                square root of the density, so that tails show), a line over the whole range, a thick one over mean ± \
                standard deviation. Apart: how many times as wide the widest output channel is as the median one."
                .to_owned(),
        axis: Axis::around(all().map(|weights| (weights.spread.min, weights.spread.max))),
        columns: &["range", "std", "apart"],
        series: series.collect(),
    }
}

/// Values before activation, layer by layer.
pub fn activations(models: Models<'_>) -> Chart<'_> {
    let all = || models.iter().flat_map(|model| &model.analysis.layers).map(|layer| &layer.before_activation);
    let series = models.iter().map(|model| Series {
        label: model.label.clone(),
        line: None,
        rows: model.analysis.layers.iter().map(activation).collect(),
    });
    Chart {
        title: "Activations",
        rows: "layer",
        about:
            "What each layer makes of the calibration pictures, before its activation (Fig 7), drawn as above. Apart: \
                how many times as wide the widest channel is as the median one, in what the layer reads; crest: the \
                largest magnitude of that over its root mean square."
                .to_owned(),
        axis: Axis::around(all().map(|spread| (spread.min, spread.max))),
        columns: &["min … max", "std", "apart", "crest"],
        series: series.collect(),
    }
}

fn activation(layer: &LayerReport) -> Row<'_> {
    let made = &layer.before_activation;
    Row {
        name: layer.name.clone(),
        mark: Mark::Violin(made),
        cells: vec![extent(made), number(made.std), number(layer.input.channel_ratio), number(layer.input.crest)],
        bad: false,
    }
}

/// What 8 bits leave of each layer, for one of the conditions.
pub fn left<'a>(
    models: Models<'a>,
    title: &'static str,
    what: &str,
    condition: fn(&Contender) -> &Condition,
    noise: fn(&LayerReport) -> NoiseLevel,
) -> Chart<'a> {
    let series = models.iter().map(|model| {
        let bad = |name: &str| condition(model).layers.iter().any(|culprit| culprit.layer == name);
        let row = |layer: &'a LayerReport| {
            let over = bad(&layer.name);
            let cell = format!("{}{}", if over { "▲ " } else { "" }, decibels(noise(layer)));
            Row { name: layer.name.clone(), mark: Mark::Bar(noise(layer).sqnr_db), cells: vec![cell], bad: over }
        };
        let rows = model.analysis.layers.iter().map(row).collect();
        Series { label: model.label.clone(), line: Some(condition(model).share_db), rows }
    });
    let all = || models.iter().flat_map(|model| &model.analysis.layers).filter_map(|layer| noise(layer).sqnr_db);
    let shares = models.iter().map(|model| condition(model).share_db);
    Chart {
        title,
        rows: "layer",
        about: format!(
            "Signal over noise, in dB, of each layer's value before activation when {what}; the more the better. \
             Dashed: a layer's share of the budget. ▲: over its share, in a network that fails."
        ),
        axis: Axis::from_zero(all().chain(shares).fold(0.0, f64::max) * 1.02),
        columns: &["dB"],
        series: series.collect(),
    }
}

/// `γ/√(σ²+ε)` or β of all batch norms; `None` if no model has any.
pub fn norms<'a>(
    models: Models<'a>,
    title: &'static str,
    about: &str,
    of: fn(&NormReport) -> &Quantiles,
) -> Option<Chart<'a>> {
    let shown: Vec<&Contender> = models.iter().filter(|model| !model.analysis.norms.is_empty()).collect();
    if shown.is_empty() {
        return None;
    }
    let row = |norm: &'a NormReport| {
        let values = of(norm);
        Row {
            name: format!("{} {}", norm.block, norm.place),
            mark: Mark::Strip(&values.sorted, values.median),
            cells: vec![number(values.median), format!("{} ({})", number(values.widest), values.widest_channel)],
            bad: false,
        }
    };
    let series = models.iter().map(|model| Series {
        label: model.label.clone(),
        line: None,
        rows: model.analysis.norms.iter().map(row).collect(),
    });
    let ends = |values: &Quantiles| (values.sorted.first().copied(), values.sorted.last().copied());
    let extents = shown.iter().flat_map(|model| &model.analysis.norms).filter_map(|norm| {
        let (low, high) = ends(of(norm));
        Some((low?, high?))
    });
    Some(Chart {
        title,
        rows: "batch norm",
        about: about.to_owned(),
        axis: Axis::around(extents),
        columns: &["median", "farthest (channel)"],
        series: series.filter(|series| !series.rows.is_empty()).collect(),
    })
}

/// One channel's branches.
pub fn branches(models: Models<'_>) -> Chart<'_> {
    let series = models.iter().map(|model| {
        let view = &model.analysis.branches;
        let rows = view.parts.iter().map(|part| Row {
            name: part.name.clone(),
            mark: Mark::Violin(&part.spread),
            cells: vec![extent(&part.spread), number(part.spread.mean), number(part.spread.std)],
            bad: false,
        });
        let label = format!("{}: {}, channel {} of {}", model.label, view.layer, view.channel, view.channels);
        Series { label, line: None, rows: rows.collect() }
    });
    let parts = models.iter().flat_map(|model| &model.analysis.branches.parts);
    Chart {
        title: "Branches of a block",
        rows: "branch",
        about:
            "What each branch adds to one channel before they are summed (Fig 5). Other blocks and channels: --layer, \
                --channel."
                .to_owned(),
        axis: Axis::around(parts.map(|part| (part.spread.min, part.spread.max))),
        columns: &["range", "mean", "std"],
        series: series.collect(),
    }
}

/// The cost of layers in 8 bits at the output; `None` if it was not measured.
pub fn costs<'a>(
    models: Models<'a>,
    title: &'static str,
    about: &str,
    of: fn(&Sensitivity) -> &Vec<Cost>,
) -> Option<Chart<'a>> {
    let of = |model: &'a Contender| model.analysis.sensitivity.as_ref().map(of);
    let all: Vec<&Cost> = models.iter().filter_map(of).flatten().collect();
    if all.is_empty() {
        return None;
    }
    let series = models.iter().map(|model| {
        let pictures = model.analysis.calibration.images;
        let row = |cost: &Cost| Row {
            name: cost.layer.clone(),
            mark: Mark::Bar(cost.noise.sqnr_db),
            cells: vec![decibels(cost.noise), number(cost.noise.mse), format!("{} of {pictures}", cost.top1_changed)],
            bad: false,
        };
        Series { label: model.label.clone(), line: None, rows: of(model).into_iter().flatten().map(row).collect() }
    });
    Some(Chart {
        title,
        rows: "layer",
        about: about.to_owned(),
        axis: Axis::from_zero(all.iter().filter_map(|cost| cost.noise.sqnr_db).fold(0.0, f64::max) * 1.02),
        columns: &["dB", "MSE", "top-1 changed"],
        series: series.collect(),
    })
}

fn extent(spread: &Spread) -> String {
    range(spread.min, spread.max)
}
