//! From a fused network to a quantised one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use web_time::Instant;

use super::calibration::CalibrationSet;
use super::observe::{Observed, Seen};
use super::options::{Calibrator, Options, Scheme};
use super::quantization::{Quantization, copies};
use super::simulate::Simulation;
use super::trial::{FEWEST, Trial};
use super::{bias, grid, range, restore, weights};
use crate::checkpoint::LoadedModel;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::proof::{self, Proof};
use crate::session::Model;

/// Largest relative difference between a network before and after equalisation that is put down to
/// rounding.
const PROOF_BOUND: f64 = 1e-4;

/// The most inputs that bias correction looks at, and the most bytes that their values may take.
const CORRECTED: usize = 128;
const CORRECTED_BYTES: usize = 1 << 29;

/// What the work is at, for progress bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Ranges are looked at, an input a step.
    Observing,
    /// Ranges are moved, by one recipe after another.
    Equalizing,
    /// Ranges are looked at again.
    ObservingAgain,
    /// Ranges are found by one calibrator after another.
    Choosing,
    /// Biases are corrected, a node a step.
    Correcting,
    /// Layers are put in 8 bits one at a time, a layer a step.
    Ranking,
}

/// Called with the stage, steps done and steps in all.
pub type OnStage<'a> = &'a mut dyn FnMut(Stage, usize, usize);

/// A network made ready: looked at, and equalised. From here quantising with other float layers
/// costs little.
#[derive(Clone, Debug)]
pub struct Quantizer {
    pub(super) network: LoadedModel,
    pub(super) options: Options,
    pub(super) set: Option<Arc<CalibrationSet>>,
    pub(super) observed: Option<Observed>,
    pub(super) factors: BTreeMap<NodeId, Vec<f32>>,
    pub(super) proof: Option<Proof>,
    /// What activations' ranges are multiplied with: more than 1 where others than the few pictures that were seen are
    /// likely to have larger values.
    pub(super) margin: f32,
    /// How long it took to get here, loading of the network included.
    pub(super) loading: Duration,
}

/// A quantised network, and itself before.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The quantised network.
    pub model: Model,
    /// Both forms, to be run with any part in 8 bits.
    pub simulation: Simulation,
    /// What was odd about the calibration and might be worth saying.
    pub notes: Vec<String>,
}

impl Quantizer {
    /// Looks at the network on the calibration set and equalises it, if the options say so.
    /// [`Scheme::W8`] does without a set, and then without equalisation and bias correction.
    ///
    /// # Errors
    /// [`Error::Argument`] if the network is not fused or quantised already, for wrong options, a set
    /// that does not fit, none for [`Scheme::W8a8`], and values that are not finite;
    /// [`Error::Inexact`] if equalisation changed what the network computes.
    pub fn new(model: &Model, set: Option<CalibrationSet>, options: Options, on: OnStage) -> Result<Self> {
        let start = Instant::now();
        options.check()?;
        let mut network = model.details().clone();
        check_form(&network)?;
        if set.is_none() && options.scheme == Scheme::W8a8 {
            return Err(Error::argument(
                "w8a8 holds activations in 8 bits, whose ranges come from calibration pictures: give some (--calib DIR)",
            ));
        }
        let given = network.graph.clone();
        weights::separate(&mut network.graph)?;
        let mut quantizer = Quantizer {
            network,
            options,
            set: set.map(Arc::new),
            observed: None,
            factors: BTreeMap::new(),
            proof: None,
            margin: 1.0,
            loading: model.loading(),
        };
        quantizer.float_nodes(&[])?;
        let Some(set) = quantizer.set.clone() else {
            quantizer.settle_calibrator();
            quantizer.loading += start.elapsed();
            return Ok(quantizer);
        };
        let mut observed = observe(&quantizer.network.graph, &set, Stage::Observing, on)?;
        let chooses = quantizer.options.calibrator == Calibrator::Auto;
        let trial = if quantizer.options.equalize || chooses { Some(Trial::new(&quantizer, &set)?) } else { None };
        if let Some(trial) = trial.as_ref().filter(|_| quantizer.options.equalize) {
            let equalized = trial.recipe(&quantizer, &observed, on)?;
            quantizer.network.graph = equalized.graph;
            quantizer.factors = equalized.factors;
            quantizer.proof = Some(quantizer.prove(&given)?);
            observed = observe(&quantizer.network.graph, &set, Stage::ObservingAgain, on)?;
        }
        if let Some(trial) = trial.filter(|_| chooses && quantizer.options.scheme == Scheme::W8a8) {
            quantizer.options.calibrator = trial.calibrator(&quantizer, &observed, on)?;
            if set.inputs().len() < FEWEST {
                // Of n + 1 pictures, each is as likely as any other to have the largest value.
                quantizer.margin += 1.0 / set.inputs().len() as f32;
            }
        }
        quantizer.settle_calibrator();
        quantizer.observed = Some(observed);
        quantizer.loading += start.elapsed();
        Ok(quantizer)
    }

    /// Where nothing was tried, the least squared error stands in.
    fn settle_calibrator(&mut self) {
        if self.options.calibrator == Calibrator::Auto {
            self.options.calibrator = Calibrator::Mse;
        }
    }

    /// The same, yet to be shown anything.
    pub(super) fn without_set(&self) -> Quantizer {
        Quantizer { set: None, observed: None, ..self.clone() }
    }

    /// That equalisation changed nothing: the output and all taps, multiplied by their factors.
    fn prove(&self, given: &Graph) -> Result<Proof> {
        let restored = restore::taps(&self.network.graph, &self.factors)?;
        let proof = proof::prove(given, &restored, 0)?;
        if proof.max_rel <= PROOF_BOUND {
            return Ok(proof);
        }
        let reason = format!("{proof}; the bound is {PROOF_BOUND:e}");
        Err(Error::Inexact { rewrite: "equalising this network", reason })
    }

    /// How far the equalised network is from the given one on a seeded input; `None` if it was not
    /// equalised.
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// The float network after equalisation.
    pub fn graph(&self) -> &Graph {
        &self.network.graph
    }

    /// The names of the nodes that can be quantised, from the input to the output.
    pub fn layers(&self) -> Vec<&str> {
        let quantizable = self.network.graph.nodes().iter().filter(|n| !Quantization::quantizable(&n.op).is_empty());
        quantizable.map(|node| node.name.as_str()).collect()
    }

    /// What the options say and `more`, as nodes.
    pub(super) fn float_nodes(&self, more: &[String]) -> Result<BTreeSet<NodeId>> {
        let names = self.options.keep_float.iter().chain(more);
        let graph = &self.network.graph;
        names
            .map(|name| {
                let found = graph.find(name).filter(|id| *id != graph.input());
                found.ok_or_else(|| {
                    Error::argument(format!(
                        "{}: no node {name:?} that could stay float; `foveate info FILE --fused` names them",
                        graph.name
                    ))
                })
            })
            .collect()
    }

    /// Quantises, with these nodes float besides those that the options name.
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that is no node's.
    pub fn quantize(&self, keep_float: &[String], on: OnStage) -> Result<Quantized> {
        let start = Instant::now();
        let float = self.float_nodes(keep_float)?;
        let graph = &self.network.graph;
        let mut options = self.options.clone();
        options.keep_float = float.iter().map(|id| graph.node(*id).name.clone()).collect();
        let corrects = options.bias_correct;
        let mut quantization = Quantization::new(options, float);
        quantization.factors.clone_from(&self.factors);
        let notes = match (&self.observed, &self.set) {
            (Some(observed), Some(set)) if quantization.scheme() == Scheme::W8a8 => {
                quantization.calibration = Some(set.about());
                let mut notes = set.doubts();
                notes.extend(ranges(graph, observed, self.margin, &mut quantization));
                notes
            }
            (_, set) => {
                quantization.calibration = set.as_ref().map(|set| set.about());
                Vec::new()
            }
        };
        let mut quantized = graph.clone();
        let layers: Vec<NodeId> = graph.ids().filter(|id| !quantization.float.contains(id)).collect();
        for id in layers {
            weights::quantize(&mut quantized, &mut quantization, self.observed.as_ref(), id)?;
        }
        if let Some(set) = self.set.as_ref().filter(|_| corrects) {
            let batch = set.batch(corrected(graph))?;
            let steps = graph.nodes().len() - 1;
            let mut done = 0;
            bias::correct(graph, &mut quantized, &quantization, &batch, &mut || {
                done += 1;
                on(Stage::Correcting, done, steps);
            })?;
        }
        for id in graph.ids() {
            weights::round_biases(&mut quantized, &quantization, id)?;
        }
        let simulation = Simulation::new(graph.clone(), quantized.clone(), quantization.clone())?;
        let network = LoadedModel { graph: quantized, quantization: Some(quantization), ..self.network.clone() };
        Ok(Quantized { model: Model::quantized(network, self.loading + start.elapsed())?, simulation, notes })
    }
}

fn check_form(network: &LoadedModel) -> Result<()> {
    let name = &network.architecture;
    if network.quantization.is_some() {
        return Err(Error::argument(format!("{name} is quantised already; quantise the model that it was made from")));
    }
    if network.form != crate::models::Form::Fused {
        return Err(Error::argument(format!("{name} is in training form; only fused networks are quantised")));
    }
    Ok(())
}

fn observe(graph: &Graph, set: &CalibrationSet, stage: Stage, on: OnStage) -> Result<Observed> {
    let (mut done, all) = (0, set.inputs().len());
    Observed::of(graph, set, &mut || {
        done += 1;
        on(stage, done, all);
    })
}

/// Inputs for bias correction: as many as fit.
fn corrected(graph: &Graph) -> usize {
    let largest = graph.nodes().iter().map(|node| node.shape.len()).max().unwrap_or(1);
    // Two networks, each with what a node reads, makes and passes by.
    (CORRECTED_BYTES / (largest * size_of::<f32>() * 8).max(1)).clamp(1, CORRECTED)
}

/// Scales of values, and what was odd about them.
fn ranges(graph: &Graph, observed: &Observed, margin: f32, quantization: &mut Quantization) -> Vec<String> {
    let options = quantization.options.clone();
    let mut notes = Vec::new();
    let mut scale = |what: String, seen: &Seen| {
        let range = range(&seen.histogram, &options) * margin;
        if range == 0.0 {
            notes.push(format!("{what} was zero on all calibration pictures; it gets the range 1"));
        }
        grid::scale_of(range)
    };
    for id in quantization.quantized_values(graph) {
        let scale = scale(format!("the value of {:?}", graph.node(id).name), observed.value(id));
        quantization.activations.insert(id, scale);
    }
    for id in graph.ids() {
        if let Some(seen) = observed.between(id).filter(|_| !quantization.is_float(id)) {
            let scale = scale(format!("the value inside {:?}", graph.node(id).name), seen);
            quantization.between.insert(id, scale);
        }
    }
    share(graph, quantization);
    notes
}

/// Gives operands and value of operators that copy the largest of their scales.
pub(super) fn share(graph: &Graph, quantization: &mut Quantization) {
    loop {
        let mut changed = false;
        for id in graph.ids().filter(|id| copies(&graph.node(*id).op)) {
            if quantization.is_float(id) {
                continue;
            }
            let all: Vec<NodeId> = graph.node(id).inputs.iter().copied().chain([id]).collect();
            let scales = all.iter().filter_map(|value| quantization.activation(*value));
            let largest = scales.fold(0.0, f32::max);
            for value in all {
                if let Some(scale) = quantization.activations.get_mut(&value)
                    && *scale != largest
                {
                    *scale = largest;
                    changed = true;
                }
            }
        }
        if !changed {
            return;
        }
    }
}
