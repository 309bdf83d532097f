//! What to choose where reasoning does not tell: ways of quantising are tried on a few inputs.

use std::sync::Arc;

use super::calibration::CalibrationSet;
use super::equalize::{Equalized, Recipe, equalize};
use super::noise::Noise;
use super::observe::Observed;
use super::options::{Calibrator, Options};
use super::quantizer::{OnStage, Quantizer, Stage};
use super::simulate::Part;
use crate::checkpoint::LoadedModel;
use crate::cpu::CpuExecutor;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Inputs that a trial quantises by, and as many on which it is measured.
const TRIED: usize = 24;

/// With fewer inputs a trial would measure on what it quantised by.
pub(super) const FEWEST: usize = 4;

/// Another way than the first has to leave less than this part of its noise.
const CLEARLY: f64 = 0.85;

/// Noise in relation to the signal that counts as none.
const SILENCE: f64 = 1e-12;

/// Inputs, and what the float network makes of half of them.
pub(super) struct Trial {
    seen: Arc<CalibrationSet>,
    unseen: CalibrationSet,
    expected: Vec<Tensor>,
}

impl Trial {
    /// Of a float network on part of a set.
    pub(super) fn new(quantizer: &Quantizer, set: &CalibrationSet) -> Result<Self> {
        let (seen, unseen) = set.halves(2 * TRIED)?;
        let executor = CpuExecutor::new(quantizer.graph().clone())?;
        let expected = unseen.inputs().iter().map(|input| executor.run(input)).collect::<Result<_>>()?;
        Ok(Trial { seen: Arc::new(seen), unseen, expected })
    }

    /// The network equalised by the recipe with the least noise.
    pub(super) fn recipe(&self, quantizer: &Quantizer, observed: &Observed, on: OnStage) -> Result<Equalized> {
        let (graph, options) = (quantizer.graph(), &quantizer.options);
        let float = quantizer.float_nodes(&[])?;
        let mut best: Option<(Vec<f64>, Equalized)> = None;
        for (done, recipe) in Recipe::ALL.into_iter().enumerate() {
            on(Stage::Equalizing, done, Recipe::ALL.len());
            let equalized = equalize(graph, observed, options, &float, recipe)?;
            let observed = Observed::of(&equalized.graph, &self.seen, &mut || {})?;
            let network = LoadedModel { graph: equalized.graph.clone(), ..quantizer.network.clone() };
            let factors = equalized.factors.clone();
            let tried = Quantizer { network, factors, options: options.clone(), ..quantizer.without_set() };
            let noise = self.noise(&tried, observed)?;
            if best.as_ref().is_none_or(|(least, _)| is_better(&noise, least)) {
                best = Some((noise, equalized));
            }
        }
        best.map(|(_, equalized)| equalized).ok_or_else(|| Error::argument("no recipe of equalisation could be tried"))
    }

    /// The calibrator with the least noise, given what was seen of the network on the whole set. The least squared
    /// error is not enough of an argument: rounding averages out in the next layer's sums, saturation does not, and
    /// how much of it a network bears differs; and one value far out makes it take all others' levels.
    pub(super) fn calibrator(&self, quantizer: &Quantizer, observed: &Observed, on: OnStage) -> Result<Calibrator> {
        if self.seen.inputs().len() < FEWEST {
            return Ok(Calibrator::Max);
        }
        let mut best: Option<(Vec<f64>, Calibrator)> = None;
        for (done, calibrator) in Calibrator::TRIED.into_iter().enumerate() {
            on(Stage::Choosing, done, Calibrator::TRIED.len());
            let options = Options { calibrator, ..quantizer.options.clone() };
            let tried = Quantizer { options, ..quantizer.without_set() };
            let noise = self.noise(&tried, observed.clone())?;
            if best.as_ref().is_none_or(|(least, _)| is_better(&noise, least)) {
                best = Some((noise, calibrator));
            }
        }
        best.map(|(_, calibrator)| calibrator).ok_or_else(|| Error::argument("no calibrator could be tried"))
    }

    /// The logarithm of the noise, relative to the signal, that the network in 8 bits has at its output, for each input.
    fn noise(&self, quantizer: &Quantizer, observed: Observed) -> Result<Vec<f64>> {
        let quantizer = Quantizer { set: Some(self.seen.clone()), observed: Some(observed), ..quantizer.clone() };
        let simulated = quantizer.quantize(&[], &mut |_, _, _| {})?.simulation.with(Part::Everything)?;
        let inputs = self.unseen.inputs().iter().zip(&self.expected);
        inputs
            .map(|(input, expected)| {
                let Noise { noise, signal, .. } = Noise::of(expected.data(), simulated.run(input)?.data());
                Ok((noise / signal.max(f64::MIN_POSITIVE)).clamp(SILENCE, 1.0 / SILENCE).ln())
            })
            .collect()
    }
}

/// Whether noises are clearly below others on the same inputs: on average, and by more than the average is uncertain
/// by. Few inputs tell only so much, and one of them alone nothing.
fn is_better(noises: &[f64], than: &[f64]) -> bool {
    let apart: Vec<f64> = noises.iter().zip(than).map(|(a, b)| a - b).collect();
    let n = apart.len() as f64;
    let mean = apart.iter().sum::<f64>() / n;
    let variance = apart.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    mean < CLEARLY.ln() && mean + 2.0 * (variance / n).sqrt() < 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_input_does_not_decide() {
        let first = [-5.0; 8];
        assert!(is_better(&[-5.5, -5.4, -5.6, -5.2, -5.3, -5.5, -5.4, -5.6], &first));
        // Better by less than counts, and better because of one.
        assert!(!is_better(&[-5.1; 8], &first));
        assert!(!is_better(&[-9.0, -5.0, -5.0, -5.0, -5.0, -5.0, -5.0, -5.0], &first));
        assert!(!is_better(&first, &first));
    }
}
