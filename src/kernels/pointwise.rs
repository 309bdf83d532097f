//! 1×1 convolution of stride 1: a matrix product over all pixels of the batch.
//!
//! The input may lie in two pieces, which is how RepNeXt's identity chunk reaches the MLP without
//! ever being copied. Two in a row become one dispatch where [`mlp`] says so.

use super::conv::pack;
use super::lowering::Piece;
use super::weights::Layer;
use super::{
    ACTIVATION, ACTIVATIONS, BIAS, BLOCKS, Binding, EPILOGUE, Kernel, Lowering, Placement, RESIDUAL, Tiling, W, X, X2,
    Y, gemm, mlp, source, tile, tiling,
};
use crate::error::Result;
use crate::graph::{NodeId, Params};
use crate::ops::Conv2d;
use crate::tensor::Tensor;

pub(super) static KERNEL: Kernel = Kernel {
    name: "pointwise",
    arguments: &[&X, &W, &BIAS, &X2, &RESIDUAL, &Y],
    sources: &[&ACTIVATION, &EPILOGUE, &BLOCKS, &source!("pointwise.wgsl")],
    constants: &[
        "PIXELS",
        "IN_PLANES",
        "IN_PLANES_2",
        "OUT_PLANES",
        "X_PLANE",
        "X2_PLANE",
        "RESIDUAL_PLANE",
        "HAS_RESIDUAL",
        "ACTIVATION",
        "SUBGROUP",
    ],
    workgroup: 64,
    tiling: Some(&TILING),
    open: &["PIXELS", "IN_PLANES", "IN_PLANES_2", "X_PLANE", "X2_PLANE", "RESIDUAL_PLANE", "OUT_PLANES"],
    fixed: ACTIVATIONS,
};

static TILING: Tiling = Tiling {
    constants: &["TILE_PIXELS", "TILE_PLANES"],
    candidates: tiling::matrix,
    place: |sizes, tile| {
        let [x, y] = tiling::matrix_grid(sizes, tile)?;
        Some(Placement { constants: vec![tile.pixels, tile.planes], threads: [x, y, 1] })
    },
};

/// Whether a convolution is a matrix product over pixels.
pub(super) fn takes(conv: &Conv2d, params: &Params) -> bool {
    let plain = conv.stride == [1, 1] && conv.padding == [0, 0];
    plain && conv.groups == 1 && conv.kernel(params) == [1, 1]
}

/// A value in two pieces; the second has no planes if it lies in one, a value in more is copied
/// together.
pub(super) fn two_pieces(id: NodeId, cx: &mut Lowering<'_>) -> Result<[Piece; 2]> {
    if cx.view(id)?.pieces.len() > 2 {
        cx.operand(id)?;
    }
    let pieces = &cx.view(id)?.pieces;
    let first = pieces[0];
    Ok([first, pieces.get(1).copied().unwrap_or(Piece { planes: 0, ..first })])
}

pub(super) fn lower(conv: &Conv2d, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let node = cx.get(id);
    let input = node.inputs[0];
    if cx.is_deferred(input) {
        return mlp::lower(conv, id, cx);
    }
    if mlp::begins(conv, id, cx) {
        cx.defer(id);
        return Ok(());
    }
    let planes = [cx.layout(input).planes(), cx.layout(id).planes()];
    let sizes = [("PIXELS", cx.pixels(id)), ("IN_PLANES", planes[0]), ("OUT_PLANES", planes[1])];
    let by_gemm = gemm::pays(planes[0], cx.pixels(id), cx.target());
    let default = if by_gemm { gemm::KERNEL.name } else { KERNEL.name };
    if cx.decide("pointwise", &sizes, &[id], &[KERNEL.name, gemm::KERNEL.name], default) == gemm::KERNEL.name {
        return gemm::lower(conv, id, cx);
    }
    let [first, second] = two_pieces(input, cx)?;
    let residual = node.inputs.get(1).map(|r| cx.operand(*r)).transpose()?;
    let y = cx.new_output(id)?;
    let inputs = cx.layout(input).clone();
    let order = |weight: &Tensor| Ok(pack(weight, 1, &inputs, &y.layout));
    let layer = Layer { weight: conv.weight, bias: conv.bias, outputs: &y.layout, pack: &order };
    let [weights, bias] = cx.layers(&[layer])?;
    let pixels = cx.pixels(id);
    let constants = [
        ("PIXELS", pixels),
        ("IN_PLANES", first.planes),
        ("IN_PLANES_2", second.planes),
        ("OUT_PLANES", y.planes),
        ("X_PLANE", first.first_plane),
        ("X2_PLANE", second.first_plane),
        ("RESIDUAL_PLANE", residual.as_ref().map_or(0, |r| r.first_plane)),
        ("HAS_RESIDUAL", usize::from(residual.is_some())),
        ("ACTIVATION", tile::activation(conv.activation)),
        ("SUBGROUP", cx.target().subgroup as usize),
    ];
    let residual = residual.map_or(Binding::Tensor(first.tensor), |r| r.binding());
    let [first, second] = [first, second].map(|piece| Binding::Tensor(piece.tensor));
    let bindings = vec![first, weights, bias, second, residual, y.binding()];
    let macs = cx.params().tensor(conv.weight).len() as u64 * node.shape.pixels() as u64;
    cx.push_tiled(&KERNEL, &constants, bindings, macs)
}
