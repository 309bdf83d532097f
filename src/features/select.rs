//! Which nodes are meant, and what is known about them before anything runs.

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, NodeId, Shape};
use crate::models::distance;
use crate::ops::{Depthwise, Op};
use crate::order;

/// A node whose value is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Selected {
    /// The node.
    pub id: NodeId,
    /// Its name.
    pub node: String,
    /// The stages whose output it is (usually none or one).
    pub stages: Vec<String>,
    /// Shape of one sample.
    pub shape: Shape,
    /// Rows and columns of the input per row and column of the value; see [`strides`].
    pub stride: Option<[usize; 2]>,
    /// Name and kernel of a token mixer's branches, in the order of their channels.
    pub(super) parts: Vec<(&'static str, String)>,
}

/// The names of the graph's stage outputs, from the input to the output.
pub fn stages(graph: &Graph) -> Vec<String> {
    graph.taps().iter().map(|(name, _)| name.clone()).collect()
}

/// The names of RepNeXt's token mixers, those of downsampling too, from the input to the output.
pub fn mixers(graph: &Graph) -> Vec<String> {
    graph.nodes().iter().filter(|node| !parts(graph, node).is_empty()).map(|node| node.name.clone()).collect()
}

/// Finds the nodes of those names: stages by their name (`stage2`), any other node by its own. A
/// node that is named twice is selected once, where it was named first.
///
/// # Errors
/// [`Error::Argument`] for a name that is none of the graph's, with the nearest ones, or with the
/// node that does the work of a branch or norm of that name since the network was fused.
pub fn select<S: AsRef<str>>(graph: &Graph, names: &[S]) -> Result<Vec<Selected>> {
    let strides = strides(graph);
    let mut selected: Vec<Selected> = Vec::new();
    for name in names {
        let name = name.as_ref();
        let tap = graph.taps().iter().find(|(tap, _)| tap == name).map(|(_, id)| *id);
        let id = tap.or_else(|| graph.find(name)).ok_or_else(|| unknown(graph, name))?;
        if selected.iter().any(|s| s.id == id) {
            continue;
        }
        let node = graph.node(id);
        let stages = graph.taps().iter().filter(|tap| tap.1 == id).map(|tap| tap.0.clone()).collect();
        let (shape, stride, parts) = (node.shape, strides[id.index()], parts(graph, node));
        selected.push(Selected { id, node: node.name.clone(), stages, shape, stride, parts });
    }
    Ok(selected)
}

/// For each node, how many rows and columns of the input one row and one column of its value stand
/// for: 1, 2, 4, …; `None` for vectors.
pub fn strides(graph: &Graph) -> Vec<Option<[usize; 2]>> {
    // Seen on a large input, where padding and rounding do not matter. A graph that cannot take it
    // is seen as it is.
    const SIDE: usize = 1024;
    let input = graph.input_shape();
    let large = graph.with_input(Shape { height: SIDE, width: SIDE, ..input }).ok();
    let graph = large.as_ref().unwrap_or(graph);
    let input = graph.input_shape();
    let per = |whole: usize, part: usize| (whole + part / 2) / part;
    let stride = |shape: Shape| [per(input.height, shape.height), per(input.width, shape.width)];
    graph.nodes().iter().map(|node| (node.shape.pixels() > 1).then(|| stride(node.shape))).collect()
}

/// Name and kernel of the branches of a token mixer; empty for other nodes.
fn parts(graph: &Graph, node: &Node) -> Vec<(&'static str, String)> {
    let kernel = |conv: &Depthwise| conv.kernel(graph.params()).map(|k| k.to_string()).join("×");
    match &node.op {
        Op::ChunkConv(mixer) => vec![
            ("identity", String::new()),
            ("S", kernel(&mixer.small)),
            ("M", kernel(&mixer.medium)),
            ("L", format!("{}→{}", kernel(&mixer.wide), kernel(&mixer.tall))),
        ],
        Op::CopyConv(mixer) => vec![("S", kernel(&mixer.small)), ("M", kernel(&mixer.medium))],
        _ => Vec::new(),
    }
}

fn unknown(graph: &Graph, name: &str) -> Error {
    let known: Vec<&str> = graph.nodes().iter().map(|node| node.name.as_str()).collect();
    let parts: Vec<&str> = name.split('.').collect();
    // What a checkpoint calls by that name may have been folded: into the node that a longer name
    // begins with, or into one beside it.
    for len in (1..=parts.len()).rev() {
        let prefix = parts[..len].join(".");
        if known.contains(&prefix.as_str()) {
            return Error::argument(format!(
                "no node {name:?} in the fused {}: what checkpoints hold under {prefix:?} is folded into the node \
                 of that name; ask for {prefix:?}",
                graph.name
            ));
        }
        let beside: Vec<&str> = known.iter().copied().filter(|k| k.starts_with(&format!("{prefix}."))).collect();
        if len > 1 && !beside.is_empty() {
            return Error::argument(format!(
                "no node {name:?} in the fused {}; branches and norms are folded, and what is left of {prefix:?} is: {}",
                graph.name,
                beside.join(", ")
            ));
        }
    }
    let stages = graph.taps().iter().map(|(stage, _)| stage.as_str());
    let mut near: Vec<(usize, &str)> = known.iter().copied().chain(stages).map(|k| (distance(name, k), k)).collect();
    order::sort_by(&mut near, Ord::cmp);
    near.dedup();
    let near: Vec<&str> = near.into_iter().take(3).map(|(_, known)| known).collect();
    Error::argument(format!(
        "no node {name:?} in the fused {}; nearest names: {} (`foveate features --list` shows all)",
        graph.name,
        near.join(", ")
    ))
}
