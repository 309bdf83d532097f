//! Batch norms and constant factors into the convolution or fully connected layer next to them.

use super::linear_conv::LinearConv;
use super::workspace::{Fused, Workspace};
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::ops::{Activation, Concat, Op};

/// Whether the node is a map per channel: a batch norm or a factor.
pub(super) fn is_affine(op: &Op) -> bool {
    matches!(op, Op::BatchNorm(_) | Op::Scale(_))
}

/// Whether the node is a convolution or fully connected layer with weights.
pub(super) fn has_weights(op: &Op) -> bool {
    matches!(op, Op::Conv2d(_) | Op::Linear(_))
}

/// The linear map of a convolution or fully connected layer that may be changed along with its
/// only reader: no activation, no residual.
fn foldable(ws: &Workspace, id: NodeId) -> Result<Option<LinearConv>> {
    let node = ws.graph.node(id);
    if !ws.single_use(id) || !has_weights(&node.op) || node.inputs.len() != 1 {
        return Ok(None);
    }
    let part = ws.linear_part(id)?;
    Ok(part.filter(|(_, activation)| *activation == Activation::None).map(|(map, _)| map))
}

/// `norm(conv(x))` → `conv'(x)`: always exact.
pub(super) fn fold_backward(ws: &mut Workspace, id: NodeId) -> Result<bool> {
    let node = ws.graph.node(id);
    if !is_affine(&node.op) {
        return Ok(false);
    }
    let producer = node.inputs[0];
    let Some(map) = foldable(ws, producer)? else { return Ok(false) };
    let Some((affine, activation)) = ws.linear_part(id)? else { return Ok(false) };
    let before = ws.graph.node(producer);
    let what = format!("{} folded into the {} before it", ws.graph.node(id).op.name(), before.op.name());
    let (fully_connected, inputs) = (matches!(before.op, Op::Linear(_)), before.inputs.clone());
    let map = map.compose(&affine)?;
    let both = [producer, id];
    let named_after = if ws.same_module(producer, id) { &both[..] } else { &both[..1] };
    ws.put(id, Fused { map, fully_connected, activation, inputs: &inputs, named_after, what })?;
    Ok(true)
}

/// `norm(concat(conv(x), conv(y), …))` → `concat(conv'(x), conv'(y), …)`: always exact, but only if
/// every piece is a convolution of its own.
pub(super) fn fold_through_concat(ws: &mut Workspace, id: NodeId) -> Result<bool> {
    let node = ws.graph.node(id);
    if !is_affine(&node.op) || !matches!(ws.graph.node(node.inputs[0]).op, Op::Concat(_)) {
        return Ok(false);
    }
    let concat = node.inputs[0];
    if !ws.single_use(concat) {
        return Ok(false);
    }
    let pieces = ws.graph.node(concat).inputs.clone();
    let mut parts = Vec::with_capacity(pieces.len());
    for piece in &pieces {
        let Some(map) = foldable(ws, *piece)? else { return Ok(false) };
        parts.push(map);
    }
    let Some((affine, Activation::None)) = ws.linear_part(id)? else { return Ok(false) };
    let mut maps = Vec::with_capacity(pieces.len());
    let mut channel = 0;
    for map in parts {
        let end = channel + map.outputs();
        let affine: Vec<(f64, f64)> = (channel..end).map(|c| (affine.kernel()[c], affine.bias()[c])).collect();
        maps.push(map.compose(&LinearConv::diagonal(&affine))?);
        channel = end;
    }
    let name = ws.graph.node(id).op.name();
    for (piece, map) in pieces.iter().zip(maps) {
        let node = ws.graph.node(*piece);
        let (fully_connected, inputs) = (matches!(node.op, Op::Linear(_)), node.inputs.clone());
        let what = format!("its channels of the {name} after the concat folded into it");
        let activation = Activation::None;
        ws.put(*piece, Fused { map, fully_connected, activation, inputs: &inputs, named_after: &[*piece], what })?;
    }
    let what = format!("{name} moved into the convolutions before it");
    ws.replace(id, Concat.into(), &pieces, &[concat], what)?;
    Ok(true)
}

/// `conv(norm(x))` → `conv'(x)`: exact if the convolution does not pad or the norm does not shift.
pub(super) fn fold_forward(ws: &mut Workspace, id: NodeId) -> Result<bool> {
    let node = ws.graph.node(id);
    if !has_weights(&node.op) {
        return Ok(false);
    }
    let producer = node.inputs[0];
    if !ws.single_use(producer) || !is_affine(&ws.graph.node(producer).op) {
        return Ok(false);
    }
    let Some((affine, Activation::None)) = ws.linear_part(producer)? else { return Ok(false) };
    let Some((map, activation)) = ws.linear_part(id)? else { return Ok(false) };
    let map = match affine.compose(&map) {
        Err(Error::Inexact { .. }) => return Ok(false),
        map => map?,
    };
    let (norm, node) = (ws.graph.node(producer), ws.graph.node(id));
    let what = format!("{} {} folded into it", norm.op.name(), norm.name);
    let fully_connected = matches!(node.op, Op::Linear(_));
    let mut inputs = node.inputs.clone();
    inputs[0] = norm.inputs[0];
    ws.put(id, Fused { map, fully_connected, activation, inputs: &inputs, named_after: &[id], what })?;
    Ok(true)
}
