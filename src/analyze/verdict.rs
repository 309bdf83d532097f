//! Which of the paper's conditions fails, where, and by how much.
//!
//! The criterion is a budget of noise. Rounding errors of different layers are as good as
//! independent, so that their powers add: a network whose layers have noise-to-signal ratios n₁ … n_L
//! ends with about n₁ + … + n_L. (On the small CIFAR-10 networks S0 … S4, as they are and with channels
//! scaled apart, the sum was half a dB to 5 dB above the noise at the output: a cautious
//! estimate.) On the same networks noise of a hundredth of the signal, 20 dB, changed the most likely
//! class of a few per cent of the pictures, as many as rounding changes without doing harm; 12 dB that of
//! a sixth, 5 dB that of a third. So a condition holds if its noises add up to at most a hundredth, and
//! where it does not, those layers are named that take more than their share, a hundredth over the number
//! of layers. Other networks and pictures may bear more or less: what counts is `quantize --eval`.

use serde::Serialize;

use super::measure::LayerReport;
use super::norms::NormReport;
use super::quantiser::NoiseLevel;
use crate::describe::block_of;

/// The signal-to-noise ratio, in dB, that all layers together must leave for a condition to hold.
pub const BUDGET_DB: f64 = 20.0;

/// A norm's largest scale over its median that is worth a remark.
const OUTLIER: f64 = 5.0;

/// Channels that far apart are called the cause.
const APART: f64 = 4.0;

/// Does the network bear plain 8 bits, and if not, why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// C1: the distribution of weights suits 8 bits with a scale for each output channel.
    pub weights: Condition,
    /// C1 with one scale for each weight tensor, as some runtimes have it.
    pub weights_per_tensor: Condition,
    /// C2: the distribution of activations suits 8 bits with one scale for each tensor.
    pub activations: Condition,
    /// What C1 and C2 together leave at the output by their sum, in dB.
    pub expected_db: f64,
    /// Remarks on where the distributions come from.
    pub causes: Vec<String>,
}

/// One of the conditions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Condition {
    /// Whether it holds: `left_db` is at least [`BUDGET_DB`].
    pub holds: bool,
    /// The signal-to-noise ratio that all layers together leave, in dB.
    pub left_db: f64,
    /// What that has to be.
    pub budget_db: f64,
    /// A layer's share of the budget, in dB.
    pub share_db: f64,
    /// If it fails, the layers that take more than their share, the worst first.
    pub layers: Vec<Culprit>,
}

/// A layer that takes more than its share.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Culprit {
    /// The layer.
    pub layer: String,
    /// What it leaves, in dB.
    pub sqnr_db: f64,
    /// What is wrong with the distribution.
    pub why: String,
}

impl Verdict {
    /// Judges a network by its layers.
    pub(super) fn of(layers: &[LayerReport], norms: &[NormReport]) -> Verdict {
        let weights = Condition::of(layers, |l| l.weight_noise, why_weights);
        let weights_per_tensor = Condition::of(layers, |l| l.weight_noise_per_tensor, why_tensor);
        let activations = Condition::of(layers, |l| l.input_noise, why_inputs);
        let both = [&weights, &activations].map(|condition| ratio(condition.left_db));
        let expected_db = decibels(both.iter().sum());
        let causes = causes(&weights, &activations, layers, norms);
        Verdict { weights, weights_per_tensor, activations, expected_db, causes }
    }

    /// Whether C1 and C2 hold.
    pub fn holds(&self) -> bool {
        self.weights.holds && self.activations.holds
    }
}

impl Condition {
    fn of(
        layers: &[LayerReport],
        noise: impl Fn(&LayerReport) -> NoiseLevel,
        why: impl Fn(&LayerReport) -> String,
    ) -> Condition {
        let ratios = layers.iter().map(|layer| noise(layer).sqnr_db.map_or(0.0, ratio));
        let left_db = decibels(ratios.sum());
        let share_db = BUDGET_DB + 10.0 * (layers.len().max(1) as f64).log10();
        let holds = left_db >= BUDGET_DB;
        let taken = layers.iter().filter_map(|layer| Some((layer, noise(layer).sqnr_db.filter(|db| *db < share_db)?)));
        let mut culprits: Vec<Culprit> = taken
            .filter(|_| !holds)
            .map(|(layer, sqnr_db)| Culprit { layer: layer.name.clone(), sqnr_db, why: why(layer) })
            .collect();
        culprits.sort_by(|a, b| a.sqnr_db.total_cmp(&b.sqnr_db));
        Condition { holds, left_db, budget_db: BUDGET_DB, share_db, layers: culprits }
    }
}

/// Noise over signal.
fn ratio(sqnr_db: f64) -> f64 {
    10f64.powf(-sqnr_db / 10.0)
}

/// The largest number that is written for a ratio without noise.
const MOST_DB: f64 = 1000.0;

fn decibels(ratio: f64) -> f64 {
    if ratio > 0.0 { (-10.0 * ratio.log10()).clamp(-MOST_DB, MOST_DB) } else { MOST_DB }
}

fn why_weights(layer: &LayerReport) -> String {
    let crest = layer.weights.iter().map(|w| w.channel_crest).fold(1.0, f64::max);
    format!("in a typical output channel the largest weight is {crest:.1} times the root mean square")
}

fn why_tensor(layer: &LayerReport) -> String {
    let apart = layer.weights.iter().map(|w| w.channel_ratio).fold(1.0, f64::max);
    let crest = layer.weights.iter().map(|w| w.spread.crest()).fold(1.0, f64::max);
    if apart >= APART {
        return format!("its widest output channel is {apart:.1} times as wide as the median one");
    }
    format!("its largest weight is {crest:.1} times the root mean square")
}

fn why_inputs(layer: &LayerReport) -> String {
    let input = &layer.input;
    let made = format!("it reads {}", input.made_by);
    if input.channel_ratio >= APART {
        return format!("{made}, whose widest channel is {:.1} times as wide as the median one", input.channel_ratio);
    }
    format!("{made}, whose largest value is {:.1} times the root mean square", input.crest)
}

/// For the blocks at fault, the batch norm with the farthest outlier.
fn causes(weights: &Condition, activations: &Condition, layers: &[LayerReport], norms: &[NormReport]) -> Vec<String> {
    let read = activations.layers.iter().filter_map(|at| layers.iter().find(|layer| layer.name == at.layer));
    let makers = read.map(|layer| layer.input.made_by.as_str());
    let mut blocks: Vec<&str> = Vec::new();
    for name in weights.layers.iter().map(|at| at.layer.as_str()).chain(makers) {
        let block = block_of(name);
        if !blocks.contains(&block) {
            blocks.push(block);
        }
    }
    let far = |norm: &NormReport| norm.scale.widest.abs() / norm.scale.median.abs().max(f64::MIN_POSITIVE);
    let worst = |block: &str| {
        let own = norms.iter().filter(|norm| norm.block == block && far(norm) >= OUTLIER);
        own.max_by(|a, b| far(a).total_cmp(&far(b)))
    };
    let remark = |norm: &NormReport| {
        let which = match norm.place.as_str() {
            "post-BN" => "the batch norm after the sum of branches".to_owned(),
            "norm" => format!("the batch norm {}", norm.node),
            branch => format!("the batch norm of the {branch} branch"),
        };
        let (channel, widest) = (norm.scale.widest_channel, norm.scale.widest);
        let (times, median) = (far(norm), norm.scale.median);
        format!(
            "{}: {which} multiplies channel {channel} by {widest:.3}, {times:.0} times its median of {median:.3} \
             (γ/√(σ²+ε))",
            norm.block
        )
    };
    blocks.into_iter().filter_map(worst).map(remark).collect()
}
