//! Why a network does or does not bear 8 bits (QARepVGG, Chu et al. 2022): the distributions of its
//! weights (condition C1) and activations (condition C2), the batch norms that they come from, and
//! what each layer costs when it is quantised.
//!
//! Everything here is a plain value that serialises; pictures come in as tensors that are already
//! preprocessed. Runs on the CPU executor.

mod branches;
mod histogram;
mod layers;
mod measure;
mod norms;
mod quantiser;
mod repair;
mod sensitivity;
mod spread;
#[cfg(test)]
mod tests;
mod verdict;
mod words;

pub use branches::{BranchPart, BranchView};
pub use histogram::Density;
pub use measure::{InputReport, LayerReport, WeightReport};
pub use norms::NormReport;
pub use quantiser::NoiseLevel;
pub use repair::Repaired;
pub use sensitivity::{Cost, Sensitivity};
pub use spread::{Quantiles, Spread};
pub use verdict::{BUDGET_DB, Condition, Culprit, Verdict};
pub use words::Finding;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::quant::{Calibration, CalibrationSet};
use crate::session::Model;
use layers::Layers;

/// What is wanted of an analysis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The block or layer whose branches are looked at; that which makes the activations worst for 8
    /// bits if `None`.
    pub layer: Option<String>,
    /// The channel of it; the widest if `None`.
    pub channel: Option<usize>,
    /// Whether to run the network with one layer at a time, and with more and more of them, in 8
    /// bits (two runs for each layer and input), and as the default of `foveate quantize` makes it.
    pub sensitivity: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { layer: None, channel: None, sensitivity: true }
    }
}

/// All that was found about a network. Serialises as what `foveate analyze --json` prints for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Analysis {
    /// Does it bear plain 8 bits, and if not, why.
    pub verdict: Verdict,
    /// The calibration inputs.
    pub calibration: Calibration,
    /// Its layers with weights, from the input to the output.
    pub layers: Vec<LayerReport>,
    /// The batch norms of its training form.
    pub norms: Vec<NormReport>,
    /// Why there are no batch norms, if there are none.
    pub norms_missing: Option<&'static str>,
    /// The branches of one block, in one channel.
    pub branches: BranchView,
    /// The cost of each layer at the output; `None` if not wanted.
    pub sensitivity: Option<Sensitivity>,
    /// The whole network in 8 bits as the default of `foveate quantize` makes it; `None` if not wanted.
    pub repaired: Option<Repaired>,
}

/// What is being done, for progress bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Ranges and distributions of activations; a step is an input.
    Ranges,
    /// Each layer by itself with weights or inputs in 8 bits; a step is an input.
    Noise,
    /// The branches of one block; a step is an input.
    Branches,
    /// The network with some layers in 8 bits; a step is a set of layers, over all inputs.
    Sensitivity,
    /// The network is quantised with repairs.
    Repair,
}

/// How far a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The stage.
    pub stage: Stage,
    /// Steps done in it.
    pub done: usize,
    /// Steps that it has.
    pub total: usize,
}

/// Why a fused file shows no batch norms.
const FUSED: &str = "The file holds the network in fused form: fusing folded the batch norms into the convolutions and \
                     summed the branches, which cannot be undone. The checkpoint that it was fused from shows them.";
const WITHOUT_NORMS: &str = "The network has no batch norms in its training form.";

/// Analyses a network on calibration inputs.
///
/// `model` is the network in fused form, `training` the same in training form, if it is known.
/// Quantisation is the plain scheme of the paper (4.1) but for [`Analysis::repaired`]: symmetric, 8
/// bits, ranges by the largest magnitude, weights per output channel, activations per tensor.
///
/// # Errors
/// [`Error::Argument`] if the model is quantised already or in training form, for inputs of another
/// shape, for a layer or channel that is not there, and if the values of one input are more than 4
/// GiB; [`Error::Graph`] naming the first layer that makes a NaN or an infinity.
pub fn analyze(
    model: &Model,
    training: Option<&Graph>,
    set: &CalibrationSet,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Analysis> {
    if model.quantization().is_some() {
        let name = model.name();
        return Err(Error::argument(format!("{name} is in 8 bits already; analyse the model that it was made from")));
    }
    let (layers, inputs) = (Layers::of(model.graph())?, set.inputs());
    let (reports, scales) = measure::measure(&layers, inputs, progress)?;
    let branches = branches::view(&layers, training, &reports, inputs, options, progress)?;
    let norms = training.map(norms::norms).unwrap_or_default();
    let norms_missing = match training {
        None => Some(FUSED),
        Some(_) if norms.is_empty() => Some(WITHOUT_NORMS),
        Some(_) => None,
    };
    let wanted = options.sensitivity;
    let sensitivity = wanted.then(|| sensitivity::sensitivity(&layers, &scales, inputs, progress)).transpose()?;
    let repaired = wanted.then(|| repair::repaired(model, set, progress)).transpose()?;
    Ok(Analysis {
        verdict: Verdict::of(&reports, &norms),
        calibration: set.about(),
        layers: reports,
        norms,
        norms_missing,
        branches,
        sensitivity,
        repaired,
    })
}
