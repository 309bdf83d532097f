//! Activations and residual sums into the operator that makes their operand.

use super::live_uses;
use super::report::{Note, Report};
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::{Activation, Add, Op};

/// Moves activations into the convolution, fully connected layer, sum, batch norm or gate before
/// them, and sums into the convolution that makes one of the operands:
/// `y = activation(conv(x) + bias + residual)`.
///
/// Only values with one reader are absorbed, so outputs and taps keep their values. A sum of more
/// than two operands gives one of them to a convolution and keeps the others.
///
/// # Errors
/// [`Error::Graph`](crate::Error::Graph) if the graph is not consistent.
pub fn fuse_epilogues(graph: &Graph) -> Result<(Graph, Report)> {
    let mut graph = graph.clone();
    let mut report = Report::default();
    let mut uses = live_uses(&graph);
    // One round is enough but for sums that get their activation before they are absorbed.
    loop {
        let mut changed = false;
        for id in graph.ids() {
            while uses[id.index()] > 0
                && let Some(what) = fuse_one(&mut graph, &uses, id)?
            {
                report.folded.push(Note { node: graph.node(id).name.clone(), what: what.into() });
                uses = live_uses(&graph);
                changed = true;
            }
        }
        if !changed {
            graph.sweep();
            return Ok((graph, report));
        }
    }
}

fn fuse_one(graph: &mut Graph, uses: &[usize], id: NodeId) -> Result<Option<&'static str>> {
    match graph.node(id).op {
        Op::Activate(ref activate) => absorb_activation(graph, uses, id, activate.0),
        Op::Add(Add { activation }) => absorb_sum(graph, uses, id, activation),
        _ => Ok(None),
    }
}

/// `activation(op(…))` → `op(…, activation)`.
fn absorb_activation(
    g: &mut Graph,
    uses: &[usize],
    id: NodeId,
    activation: Activation,
) -> Result<Option<&'static str>> {
    let producer = g.node(id).inputs[0];
    let mut op = g.node(producer).op.clone();
    let Some(slot) = op.activation_mut() else { return Ok(None) };
    if uses[producer.index()] != 1 || *slot != Activation::None {
        return Ok(None);
    }
    *slot = activation;
    let inputs = g.node(producer).inputs.clone();
    take_over(g, id, producer, op, &inputs)?;
    Ok(Some("activation moved into its epilogue"))
}

/// `conv(x) + r` → `conv(x, residual r)`.
fn absorb_sum(g: &mut Graph, uses: &[usize], id: NodeId, activation: Activation) -> Result<Option<&'static str>> {
    let operands = g.node(id).inputs.clone();
    // The last convolution, since the others have to be there before it.
    let Some(conv) = operands.iter().copied().filter(|o| takes_residual(g, uses, *o)).max() else { return Ok(None) };
    let others: Vec<NodeId> = operands.iter().copied().filter(|o| *o != conv).collect();
    let Op::Conv2d(mut op) = g.node(conv).op.clone() else { return Ok(None) };
    let x = g.node(conv).inputs[0];
    if let [residual] = others[..] {
        op.activation = activation;
        take_over(g, id, conv, op.into(), &[x, residual])?;
        return Ok(Some("residual sum moved into its epilogue"));
    }
    // Better one that cannot take a residual itself: then more of the sum disappears.
    let earlier = others.iter().copied().filter(|o| *o < conv);
    let Some(residual) = earlier.min_by_key(|o| takes_residual(g, uses, *o)) else { return Ok(None) };
    g.replace(conv, op, &[x, residual])?;
    let kept: Vec<NodeId> = operands.into_iter().filter(|o| *o != residual).collect();
    // Twice the same residual: only one of them went.
    let twice = others.iter().filter(|o| **o == residual).skip(1).copied();
    let kept: Vec<NodeId> = kept.into_iter().chain(twice).collect();
    g.replace(id, Add { activation }, &kept)?;
    Ok(Some("one operand moved into the epilogue of another"))
}

fn takes_residual(graph: &Graph, uses: &[usize], id: NodeId) -> bool {
    let node = graph.node(id);
    let free = matches!(&node.op, Op::Conv2d(conv) if conv.activation == Activation::None);
    free && node.inputs.len() == 1 && uses[id.index()] == 1
}

/// Lets `id` do the work of `producer`, which nothing else reads, under the producer's name.
fn take_over(graph: &mut Graph, id: NodeId, producer: NodeId, op: Op, inputs: &[NodeId]) -> Result<()> {
    graph.replace(id, op, inputs)?;
    let (own, name) = (graph.node(id).name.clone(), graph.node(producer).name.clone());
    graph.rename(id, name);
    graph.rename(producer, own);
    Ok(())
}
