//! Parallel linear branches of one value into one convolution or fully connected layer.

use std::collections::BTreeMap;

use super::fold_affine::has_weights;
use super::linear_conv::LinearConv;
use super::workspace::{Fused, Workspace};
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::ops::{Activation, Add, Op};
use crate::order;

/// An operand of a sum as a chain of linear nodes, last first, that only the sum reads.
struct Branch {
    operand: NodeId,
    chain: Vec<NodeId>,
}

/// A sum of branches that is to become one node.
pub(super) struct Merge {
    source: NodeId,
    members: Vec<NodeId>,
    /// Nodes of all chains, those with the largest kernels first.
    chains: Vec<NodeId>,
    map: LinearConv,
}

impl Branch {
    /// How many nodes of the chain lie between the operand and `source`: 0 if it is the operand.
    fn depth_to(&self, ws: &Workspace, source: NodeId) -> Option<usize> {
        if self.operand == source {
            return Some(0);
        }
        self.chain.iter().position(|id| ws.graph.node(*id).inputs[0] == source).map(|i| i + 1)
    }
}

/// `Σ branch(x)` → one convolution. Each operand of the sum is followed back through convolutions,
/// batch norms, factors and average pools to a value that another operand comes from as well; identity operands
/// join in where there is a convolution. Operands of another source stay in the sum.
pub(super) fn sum_branches(ws: &mut Workspace, id: NodeId) -> Result<bool> {
    let Op::Add(Add { activation }) = ws.graph.node(id).op else { return Ok(false) };
    let operands = operands(ws, id);
    let Some(merge) = find_merge(ws, &operands)? else { return Ok(false) };
    let what = format!("sum of {} branches fused", merge.members.len());
    let nodes = || merge.chains.iter().map(|id| &ws.graph.node(*id).op);
    let fully_connected = !nodes().any(|op| matches!(op, Op::Conv2d(_)));
    let rest: Vec<NodeId> = operands.iter().filter(|o| !merge.members.contains(o)).copied().collect();
    let inputs = [merge.source];
    let (map, named_after) = (merge.map, &merge.chains);
    if rest.is_empty() {
        let named_after = &[&named_after[..], &[id]].concat();
        ws.put(id, Fused { map, fully_connected, activation, inputs: &inputs, named_after, what })?;
        return Ok(true);
    }
    // The merged branches take the place of the last of them, which only this sum reads.
    let own = merge.members.iter().copied().filter(|m| *m != merge.source);
    let Some(place) = own.max() else { return Ok(false) };
    let plain = Activation::None;
    ws.put(place, Fused { map, fully_connected, activation: plain, inputs: &inputs, named_after, what })?;
    let rest: Vec<NodeId> = [place].into_iter().chain(rest).collect();
    ws.replace(id, Add { activation }.into(), &rest, &[], "branches taken out of the sum".into())?;
    Ok(true)
}

/// Operands up to which nested sums are looked into. No training block has more than a dozen
/// branches, and a chain of thousands of sums would be walked anew at each of them.
const MOST_OPERANDS: usize = 64;

/// The operands of a sum, and of the sums that only it reads, in order.
fn operands(ws: &Workspace, id: NodeId) -> Vec<NodeId> {
    let mut operands = Vec::new();
    let mut ahead: Vec<NodeId> = ws.graph.node(id).inputs.iter().rev().copied().collect();
    while let Some(input) = ahead.pop() {
        let node = ws.graph.node(input);
        let inner = matches!(&node.op, Op::Add(add) if add.activation == Activation::None) && ws.single_use(input);
        if inner && operands.len() + ahead.len() + node.inputs.len() <= MOST_OPERANDS {
            ahead.extend(node.inputs.iter().rev());
        } else {
            operands.push(input);
        }
    }
    operands
}

/// The first merge that is exact and worth it, the one of most branches first. Sums that stay as
/// they are for a reason worth telling are left to [`super::explain`].
pub(super) fn find_merge(ws: &Workspace, operands: &[NodeId]) -> Result<Option<Merge>> {
    let branches: Vec<Branch> = operands.iter().map(|id| Branch { operand: *id, chain: chain(ws, *id) }).collect();
    let mut sources: Vec<(usize, NodeId)> = Vec::new();
    for source in branches.iter().flat_map(|b| &b.chain).map(|id| ws.graph.node(*id).inputs[0]) {
        let members = branches.iter().filter(|b| b.depth_to(ws, source).is_some()).count();
        if members > 1 && !sources.contains(&(members, source)) {
            sources.push((members, source));
        }
    }
    // Most branches first; among equals the later source, for which less is composed.
    order::sort_by(&mut sources, |a, b| b.cmp(a));
    for (_, source) in sources {
        if let Some(merge) = merge_from(ws, &branches, source)? {
            return Ok(Some(merge));
        }
    }
    Ok(None)
}

/// The linear nodes that lead to a value and that nothing else reads, last first.
fn chain(ws: &Workspace, operand: NodeId) -> Vec<NodeId> {
    let mut chain = Vec::new();
    let mut id = operand;
    while let Op::Conv2d(_) | Op::Linear(_) | Op::BatchNorm(_) | Op::Scale(_) | Op::AvgPool(_) = &ws.graph.node(id).op {
        let node = ws.graph.node(id);
        let plain = match &node.op {
            Op::Conv2d(conv) => conv.activation == Activation::None && node.inputs.len() == 1,
            Op::Linear(linear) => linear.activation == Activation::None,
            Op::BatchNorm(norm) => norm.activation == Activation::None,
            _ => true,
        };
        if !plain || !ws.single_use(id) {
            break;
        }
        chain.push(id);
        id = node.inputs[0];
    }
    chain
}

fn merge_from(ws: &Workspace, branches: &[Branch], source: NodeId) -> Result<Option<Merge>> {
    if !affordable(ws, branches, source) {
        return Ok(None);
    }
    let mut alike: BTreeMap<_, Vec<(&Branch, usize, LinearConv)>> = BTreeMap::new();
    for branch in branches {
        let Some(depth) = branch.depth_to(ws, source) else { continue };
        let Some(map) = linearise(ws, &branch.chain[..depth], source)? else { continue };
        let centres = [0, 1].map(|axis| map.centre(axis));
        alike.entry((map.stride(), centres)).or_default().push((branch, depth, map));
    }
    let mut groups: Vec<_> = alike.into_values().filter(|group| group.len() > 1).collect();
    order::sort_by_key(&mut groups, |group| std::cmp::Reverse(group.len()));
    for group in groups {
        let mut chains: Vec<(usize, NodeId)> = Vec::new();
        for (branch, depth, map) in &group {
            let size = map.extent()[0] * map.extent()[1];
            chains.extend(branch.chain[..*depth].iter().map(|id| (size, *id)));
        }
        order::sort_by_key(&mut chains, |(size, id)| (std::cmp::Reverse(*size), *id));
        let chains: Vec<NodeId> = chains.into_iter().map(|(_, id)| id).collect();
        if !chains.iter().any(|id| has_weights(&ws.graph.node(*id).op)) {
            continue;
        }
        let members = group.iter().map(|(branch, ..)| branch.operand).collect();
        let maps: Vec<LinearConv> = group.into_iter().map(|(.., map)| map).collect();
        if worthwhile(ws, &chains, &maps) {
            return Ok(Some(Merge { source, members, chains, map: LinearConv::sum(&maps)? }));
        }
    }
    Ok(None)
}

/// How many weights may be made of average pools and factors for each weight in the file.
const MADE_PER_WEIGHT: usize = 16;

/// Whether there are weights, and enough to justify those that pools and factors would get: a
/// short file may claim millions of channels.
fn affordable(ws: &Workspace, branches: &[Branch], source: NodeId) -> bool {
    let (mut given, mut made) = (0usize, 0usize);
    let parts = branches.iter().filter_map(|branch| Some(&branch.chain[..branch.depth_to(ws, source)?]));
    for node in parts.flatten().map(|id| ws.graph.node(*id)) {
        match &node.op {
            Op::Conv2d(conv) => given += ws.graph.params().tensor(conv.weight).len(),
            Op::Linear(linear) => given += ws.graph.params().tensor(linear.weight).len(),
            Op::AvgPool(pool) => {
                made = pool.kernel.saturating_mul(pool.kernel).saturating_mul(node.shape.channels).saturating_add(made);
            }
            _ => made = made.saturating_add(node.shape.channels),
        }
    }
    given > 0 && made / MADE_PER_WEIGHT <= given
}

/// The chain as one map of `source`, if that is exact.
fn linearise(ws: &Workspace, chain: &[NodeId], source: NodeId) -> Result<Option<LinearConv>> {
    let mut maps = Vec::with_capacity(chain.len());
    for id in chain.iter().rev() {
        let Some((map, _)) = ws.linear_part(*id)? else { return Ok(None) };
        maps.push(map);
    }
    let Some(first) = maps.first().cloned() else {
        return Ok(Some(LinearConv::dirac(ws.graph.node(source).shape.channels)));
    };
    let mut composed = first;
    for then in &maps[1..] {
        if composed.composition_explodes(then) {
            return Ok(None);
        }
        composed = match composed.compose(then) {
            Err(Error::Inexact { .. }) => return Ok(None),
            map => map?,
        };
    }
    Ok(Some(composed))
}

/// Whether the merged kernel costs at most twice the multiplications of its parts. One dispatch
/// instead of several is worth some zeros (3×1 + 1×3 in a 3×3), but not a depthwise 7×7 spread
/// into a dense one.
fn worthwhile(ws: &Workspace, chains: &[NodeId], maps: &[LinearConv]) -> bool {
    let weights = |id: &NodeId| match &ws.graph.node(*id).op {
        Op::Conv2d(conv) => ws.graph.params().tensor(conv.weight).len(),
        Op::Linear(linear) => ws.graph.params().tensor(linear.weight).len(),
        Op::AvgPool(pool) => ws.graph.node(*id).shape.channels * pool.kernel * pool.kernel,
        _ => ws.graph.node(*id).shape.channels,
    };
    let apart: usize = chains.iter().map(weights).sum();
    let size = |axis: usize| maps.iter().map(|map| map.extent()[axis]).max().unwrap_or(1);
    let groups = maps.iter().fold(0, |groups, map| super::linear_conv::gcd(groups, map.groups())).max(1);
    let merged = maps[0].outputs() * (maps[0].inputs() / groups) * size(0) * size(1);
    merged <= 2 * apart
}
