//! What each branch of a block adds to one channel (QARepVGG, Fig 5).

use serde::Serialize;

use super::layers::Layers;
use super::measure::LayerReport;
use super::spread::{Collector, Spread};
use super::{Options, Progress, Stage};
use crate::cpu::CpuExecutor;
use crate::describe::{Fork, forks};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::models::distance;
use crate::tensor::Tensor;

/// One channel of a block: its branches, their sum, and what the activation gets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BranchView {
    /// The block, or the layer where there are no branches.
    pub layer: String,
    /// The channel.
    pub channel: usize,
    /// Channels that there are.
    pub channels: usize,
    /// The branches in the order in which they are summed, then `sum`, then `post-BN` if there is
    /// one; a fused layer has only `fused`.
    pub parts: Vec<BranchPart>,
}

/// One branch, or the sum.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BranchPart {
    /// Its kernels (`3×3`, `identity`), numbered where several are alike, or `sum`, `post-BN`, `fused`.
    pub name: String,
    /// Its values in that channel, over all pixels and pictures.
    pub spread: Spread,
}

/// What is to be looked at, in a graph of its own.
struct Subject<'a> {
    graph: &'a Graph,
    layer: String,
    /// The last is what the activation gets.
    parts: Vec<(String, NodeId)>,
}

/// Looks at the layer and channel of `options`, or at those where activations are worst.
///
/// # Errors
/// [`Error::Argument`] for a layer or a channel that is not there.
pub(super) fn view(
    layers: &Layers,
    training: Option<&Graph>,
    reports: &[LayerReport],
    inputs: &[Tensor],
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<BranchView> {
    let forks = training.map(|graph| Blocks { graph, forks: forks(graph) });
    let subject = match &options.layer {
        Some(name) => find(layers, forks.as_ref(), name).ok_or_else(|| unknown(layers, forks.as_ref(), name))?,
        None => {
            let mut by_noise: Vec<&LayerReport> = reports.iter().collect();
            let left = |report: &LayerReport| report.input_noise.sqnr_db.unwrap_or(f64::INFINITY);
            by_noise.sort_by(|a, b| left(a).total_cmp(&left(b)));
            let makers = || by_noise.iter().map(|report| report.input.made_by.as_str());
            let block = forks.as_ref().and_then(|blocks| makers().find_map(|maker| blocks.find(maker)));
            let layer = || makers().chain(reports.iter().map(|r| r.name.as_str())).find_map(|name| fused(layers, name));
            block.or_else(layer).ok_or_else(|| Error::argument("the network has no layers with weights"))?
        }
    };
    let channels = subject.graph.node(subject.parts.last().map_or(NodeId(0), |part| part.1)).shape.channels;
    let channel = match options.channel {
        Some(channel) if channel >= channels => {
            let layer = &subject.layer;
            let reason = format!("channel {channel} of {layer:?}: it has {channels} channels, 0 to {}", channels - 1);
            return Err(Error::argument(reason));
        }
        Some(channel) => channel,
        None => subject.widest(inputs)?,
    };
    let parts = subject.spreads(channel, inputs, progress)?;
    Ok(BranchView { layer: subject.layer, channel, channels, parts })
}

/// The blocks of a network in training form.
struct Blocks<'a> {
    graph: &'a Graph,
    forks: Vec<Fork>,
}

impl<'a> Blocks<'a> {
    fn name(&self, fork: &Fork) -> &'a str {
        let name = self.graph.node(fork.sum).name.as_str();
        name.strip_suffix(".add").unwrap_or(name)
    }

    /// The block of that name, or the first part of one (RepNeXt's token mixers have several).
    fn find(&self, name: &str) -> Option<Subject<'a>> {
        let inside = |whole: &str| whole.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        let exact = self.forks.iter().find(|fork| self.name(fork) == name);
        let fork = exact.or_else(|| self.forks.iter().find(|fork| inside(self.name(fork))))?;
        let mut parts: Vec<(String, NodeId)> = Vec::new();
        for arm in &fork.arms {
            let alike = fork.arms.iter().filter(|other| other.path == arm.path).count();
            let before = parts.iter().filter(|(part, _)| part.starts_with(&arm.path)).count();
            let name = if alike > 1 { format!("{} #{}", arm.path, before + 1) } else { arm.path.clone() };
            parts.push((name, arm.end));
        }
        parts.push(("sum".to_owned(), fork.sum));
        parts.extend(fork.post.map(|norm| ("post-BN".to_owned(), norm)));
        Some(Subject { graph: self.graph, layer: self.name(fork).to_owned(), parts })
    }
}

fn find<'a>(layers: &'a Layers, blocks: Option<&Blocks<'a>>, name: &str) -> Option<Subject<'a>> {
    blocks.and_then(|blocks| blocks.find(name)).or_else(|| fused(layers, name))
}

fn fused<'a>(layers: &'a Layers, name: &str) -> Option<Subject<'a>> {
    let layer = layers.all.iter().find(|layer| layers.graph.node(layer.id).name == name)?;
    Some(Subject { graph: &layers.graph, layer: name.to_owned(), parts: vec![("fused".to_owned(), layer.id)] })
}

fn unknown(layers: &Layers, blocks: Option<&Blocks>, name: &str) -> Error {
    let fused = layers.all.iter().map(|layer| layers.graph.node(layer.id).name.as_str());
    let branched = blocks.into_iter().flat_map(|blocks| blocks.forks.iter().map(|fork| blocks.name(fork)));
    let mut near: Vec<(usize, &str)> = fused.chain(branched).map(|known| (distance(name, known), known)).collect();
    near.sort_unstable();
    near.dedup();
    let near: Vec<&str> = near.into_iter().take(3).map(|(_, known)| known).collect();
    let network = &layers.graph.name;
    Error::argument(format!("no layer {name:?} with weights in {network}; nearest names: {}", near.join(", ")))
}

impl Subject<'_> {
    /// The network up to here.
    fn executor(&self) -> Result<CpuExecutor> {
        let mut graph = self.graph.clone();
        graph.set_output(self.parts.last().map_or(graph.output(), |part| part.1));
        CpuExecutor::new(graph)
    }

    /// The channel with the largest magnitude in the last part.
    fn widest(&self, inputs: &[Tensor]) -> Result<usize> {
        let executor = self.executor()?;
        let shape = executor.graph().node(executor.graph().output()).shape;
        let mut largest = vec![0f32; shape.channels];
        for input in inputs {
            let (value, _) = executor.run_with(input, &[])?;
            for (max, plane) in largest.iter_mut().zip(value.data().chunks(shape.pixels().max(1))) {
                *max = plane.iter().fold(*max, |max, v| max.max(v.abs()));
            }
        }
        let widest = largest.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
        Ok(widest.map_or(0, |(channel, _)| channel))
    }

    fn spreads(
        &self,
        channel: usize,
        inputs: &[Tensor],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<BranchPart>> {
        let executor = self.executor()?;
        let ids: Vec<NodeId> = self.parts.iter().map(|part| part.1).collect();
        let mut collectors = vec![Collector::new(); ids.len()];
        for (done, input) in inputs.iter().enumerate() {
            let (_, values) = executor.run_with(input, &ids)?;
            for ((collector, value), id) in collectors.iter_mut().zip(&values).zip(&ids) {
                let pixels = self.graph.node(*id).shape.pixels().max(1);
                value.data().chunks(pixels).nth(channel).into_iter().for_each(|plane| collector.add(plane));
            }
            progress(Progress { stage: Stage::Branches, done: done + 1, total: inputs.len() });
        }
        let parts = self.parts.iter().zip(collectors);
        Ok(parts.map(|((name, _), values)| BranchPart { name: name.clone(), spread: values.finish() }).collect())
    }
}
