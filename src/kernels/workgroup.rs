//! How matrix products with operands in workgroup memory divide their work: what the implicit GEMMs of floats
//! and of integers share.

use super::{Placement, Tile};

/// Invocations that share the outputs of a workgroup. A workgroup has once, twice or four times as many, each part
/// with its share of the sums: [`Tile::workgroup`] says how many parts there are.
pub(super) const PART: usize = 64;

/// The constants that depend on the tile, as [`Product::place`] gives them.
pub(super) const CONSTANTS: &[&str] =
    &["TILE_PIXELS", "TILE_PLANES", "PIXEL_THREADS", "PLANE_THREADS", "SPLIT", "CHUNK", "JOINED"];

/// Terms of a sum (taps times input planes) from which workgroup memory pays where nothing was tuned. Both numbers
/// are estimates, no GPU has been measured: sums have to be long enough for the barriers not to matter, and maps to
/// fill a tile.
pub(super) const MIN_DEPTH: usize = 24;

/// Outputs of a plane, batch included, from which it does.
pub(super) const MIN_OUTPUTS: usize = 32;

/// Bytes of workgroup memory that WebGPU grants.
const MAX_SHARED: usize = 16 << 10;

/// Workgroups that WebGPU grants to one side of a grid.
const MAX_GRID: usize = 65535;

/// Bytes of the sums of four channels.
const SUM: usize = 16;

/// What a kernel keeps in workgroup memory for one term of the sums, four channels of the input.
pub(super) struct Terms {
    /// Bytes of the input, for an output pixel.
    pub pixel: usize,
    /// Bytes of the weights, for an output plane.
    pub plane: usize,
    /// Terms that are copied at a time, at most. More would only take memory from other workgroups.
    pub most: usize,
}

/// A product to divide; those of several groups lie side by side.
pub(super) struct Product {
    pub terms: &'static Terms,
    /// Outputs of a plane, batch included.
    pub pixels: usize,
    /// Output planes of a group.
    pub planes: usize,
    pub groups: usize,
}

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
    /// Pixels and planes of a workgroup.
    fn outputs(&self) -> [usize; 2] {
        [PART / self.plane_threads * self.tile.pixels, self.plane_threads * self.tile.planes]
    }

    /// Sums that parts give to the first one; WGSL has no arrays of none.
    fn joined(&self) -> usize {
        ((self.split - 1) * PART).max(1)
    }

    /// Bytes of workgroup memory.
    fn shared(&self, terms: &Terms) -> usize {
        let [pixels, planes] = self.outputs();
        self.chunk * (terms.pixel * pixels + terms.plane * planes) + SUM * self.joined()
    }
}

impl Product {
    /// `None` for tiles that the kernels do not take.
    fn shape(&self, tile: Tile) -> Option<Shape> {
        let split = tile.workgroup as usize / PART;
        let known = [1, 2, 4].contains(&split) && (tile.workgroup as usize).is_multiple_of(PART);
        if !known || !(1..=8).contains(&tile.pixels) || !(1..=4).contains(&tile.planes) {
            return None;
        }
        // As many planes as leave the fewest over, and of those the most: weights are read once per tile of pixels,
        // inputs once per tile of planes.
        let over = |threads: &usize| self.planes.next_multiple_of(threads * tile.planes) - self.planes;
        let plane_threads = [8, 4, 2].into_iter().min_by_key(over)?;
        let shape = |chunk| Shape { tile, plane_threads, split, chunk };
        let fits = |chunk: &usize| shape(*chunk).shared(self.terms) <= MAX_SHARED;
        // Every part has the same number of terms.
        let chunks = [1, 2, 4].map(|part| self.terms.most / part);
        let chunk = chunks.into_iter().filter(|chunk| *chunk >= split).find(fits)?;
        Some(shape(chunk))
    }

    /// Workgroups along the pixels and along a group's planes.
    fn workgroups(&self, shape: &Shape) -> [usize; 2] {
        let [pixels, planes] = shape.outputs();
        [self.pixels.div_ceil(pixels), self.planes.div_ceil(planes)]
    }

    /// All tiles that leave less than half of a workgroup without work, those with most work first; among equals the
    /// fewest parts.
    pub(super) fn candidates(&self) -> Vec<Tile> {
        let mut tiles = Vec::new();
        for (pixels, planes) in [(8, 4), (4, 4), (8, 2), (4, 2), (2, 2), (4, 1), (2, 1), (1, 1)] {
            for split in [1, 2, 4] {
                let tile = Tile { pixels, planes, workgroup: (PART * split) as u32 };
                let Some(shape) = self.shape(tile) else { continue };
                let ([across, deep], [group_pixels, group_planes]) = (self.workgroups(&shape), shape.outputs());
                let started = across * group_pixels * deep * group_planes;
                let little_is_idle = started <= 2 * self.pixels * self.planes || (pixels, planes) == (1, 1);
                if across <= MAX_GRID && deep <= MAX_GRID && little_is_idle {
                    tiles.push(tile);
                }
            }
        }
        tiles
    }

    /// The values of [`CONSTANTS`], and the grid.
    pub(super) fn place(&self, tile: Tile) -> Option<Placement> {
        let shape = self.shape(tile)?;
        let [across, deep] = self.workgroups(&shape);
        let plane_threads = shape.plane_threads;
        let constants = vec![
            tile.pixels,
            tile.planes,
            PART / plane_threads,
            plane_threads,
            shape.split,
            shape.chunk,
            shape.joined(),
        ];
        Some(Placement { constants, threads: [across * tile.workgroup as usize, deep, self.groups] })
    }
}
