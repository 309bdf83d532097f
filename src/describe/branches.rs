//! The parallel branches of training-form blocks, and which of them carry a batch norm.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::graph::{Graph, NodeId};
use crate::models::Family;
use crate::models::repvgg::BlockKind;
use crate::ops::{Activation, Op};

/// The branches of a network's blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Branches {
    /// What table 3 of the QARepVGG paper calls such blocks: `S0/S1`, `S2`, `S3`, `S4`.
    pub variant: Option<&'static str>,
    /// Where RepVGG's and QARepVGG's blocks have batch norms; `None` for other families, and where
    /// no block has an identity branch that would tell.
    pub kind: Option<BlockKind>,
    /// Each different layout, with the blocks that have it, in the order of their first block.
    pub layouts: Vec<BlockLayout>,
}

/// Branches that blocks have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockLayout {
    /// The blocks; for RepNeXt, the parts of its token mixers.
    pub blocks: Vec<String>,
    /// The branches whose sum they are.
    pub branches: Vec<Branch>,
    /// Whether a batch norm follows the sum.
    pub post_batch_norm: bool,
}

/// One branch, or several that are alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Branch {
    /// Its kernels in the order in which they are applied: `3×3`, `1×7→7×1`, or `identity`.
    pub path: String,
    /// Whether it carries a batch norm.
    pub batch_norm: bool,
    /// How many such branches there are.
    pub count: usize,
}

impl fmt::Display for Branch {
    /// `3×3 BN`, `4 of 1×1 BN`, `identity plain`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count > 1 {
            write!(f, "{} of ", self.count)?;
        }
        write!(f, "{} {}", self.path, if self.batch_norm { "BN" } else { "plain" })
    }
}

impl fmt::Display for BlockLayout {
    /// `3×3 BN | 1×1 plain | identity plain | post-BN`, or `no BN: 3×3 | 3×1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.post_batch_norm && self.branches.iter().all(|branch| !branch.batch_norm) {
            let paths: Vec<&str> = self.branches.iter().map(|branch| branch.path.as_str()).collect();
            return write!(f, "no BN: {}", paths.join(" | "));
        }
        for (i, branch) in self.branches.iter().enumerate() {
            write!(f, "{}{branch}", if i > 0 { " | " } else { "" })?;
        }
        f.write_str(if self.post_batch_norm { " | post-BN" } else { "" })
    }
}

impl Branches {
    /// The branches of a network; `None` if it has none.
    pub(super) fn of(graph: &Graph, family: Option<Family>) -> Option<Branches> {
        let walk = Walk::new(graph);
        let mut layouts: Vec<BlockLayout> = Vec::new();
        // By layout, the place among `layouts`.
        let mut known: BTreeMap<(Vec<Branch>, bool), usize> = BTreeMap::new();
        for id in graph.ids() {
            let Some(branches) = walk.parallel(id) else { continue };
            let name = &graph.node(id).name;
            let block = name.strip_suffix(".add").unwrap_or(name).to_owned();
            let post_batch_norm = walk.normed(id);
            let place = *known.entry((branches.clone(), post_batch_norm)).or_insert(layouts.len());
            match layouts.get_mut(place) {
                Some(layout) => layout.blocks.push(block),
                None => layouts.push(BlockLayout { blocks: vec![block], branches, post_batch_norm }),
            }
        }
        if layouts.is_empty() {
            return None;
        }
        let kind = if family == Some(Family::RepVgg) { block_kind(&layouts) } else { None };
        Some(Branches { variant: kind.and_then(BlockKind::table3), kind, layouts })
    }
}

/// The kind of RepVGG's blocks, if all are of one.
fn block_kind(layouts: &[BlockLayout]) -> Option<BlockKind> {
    // What all branches of that path have; `None` where they differ or where there is none.
    let norm = |path: &str| {
        let mut norms = layouts.iter().flat_map(|l| &l.branches).filter(|b| b.path == path).map(|b| b.batch_norm);
        let first = norms.next()?;
        norms.all(|norm| norm == first).then_some(first)
    };
    let post = layouts.first()?.post_batch_norm;
    let same = layouts.iter().all(|layout| layout.post_batch_norm == post);
    same.then_some(())?;
    Some(BlockKind { dense: norm("3×3")?, pointwise: norm("1×1")?, identity: norm("identity")?, post })
}

/// A graph with its readings.
struct Walk<'a> {
    graph: &'a Graph,
    uses: Vec<usize>,
    readers: Vec<Vec<NodeId>>,
}

impl<'a> Walk<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut readers = vec![Vec::new(); graph.nodes().len()];
        for id in graph.ids() {
            graph.node(id).inputs.iter().for_each(|input| readers[input.index()].push(id));
        }
        Walk { graph, uses: graph.uses(), readers }
    }

    /// The branches of a sum whose operands are all linear maps of one value.
    fn parallel(&self, sum: NodeId) -> Option<Vec<Branch>> {
        let node = self.graph.node(sum);
        if !matches!(node.op, Op::Add(_)) {
            return None;
        }
        let found: Vec<(NodeId, Branch)> = node.inputs.iter().map(|input| self.branch(*input)).collect();
        let (origin, _) = found.first()?;
        if found.iter().any(|(other, _)| other != origin) {
            return None;
        }
        let mut branches: Vec<Branch> = Vec::new();
        for (_, branch) in found {
            match branches.iter_mut().find(|b| b.path == branch.path && b.batch_norm == branch.batch_norm) {
                Some(alike) => alike.count += 1,
                None => branches.push(branch),
            }
        }
        Some(branches)
    }

    /// What lies between a value and the fork that it comes from.
    fn branch(&self, mut id: NodeId) -> (NodeId, Branch) {
        let mut path = Vec::new();
        let mut batch_norm = false;
        while self.uses[id.index()] == 1 {
            let node = self.graph.node(id);
            match (&node.op, node.inputs.as_slice()) {
                (Op::Conv2d(conv), [x]) if conv.activation == Activation::None => {
                    let [kernel, dilation] = [conv.kernel(self.graph.params()), conv.dilation];
                    let dilated = if dilation == [1, 1] { String::new() } else { format!(" dilated {}", dilation[0]) };
                    path.push(format!("{}×{}{dilated}", kernel[0], kernel[1]));
                    id = *x;
                }
                (Op::AvgPool(pool), [x]) => {
                    path.push(format!("{0}×{0} mean", pool.kernel));
                    id = *x;
                }
                (Op::BatchNorm(norm), [x]) if norm.activation == Activation::None => {
                    batch_norm = true;
                    id = *x;
                }
                _ => break,
            }
        }
        path.reverse();
        let path = if path.is_empty() { "identity".to_owned() } else { path.join("→") };
        (id, Branch { path, batch_norm, count: 1 })
    }

    /// Whether a batch norm follows, perhaps behind a squeeze-and-excitation gate.
    fn normed(&self, id: NodeId) -> bool {
        let gates = |reader: &&NodeId| {
            let node = self.graph.node(**reader);
            matches!(node.op, Op::Gate(_)) && node.inputs.first() == Some(&id)
        };
        let readers = &self.readers[id.index()];
        let gated = readers.iter().filter(gates).flat_map(|gate| &self.readers[gate.index()]);
        readers.iter().chain(gated).any(|reader| matches!(self.graph.node(*reader).op, Op::BatchNorm(_)))
    }
}
