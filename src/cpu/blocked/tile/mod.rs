//! The innermost loops of [`conv`](super::conv): a tile of pixels × blocks of output channels, in registers.
//!
//! Each is a vector function of its own, called once per run of products: what LLVM makes of it then
//! depends on nothing around it. Inlined into its caller, it kept the sums in memory.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::layout::{Block, LANES, Map};
use super::vectors::{gelu, load, relu, segment_len, sigmoid, store, vectors, width};
use crate::ops::Activation;

/// Does something for every pixel of a tile, written out whatever the optimisation level: a loop over sums would
/// keep them in memory.
macro_rules! each_pixel {
    ($pixels:expr, |$p:ident| $body:block) => {
        each_pixel!(@ $pixels, $p, $body, 0 1 2 3 4 5 6)
    };
    (@ $pixels:expr, $p:ident, $body:block, $($at:literal)*) => {
        $(if $at < $pixels {
            const { assert!($at < MAX_SEGMENT) };
            let $p = $at;
            $body
        })*
    };
}

// Miri looks at it too, in place of the loops that native machines have.
#[cfg(any(target_arch = "wasm32", miri))]
mod wasm;

/// Most pixels of a tile.
pub(super) const MAX_SEGMENT: usize = 7;

/// Most blocks of output channels in a tile; a fourth would not leave registers for the operands.
pub(super) const MAX_TILE: usize = 3;

/// Most blocks and most pixels of a tile on this machine.
pub(super) fn largest() -> (usize, usize) {
    match width() {
        LANES => (MAX_TILE, MAX_SEGMENT),
        // Half a block at a time: twelve sums, two vectors of weights and a value, in sixteen registers.
        _ if cfg!(target_arch = "wasm32") => (1, 6),
        _ => (1, 4),
    }
}

/// Pixels per tile that waste least on rows of this length.
pub(super) fn segment(columns: usize) -> usize {
    match largest().1 {
        6 if columns >= 6 && columns.div_ceil(4) * 4 * 10 >= columns.div_ceil(6) * 6 * 9 => 6,
        MAX_SEGMENT => segment_len(columns),
        _ => segment_len(columns).min(4),
    }
}

/// What a tile reads of the input.
#[derive(Clone, Copy)]
pub(super) struct Taps {
    pub kernel: [usize; 2],
    /// Rows and columns from the input's frame to the first tap of the first output.
    pub offset: [usize; 2],
    /// Input planes of a group, and channels in the last of them.
    pub planes: usize,
    pub last: usize,
    pub plane_len: usize,
    pub pitch: usize,
    /// Rows of taps (input planes × rows of the kernel) whose products are added up in one go.
    pub run: usize,
}

impl Taps {
    /// Of a group's input channels, which are a multiple of 16 where there are several groups.
    pub(super) fn new(kernel: [usize; 2], padding: [usize; 2], channels: usize, input: &Map, run: usize) -> Self {
        Taps {
            kernel,
            offset: padding.map(|p| input.halo - p),
            planes: channels.div_ceil(LANES),
            last: (channels - 1) % LANES + 1,
            plane_len: input.plane_len(),
            pitch: input.pitch(),
            run: (run / (kernel[1] * LANES)).max(1),
        }
    }

    /// Number of products of some rows of taps.
    pub(super) fn products(&self, rows: &Range<usize>) -> usize {
        let last = (self.planes - 1) * self.kernel[0];
        let in_last = rows.end.saturating_sub(rows.start.max(last));
        (rows.len() - in_last) * self.kernel[1] * LANES + in_last * self.kernel[1] * self.last
    }
}

/// Sums the products of some rows of taps for one tile, `[pixel][block]`; the first rows begin the
/// totals, later ones are added.
pub(super) struct Sum<'a> {
    pub taps: &'a Taps,
    pub x: &'a [Block],
    /// Position of the first pixel's first tap.
    pub start: usize,
    pub rows: Range<usize>,
    /// The weights of these rows.
    pub panel: &'a [Block],
    pub stride: usize,
    pub pixels: usize,
    pub blocks: usize,
    pub totals: &'a mut [Block],
}

impl WithSimd for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.blocks * vectors::<S>() {
            // There, a vector is always a quarter of a block: the rest would only be fetched.
            _ if cfg!(target_arch = "wasm32") => self.vectors::<S, 4>(simd),
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
            (7, 1) if cfg!(not(target_arch = "wasm32")) => self.tile::<S, V, 7, 1>(simd),
            (7, _) if cfg!(not(target_arch = "wasm32")) => self.tile::<S, V, 7, 2>(simd),
            (6, 1) if cfg!(target_arch = "wasm32") => self.tile::<S, V, 6, 1>(simd),
            (6, _) if cfg!(target_arch = "wasm32") => self.tile::<S, V, 6, 2>(simd),
            (4, 1) => self.tile::<S, V, 4, 1>(simd),
            (4, _) => self.tile::<S, V, 4, 2>(simd),
            (_, 1) => self.tile::<S, V, 1, 1>(simd),
            (_, _) => self.tile::<S, V, 1, 2>(simd),
        }
    }

    /// `P` pixels × `V` vectors.
    #[inline(always)]
    fn tile<S: Simd, const V: usize, const P: usize, const STRIDE: usize>(mut self, simd: S) {
        if cfg!(target_arch = "wasm32") && V == 4 {
            // Browsers have sixteen registers of four floats on most machines: all sums at once would fill them.
            self.part::<S, V, 0, 2, P, STRIDE>(simd);
            self.part::<S, V, 2, 2, P, STRIDE>(simd);
        } else {
            self.part::<S, V, 0, V, P, STRIDE>(simd);
        }
    }

    /// The `W` vectors from `FIRST` on.
    #[inline(always)]
    fn part<S: Simd, const V: usize, const FIRST: usize, const W: usize, const P: usize, const STRIDE: usize>(
        &mut self,
        simd: S,
    ) {
        #[cfg(any(target_arch = "wasm32", miri))]
        let sums = self.products::<S, FIRST, W, P, STRIDE>(simd);
        #[cfg(not(any(target_arch = "wasm32", miri)))]
        let sums = self.products::<S, V, W, P, STRIDE>(simd, FIRST);
        let begins = self.rows.start == 0;
        let (totals, _) = S::as_mut_simd_f32s(bytemuck::cast_slice_mut(&mut *self.totals));
        let (totals, _) = totals.as_chunks_mut::<V>();
        each_pixel!(P, |p| {
            for (total, sum) in totals[p][FIRST..].iter_mut().zip(sums[p]) {
                *total = if begins { sum } else { simd.add_f32s(*total, sum) };
            }
        });
    }
}

#[cfg(not(any(target_arch = "wasm32", miri)))]
impl Sum<'_> {
    /// The sums of the `W` vectors from `FIRST` on.
    #[inline(always)]
    fn products<S: Simd, const V: usize, const W: usize, const P: usize, const STRIDE: usize>(
        &self,
        simd: S,
        first: usize,
    ) -> [[S::f32s; W]; P] {
        let Taps { kernel, planes, last, plane_len, pitch, .. } = *self.taps;
        let (panel, _) = S::as_simd_f32s(bytemuck::cast_slice(self.panel));
        let (mut panel, _) = panel.as_chunks::<V>();
        let mut sums = [[simd.splat_f32s(0.0); W]; P];
        for row in self.rows.clone() {
            let (plane, ky) = (row / kernel[0], row % kernel[0]);
            let channels = if plane + 1 < planes { LANES } else { last };
            let row = self.start + plane * plane_len + ky * pitch;
            for kx in 0..kernel[1] {
                let x = &self.x[row + kx..][..(P - 1) * STRIDE + 1];
                let (weights, rest) = panel.split_at(channels);
                panel = rest;
                for (i, weights) in weights.iter().enumerate() {
                    sums = products::<S, V, W, P, STRIDE>(simd, x, i, weights, first, sums);
                }
            }
        }
        sums
    }
}

/// Adds the products of one input channel. The lane is a remainder: with an index whose bound is known,
/// LLVM unrolls the caller's loop and runs out of registers.
#[cfg(not(any(target_arch = "wasm32", miri)))]
#[inline(always)]
fn products<S: Simd, const V: usize, const W: usize, const P: usize, const STRIDE: usize>(
    simd: S,
    x: &[Block],
    lane: usize,
    weights: &[S::f32s; V],
    first: usize,
    mut sums: [[S::f32s; W]; P],
) -> [[S::f32s; W]; P] {
    each_pixel!(P, |p| {
        let x = simd.splat_f32s(x[p * STRIDE].0[lane % LANES]);
        for w in 0..W {
            sums[p][w] = simd.mul_add_e_f32s(x, weights[first + w], sums[p][w]);
        }
    });
    sums
}

/// `out = activation(total + bias [+ residual])` for one block of output channels; `totals` begins with
/// the first pixel's, the next pixel's is `blocks` further.
pub(super) struct Finish<'a> {
    pub totals: &'a [Block],
    pub blocks: usize,
    pub bias: &'a Block,
    pub residual: Option<&'a [Block]>,
    pub activation: Activation,
    pub out: &'a mut [Block],
}

impl WithSimd for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.activation {
            Activation::None => self.each::<S>(simd, |x| x),
            Activation::Relu => self.each::<S>(simd, |x| relu(simd, x)),
            Activation::Gelu => self.each::<S>(simd, |x| gelu(simd, x)),
            Activation::Sigmoid => self.each::<S>(simd, |x| sigmoid::<S>(x)),
        }
    }
}

impl Finish<'_> {
    #[inline(always)]
    fn each<S: Simd>(self, simd: S, activate: impl Fn(S::f32s) -> S::f32s) {
        for (p, (out, total)) in self.out.iter_mut().zip(self.totals.iter().step_by(self.blocks)).enumerate() {
            for v in 0..vectors::<S>() {
                let mut sum = simd.add_f32s(load::<S>(total, v), load::<S>(self.bias, v));
                if let Some(residual) = self.residual {
                    sum = simd.add_f32s(sum, load::<S>(&residual[p], v));
                }
                store::<S>(out, v, activate(sum));
            }
        }
    }
}

/// Asks for blocks that will be read soon. Weights come from far: a network's are larger than the cache
/// that a core has for itself.
pub(super) fn prefetch(blocks: &[Block], range: Range<usize>) {
    #[cfg(target_arch = "x86_64")]
    for block in &blocks[range.start.min(blocks.len())..range.end.min(blocks.len())] {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint without effect on the program, of an address that is there; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(block).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (blocks, range);
}
