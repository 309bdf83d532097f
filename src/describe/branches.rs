//! The parallel branches of training-form blocks, and which of them carry a batch norm.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::forks::{Fork, forks};
use crate::graph::Graph;
use crate::models::Family;
use crate::models::repvgg::BlockKind;

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
        let mut layouts: Vec<BlockLayout> = Vec::new();
        // By layout, the place among `layouts`.
        let mut known: BTreeMap<(Vec<Branch>, bool), usize> = BTreeMap::new();
        for fork in forks(graph) {
            let name = &graph.node(fork.sum).name;
            let block = name.strip_suffix(".add").unwrap_or(name).to_owned();
            let (branches, post_batch_norm) = (alike(&fork), fork.post.is_some());
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

/// The branches of a fork, those that are alike counted together.
fn alike(fork: &Fork) -> Vec<Branch> {
    let mut branches: Vec<Branch> = Vec::new();
    for arm in &fork.arms {
        let batch_norm = !arm.norms.is_empty();
        match branches.iter_mut().find(|b| b.path == arm.path && b.batch_norm == batch_norm) {
            Some(alike) => alike.count += 1,
            None => branches.push(Branch { path: arm.path.clone(), batch_norm, count: 1 }),
        }
    }
    branches
}
