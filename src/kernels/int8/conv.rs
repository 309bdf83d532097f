//! Convolutions of integers, dense or in groups, and linear layers: which kernel takes them, and the direct one.

use super::factors::{self, FINISHES, Factors};
use super::{ARITH, ENDING, FACTORS, PRODUCTS, conv_float, gemm, linear};
use crate::error::Result;
use crate::graph::{NodeId, Shape};
use crate::int8::program::{Conv, Output};
use crate::int8::table::Finish;
use crate::kernels::conv::{MAX_DENSE, plane_groups, row};
use crate::kernels::{
    Binding, Element, Kernel, Layout, Lowering, Operand, Placement, RESIDUAL, Tiling, W, X, Y, source, tiling,
};

/// The sizes that all kernels of dense convolutions take.
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
    "FINISH",
    "STEEP",
    "SUMS",
];

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    name: "int8/conv",
    arguments: &[&X, &W, &FACTORS, &RESIDUAL, &Y],
    sources: &[&ARITH, &ENDING, &PRODUCTS, &source!("int8/conv.wgsl")],
    constants: CONSTANTS,
    workgroup: 64,
    tiling: Some(&TILING),
    open: &[],
    fixed: FINISHES,
};

/// Sums (of four channels) that an invocation keeps at most, each counted once for every tap of a kernel's row: loops
/// over all of these are unrolled.
const MAX_SUMS: usize = 84;

/// The same, counted once.
const MOST_SUMS: usize = 32;

static TILING: Tiling = Tiling {
    constants: &["TILE_PIXELS", "TILE_PLANES", "STEP_X", "SPAN"],
    candidates: |sizes| {
        let span = |pixels| Some(row(sizes, pixels)?.span);
        let mut tiles = tiling::candidates(sizes.get("OUT_W"), sizes.get("GROUP_OUT_PLANES"), 8, span);
        tiles.retain(|tile| {
            let sums = tile.pixels * tile.planes;
            sums == 1 || (sums <= MOST_SUMS && sums * sizes.get("K_W") <= MAX_SUMS)
        });
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

/// What a dense convolution reads and makes.
pub(super) struct Operands {
    pub x: Operand,
    pub residual: Option<Operand>,
    pub y: Operand,
    /// Those that the kernel works in: the convolution's, if they fill whole planes.
    pub groups: usize,
    /// Whether it is a matrix product over all pixels: then these are one row.
    pub is_matrix: bool,
    pub batch: usize,
    /// Of input and output.
    pub shapes: [Shape; 2],
    /// In the order of the kernels' arguments.
    pub bindings: Vec<Binding>,
    pub macs: u64,
}

impl Operands {
    /// Outputs of a plane, batch included.
    pub fn pixels(&self) -> usize {
        self.batch * self.shapes[1].pixels()
    }
}

pub(super) fn lower(conv: &Conv, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let mut operands = operands(conv, id, cx)?;
    let float = conv_float::pays(conv, &operands, cx);
    let blocks = pack(conv, &operands, float);
    let weights = cx.integer_weights(Element::I8Block, blocks);
    let factors = ending(conv, &operands.y.layout, cx);
    let residual = operands.residual.as_ref().unwrap_or(&operands.x).binding();
    operands.bindings = vec![operands.x.binding(), weights, factors, residual, operands.y.binding()];
    if linear::pays(&operands, cx) {
        return linear::push(conv, &operands, cx);
    }
    let kernel = match float {
        true => &conv_float::KERNEL,
        false if gemm::pays(conv, &operands, cx) => &gemm::KERNEL,
        false => &KERNEL,
    };
    cx.push_tiled(kernel, &constants(conv, &operands), operands.bindings.clone(), operands.macs)
}

fn operands(conv: &Conv, id: NodeId, cx: &mut Lowering<'_>) -> Result<Operands> {
    let node = cx.get(id);
    let x = cx.operand(node.inputs[0])?;
    let layout = cx.layout(id).clone();
    let residual = node.inputs.get(1).map(|r| cx.operand_as(*r, &layout)).transpose()?;
    let y = cx.new_output(id)?;
    let groups = plane_groups(conv.groups, &x.layout, &y.layout);
    if groups != conv.groups && conv.weight.len().saturating_mul(conv.groups) > MAX_DENSE {
        let (channels, whole) = (conv.shape[1] * conv.groups, conv.groups);
        return Err(cx.error(format!(
            "{channels} channels in {whole} groups do not fill planes of four, and as a dense convolution it would \
             have more than {MAX_DENSE} weights"
        )));
    }
    let macs = conv.weight.len() as u64 * node.shape.pixels() as u64;
    let (mut input, mut output, mut batch) = (cx.shape(node.inputs[0]), node.shape, cx.batch());
    let is_matrix = conv.shape[2..] == [1, 1] && conv.stride == [1, 1] && conv.padding == [0, 0];
    if is_matrix {
        // Rows do not matter: all pixels of the batch are one.
        (output.height, output.width) = (1, cx.pixels(id));
        (input.height, input.width, batch) = (1, output.width, 1);
    }
    Ok(Operands { x, residual, y, groups, is_matrix, batch, shapes: [input, output], bindings: Vec::new(), macs })
}

/// The values of [`CONSTANTS`].
fn constants(conv: &Conv, operands: &Operands) -> [(&'static str, usize); CONSTANTS.len()] {
    let Operands { x, residual, y, groups, batch, shapes: [input, output], .. } = operands;
    let Ending { finish, steep, sums } = Ending::new(&conv.output);
    [
        ("BATCH", *batch),
        ("IN_H", input.height),
        ("IN_W", input.width),
        ("OUT_H", output.height),
        ("OUT_W", output.width),
        ("K_H", conv.shape[2]),
        ("K_W", conv.shape[3]),
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
    ]
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
/// channels a word of the in plane's; `by_input` the other way round. The kernel's groups may be fewer than the
/// convolution's: then there are zeros between them.
fn pack(conv: &Conv, operands: &Operands, by_input: bool) -> Vec<u32> {
    let [out, per_group, kh, kw] = conv.shape;
    let (inputs, outputs) = (operands.x.layout.physical(), operands.y.layout.physical());
    let (group_lanes, group_outputs) = (inputs.len() / operands.groups, outputs.len() / operands.groups);
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
                packed.extend((0..4).map(|word| {
                    let byte = |at: usize| if by_input { [at, word] } else { [word, at] };
                    u32::from_le_bytes(std::array::from_fn(|at| {
                        let [o, i] = byte(at);
                        weight(out_lanes[o], lanes[i], tap)
                    }))
                }));
            }
        }
    }
    packed
}
