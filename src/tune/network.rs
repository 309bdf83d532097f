//! Whole networks, run in turn: what was best alone need not be best among its neighbours, whose
//! values it finds in caches and whose dispatches overlap with it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::reference::{Reference, wrong};
use super::space;
use super::stats::Samples;
use crate::error::{Error, Result};
use crate::gpu::{Bench, Compiled, GpuContext};
use crate::graph::Graph;
use crate::kernels::{Choices, Piece, Place, Target, Tile};
use crate::plan::Plan;

/// A network with certain choices, ready to run.
pub(super) struct Contender {
    bench: Bench,
    compiled: Compiled,
    keys: Vec<String>,
    /// Of a run of the whole network.
    pub total: Samples,
    /// Of each step, where the device has a clock.
    steps: Vec<Samples>,
    repetitions: u32,
}

/// What compiling costs a run, in seconds, by the key of a choice and what was taken.
pub(super) type Penalties = BTreeMap<(String, String), f64>;

/// What contenders share.
pub(super) struct Course<'a> {
    pub context: &'a GpuContext,
    pub graph: &'a Graph,
    pub target: &'a Target,
    pub batch: usize,
    pub safe_shaders: bool,
}

impl Course<'_> {
    /// The plan with these choices.
    pub fn plan(&self, choices: &Choices) -> Result<Plan> {
        Plan::for_target(self.graph, self.batch, &[], space::with(self.target, choices.clone()))
    }

    /// Compiles a plan, fills in the input and runs it once.
    pub async fn enter(&self, plan: Plan, reference: &Reference) -> Result<Contender> {
        let keys = plan.steps.iter().map(|step| step.key()).collect();
        let input = plan.places.iter().find(|place| place.node == self.graph.input()).cloned();
        let input = input.ok_or_else(|| Error::argument("the network has no input"))?;
        let mut bench = Bench::new(self.context, plan, self.safe_shaders).await?;
        bench.write(bench.plan().input, &reference.packed(&input, 0.0)).await?;
        let compiled = bench.compile(&bench.plan().steps).await?;
        bench.run(&[&compiled], 1).await?;
        let steps = vec![Samples::default(); bench.plan().steps.len()];
        Ok(Contender { bench, compiled, keys, total: Samples::default(), steps, repetitions: 1 })
    }
}

impl Contender {
    pub fn plan(&self) -> &Plan {
        self.bench.plan()
    }

    /// Runs it once, a step at a time; false if there is no clock for that.
    pub async fn profile(&mut self) -> Result<bool> {
        let Some(times) = self.bench.profile(&self.compiled).await? else { return Ok(false) };
        self.steps.iter_mut().zip(times).for_each(|(samples, time)| samples.push(time.as_secs_f64()));
        Ok(true)
    }

    /// Runs it whole, as often as the clock wants, and returns how long that took.
    pub async fn run(&mut self) -> Result<Duration> {
        loop {
            let took = self.bench.run(&[&self.compiled], self.repetitions).await?;
            if took >= self.bench.least() || self.repetitions >= 1 << 10 {
                self.total.push(took.as_secs_f64() / f64::from(self.repetitions));
                return Ok(took);
            }
            self.repetitions *= 2;
        }
    }

    /// Seconds of the steps for which `wanted` is true, by their index: the sum of their medians, and
    /// the sum of each round.
    fn sum(&self, wanted: impl Fn(usize) -> bool) -> Option<Samples> {
        let which: Vec<&Samples> =
            self.steps.iter().enumerate().filter(|(at, _)| wanted(*at)).map(|(_, samples)| samples).collect();
        let rounds = which.first()?.len();
        let mut sums = Samples::default();
        (0..rounds).for_each(|round| sums.push(which.iter().map(|samples| samples.get(round)).sum()));
        (rounds > 0).then_some(sums)
    }

    /// Seconds of the steps that compute some nodes; none if it was not profiled.
    pub fn nodes(&self, nodes: &[String]) -> Option<Samples> {
        self.sum(|at| nodes.contains(&self.plan().steps[at].node))
    }

    /// The tile of the steps of a key, and their seconds.
    fn tile(&self, key: &str) -> Option<(Tile, Samples)> {
        let at = self.keys.iter().position(|known| known == key)?;
        Some((self.plan().steps[at].tile?, self.sum(|at| self.keys[at] == key)?))
    }

    /// What was taken in a decision, and the seconds of its nodes.
    fn kernel(&self, key: &str) -> Option<(&'static str, Samples)> {
        let mut decisions = self.plan().decisions.iter().filter(|decision| decision.key == key).peekable();
        let taken = decisions.peek()?.taken;
        let nodes: Vec<String> = decisions.flat_map(|decision| decision.nodes.iter().cloned()).collect();
        Some((taken, self.nodes(&nodes)?))
    }

    /// The network's output, as it lies on the device after a run, and what the CPU makes of it.
    pub async fn output(&self, reference: &Reference) -> Result<(Vec<f32>, Vec<f32>)> {
        let plan = self.plan();
        let output = plan.outputs.first().ok_or_else(|| Error::argument("the network has no output"))?;
        let planes = output.layout.planes();
        let piece = Piece { tensor: output.tensor, first_plane: output.first_plane, planes };
        let place = Place { node: output.node, layout: output.layout.clone(), times: 1, pieces: vec![piece] };
        let first = output.first_plane * plan.tensors[output.tensor.0 as usize].pixels * 4;
        let mut found = self.bench.read(output.tensor).await?;
        found.drain(..first.min(found.len()));
        Ok((found, reference.packed(&place, f32::NAN)))
    }
}

/// What is wrong with a network's output: further from the CPU's than rounding takes it through so many
/// layers, and from that of the untuned network as well.
pub(super) fn wrong_output(found: &[f32], untuned: &[f32], expected: &[f32], bound: f64) -> Option<String> {
    let reason = wrong(found, expected, 20.0 * bound)?;
    // Padding is not compared.
    let untuned: Vec<f32> =
        untuned.iter().zip(expected).map(|(v, expected)| if expected.is_nan() { f32::NAN } else { *v }).collect();
    wrong(found, &untuned, 2.0 * bound).map(|_| reason)
}

/// The better of two choices for each tile and kernel, by their times within the network, where they
/// were taken there: those of `first` unless `second` beats it, and those without tuning unless they
/// are beaten.
pub(super) fn judge(
    choices: &Choices,
    penalties: &Penalties,
    rules: &Contender,
    first: &Contender,
    second: Option<&Contender>,
) -> Choices {
    // What compiling costs a run counts here too.
    let costs = |key: &str, label: String, samples: Samples| {
        samples.shifted(penalties.get(&(key.to_owned(), label)).copied().unwrap_or(0.0))
    };
    let better = |key: &str, of: &Look<'_>| -> Option<Taken> {
        let mut best = of(first, key)?;
        if let Some(other) = second.and_then(|second| of(second, key))
            && other.0 != best.0
            && other.1.beats(&best.1)
        {
            best = other;
        }
        match of(rules, key) {
            Some(default) if default.0 != best.0 && !best.1.beats(&default.1) => Some(default.0),
            _ => Some(best.0),
        }
    };
    let kernel = |contender: &Contender, key: &str| {
        contender.kernel(key).map(|(way, s)| (Taken::Kernel(way), costs(key, way.to_owned(), s)))
    };
    let tile = |contender: &Contender, key: &str| {
        contender.tile(key).map(|(tile, s)| (Taken::Tile(tile), costs(key, tile.to_string(), s)))
    };
    let mut judged = Choices { kernels: BTreeMap::new(), tiles: BTreeMap::new() };
    for (key, known) in &choices.kernels {
        let way = match better(key, &kernel) {
            Some(Taken::Kernel(way)) => way.to_owned(),
            _ => known.clone(),
        };
        judged.kernels.insert(key.clone(), way);
    }
    for (key, known) in &choices.tiles {
        let tile = match better(key, &tile) {
            Some(Taken::Tile(tile)) => tile,
            _ => *known,
        };
        judged.tiles.insert(key.clone(), tile);
    }
    judged
}

#[derive(Clone, Copy, PartialEq)]
enum Taken {
    Kernel(&'static str),
    Tile(Tile),
}

/// What a contender took for a key, and how long its steps take.
type Look<'a> = dyn Fn(&Contender, &str) -> Option<(Taken, Samples)> + 'a;
