//! Why linear nodes remain: the refusals of the report.

use super::fold_affine::{has_weights, is_affine};
use super::workspace::Workspace;
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::ops::{Activation, Op};
use crate::passes::report::Note;

/// Notes every linear node that remains unfused beside another, and why. For the graph in which
/// no rule applies any more.
pub(super) fn explain(ws: &mut Workspace) -> Result<()> {
    let mut notes = Vec::new();
    for id in ws.graph.ids() {
        let reason = match &ws.graph.node(id).op {
            op if is_affine(op) => Some(unfolded_affine(ws, id)?),
            Op::Conv2d(_) | Op::Linear(_) => serial_pair(ws, id)?,
            Op::Add(_) => unmerged_sum(ws, id),
            _ => None,
        };
        notes.extend(reason.map(|what| Note { node: ws.graph.node(id).name.clone(), what }));
    }
    ws.report.refused = notes;
    Ok(())
}

fn unfolded_affine(ws: &Workspace, id: NodeId) -> Result<String> {
    let producer = ws.graph.node(id).inputs[0];
    let (name, op) = (&ws.graph.node(producer).name, &ws.graph.node(producer).op);
    let backward = match op {
        Op::Gate(_) => format!("the squeeze-excite gate {name} depends on the value before it"),
        Op::Concat(_) => format!("{name} before it has a piece that is no convolution of its own"),
        Op::Conv2d(_) | Op::Linear(_) if !ws.single_use(producer) => format!("{name} before it has other readers"),
        Op::Conv2d(_) | Op::Linear(_) => format!("{name} before it ends in an activation or a residual"),
        op => format!("there is no convolution before it but {} {name}", op.name()),
    };
    let mut readers = ws.graph.ids().filter(|r| ws.graph.node(*r).inputs.first() == Some(&id));
    let reader = readers.next().filter(|r| has_weights(&ws.graph.node(*r).op));
    let forward = match reader {
        _ if !ws.single_use(id) => "its value is read more than once".into(),
        Some(reader) => match (ws.linear_part(id)?, ws.linear_part(reader)?) {
            (Some((affine, Activation::None)), Some((conv, _))) => match affine.check_compose(&conv) {
                Err(Error::Inexact { reason, .. }) => reason,
                _ => "it is exact for the layer after it".into(),
            },
            _ => "an activation follows it".into(),
        },
        None => "no convolution reads it".into(),
    };
    Ok(format!("stays as a scale and shift per channel: {backward}, and {forward}"))
}

/// Two convolutions in a row that are no single one.
fn serial_pair(ws: &Workspace, id: NodeId) -> Result<Option<String>> {
    let first = ws.graph.node(id).inputs[0];
    let plain = has_weights(&ws.graph.node(first).op) && ws.graph.node(first).inputs.len() == 1 && ws.single_use(first);
    if !plain {
        return Ok(None);
    }
    let (Some((a, Activation::None)), Some((b, _))) = (ws.linear_part(first)?, ws.linear_part(id)?) else {
        return Ok(None);
    };
    // An exact pair stays apart because one kernel costs more: nothing to be told.
    let Err(Error::Inexact { reason, .. }) = a.check_compose(&b) else { return Ok(None) };
    Ok(Some(format!("stays apart from {} before it: {reason}", ws.graph.node(first).name)))
}

/// A sum of which two operands are plain convolutions of one value.
fn unmerged_sum(ws: &Workspace, id: NodeId) -> Option<String> {
    let mut sources: Vec<(NodeId, &str)> = Vec::new();
    for operand in &ws.graph.node(id).inputs {
        let node = ws.graph.node(*operand);
        if !has_weights(&node.op) {
            continue;
        }
        if let Some((_, other)) = sources.iter().find(|(source, _)| *source == node.inputs[0]) {
            let what =
                "differ in stride or centre, end in an activation, have other readers, or would cost more as one";
            return Some(format!("{other} and {} stay apart: they {what}", node.name));
        }
        sources.push((node.inputs[0], &node.name));
    }
    None
}
