//! Depthwise k×k convolution, any stride, padding and dilation, one or more outputs per input.

use super::conv::row;
use super::weights::Layer;
use super::{
    ACTIVATION, ACTIVATIONS, BIAS, EPILOGUE, Kernel, Layout, Lowering, Placement, RESIDUAL, Source, Tiling, W, X, Y,
    source, tile, tiling,
};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::Conv2d;
use crate::tensor::Tensor;

/// `depthwise_row`: the taps of one depthwise kernel over a row of pixels.
pub(super) static DEPTHWISE_ROW: Source = source!("depthwise_row.wgsl");

pub(super) static KERNEL: Kernel = Kernel {
    name: "depthwise",
    arguments: &[&X, &W, &BIAS, &RESIDUAL, &Y],
    sources: &[&ACTIVATION, &EPILOGUE, &DEPTHWISE_ROW, &source!("depthwise.wgsl")],
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
        "RESIDUAL_PLANE",
        "HAS_RESIDUAL",
        "ACTIVATION",
    ],
    workgroup: 64,
    tiling: Some(&TILING),
    open: &[
        "BATCH",
        "IN_H",
        "IN_W",
        "OUT_H",
        "OUT_W",
        "STRIDE_Y",
        "PADDING_Y",
        "PADDING_X",
        "PLANES",
        "X_PLANE",
        "RESIDUAL_PLANE",
    ],
    fixed: ACTIVATIONS,
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

pub(super) fn lower(conv: &Conv2d, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let node = cx.get(id);
    let layout = cx.layout(id).clone();
    let (input, output) = (cx.shape(node.inputs[0]), node.shape);
    let x = match output.channels / input.channels {
        1 => cx.operand_as(node.inputs[0], &layout)?,
        // RepNeXt's single-branch downsampling makes two channels of each: the copy costs little
        // next to the 7×7 kernel, and the convolution is an ordinary depthwise one then.
        times => cx.repeated(node.inputs[0], &layout, times)?,
    };
    let residual = node.inputs.get(1).map(|r| cx.operand(*r)).transpose()?;
    let y = cx.new_output(id)?;
    let order = |weight: &Tensor| Ok(pack(weight, &layout));
    let [weights, bias] =
        cx.layers(&[Layer { weight: conv.weight, bias: conv.bias, outputs: &layout, pack: &order }])?;
    let [kh, kw] = conv.kernel(cx.params());
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
        ("PLANES", y.planes),
        ("X_PLANE", x.first_plane),
        ("RESIDUAL_PLANE", residual.as_ref().map_or(0, |r| r.first_plane)),
        ("HAS_RESIDUAL", usize::from(residual.is_some())),
        ("ACTIVATION", tile::activation(conv.activation)),
    ];
    let bindings = vec![x.binding(), weights, bias, residual.as_ref().unwrap_or(&x).binding(), y.binding()];
    let macs = cx.params().tensor(conv.weight).len() as u64 * output.pixels() as u64;
    cx.push_tiled(&KERNEL, &constants, bindings, macs)
}

/// Weights `[channels, 1, kh, kw]` as `[plane][ky][kx]` of vec4 over the plane's four channels.
pub(super) fn pack(weight: &Tensor, layout: &Layout) -> Vec<f32> {
    let taps = weight.shape().iter().skip(2).product::<usize>();
    let lanes = layout.physical();
    let tap_of = |lane: &Option<usize>, tap: usize| lane.map_or(0.0, |c| weight.data()[c * taps + tap]);
    let plane = |lanes: &[Option<usize>]| -> Vec<f32> {
        (0..taps).flat_map(|tap| lanes.iter().map(move |l| tap_of(l, tap))).collect()
    };
    lanes.chunks(4).flat_map(plane).collect()
}
