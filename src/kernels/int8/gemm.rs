//! Convolutions of integers as matrix products with operands in workgroup memory (implicit GEMM), the sums split
//! within the workgroup where the map is small. For GPUs.

use super::conv::Operands;
use super::factors::FINISHES;
use super::{ARITH, ENDING, FACTORS, PRODUCTS, conv};
use crate::int8::program::Conv;
use crate::kernels::{Kernel, Lowering, Placement, RESIDUAL, Sizes, Tile, Tiling, W, X, Y, source};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    name: "int8/gemm",
    arguments: &[&X, &W, &FACTORS, &RESIDUAL, &Y],
    sources: &[&ARITH, &ENDING, &PRODUCTS, &source!("int8/gemm.wgsl")],
    constants: conv::CONSTANTS,
    workgroup: PART as u32,
    tiling: Some(&TILING),
    fixed: FINISHES,
};

/// Invocations that share the outputs of a workgroup. A workgroup has once, twice or four times as many, each part
/// with its share of the sums: [`Tile::workgroup`] says how many parts there are.
const PART: usize = 64;

/// Bytes of workgroup memory that WebGPU grants.
const MAX_SHARED: usize = 16 << 10;

/// Workgroups that WebGPU grants to one side of a grid.
const MAX_GRID: usize = 65535;

/// Terms of the sums, of four channels each, that are copied at a time, at most.
const MAX_CHUNK: usize = 16;

static TILING: Tiling = Tiling {
    constants: &["TILE_PIXELS", "TILE_PLANES", "PIXEL_THREADS", "PLANE_THREADS", "SPLIT", "CHUNK", "JOINED"],
    candidates,
    place: |sizes, tile| {
        let shape = Shape::new(sizes, tile)?;
        let [across, deep] = shape.workgroups(sizes);
        let constants = vec![
            tile.pixels,
            tile.planes,
            PART / shape.plane_threads,
            shape.plane_threads,
            shape.split,
            shape.chunk,
            shape.joined().max(1),
        ];
        let groups = sizes.get("OUT_PLANES") / sizes.get("GROUP_OUT_PLANES");
        Some(Placement { constants, threads: [across * tile.workgroup as usize, deep, groups] })
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
        // As many planes as leave the fewest over, and of those the most.
        let planes = sizes.get("GROUP_OUT_PLANES");
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

    /// Sums that parts give to the first one.
    fn joined(&self) -> usize {
        (self.split - 1) * PART
    }

    /// Bytes of workgroup memory.
    fn shared(&self) -> usize {
        let [pixels, planes] = self.outputs();
        self.chunk * (4 * pixels + 16 * planes) + 16 * self.joined().max(1)
    }

    fn workgroups(&self, sizes: &Sizes<'_>) -> [usize; 2] {
        let [pixels, planes] = self.outputs();
        [outputs(sizes).div_ceil(pixels), sizes.get("GROUP_OUT_PLANES").div_ceil(planes)]
    }
}

fn outputs(sizes: &Sizes<'_>) -> usize {
    sizes.get("BATCH") * sizes.get("OUT_H") * sizes.get("OUT_W")
}

/// All tiles that leave less than half of a workgroup without work, those with most work first; among equals the
/// fewest parts.
fn candidates(sizes: &Sizes<'_>) -> Vec<Tile> {
    let mut tiles = Vec::new();
    for (pixels, planes) in [(8, 4), (4, 4), (8, 2), (4, 2), (2, 2), (4, 1), (2, 1), (1, 1)] {
        for split in [1, 2, 4] {
            let tile = Tile { pixels, planes, workgroup: (PART * split) as u32 };
            let Some(shape) = Shape::new(sizes, tile) else { continue };
            let ([across, deep], [group_pixels, group_planes]) = (shape.workgroups(sizes), shape.outputs());
            let started = across * group_pixels * deep * group_planes;
            let wanted = outputs(sizes) * sizes.get("GROUP_OUT_PLANES");
            if across <= MAX_GRID && deep <= MAX_GRID && (started <= 2 * wanted || (pixels, planes) == (1, 1)) {
                tiles.push(tile);
            }
        }
    }
    tiles
}

/// Terms of a sum (taps times input planes) from which it is taken.
const MIN_DEPTH: usize = 24;

/// Outputs of a plane, batch included, from which it is.
const MIN_OUTPUTS: usize = 32;

/// Whether to take it: as with floats, an estimate. Sums have to be long enough for the barriers not to matter, and
/// maps to fill a tile; a processor that plays GPU gains nothing from workgroup memory.
pub(super) fn pays(conv: &Conv, operands: &Operands, cx: &Lowering<'_>) -> bool {
    let depth = conv.shape[2] * conv.shape[3] * operands.x.planes / operands.groups;
    !cx.target().software && depth >= MIN_DEPTH && operands.pixels() >= MIN_OUTPUTS
}
