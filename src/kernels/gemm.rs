//! Dense convolutions as matrix products with operands in workgroup memory (implicit GEMM), the sums
//! split within the workgroup where the map is small. For GPUs.

use super::lowering::Piece;
use super::weights::Layer;
use super::{
    ACTIVATION, ACTIVATIONS, BIAS, Binding, EPILOGUE, Kernel, Lowering, Placement, RESIDUAL, Sizes, Target, Tile,
    Tiling, W, X, X2, Y, conv, pointwise, source, tile,
};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::Conv2d;
use crate::tensor::Tensor;

pub(super) static KERNEL: Kernel = Kernel {
    name: "gemm",
    arguments: &[&X, &W, &BIAS, &X2, &RESIDUAL, &Y],
    sources: &[&ACTIVATION, &EPILOGUE, &source!("gemm.wgsl")],
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
        "IN_PLANES",
        "IN_PLANES_2",
        "X_PLANE",
        "X2_PLANE",
        "RESIDUAL_PLANE",
        "OUT_PLANES",
        "HAS_RESIDUAL",
        "ACTIVATION",
    ],
    workgroup: PART as u32,
    tiling: Some(&TILING),
    fixed: ACTIVATIONS,
};

/// Invocations that share the outputs of a workgroup. A workgroup has once, twice or four times as many,
/// each part with its share of the sums: [`Tile::workgroup`] says how many parts there are.
const PART: usize = 64;

/// vec4s of workgroup memory: the 16 KiB that WebGPU grants.
const MAX_SHARED: usize = 1024;

/// Workgroups that WebGPU grants to one side of a grid.
const MAX_GRID: usize = 65535;

/// Terms of the sums that are copied at a time, at most. More would only take memory from other workgroups.
const MAX_CHUNK: usize = 8;

static TILING: Tiling = Tiling {
    constants: &["TILE_PIXELS", "TILE_PLANES", "PIXEL_THREADS", "PLANE_THREADS", "SPLIT", "CHUNK", "JOINED"],
    candidates,
    place: |sizes, tile| {
        let shape = Shape::new(sizes, tile)?;
        let groups = shape.groups(sizes);
        let constants = vec![
            tile.pixels,
            tile.planes,
            PART / shape.plane_threads,
            shape.plane_threads,
            shape.split,
            shape.chunk,
            shape.joined().max(1),
        ];
        Some(Placement { constants, threads: [groups[0] * tile.workgroup as usize, groups[1], 1] })
    },
};

/// How a workgroup divides its outputs.
struct Shape {
    tile: Tile,
    /// Invocations along the planes; the others of a part are along the pixels.
    plane_threads: usize,
    /// Parts of the sums.
    split: usize,
    /// Terms that are copied at a time.
    chunk: usize,
}

impl Shape {
    /// `None` for tiles that the kernel does not take.
    fn new(sizes: &Sizes<'_>, tile: Tile) -> Option<Self> {
        let split = tile.workgroup as usize / PART;
        let known = [1, 2, 4].contains(&split) && (tile.workgroup as usize).is_multiple_of(PART);
        if !known || !(1..=8).contains(&tile.pixels) || !(1..=4).contains(&tile.planes) {
            return None;
        }
        // As many planes as leave the fewest over, and of those the most: weights are read once per
        // tile of pixels, inputs once per tile of planes.
        let planes = sizes.get("OUT_PLANES");
        let over = |threads: &usize| planes.next_multiple_of(threads * tile.planes) - planes;
        let plane_threads = [8, 4, 2].into_iter().min_by_key(over)?;
        let shape = |chunk| Shape { tile, plane_threads, split, chunk };
        let fits = |chunk: &usize| shape(*chunk).shared() <= MAX_SHARED;
        // Every part has the same number of terms.
        let chunk = [MAX_CHUNK, MAX_CHUNK / 2, MAX_CHUNK / 4].into_iter().filter(|c| *c >= split).find(fits)?;
        Some(shape(chunk))
    }

    /// Pixels and planes of a workgroup.
    fn outputs(&self) -> [usize; 2] {
        [PART / self.plane_threads * self.tile.pixels, self.plane_threads * self.tile.planes]
    }

    /// vec4s that parts give to the first one.
    fn joined(&self) -> usize {
        (self.split - 1) * PART
    }

    fn shared(&self) -> usize {
        let [pixels, planes] = self.outputs();
        self.chunk * (pixels + 4 * planes) + self.joined().max(1)
    }

    fn groups(&self, sizes: &Sizes<'_>) -> [usize; 2] {
        let [pixels, planes] = self.outputs();
        [outputs(sizes).div_ceil(pixels), sizes.get("OUT_PLANES").div_ceil(planes)]
    }
}

fn outputs(sizes: &Sizes<'_>) -> usize {
    sizes.get("BATCH") * sizes.get("OUT_H") * sizes.get("OUT_W")
}

/// All tiles that leave less than half of a workgroup without work, those with most work first; among
/// equals the fewest parts.
fn candidates(sizes: &Sizes<'_>) -> Vec<Tile> {
    let mut tiles = Vec::new();
    for (pixels, planes) in [(8, 4), (4, 4), (8, 2), (4, 2), (2, 2), (4, 1), (2, 1), (1, 1)] {
        for split in [1, 2, 4] {
            let tile = Tile { pixels, planes, workgroup: (PART * split) as u32 };
            let Some(shape) = Shape::new(sizes, tile) else { continue };
            let [across, deep] = shape.groups(sizes);
            let [group_pixels, group_planes] = shape.outputs();
            let started = across * group_pixels * deep * group_planes;
            let spread = across <= MAX_GRID && deep <= MAX_GRID;
            if !spread {
                continue;
            }
            if started <= 2 * outputs(sizes) * sizes.get("OUT_PLANES") || (pixels, planes) == (1, 1) {
                tiles.push(tile);
            }
        }
    }
    tiles
}

/// Terms of a sum (taps times input planes) from which it is taken where nothing was tuned.
const MIN_DEPTH: usize = 24;

/// Outputs of a plane, batch included, from which it is.
const MIN_OUTPUTS: usize = 32;

/// Whether to take it where nothing was tuned. An estimate; no GPU has been measured. The direct kernels
/// read (pixels + 4 · planes) vec4s through the cache for pixels × planes multiplications, with tiles of
/// some 4 × 2; here a workgroup's tile of 32 × 16 counts, which is an eighth of the reads. That pays where
/// sums are long enough for the barriers not to matter and the map fills a tile. A processor that plays
/// GPU gains nothing from workgroup memory.
pub(super) fn pays(depth: usize, outputs: usize, target: &Target) -> bool {
    !target.software && depth >= MIN_DEPTH && outputs >= MIN_OUTPUTS
}

pub(super) fn lower(conv: &Conv2d, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let node = cx.get(id);
    let [first, second]: [Piece; 2] = pointwise::two_pieces(node.inputs[0], cx)?;
    let residual = node.inputs.get(1).map(|r| cx.operand(*r)).transpose()?;
    let y = cx.new_output(id)?;
    let (input, output) = (cx.shape(node.inputs[0]), node.shape);
    let inputs = cx.layout(node.inputs[0]).clone();
    let order = |weight: &Tensor| Ok(conv::pack(weight, 1, &inputs, &y.layout));
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
        ("IN_PLANES", first.planes),
        ("IN_PLANES_2", second.planes),
        ("X_PLANE", first.first_plane),
        ("X2_PLANE", second.first_plane),
        ("RESIDUAL_PLANE", residual.as_ref().map_or(0, |r| r.first_plane)),
        ("OUT_PLANES", y.planes),
        ("HAS_RESIDUAL", usize::from(residual.is_some())),
        ("ACTIVATION", tile::activation(conv.activation)),
    ];
    let residual = residual.map_or(Binding::Tensor(first.tensor), |r| r.binding());
    let [first, second] = [first, second].map(|piece| Binding::Tensor(piece.tensor));
    let bindings = vec![first, weights, bias, second, residual, y.binding()];
    let macs = cx.params().tensor(conv.weight).len() as u64 * output.pixels() as u64;
    cx.push_tiled(&KERNEL, &constants, bindings, macs)
}
