//! How far 16-bit floats may move a network's output: the one rule of `verify` and of a session's self-test.
//!
//! What is stored in 16 bits is off by up to a unit in the last place, and every layer passes on what those before it
//! were off by. How far that moves the output is a matter of the network and the picture, not of the device: with
//! random weights 0.03 % for RepVGG-A0, 0.6 % for MobileOne-S0. So no constant tells a wrong kernel from rounding. Up
//! to [`LEAST`] nothing is asked. Beyond it the CPU executor runs the network once more and rounds what the plan stores
//! in 16 bits, values and weights: a sound device makes nearly the same, because it differs only where its sums come
//! out on the other side of a step. It may be off by [`TIMES`] what rounding moves the output by.
//!
//! WGSL leaves open whether a driver stores the nearest 16-bit float or the next towards zero, which makes every layer a
//! little too small and adds up to ten times as much and more. So shaders round to the nearest before they store; only
//! below 2⁻¹⁴ it is left to the driver. That costs 1.4 % of RepNeXt-M0's time on lavapipe and nothing measurable of
//! RepVGG-A0's. The CPU does both all the same, and the nearer counts: a driver that undoes the rounding is no wrong
//! kernel, and a session judges what it loses by the distance from f32.

use half::f16;
use serde::Serialize;

use super::compare::{Distance, best};
use crate::cpu::{CpuExecutor, Visitor};
use crate::error::Result;
use crate::graph::{Graph, Node, NodeId};
use crate::kernels::{Binding, Element};
use crate::plan::Plan;
use crate::tensor::Tensor;

/// The relative L2 distance that is always allowed.
const LEAST: f64 = 5e-3;
/// How many times as far as rounding moves the output a device may be off. Where its tiles and so its sums are others
/// than the CPU's, two results are √2 as far apart as each is from the exact one, by chance further.
const TIMES: f64 = 2.0;
/// The distance that is never allowed: it would hide anything.
const MOST: f64 = 5e-2;
/// The distance from f32 up to which 16-bit floats are enough for a session, however soundly they were computed.
const ENOUGH: f64 = 2e-2;

/// What logits in f16 were compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// The CPU's in f32.
    F32,
    /// The CPU's with values rounded to the nearest 16-bit float wherever the device stores one.
    Nearest,
    /// The same rounded towards zero.
    TowardZero,
}

/// How logits in f16 were judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Halves {
    /// What they were compared with: f32 where that is near enough, else the nearer of the other two.
    pub against: Against,
    /// How far they are from that, relative L2; of values that are not finite, none.
    pub distance: Option<f64>,
    /// How far they may be.
    pub bound: f64,
    /// How far rounding to the nearest moves the CPU's from f32; absent where nobody had to know.
    pub rounding: Option<f64>,
    /// How far they are from f32.
    pub from_f32: Option<f64>,
    /// Whether every picture's best class is the same, or as good within the bound.
    pub same_top1: bool,
    /// Whether that is within the bound.
    pub agrees: bool,
    /// Whether every picture's best class is also that of f32, or nearly as good.
    pub f32_top1: bool,
    /// Which bound it is, and why, in words.
    pub reason: String,
}

impl Halves {
    /// Whether the device computed soundly and 16 bits are enough for the network besides; if not, the reason.
    pub(crate) fn enough(&self) -> std::result::Result<String, String> {
        let from_f32 = self.from_f32.unwrap_or(f64::INFINITY);
        if !self.agrees {
            let apart = self.distance.unwrap_or(f64::INFINITY);
            return Err(match apart > self.bound {
                true => format!("relative error {apart:.1e}, at most {}", self.reason),
                false => {
                    format!("another class comes first; the relative error is {apart:.1e} of at most {}", self.reason)
                }
            });
        }
        if from_f32 > ENOUGH {
            return Err(format!(
                "relative error {from_f32:.1e} from f32, at most {ENOUGH:.0e} is allowed: rounding adds up here"
            ));
        }
        if !self.f32_top1 {
            return Err(format!("another class comes first than in f32; the relative error is {from_f32:.1e}"));
        }
        Ok(match self.rounding {
            None => format!("relative error {from_f32:.1e}"),
            Some(rounding) => format!("relative error {from_f32:.1e}; rounding alone makes {rounding:.1e}"),
        })
    }
}

/// A network, what it is planned as, and what the CPU makes of an input in f32.
pub(crate) struct Case<'a> {
    pub graph: &'a Graph,
    pub plan: &'a Plan,
    pub input: &'a Tensor,
    pub expected: &'a [f64],
}

impl Case<'_> {
    /// Judges what a device made of the same input.
    ///
    /// # Errors
    /// If the CPU executor does not take the network.
    pub fn judge(&self, found: &[f64]) -> Result<Halves> {
        let plain = Compared::new(found, self.expected, self.samples());
        if plain.within(LEAST) {
            return Ok(plain.judged(Against::F32, LEAST, None, &plain));
        }
        let rounded = Rounded::new(self.graph, self.plan)?;
        let outputs = [rounded.run(self.input, nearest)?, rounded.run(self.input, toward_zero)?];
        let rounding = Distance::of(&outputs[0], self.expected).relative;
        let bound = bound(rounding);
        let compared = outputs.map(|output| Compared::new(found, &output, self.samples()));
        let far = |compared: &Compared| compared.distance.unwrap_or(f64::INFINITY);
        let [near, zero] = compared;
        Ok(match far(&zero) < far(&near) {
            true => zero.judged(Against::TowardZero, bound, rounding, &plain),
            false => near.judged(Against::Nearest, bound, rounding, &plain),
        })
    }

    fn samples(&self) -> usize {
        self.input.shape().first().copied().unwrap_or(1).max(1)
    }
}

/// How far logits may be off that rounding moves so far.
fn bound(rounding: Option<f64>) -> f64 {
    rounding.map_or(LEAST, |rounding| (TIMES * rounding).clamp(LEAST, MOST))
}

fn reason(against: Against, bound: f64, rounding: Option<f64>) -> String {
    let and = match against {
        Against::F32 => return format!("{bound:.0e} is allowed, whatever the network"),
        Against::Nearest => "",
        Against::TowardZero => " (this device rounds towards zero, and so did the CPU)",
    };
    match rounding {
        None => format!("{bound:.0e} is allowed; on the CPU too, values are beyond 16-bit floats"),
        Some(rounding) if TIMES * rounding > MOST => format!(
            "{bound:.0e} is allowed, the most of all, from the CPU's logits with values rounded to 16 bits{and}: \
             rounding alone moves them by {rounding:.1e}; 16 bits are too few for this network"
        ),
        Some(rounding) if TIMES * rounding > LEAST => format!(
            "{bound:.1e} is allowed from the CPU's logits with values rounded to 16 bits{and}: \
             twice the {rounding:.1e} by which rounding alone moves them"
        ),
        Some(rounding) => format!(
            "{bound:.0e} is allowed, as for every network, from the CPU's logits with values rounded to 16 bits{and}: \
             rounding alone moves them by {rounding:.1e}"
        ),
    }
}

/// Logits beside others.
struct Compared {
    distance: Option<f64>,
    /// By how much of the largest logit the class that comes first is worse than the one that should, at most.
    worse: f64,
}

impl Compared {
    fn new(found: &[f64], expected: &[f64], samples: usize) -> Self {
        let distance = if found.len() == expected.len() { Distance::of(found, expected) } else { Distance::default() };
        let classes = (expected.len() / samples).max(1);
        let worse = |(found, expected): (&[f64], &[f64])| expected[best(expected)] - expected[best(found)];
        let worst = found.chunks_exact(classes).zip(expected.chunks_exact(classes)).map(worse).fold(0.0, f64::max);
        let worse = worst / distance.largest_expected.max(f64::MIN_POSITIVE);
        Compared { distance: distance.relative.filter(|_| distance.values > 0), worse }
    }

    fn within(&self, bound: f64) -> bool {
        self.distance.is_some_and(|distance| distance <= bound) && self.worse <= bound
    }

    fn judged(&self, against: Against, bound: f64, rounding: Option<f64>, plain: &Compared) -> Halves {
        Halves {
            against,
            distance: self.distance,
            bound,
            rounding,
            from_f32: plain.distance,
            same_top1: self.worse <= bound,
            agrees: self.within(bound),
            f32_top1: plain.worse <= ENOUGH,
            reason: reason(against, bound, rounding),
        }
    }
}

/// A network as the CPU runs it with what a plan stores in 16 bits rounded to that.
struct Rounded {
    executor: CpuExecutor,
    /// Node by node, whether its value is stored so.
    values: Vec<bool>,
}

impl Rounded {
    fn new(graph: &Graph, plan: &Plan) -> Result<Self> {
        let mut values = vec![false; graph.nodes().len()];
        let halves = |element: Option<Element>| element == Some(Element::F16);
        // From the last to the first, which is where the step that computes it puts it.
        for place in plan.places.iter().rev() {
            let tensor = place.pieces.first().and_then(|piece| plan.tensors.get(piece.tensor.0 as usize));
            if let Some(value) = values.get_mut(place.node.index()) {
                *value = halves(tensor.map(|tensor| tensor.format.element));
            }
        }
        let weights = |binding: &Binding| match binding {
            Binding::Weights(id) => plan.weights.get(id.0 as usize).map(|blob| blob.format.element),
            _ => None,
        };
        let mut rounded = graph.clone();
        // What nodes have no steps for, those behind them compute along.
        let mut stored = true;
        for node in graph.nodes().iter().rev() {
            let steps = plan.steps.iter().filter(|step| step.node == node.name);
            let bound: Vec<_> = steps.flat_map(|step| &step.bindings).filter_map(weights).collect();
            if !bound.is_empty() {
                stored = bound.contains(&Element::F16);
            }
            if stored {
                round_weights(&mut rounded, node)?;
            }
        }
        Ok(Rounded { executor: CpuExecutor::new(rounded)?, values })
    }

    fn run(&self, input: &Tensor, round: fn(f32) -> f32) -> Result<Vec<f64>> {
        let mut stores = Stores { values: &self.values, round };
        let output = self.executor.run_visited(input, &mut stores)?;
        Ok(output.data().iter().map(|v| f64::from(*v)).collect())
    }
}

/// The host rounds weights, so always to the nearest; what has 8 bits keeps them.
fn round_weights(graph: &mut Graph, node: &Node) -> Result<()> {
    for (_, id) in node.op.params().into_iter().filter(|(role, _)| role.ends_with("weight")) {
        let param = graph.params().get(id);
        if param.scales.is_none() {
            let values: Vec<f32> = param.tensor.data().iter().map(|v| nearest(*v)).collect();
            let tensor = Tensor::new(param.tensor.shape(), values)?;
            graph.set_param(id, tensor)?;
        }
    }
    Ok(())
}

struct Stores<'a> {
    values: &'a [bool],
    round: fn(f32) -> f32,
}

impl Visitor for Stores<'_> {
    fn made(&mut self, node: NodeId, value: &mut Tensor) {
        if self.values.get(node.index()) == Some(&true) {
            value.data_mut().iter_mut().for_each(|v| *v = (self.round)(*v));
        }
    }
}

fn nearest(value: f32) -> f32 {
    f16::from_f32(value).to_f32()
}

fn toward_zero(value: f32) -> f32 {
    let near = f16::from_f32(value);
    match near.to_f32().abs() > value.abs() {
        // The next in magnitude below: of infinity, the largest.
        true => f16::from_bits(near.to_bits() - 1).to_f32(),
        false => near.to_f32(),
    }
}

#[cfg(test)]
mod tests;
