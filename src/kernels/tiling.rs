//! How a step's work is divided: the part of a kernel that a device's character decides, and that
//! can be tuned by measuring.

use std::fmt;

use super::Kernel;
use crate::order;

/// What one invocation computes, and how many invocations make a workgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Tile {
    /// Outputs along a row (or pixels, where rows do not matter).
    pub pixels: usize,
    /// Output planes, of four channels each.
    pub planes: usize,
    /// Invocations of a workgroup.
    pub workgroup: u32,
}

impl fmt::Display for Tile {
    /// `7 pixels × 4 planes, 64 to a workgroup`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tile { pixels, planes, workgroup } = self;
        write!(f, "{pixels} pixels × {planes} planes, {workgroup} to a workgroup")
    }
}

/// What a tile means for a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// Values of the kernel's tile constants ([`Tiling::constants`]), in order.
    pub constants: Vec<usize>,
    /// Invocations along x, workgroups along y and z.
    pub threads: [usize; 3],
}

/// The tuning space of a kernel. All functions take the step's sizes, the values of the constants that
/// do not depend on the tile.
#[derive(Debug)]
pub struct Tiling {
    /// Names of the constants that depend on the tile, given behind the others.
    pub constants: &'static [&'static str],
    /// Tiles worth trying, those with most work to an invocation first; never empty where the kernel
    /// computes the step at all.
    pub candidates: fn(&Sizes<'_>) -> Vec<Tile>,
    /// Constants and grid of a tile; `None` if the kernel does not take it.
    pub place: fn(&Sizes<'_>, Tile) -> Option<Placement>,
}

/// Named constants of a step.
#[derive(Clone, Copy)]
pub struct Sizes<'a> {
    names: &'a [&'static str],
    values: &'a [u32],
}

impl<'a> Sizes<'a> {
    /// The sizes of a step of that kernel, from the values of its constants; `None` if it declares more
    /// or fewer.
    pub fn new(kernel: &'static Kernel, values: &'a [u32]) -> Option<Self> {
        (values.len() == kernel.constants.len()).then_some(Sizes { names: kernel.constants, values })
    }

    /// The values, in the kernel's order.
    pub fn values(&self) -> &'a [u32] {
        self.values
    }

    /// A constant's value.
    ///
    /// # Panics
    /// If the kernel declares no such constant: a defect of the kernel, which every test of it meets.
    #[allow(clippy::expect_used, reason = "not reachable from outside: names are this crate's own")]
    pub fn get(&self, name: &str) -> usize {
        let at = self.names.iter().position(|known| *known == name).expect("a tiling asks for its kernel's constants");
        self.values[at] as usize
    }

    /// What tuning remembers a choice by: the sizes without the places of operands in their tensors,
    /// which cost nothing.
    pub fn key(&self) -> String {
        let sizes = self.names.iter().zip(self.values).filter(|(name, _)| !name.ends_with("_PLANE"));
        sizes.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }
}

/// Invocations to a workgroup that are worth trying.
const WORKGROUPS: [u32; 3] = [64, 32, 128];

/// Outputs along a row that are worth trying, beside what suits the row best.
const PIXELS: [usize; 6] = [14, 8, 7, 4, 2, 1];

/// Bytes that sums and inputs of an invocation may take: half of what WGSL grants to a function.
const MAX_REGISTERS: usize = 4096;

/// Workgroups that WebGPU grants to one side of a grid.
const MAX_GRID: usize = 65535;

/// Sums (vec4s) that an invocation may keep where a subgroup shares its weights. With 112 Mesa 22.3 no
/// longer unrolls the loops over them, and indexes memory lane by lane.
/// The number counts each tap of a kernel's row, over which loops are unrolled too: a 3×3 convolution
/// with 56 sums takes 0.86 of the time of one with 28, and three times as long to compile.
const MAX_SHARING_SUMS: usize = 84;

/// The tiles for kernels that share weights within subgroups of so many invocations, if not 0. All
/// invocations of a subgroup work then, beyond the end as well, so those tiles are best with which
/// `outputs` (pixels of a plane) fill whole subgroups; `invocations` says how many there are with tiles
/// of so many pixels, and `taps` how many times each sum's code is repeated. Workgroups of one subgroup
/// share the work out among cores most evenly.
pub fn in_subgroups(
    mut tiles: Vec<Tile>,
    subgroup: usize,
    taps: usize,
    outputs: usize,
    invocations: impl Fn(usize) -> usize,
) -> Vec<Tile> {
    if subgroup == 0 {
        return tiles;
    }
    tiles.retain(|tile| {
        let sums = tile.pixels * tile.planes;
        sums == 1 || sums * taps <= MAX_SHARING_SUMS
    });
    for tile in &mut tiles {
        tile.workgroup = subgroup as u32 * (tile.workgroup / 32);
    }
    tiles.retain(|tile| invocations(tile.pixels).div_ceil(tile.workgroup as usize) <= MAX_GRID);
    let started = |tile: &Tile| invocations(tile.pixels).next_multiple_of(subgroup) * tile.pixels;
    let work = |tile: &Tile| tile.pixels * tile.planes * outputs * 1000 / started(tile).max(1);
    order::sort_by_key(&mut tiles, |tile| (tile.workgroup, std::cmp::Reverse(work(tile)), tile.pixels * tile.planes));
    tiles
}

/// Whether a workgroup is made of whole subgroups, where they share weights (`subgroup` is not 0).
pub fn whole_subgroups(tile: Tile, subgroup: usize) -> bool {
    subgroup == 0 || (tile.workgroup as usize).is_multiple_of(subgroup)
}

/// Tiles of a matrix product over `PIXELS`, for `OUT_PLANES` planes of output.
pub fn matrix(sizes: &Sizes<'_>) -> Vec<Tile> {
    let pixels = sizes.get("PIXELS");
    let tiles = candidates(pixels, sizes.get("OUT_PLANES"), 8, Some);
    in_subgroups(tiles, sizes.get("SUBGROUP"), 1, pixels, |tile| pixels.div_ceil(tile))
}

/// Tiles along the pixels and along the planes of a matrix product; `None` if the tile leaves planes over.
pub fn matrix_grid(sizes: &Sizes<'_>, tile: Tile) -> Option<[usize; 2]> {
    let fits = tile.pixels > 0 && tile.planes > 0 && sizes.get("OUT_PLANES").is_multiple_of(tile.planes);
    (fits && whole_subgroups(tile, sizes.get("SUBGROUP")))
        .then(|| [sizes.get("PIXELS").div_ceil(tile.pixels), sizes.get("OUT_PLANES") / tile.planes])
}

/// All tiles of at most `width` pixels that `place` takes, the most work first. `most` planes at most,
/// in numbers that divide `planes`; `span` is how many vec4s of input a row of so many pixels holds.
pub fn candidates(width: usize, planes: usize, most: usize, span: impl Fn(usize) -> Option<usize>) -> Vec<Tile> {
    let best = super::tile::row_pixels(width);
    let mut pixels: Vec<usize> = PIXELS.into_iter().chain([best]).filter(|p| *p <= width.max(1)).collect();
    order::sort_by_key(&mut pixels, |pixels| *pixels);
    pixels.dedup();
    let mut tiles = Vec::new();
    for &pixels in &pixels {
        let Some(span) = span(pixels) else { continue };
        for planes in (1..=most).filter(|tile| planes.is_multiple_of(*tile)) {
            if (pixels * planes + span) * 16 <= MAX_REGISTERS || (pixels, planes) == (1, 1) {
                tiles.extend(WORKGROUPS.map(|workgroup| Tile { pixels, planes, workgroup }));
            }
        }
    }
    // Outputs beyond the row's end are no work. Among tiles of equal work those without such outputs,
    // then the squarer ones.
    let computed = |tile: &Tile| width.div_ceil(tile.pixels) * tile.pixels;
    let work = |tile: &Tile| tile.pixels * tile.planes * width * 1000 / computed(tile).max(1);
    let rank = |tile: &Tile| WORKGROUPS.iter().position(|w| *w == tile.workgroup);
    order::sort_by_key(&mut tiles, |tile| (rank(tile), std::cmp::Reverse(work(tile)), computed(tile), tile.pixels));
    tiles
}
