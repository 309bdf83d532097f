//! Proof of a rewrite: both graphs run on the same seeded input, and every value they share is
//! compared.

use std::fmt;

use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

use crate::cpu::CpuExecutor;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Shape};
use crate::ops::Op;
use crate::tensor::Tensor;

/// Samples in the seeded input.
const BATCH: usize = 2;

/// How far two graphs are apart on a seeded input. A rewrite that is exact in real numbers leaves
/// the rounding of f32: `max_rel` around 1e-6, at most 1e-4 through a deep network.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    /// Largest |before − after| over the output and all taps; infinite if one has a NaN.
    pub max_abs: f64,
    /// Largest, over the output and all taps, of max |before − after| / max |before|.
    pub max_rel: f64,
    /// The value with that relative difference: a tap's name, or `"output"`.
    pub worst: String,
    /// Whether the largest element of the output is the same, in every sample.
    pub same_top1: bool,
    /// Whether each layer was compared on the first network's own activations ([`prove_layers`])
    /// instead of running both networks through.
    pub layer_by_layer: bool,
    /// Shape of the input, per sample.
    pub input: Shape,
    /// Seed of the input.
    pub seed: u64,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Proof { max_abs, max_rel, worst, input, .. } = self;
        let how = if self.layer_by_layer { ", layer by layer" } else { "" };
        let at = if worst == "output" { String::new() } else { format!(" at {worst}") };
        let top1 = if self.same_top1 { "same top-1" } else { "another top-1" };
        write!(
            f,
            "max |train − deploy| = {max_abs:.1e} (relative {max_rel:.1e}{at}) on a seeded {input} input{how}, {top1}"
        )
    }
}

/// Runs both graphs on the CPU, on the smallest input that tells a difference if there is one
/// (see [`proof_input`]), and compares the output and the taps that both have.
///
/// The taps and the output must have the same shapes; the networks may differ in anything else.
///
/// # Errors
/// [`Error::Argument`] if the graphs have other inputs or outputs, and what the executor reports.
pub fn prove(before: &Graph, after: &Graph, seed: u64) -> Result<Proof> {
    prove_at(before, after, proof_input(before, after)?, seed)
}

/// [`prove`] on an input of this shape.
///
/// # Errors
/// As [`prove`], and [`Error::Graph`] if a network cannot take that size.
pub fn prove_at(before: &Graph, after: &Graph, input: Shape, seed: u64) -> Result<Proof> {
    let x = noise(input, seed)?;
    let find = |name: &str| after.taps().iter().find(|tap| tap.0 == name);
    let shared: Vec<(&str, NodeId, NodeId)> = before
        .taps()
        .iter()
        .filter_map(|(name, id)| find(name).map(|(_, other)| (name.as_str(), *id, *other)))
        .chain([("output", before.output(), after.output())])
        .collect();
    let run = |graph: &Graph, ids: Vec<NodeId>| CpuExecutor::new(graph.with_input(input)?)?.run_with(&x, &ids);
    let (logits, expected) = run(before, shared.iter().map(|s| s.1).collect())?;
    let (fused_logits, found) = run(after, shared.iter().map(|s| s.2).collect())?;

    let same_top1 = top1(&logits) == top1(&fused_logits);
    let layer_by_layer = false;
    let mut proof =
        Proof { max_abs: 0.0, max_rel: 0.0, worst: "output".into(), same_top1, layer_by_layer, input, seed };
    for ((name, ..), (a, b)) in shared.iter().zip(expected.iter().zip(&found)) {
        if a.shape() != b.shape() {
            let (a, b) = (a.shape(), b.shape());
            return Err(Error::argument(format!("{}: {name} has shape {a:?} before and {b:?} after", before.name)));
        }
        proof.include(name, a, b);
    }
    Ok(proof)
}

/// Proves a rewrite layer by layer: every value behind a nonlinearity is computed by the rewritten
/// network from the *original* network's own values, and compared with the original's.
///
/// Through many blocks rounding can grow with the activations themselves (a D2se whose
/// weights were drawn evenly: 300-fold), which tells nothing about the rewrite. Here each layer stands alone,
/// so what is left is its own rounding.
///
/// # Errors
/// [`Error::Argument`] if `rewrite` makes another network of the graph when more of its values are
/// named; otherwise as [`prove`].
pub fn prove_layers(before: &Graph, rewrite: impl Fn(&Graph) -> Result<Graph>, seed: u64) -> Result<Proof> {
    let mut named = before.clone();
    for id in before.ids().filter(|id| matches!(before.node(*id).op, Op::Activate(_))) {
        named.tap(format!("behind {}", before.node(id).name), id);
    }
    named.tap("output", before.output());
    let (plain, after) = (rewrite(before)?, rewrite(&named)?);
    let alike = plain.nodes().iter().map(|n| (&n.op, &n.inputs)).eq(after.nodes().iter().map(|n| (&n.op, &n.inputs)));
    if !alike {
        return Err(Error::argument(format!("{}: the rewrite depends on which values are named", before.name)));
    }
    let input = proof_input(before, &plain)?;
    let x = noise(input, seed)?;
    let ids = |graph: &Graph| graph.taps()[before.taps().len()..].iter().map(|tap| tap.1).collect::<Vec<_>>();
    let names: Vec<&String> = named.taps()[before.taps().len()..].iter().map(|tap| &tap.0).collect();
    let (_, expected) = CpuExecutor::new(named.with_input(input)?)?.run_with(&x, &ids(&named))?;
    let forced: Vec<(NodeId, &Tensor)> = ids(&after).into_iter().zip(&expected).collect();
    let found = CpuExecutor::new(after.with_input(input)?)?.run_forced(&x, &forced)?;
    let same_top1 = expected.last().map(top1) == found.last().map(top1);
    let layer_by_layer = true;
    let mut proof =
        Proof { max_abs: 0.0, max_rel: 0.0, worst: "output".into(), same_top1, layer_by_layer, input, seed };
    for (name, (a, b)) in names.into_iter().zip(expected.iter().zip(&found)) {
        proof.include(name, a, b);
    }
    Ok(proof)
}

impl Proof {
    /// Takes another value's difference into account.
    fn include(&mut self, name: &str, before: &Tensor, after: &Tensor) {
        let (abs, rel) = difference(before, after);
        self.max_abs = self.max_abs.max(abs);
        if rel > self.max_rel {
            (self.max_rel, self.worst) = (rel, name.to_owned());
        }
    }
}

/// Seeded standard normal input.
fn noise(input: Shape, seed: u64) -> Result<Tensor> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let values = (0..BATCH * input.len()).map(|_| StandardNormal.sample(&mut rng)).collect();
    Tensor::new([BATCH, input.channels, input.height, input.width], values)
}

/// Largest difference of two tensors of one shape: absolute, and relative to the first's largest.
fn difference(a: &Tensor, b: &Tensor) -> (f64, f64) {
    let (mut abs, mut largest) = (0f64, 0f64);
    for (&a, &b) in a.data().iter().zip(b.data()) {
        let (a, b) = (f64::from(a), f64::from(b));
        let apart = (a - b).abs();
        abs = abs.max(if apart.is_nan() { f64::INFINITY } else { apart });
        largest = largest.max(a.abs());
    }
    // An infinity on either side proves nothing.
    let relative = if abs == 0.0 && largest.is_finite() { 0.0 } else { abs / largest };
    (abs, if relative.is_finite() { relative } else { f64::INFINITY })
}

/// Index of the largest element in each sample.
fn top1(logits: &Tensor) -> Vec<Option<usize>> {
    let len = logits.len() / logits.shape().first().copied().unwrap_or(1).max(1);
    let best = |row: &[f32]| (0..row.len()).max_by(|&i, &j| row[i].total_cmp(&row[j]));
    logits.data().chunks(len.max(1)).map(best).collect()
}

/// The smallest input, at most the network's own, on which a wrong rewrite shows: every tap of
/// every kernel meets pixels and borders, maps to be pooled are at least 2×3, and height differs
/// from width.
///
/// # Errors
/// [`Error::Argument`] if the graphs do not take the same input.
pub fn proof_input(before: &Graph, after: &Graph) -> Result<Shape> {
    let full = before.input_shape();
    if after.input_shape() != full {
        let reason = format!("{} takes {full}, {} takes {}", before.name, after.name, after.input_shape());
        return Err(Error::argument(reason));
    }
    let enough = |input: Shape, axis: usize| {
        [before, after].iter().all(|graph| graph.with_input(input).is_ok_and(|graph| tells_apart(&graph, axis)))
    };
    let height = smallest(full.height, |height| enough(Shape { height, ..full }, 0));
    let width = smallest(full.width, |width| enough(Shape { width, ..full }, 1));
    let width = if width == height { (width + 1).min(full.width) } else { width };
    Ok(Shape { height, width, ..full })
}

/// The smallest length that is enough, or `full`; if a length is enough, so are longer ones.
fn smallest(full: usize, enough: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (1, full);
    while low < high {
        let middle = low + (high - low) / 2;
        if enough(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    high
}

/// Whether every map is long enough along the axis for every tap of the kernels that read it.
fn tells_apart(graph: &Graph, axis: usize) -> bool {
    graph.nodes().iter().all(|node| {
        let Some(read) = node.inputs.first().map(|id| graph.node(*id).shape) else { return true };
        [read.height, read.width][axis] > node.op.reach(graph.params())[axis]
    })
}
