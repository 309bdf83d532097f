//! Depthwise convolutions of integers, also those of which token mixers are made.

use super::conv::{Ending, ending};
use super::factors::FINISHES;
use super::{ARITH, ENDING, FACTORS};
use crate::error::Result;
use crate::graph::{NodeId, Shape};
use crate::int8::program::Conv;
use crate::kernels::conv::row;
use crate::kernels::lowering::Piece;
use crate::kernels::{
    Binding, Element, Kernel, Layout, Lowering, Placement, RESIDUAL, Tiling, W, X, Y, source, tiling,
};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    name: "int8/depthwise",
    arguments: &[&X, &W, &FACTORS, &RESIDUAL, &Y],
    sources: &[&ARITH, &ENDING, &source!("int8/depthwise.wgsl")],
    constants: &[
        "BATCH",
        "IN_H",
        "IN_W",
        "OUT_H",
        "OUT_W",
        "K_H",
        "K_W",
        "STRIDE_Y",
        "STRIDE_X",
        "PADDING_Y",
        "PADDING_X",
        "DILATION_Y",
        "DILATION_X",
        "PLANES",
        "X_PLANE",
        "Y_PLANE",
        "RESIDUAL_PLANE",
        "HAS_RESIDUAL",
        "FINISH",
        "STEEP",
        "SUMS",
    ],
    workgroup: 64,
    tiling: Some(&TILING),
    open: &[],
    fixed: FINISHES,
};

static TILING: Tiling = Tiling {
    constants: &["TILE_PIXELS", "STEP_X", "SPAN"],
    candidates: |sizes| tiling::candidates(sizes.get("OUT_W"), 1, 1, |pixels| Some(row(sizes, pixels)?.span)),
    place: |sizes, tile| {
        let row = row(sizes, tile.pixels).filter(|_| tile.planes == 1)?;
        let tiles = sizes.get("BATCH") * sizes.get("OUT_H") * sizes.get("OUT_W").div_ceil(tile.pixels);
        Some(Placement { constants: vec![row.pixels, row.step, row.span], threads: [tiles, sizes.get("PLANES"), 1] })
    },
};

/// Whether a convolution gives each output channel a single input channel.
pub(super) fn takes(conv: &Conv) -> bool {
    conv.shape[1] == 1 && conv.groups > 1
}

pub(super) fn lower(conv: &Conv, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let node = cx.get(id);
    let layout = cx.layout(id).clone();
    let input = cx.shape(node.inputs[0]);
    let x = match node.shape.channels / input.channels {
        1 => cx.operand_as(node.inputs[0], &layout)?,
        // As with floats: a copy costs little next to the kernel.
        times => cx.repeated(node.inputs[0], &layout, times)?,
    };
    let residual = node.inputs.get(1).map(|r| cx.operand_as(*r, &layout)).transpose()?;
    let y = cx.new_output(id)?;
    let residual = residual.map(|r| Piece { tensor: r.tensor, first_plane: r.first_plane, planes: r.planes });
    let [x, y] = [x, y].map(|o| Piece { tensor: o.tensor, first_plane: o.first_plane, planes: o.planes });
    push(&Places { shapes: [input, node.shape], layout: &layout, x, residual, y }, conv, cx)
}

/// What a depthwise convolution reads and makes.
pub(super) struct Places<'a> {
    /// Of input and output; rows and columns count.
    pub shapes: [Shape; 2],
    /// Where its channels are within the planes of each piece.
    pub layout: &'a Layout,
    pub x: Piece,
    pub residual: Option<Piece>,
    pub y: Piece,
}

/// A step for one convolution; its weights are `[channels, 1, kh, kw]`.
pub(super) fn push(places: &Places<'_>, conv: &Conv, cx: &mut Lowering<'_>) -> Result<()> {
    let Places { shapes: [input, output], layout, x, residual, y } = places;
    let [_, _, kh, kw] = conv.shape;
    let weights = cx.integer_weights(Element::I8, pack(&conv.weight, kh * kw, layout));
    let factors = ending(conv, layout, cx);
    let Ending { finish, steep, sums } = Ending::new(&conv.output);
    let constants = [
        ("BATCH", cx.batch()),
        ("IN_H", input.height),
        ("IN_W", input.width),
        ("OUT_H", output.height),
        ("OUT_W", output.width),
        ("K_H", kh),
        ("K_W", kw),
        ("STRIDE_Y", conv.stride[0]),
        ("STRIDE_X", conv.stride[1]),
        ("PADDING_Y", conv.padding[0]),
        ("PADDING_X", conv.padding[1]),
        ("DILATION_Y", conv.dilation[0]),
        ("DILATION_X", conv.dilation[1]),
        ("PLANES", layout.planes()),
        ("X_PLANE", x.first_plane),
        ("Y_PLANE", y.first_plane),
        ("RESIDUAL_PLANE", residual.map_or(0, |r| r.first_plane)),
        ("HAS_RESIDUAL", usize::from(residual.is_some())),
        ("FINISH", finish),
        ("STEEP", steep),
        ("SUMS", sums),
    ];
    let bound = |piece: &Piece| Binding::Tensor(piece.tensor);
    let bindings = vec![bound(x), weights, factors, bound(residual.as_ref().unwrap_or(x)), bound(y)];
    let macs = conv.weight.len() as u64 * output.pixels() as u64;
    cx.push_tiled(&KERNEL, &constants, bindings, macs)
}

/// Weights `[channels, taps]` as `[plane][tap]`, a word of the plane's four channels.
pub(super) fn pack(weight: &[i8], taps: usize, layout: &Layout) -> Vec<u32> {
    let lanes = layout.physical();
    let of = |lane: Option<usize>, tap: usize| lane.map_or(0, |c| weight[c * taps + tap] as u8);
    let word = |lanes: &[Option<usize>], tap: usize| u32::from_le_bytes(std::array::from_fn(|i| of(lanes[i], tap)));
    lanes.chunks(4).flat_map(|lanes| (0..taps).map(move |tap| word(lanes, tap))).collect()
}
