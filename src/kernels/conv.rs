//! Direct k×k convolution of any stride, padding and dilation, dense or in groups of whole planes.
//!
//! The operator [`Conv2d`] is lowered here: depthwise ones and 1×1 ones of stride 1 go to their own
//! kernels, groups that do not fill whole planes are computed as the block-sparse dense convolution
//! that they are.

use super::weights::Layer;
use super::{
    ACTIVATION, ACTIVATIONS, BIAS, BLOCKS, EPILOGUE, Kernel, Layout, Lower, Lowering, Placement, RESIDUAL, Sizes,
    Tiling, W, X, Y, conv_brief, depthwise, gemm, pointwise, source, tile, tiling, winograd,
};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::Conv2d;
use crate::tensor::Tensor;

pub(super) static KERNEL: Kernel = Kernel {
    name: "conv",
    arguments: &[&X, &W, &BIAS, &RESIDUAL, &Y],
    sources: &[&ACTIVATION, &EPILOGUE, &BLOCKS, &source!("conv.wgsl")],
    constants: CONSTANTS,
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
        "DILATION_Y",
        "GROUP_IN_PLANES",
        "GROUP_OUT_PLANES",
        "X_PLANE",
        "RESIDUAL_PLANE",
        "OUT_PLANES",
    ],
    fixed: ACTIVATIONS,
};

/// The sizes that all direct convolutions take.
pub(super) const CONSTANTS: &[&str] = &[
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
    "GROUP_IN_PLANES",
    "GROUP_OUT_PLANES",
    "X_PLANE",
    "RESIDUAL_PLANE",
    "OUT_PLANES",
    "HAS_RESIDUAL",
    "ACTIVATION",
    "SUBGROUP",
];

static TILING: Tiling = Tiling {
    constants: &["TILE_PIXELS", "TILE_PLANES", "STEP_X", "SPAN"],
    candidates: |sizes| {
        let span = |pixels| Some(row(sizes, pixels)?.span);
        let tiles = tiling::candidates(sizes.get("OUT_W"), sizes.get("GROUP_OUT_PLANES"), 8, span);
        let outputs = sizes.get("BATCH") * sizes.get("OUT_H") * sizes.get("OUT_W");
        tiling::in_subgroups(tiles, sizes.get("SUBGROUP"), sizes.get("K_W"), outputs, |pixels| row_tiles(sizes, pixels))
    },
    place: |sizes, tile| {
        let row = row(sizes, tile.pixels)?;
        let whole = tiling::whole_subgroups(tile, sizes.get("SUBGROUP"));
        if !whole || tile.planes == 0 || !sizes.get("GROUP_OUT_PLANES").is_multiple_of(tile.planes) {
            return None;
        }
        let threads = [row_tiles(sizes, tile.pixels), sizes.get("OUT_PLANES") / tile.planes, 1];
        Some(Placement { constants: vec![row.pixels, tile.planes, row.step, row.span], threads })
    },
};

/// Tiles of so many outputs of a row, in all rows.
fn row_tiles(sizes: &Sizes<'_>, pixels: usize) -> usize {
    sizes.get("BATCH") * sizes.get("OUT_H") * sizes.get("OUT_W").div_ceil(pixels)
}

/// The input columns under a row of so many outputs.
pub(super) fn row(sizes: &Sizes<'_>, pixels: usize) -> Option<tile::Row> {
    tile::row(pixels, sizes.get("STRIDE_X"), sizes.get("K_W"), sizes.get("DILATION_X"))
}

/// Weights that a convolution in groups may have when computed as a dense one.
pub(super) const MAX_DENSE: usize = 1 << 26;

impl Lower for Conv2d {
    fn lower(&self, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
        let one_input_each = cx.params().shape(self.weight)[1] == 1 && self.groups > 1;
        if one_input_each {
            depthwise::lower(self, id, cx)
        } else if pointwise::takes(self, cx.params()) {
            pointwise::lower(self, id, cx)
        } else if self.groups == 1 {
            lower_dense(self, id, cx)
        } else {
            lower(self, id, cx)
        }
    }
}

/// A dense convolution, which several kernels compute.
fn lower_dense(conv: &Conv2d, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let input = cx.get(id).inputs[0];
    let (planes, shape) = ([cx.layout(input).planes(), cx.layout(id).planes()], cx.shape(id));
    let [kh, kw] = conv.kernel(cx.params());
    let sizes = [
        ("BATCH", cx.batch()),
        ("OUT_H", shape.height),
        ("OUT_W", shape.width),
        ("K_H", kh),
        ("K_W", kw),
        ("STRIDE_Y", conv.stride[0]),
        ("STRIDE_X", conv.stride[1]),
        ("IN_PLANES", planes[0]),
        ("OUT_PLANES", planes[1]),
    ];
    let mut options = vec![KERNEL.name, gemm::KERNEL.name];
    let by_winograd = winograd::takes(conv, cx.params());
    options.extend(by_winograd.then_some(winograd::NAME));
    let default = if by_winograd && winograd::pays(planes, cx.target()) {
        winograd::NAME
    } else if gemm::pays(kh * kw * planes[0], cx.pixels(id), cx.target()) {
        gemm::KERNEL.name
    } else {
        KERNEL.name
    };
    match cx.decide("conv", &sizes, &[id], &options, default) {
        winograd::NAME => winograd::lower(conv, id, cx),
        way if way == gemm::KERNEL.name => gemm::lower(conv, id, cx),
        _ => lower(conv, id, cx),
    }
}

fn lower(conv: &Conv2d, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let node = cx.get(id);
    let x = cx.operand(node.inputs[0])?;
    let residual = node.inputs.get(1).map(|r| cx.operand(*r)).transpose()?;
    let y = cx.new_output(id)?;
    let weight = cx.params().tensor(conv.weight);
    let (input, output) = (cx.shape(node.inputs[0]), node.shape);
    let groups = plane_groups(conv.groups, &x.layout, &y.layout);
    if groups != conv.groups && weight.len().saturating_mul(conv.groups) > MAX_DENSE {
        let (channels, whole) = (input.channels, conv.groups);
        return Err(cx.error(format!(
            "{channels} channels in {whole} groups do not fill planes of four, and as a dense convolution it would \
             have more than {MAX_DENSE} weights"
        )));
    }
    let order = |weight: &Tensor| {
        let dense = if groups == conv.groups { None } else { Some(block_sparse(weight, conv.groups)) };
        Ok(pack(dense.as_ref().unwrap_or(weight), groups, &x.layout, &y.layout))
    };
    let layer = Layer { weight: conv.weight, bias: conv.bias, outputs: &y.layout, pack: &order };
    let [weights, bias] = cx.layers(&[layer])?;
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
        ("GROUP_IN_PLANES", x.planes / groups),
        ("GROUP_OUT_PLANES", y.planes / groups),
        ("X_PLANE", x.first_plane),
        ("RESIDUAL_PLANE", residual.as_ref().map_or(0, |r| r.first_plane)),
        ("OUT_PLANES", y.planes),
        ("HAS_RESIDUAL", usize::from(residual.is_some())),
        ("ACTIVATION", tile::activation(conv.activation)),
        ("SUBGROUP", cx.target().subgroup as usize),
    ];
    let bindings = vec![x.binding(), weights, bias, residual.as_ref().unwrap_or(&x).binding(), y.binding()];
    // Those of the convolution itself: what a block-sparse one multiplies by zero does not count.
    let macs = cx.params().tensor(conv.weight).len() as u64 * output.pixels() as u64;
    if cx.target().brief && cx.target().subgroup == 0 {
        return cx.push_tiled(&conv_brief::KERNEL, &constants[..conv_brief::CONSTANTS.len()], bindings, macs);
    }
    cx.push_tiled(&KERNEL, &constants, bindings, macs)
}

/// The number of groups that the kernel works in: the convolution's own if each fills whole planes
/// of both sides, otherwise one.
pub(super) fn plane_groups(groups: usize, x: &Layout, y: &Layout) -> usize {
    let whole = |layout: &Layout| layout.planes() * 4 == layout.channels() && (layout.planes()).is_multiple_of(groups);
    if whole(x) && whole(y) { groups } else { 1 }
}

/// A grouped kernel `[out, in/groups, kh, kw]` as the dense one with zeros between groups.
fn block_sparse(weight: &Tensor, groups: usize) -> Tensor {
    let &[out, per_group, kh, kw] = weight.shape() else { return weight.clone() };
    let mut dense = Tensor::zeros([out, per_group * groups, kh, kw]);
    let block = per_group * kh * kw;
    for o in 0..out {
        let group = o / (out / groups);
        let at = (o * groups + group) * block;
        dense.data_mut()[at..at + block].copy_from_slice(&weight.data()[o * block..(o + 1) * block]);
    }
    dense
}

/// Weights `[out, in/groups, kh, kw]` as `[out plane][ky][kx][in plane of the group][in lane]` of
/// vec4 over the output plane's four channels.
pub(super) fn pack(weight: &Tensor, groups: usize, x: &Layout, y: &Layout) -> Vec<f32> {
    let &[out, per_group, kh, kw] = weight.shape() else { return Vec::new() };
    let (inputs, outputs) = (x.physical(), y.physical());
    let group_lanes = inputs.len() / groups;
    let group_outputs = outputs.len() / groups;
    let mut packed = Vec::with_capacity(outputs.len() * kh * kw * group_lanes);
    for (plane, out_lanes) in outputs.chunks(4).enumerate() {
        let first = plane * 4 / group_outputs * group_lanes;
        let group_start = first / group_lanes * per_group;
        for tap in 0..kh * kw {
            for input in &inputs[first..first + group_lanes] {
                packed.extend(out_lanes.iter().map(|o| match (o, input) {
                    (Some(o), Some(i)) if *o < out => weight.data()[(o * per_group + i - group_start) * kh * kw + tap],
                    _ => 0.0,
                }));
            }
        }
    }
    packed
}
