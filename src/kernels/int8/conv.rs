//! Convolutions of integers, dense or in groups, and linear layers.

use super::factors::{self, FINISHES, Factors};
use super::{ARITH, ENDING, FACTORS};
use crate::error::Result;
use crate::graph::NodeId;
use crate::int8::program::{Conv, Output};
use crate::int8::table::Finish;
use crate::kernels::conv::{MAX_DENSE, plane_groups, row};
use crate::kernels::{
    Binding, Element, Kernel, Layout, Lowering, Placement, RESIDUAL, Tiling, W, X, Y, source, tiling,
};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    name: "int8/conv",
    arguments: &[&X, &W, &FACTORS, &RESIDUAL, &Y],
    sources: &[&ARITH, &ENDING, &source!("int8/conv.wgsl")],
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
        "GROUP_IN_PLANES",
        "GROUP_OUT_PLANES",
        "X_PLANE",
        "RESIDUAL_PLANE",
        "OUT_PLANES",
        "HAS_RESIDUAL",
        "FINISH",
        "STEEP",
        "SUMS",
    ],
    workgroup: 64,
    tiling: Some(&TILING),
    fixed: FINISHES,
};

/// Sums (of four channels) that an invocation keeps at most: each product is one of four, so what they cost to
/// compile, and registers, comes sooner to its end than with floats.
const MAX_SUMS: usize = 32;

static TILING: Tiling = Tiling {
    constants: &["TILE_PIXELS", "TILE_PLANES", "STEP_X", "SPAN"],
    candidates: |sizes| {
        let span = |pixels| Some(row(sizes, pixels)?.span);
        let mut tiles = tiling::candidates(sizes.get("OUT_W"), sizes.get("GROUP_OUT_PLANES"), 8, span);
        tiles.retain(|tile| tile.pixels * tile.planes <= MAX_SUMS);
        tiles
    },
    place: |sizes, tile| {
        let row = row(sizes, tile.pixels)?;
        if tile.planes == 0 || !sizes.get("GROUP_OUT_PLANES").is_multiple_of(tile.planes) {
            return None;
        }
        let tiles = sizes.get("BATCH") * sizes.get("OUT_H") * sizes.get("OUT_W").div_ceil(tile.pixels);
        let threads = [tiles, sizes.get("OUT_PLANES") / tile.planes, 1];
        Some(Placement { constants: vec![row.pixels, tile.planes, row.step, row.span], threads })
    },
};

pub(super) fn lower(conv: &Conv, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let node = cx.get(id);
    let x = cx.operand(node.inputs[0])?;
    let y_layout = cx.layout(id).clone();
    let residual = node.inputs.get(1).map(|r| cx.operand_as(*r, &y_layout)).transpose()?;
    let y = cx.new_output(id)?;
    let [_, per_group, kh, kw] = conv.shape;
    let groups = plane_groups(conv.groups, &x.layout, &y.layout);
    if groups != conv.groups && conv.weight.len().saturating_mul(conv.groups) > MAX_DENSE {
        let (channels, whole) = (per_group * conv.groups, conv.groups);
        return Err(cx.error(format!(
            "{channels} channels in {whole} groups do not fill planes of four, and as a dense convolution it would \
             have more than {MAX_DENSE} weights"
        )));
    }
    let weights = cx.integer_weights(Element::I8Block, pack(conv, groups, &x.layout, &y.layout));
    let factors = ending(conv, &y.layout, cx);
    let (mut input, mut output, mut batch) = (cx.shape(node.inputs[0]), node.shape, cx.batch());
    if [kh, kw] == [1, 1] && conv.stride == [1, 1] && conv.padding == [0, 0] {
        // Rows do not matter: all pixels of the batch are one.
        (output.height, output.width) = (1, cx.pixels(id));
        (input.height, input.width, batch) = (1, output.width, 1);
    }
    let Ending { finish, steep, sums } = Ending::new(&conv.output);
    let constants = [
        ("BATCH", batch),
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
        ("FINISH", finish),
        ("STEEP", steep),
        ("SUMS", sums),
    ];
    let bindings = vec![x.binding(), weights, factors, residual.as_ref().unwrap_or(&x).binding(), y.binding()];
    let macs = conv.weight.len() as u64 * cx.shape(id).pixels() as u64;
    cx.push_tiled(&KERNEL, &constants, bindings, macs)
}

/// The constants that belong to an [`Output`].
pub(super) struct Ending {
    pub finish: usize,
    pub steep: usize,
    pub sums: usize,
}

impl Ending {
    pub fn new(output: &Output) -> Self {
        match output {
            Output::Sums => Ending { finish: 0, steep: 0, sums: 1 },
            Output::Rescaled { requant, finish } => {
                Ending { finish: factors::finish(finish), steep: factors::steep(requant), sums: 0 }
            }
        }
    }
}

/// What `shaders/int8/ending.wgsl` takes.
pub(super) fn ending(conv: &Conv, layout: &Layout, cx: &mut Lowering<'_>) -> Binding {
    let plain = Finish::Clamp { low: -127 };
    let (requant, finish) = match &conv.output {
        Output::Sums => (&[][..], &plain),
        Output::Rescaled { requant, finish } => (&requant[..], finish),
    };
    let [multiplier, shift] = factors::apart(requant, conv.bias.len());
    let mut kinds = vec![conv.bias.clone(), multiplier, shift];
    if let Some(residual) = &conv.residual {
        kinds.push(residual.iter().map(|enlarge| enlarge.multiplier).collect());
        kinds.push(residual.iter().map(|enlarge| enlarge.left as i32).collect());
        kinds.push(residual.iter().map(|enlarge| enlarge.right as i32).collect());
    }
    Factors::new(finish).planes(layout, &kinds).bind(finish, cx)
}

/// Weights `[out, in/groups, kh, kw]` as `[out plane][ky][kx][in plane of the group]`, for each of the out plane's
/// channels a word of the in plane's. `groups` are those of the kernel, which may be fewer than the convolution's.
fn pack(conv: &Conv, groups: usize, x: &Layout, y: &Layout) -> Vec<u32> {
    let [out, per_group, kh, kw] = conv.shape;
    let (inputs, outputs) = (x.physical(), y.physical());
    let (group_lanes, group_outputs) = (inputs.len() / groups, outputs.len() / groups);
    let weight = |o: Option<usize>, i: Option<usize>, tap: usize| -> u8 {
        let (Some(o), Some(i)) = (o, i) else { return 0 };
        let first = o / (out / conv.groups) * per_group;
        let inside = (first..first + per_group).contains(&i);
        if inside { conv.weight[(o * per_group + i - first) * kh * kw + tap] as u8 } else { 0 }
    };
    let mut packed = Vec::with_capacity(outputs.len() * kh * kw * group_lanes / 4);
    for (plane, out_lanes) in outputs.chunks(4).enumerate() {
        let first = plane * 4 / group_outputs * group_lanes;
        for tap in 0..kh * kw {
            for lanes in inputs[first..first + group_lanes].chunks(4) {
                let word = |o: &Option<usize>| u32::from_le_bytes(std::array::from_fn(|i| weight(*o, lanes[i], tap)));
                packed.extend(out_lanes.iter().map(word));
            }
        }
    }
    packed
}
