//! The loops over products natively: each is a vector function of its own, called once per run of products. What
//! LLVM makes of it then depends on nothing around it; inlined into its caller, it kept the sums in memory.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::super::vectors::{load, segment_len, segments as equal, store, vectors, width, zero_below};
use super::{Block, LANES, MAX_SEGMENT, MAX_TILE, Place, Sums, Taps};
use crate::cpu::simd::Vectors;

/// Most blocks and most pixels of a tile on this machine.
pub(in super::super) fn largest() -> (usize, usize) {
    match width() {
        LANES => (MAX_TILE, MAX_SEGMENT),
        _ => (1, 4),
    }
}

/// The tiles of a row: the first pixel and the number of pixels of each, as many in all of them as waste least.
pub(in super::super) fn segments(columns: Range<usize>) -> impl Iterator<Item = (usize, usize)> + Clone {
    let pixels = segment_len(columns.len()).min(largest().1);
    equal(columns, pixels).map(move |x| (x, pixels))
}

/// How many of all rows of taps are summed in one go, at most `most`.
pub(super) fn run(_all: usize, most: usize) -> usize {
    most
}

/// Nothing that would have to be known beforehand.
pub(super) struct Steps;

impl Steps {
    pub(super) fn new(_kernel: [usize; 2], _planes: [usize; 2], _plane_len: usize, _pitch: usize) -> Self {
        Steps
    }
}

/// Computes the sums of each spot.
pub(in super::super) fn sum(sums: Sums) {
    let Sums { taps, x, spots, stride, rows, panels, panel, blocks, totals, mut out, .. } = sums;
    let (arch, share) = (Vectors::new(), panel.len().div_ceil(spots.len().max(1)));
    for (i, spot) in spots.iter().enumerate() {
        // The next run's weights are on their way while this one's are used.
        prefetch(panels, panel.end + i * share..panel.end + (i + 1) * share);
        let (start, pixels, rows, panel) = (spot.start, spot.pixels, rows.clone(), &panels[panel.clone()]);
        let totals = &mut totals[spot.at * blocks..];
        let out = out.as_mut().map(|out| {
            let Place { start, before } = out.places[i];
            let planes = out.planes.each_mut().map(|plane| plane.get_mut(start..).unwrap_or_default());
            Pixels { planes, bias: out.bias, limit: out.limit, before, gap: out.gap }
        });
        arch.dispatch(Sum { taps, x, start, rows, panel, stride, pixels, blocks, totals, out });
    }
}

/// The sums of one spot.
struct Sum<'a> {
    taps: &'a Taps,
    x: &'a [Block],
    start: usize,
    rows: Range<usize>,
    panel: &'a [Block],
    stride: usize,
    pixels: usize,
    blocks: usize,
    totals: &'a mut [Block],
    out: Option<Pixels<'a>>,
}

/// Where a spot's pixels go, from the first on in each plane.
struct Pixels<'a> {
    planes: [&'a mut [Block]; MAX_TILE],
    bias: &'a [Block],
    limit: f32,
    /// Pixels before the end of the first one's row, and blocks from there to the next row.
    before: usize,
    gap: usize,
}

impl WithSimd for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.blocks * vectors::<S>() {
            1 => self.vectors::<S, 1>(simd),
            2 => self.vectors::<S, 2>(simd),
            3 => self.vectors::<S, 3>(simd),
            4 => self.vectors::<S, 4>(simd),
            _ => self.vectors::<S, LANES>(simd),
        }
    }
}

impl Sum<'_> {
    #[inline(always)]
    fn vectors<S: Simd, const V: usize>(self, simd: S) {
        match (self.pixels, self.stride) {
            (7, 1) => self.tile::<S, V, 7, 1>(simd),
            (7, _) => self.tile::<S, V, 7, 2>(simd),
            (4, 1) => self.tile::<S, V, 4, 1>(simd),
            (4, _) => self.tile::<S, V, 4, 2>(simd),
            (_, 1) => self.tile::<S, V, 1, 1>(simd),
            (_, _) => self.tile::<S, V, 1, 2>(simd),
        }
    }

    /// `P` pixels × `V` vectors.
    #[inline(always)]
    fn tile<S: Simd, const V: usize, const P: usize, const STRIDE: usize>(self, simd: S) {
        let sums = self.products::<S, V, P, STRIDE>(simd);
        let begins = self.rows.start == 0;
        let (totals, _) = S::as_mut_simd_f32s(bytemuck::cast_slice_mut(self.totals));
        let (totals, _) = totals.as_chunks_mut::<V>();
        let Some(mut out) = self.out else {
            each_pixel!(P, |p| {
                for (total, sum) in totals[p].iter_mut().zip(sums[p]) {
                    *total = if begins { sum } else { simd.add_f32s(*total, sum) };
                }
            });
            return;
        };
        each_pixel!(P, |p| {
            let mut sums = sums[p];
            if !begins {
                sums.iter_mut().zip(totals[p]).for_each(|(sum, total)| *sum = simd.add_f32s(total, *sum));
            }
            out.put::<S, V>(simd, p, sums);
        });
    }

    #[inline(always)]
    fn products<S: Simd, const V: usize, const P: usize, const STRIDE: usize>(&self, simd: S) -> [[S::f32s; V]; P] {
        let Taps { kernel, planes, last, plane_len, pitch, .. } = *self.taps;
        let (panel, _) = S::as_simd_f32s(bytemuck::cast_slice(self.panel));
        let (mut panel, _) = panel.as_chunks::<V>();
        let mut sums = [[simd.splat_f32s(0.0); V]; P];
        for row in self.rows.clone() {
            let (plane, ky) = (row / kernel[0], row % kernel[0]);
            let channels = if plane + 1 < planes { LANES } else { last };
            let row = self.start + plane * plane_len + ky * pitch;
            for kx in 0..kernel[1] {
                let x = &self.x[row + kx..][..(P - 1) * STRIDE + 1];
                let (weights, rest) = panel.split_at(channels);
                panel = rest;
                for (i, weights) in weights.iter().enumerate() {
                    sums = products::<S, V, P, STRIDE>(simd, x, i, weights, sums);
                }
            }
        }
        sums
    }
}

impl Pixels<'_> {
    /// Finishes the sums of a pixel.
    #[inline(always)]
    fn put<S: Simd, const V: usize>(&mut self, simd: S, p: usize, sums: [S::f32s; V]) {
        let (at, limit) = (p + if p < self.before { 0 } else { self.gap }, simd.splat_f32s(self.limit));
        for (i, sum) in sums.into_iter().enumerate() {
            let (block, v) = (i / vectors::<S>(), i % vectors::<S>());
            let value = simd.add_f32s(sum, load::<S>(&self.bias[block], v));
            store::<S>(&mut self.planes[block][at], v, zero_below(simd, value, value, limit));
        }
    }
}

/// Adds the products of one input channel. The lane is a remainder: with an index whose bound is known,
/// LLVM unrolls the caller's loop and runs out of registers.
#[inline(always)]
fn products<S: Simd, const V: usize, const P: usize, const STRIDE: usize>(
    simd: S,
    x: &[Block],
    lane: usize,
    weights: &[S::f32s; V],
    mut sums: [[S::f32s; V]; P],
) -> [[S::f32s; V]; P] {
    each_pixel!(P, |p| {
        let x = simd.splat_f32s(x[p * STRIDE].0[lane % LANES]);
        for v in 0..V {
            sums[p][v] = simd.mul_add_e_f32s(x, weights[v], sums[p][v]);
        }
    });
    sums
}

/// Asks for blocks that will be read soon. Weights come from far: a network's are larger than the cache
/// that a core has for itself.
fn prefetch(blocks: &[Block], range: Range<usize>) {
    #[cfg(target_arch = "x86_64")]
    for block in &blocks[range.start.min(blocks.len())..range.end.min(blocks.len())] {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint without effect on the program, of an address that is there; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(block).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (blocks, range);
}
