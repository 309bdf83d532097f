//! The loops over products as WebAssembly's engines want them: they compile loops as they are, and have fifteen
//! registers of four floats on a PC, which twelve sums, two vectors of weights and a value fill. What is read where is
//! known beforehand ([`Steps`]), for what LLVM makes of plain slices takes a third of the time.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::super::vectors::{vectors, zero_below};
use super::{Block, LANES, MAX_SEGMENT, Sums};
use crate::cpu::simd::Vectors;

/// Vectors of a block whose products are summed at a time: all four would fill the registers.
const HALF: usize = 2;

/// Most blocks and most pixels of a tile.
pub(in super::super) fn largest() -> (usize, usize) {
    (1, 6)
}

/// The tiles of a row, of six, of four and of one pixel: the first pixel and the number of pixels of each. The last
/// overlaps the one before it where they do not make up the row.
pub(in super::super) fn segments(columns: Range<usize>) -> impl Iterator<Item = (usize, usize)> + Clone {
    let [sixes, fours, ones] = match (columns.len(), columns.len() % 6) {
        (len @ 0..=3, _) => [0, 0, len],
        (4, _) => [0, 1, 0],
        (5, _) => [0, 2, 0],
        (len, 0) => [len / 6, 0, 0],
        (len, 1 | 2) => [len / 6 - 1, 2, 0],
        (len, 3 | 4) => [len / 6, 1, 0],
        (len, _) => [len / 6 + 1, 0, 0],
    };
    let lens = [(sixes, 6), (fours, 4), (ones, 1)];
    let mut next = columns.start;
    lens.into_iter().flat_map(|(count, len)| std::iter::repeat_n(len, count)).map(move |len| {
        let first = next.min(columns.end - len);
        next += len;
        (first, len)
    })
}

/// How many of all rows of taps are summed in one go, at most `most`: as many each time.
pub(super) fn run(all: usize, most: usize) -> usize {
    all.div_ceil(all.div_ceil(most).max(1)).max(1)
}

/// What the products of a tap with a plane of sixteen input channels read.
struct Step {
    /// Blocks from the first tap of the first plane.
    offset: usize,
    /// Fewer than sixteen in the last plane.
    channels: usize,
}

/// What the products of a tile read, in their order.
pub(super) struct Steps {
    steps: Vec<Step>,
    /// The farthest offset.
    reach: usize,
}

impl Steps {
    pub(super) fn new(kernel: [usize; 2], [planes, last]: [usize; 2], plane_len: usize, pitch: usize) -> Self {
        let [height, width] = kernel;
        let taps = (0..planes).flat_map(|plane| (0..height * width).map(move |tap| (plane, tap)));
        let step = |(plane, tap): (usize, usize)| Step {
            offset: plane * plane_len + tap / width * pitch + tap % width,
            channels: if plane + 1 < planes { LANES } else { last },
        };
        let steps: Vec<Step> = taps.map(step).collect();
        let reach = steps.iter().map(|step| step.offset).max().unwrap_or(0);
        Steps { steps, reach }
    }
}

/// Computes the sums of each spot.
pub(in super::super) fn sum(sums: Sums) {
    Vectors::new().dispatch(sums);
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Sums { taps, x, spots, stride, rows, panels, panel, blocks, channels, totals, mut out } = self;
        let width = taps.kernel[1];
        let steps = &taps.steps.steps[rows.start * width..rows.end * width];
        let weights = &panels[panel];
        assert!(vectors::<S>() == 2 * HALF && blocks == 1 && taps.products(&rows) <= weights.len());
        let (begins, halves) = (rows.start == 0, channels.div_ceil(HALF * S::F32_LANES).min(vectors::<S>() / HALF));
        for (i, spot) in spots.iter().enumerate() {
            let last = spot.start + taps.steps.reach + (spot.pixels - 1) * stride;
            assert!(last < x.len() && spot.at + spot.pixels <= totals.len());
            let pixels = out.as_mut().map(|out| {
                let (place, plane, bias) = (out.places[i], &mut *out.planes[0], &out.bias[0]);
                let gap = if place.before < spot.pixels { out.gap } else { 0 };
                assert!(place.start + spot.pixels + gap <= plane.len());
                // SAFETY: all pixels lie within the plane.
                let first = unsafe { plane.as_mut_ptr().add(place.start) };
                Pixels { first: first.cast(), bias: bias.0.as_ptr(), limit: out.limit, before: place.before, gap }
            });
            let totals = totals[spot.at..].as_mut_ptr().cast::<f32>();
            let to = To { begins, totals, pixels };
            if spot.pixels == 1 {
                // SAFETY: as below.
                unsafe { single(simd, x.as_ptr().add(spot.start), steps, weights.as_ptr(), &to) };
                continue;
            }
            for lane in (0..halves).map(|half| half * HALF * S::F32_LANES) {
                // SAFETY: the furthest pixel of the furthest step lies within the input, the products of these rows
                // within the panel, the pixels within the totals and the output. A block is read from its first value on,
                // `channels` of LANES.
                unsafe {
                    let x = x.as_ptr().add(spot.start);
                    let weights = weights.as_ptr().cast::<f32>().add(lane);
                    match (spot.pixels, stride) {
                        (6, 1) => tile::<S, 6, 1>(simd, x, steps, weights, lane, &to),
                        (6, _) => tile::<S, 6, 2>(simd, x, steps, weights, lane, &to),
                        (4, 1) => tile::<S, 4, 1>(simd, x, steps, weights, lane, &to),
                        _ => tile::<S, 4, 2>(simd, x, steps, weights, lane, &to),
                    }
                }
            }
        }
    }
}

/// Where the sums of a spot go: into its totals, or finished into the output's pixels.
struct To {
    begins: bool,
    totals: *mut f32,
    pixels: Option<Pixels>,
}

/// Pixels of one plane of the output.
struct Pixels {
    first: *mut f32,
    bias: *const f32,
    limit: f32,
    /// Pixels before the end of the first one's row, and blocks from there to the next row.
    before: usize,
    gap: usize,
}

impl To {
    /// Puts `N` vectors of `P` pixels there, from that channel of the block on.
    ///
    /// # Safety
    /// There have to be as many.
    #[inline(always)]
    unsafe fn put<S: Simd, const P: usize, const N: usize>(&self, simd: S, lane: usize, mut sums: [[S::f32s; N]; P]) {
        // SAFETY: the caller's. Vectors lie at multiples of their size.
        unsafe {
            let totals = self.totals.add(lane);
            if !self.begins {
                each_pixel!(P, |p| {
                    for (v, sum) in sums[p].iter_mut().enumerate() {
                        *sum = simd.add_f32s(*totals.add(p * LANES).cast::<S::f32s>().add(v), *sum);
                    }
                });
            }
            let Some(Pixels { first, bias, limit, before, gap }) = self.pixels else {
                each_pixel!(P, |p| {
                    for (v, sum) in sums[p].into_iter().enumerate() {
                        *totals.add(p * LANES).cast::<S::f32s>().add(v) = sum;
                    }
                });
                return;
            };
            let (first, bias, limit) = (first.add(lane), bias.add(lane), simd.splat_f32s(limit));
            each_pixel!(P, |p| {
                let pixel = first.add((p + if p < before { 0 } else { gap }) * LANES).cast::<S::f32s>();
                for (v, sum) in sums[p].into_iter().enumerate() {
                    let value = simd.add_f32s(sum, *bias.cast::<S::f32s>().add(v));
                    *pixel.add(v) = zero_below(simd, value, value, limit);
                }
            });
        }
    }
}

/// Sums the products of half a block of output channels for `P` pixels, `STRIDE` blocks apart.
///
/// # Safety
/// All that is named in `steps` has to be readable for all pixels; `weights` has to have half a block for each of its
/// channels, a block apart, and `to` one for each pixel.
#[inline(never)]
unsafe fn tile<S: Simd, const P: usize, const STRIDE: usize>(
    simd: S,
    x: *const Block,
    steps: &[Step],
    mut weights: *const f32,
    lane: usize,
    to: &To,
) {
    const { assert!(align_of::<S::f32s>() <= align_of::<Block>() && size_of::<S::f32s>() * vectors::<S>() == 64) };
    let mut sums = [[simd.splat_f32s(0.0); HALF]; P];
    for step in steps {
        // SAFETY: the caller's. Vectors lie at multiples of their size.
        unsafe {
            let mut x = x.add(step.offset).cast::<f32>();
            // Half a block beyond the panel, after the last: never read.
            let end = weights.wrapping_add(step.channels * LANES);
            while weights != end {
                let factors: [S::f32s; HALF] = std::array::from_fn(|v| *weights.cast::<S::f32s>().add(v));
                each_pixel!(P, |p| {
                    let value = simd.splat_f32s(*x.add(p * STRIDE * LANES));
                    for v in 0..HALF {
                        sums[p][v] = simd.mul_add_e_f32s(value, factors[v], sums[p][v]);
                    }
                });
                (x, weights) = (x.add(1), weights.wrapping_add(LANES));
            }
        }
    }
    // SAFETY: the caller's.
    unsafe { to.put(simd, lane, sums) };
}

/// Sums the products of a block of output channels for one pixel. Weights, of which there are as many as products, come
/// as a stream.
///
/// # Safety
/// As for [`tile`], with whole blocks of weights.
#[inline(never)]
unsafe fn single<S: Simd>(simd: S, x: *const Block, steps: &[Step], mut weights: *const Block, to: &To) {
    // Two sums for each vector, so that a product need not wait for the one before it.
    let mut sums = [[simd.splat_f32s(0.0); 2 * HALF]; 2];
    for step in steps {
        // SAFETY: the caller's.
        unsafe {
            let mut x = x.add(step.offset).cast::<f32>();
            let end = weights.add(step.channels);
            let pairs = weights.add(step.channels & !1);
            while weights != pairs {
                each_pixel!(2, |p| {
                    let value = simd.splat_f32s(*x.add(p));
                    for v in 0..2 * HALF {
                        let factor = *weights.add(p).cast::<S::f32s>().add(v);
                        sums[p][v] = simd.mul_add_e_f32s(value, factor, sums[p][v]);
                    }
                });
                (x, weights) = (x.add(2), weights.add(2));
            }
            if weights != end {
                let value = simd.splat_f32s(*x);
                for v in 0..2 * HALF {
                    sums[0][v] = simd.mul_add_e_f32s(value, *weights.cast::<S::f32s>().add(v), sums[0][v]);
                }
                weights = end;
            }
        }
    }
    let sums: [S::f32s; 2 * HALF] = std::array::from_fn(|v| simd.add_f32s(sums[0][v], sums[1][v]));
    // SAFETY: the caller's.
    unsafe { to.put(simd, 0, [sums]) };
}
