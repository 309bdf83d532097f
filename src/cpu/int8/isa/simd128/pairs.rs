//! Pairs of products of 16 bits, which every browser with vectors has.
#![allow(clippy::undocumented_unsafe_blocks, reason = "one comment stands for all: see the module above")]

use std::arch::wasm32::*;

use super::super::super::layout::{Bytes, Enlarges, Panel, Rescale, Words};
use super::super::Dot;
use super::Sums;

/// `i32x4.dot_i16x8`, of weights and activations that were made 16 bits long before.
#[derive(Clone, Copy)]
pub(in super::super) struct Pairs;

/// The weights of four channels for two inputs, of those of sixteen for four.
#[inline(always)]
fn pair(panels: &[Panel; 2], quarter: usize, half: usize) -> v128 {
    let pairs: &[[[i8; 16]; 2]; 4] = bytemuck::cast_ref(panels);
    unsafe { v128_load(pairs[quarter][half].as_ptr().cast()) }
}

#[inline(always)]
fn multiply(sum: v128, activations: v128, weights: v128) -> v128 {
    i32x4_add(sum, i32x4_dot_i16x8(activations, weights))
}

/// Two activations of 16 bits for each of four channels.
#[inline(always)]
fn widened(columns: &[v128; 2], quarter: usize) -> v128 {
    let bytes = columns[quarter / 2];
    if quarter % 2 == 0 { i16x8_extend_low_u8x16(bytes) } else { i16x8_extend_high_u8x16(bytes) }
}

impl Dot for Pairs {
    type Sums = Sums;
    type Weights = [Panel; 2];
    /// Two activations of 16 bits, four times; and the other two.
    type Quad = [v128; 2];
    /// By halves of a quad, bytes of the first and the last eight channels.
    type Columns = [[v128; 2]; 2];
    type Factors = Rescale;
    const OFFSET: bool = true;
    const PAIRED: bool = true;
    const TILE: usize = 1;
    /// Where the CPU is only what the GPU is tested against, little code is worth more than time.
    const PIXELS: usize = if cfg!(foveate_module = "gpu") { 1 } else { 2 };

    #[inline(always)]
    fn load(self, sums: &Words) -> Sums {
        super::load(&sums.0)
    }

    #[inline(always)]
    fn store(self, sums: Sums, to: &mut Words) {
        super::store(sums, &mut to.0);
    }

    #[inline(always)]
    fn add(self, a: Sums, b: Sums) -> Sums {
        super::add(a, b)
    }

    #[inline(always)]
    fn weights(self, panels: &[Panel]) -> [Panel; 2] {
        [panels[0], panels[1]]
    }

    #[inline(always)]
    fn quad(self, blocks: &[Bytes], index: usize) -> [v128; 2] {
        let pair = |half: usize| super::splat(&blocks[index / 2], index % 2 * 2 + half);
        [pair(0), pair(1)]
    }

    #[inline(always)]
    fn dot(self, mut sums: Sums, quad: [v128; 2], weights: [Panel; 2]) -> Sums {
        for i in 0..8 {
            sums[i / 2] = multiply(sums[i / 2], quad[i % 2], pair(&weights, i / 2, i % 2));
        }
        sums
    }

    #[inline(always)]
    fn columns(self, blocks: &[Bytes; 4]) -> [[v128; 2]; 2] {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i: usize| super::bytes(&blocks[i]));
        [super::zip(a, b), super::zip(c, d)]
    }

    #[inline(always)]
    fn dot_columns(self, mut sums: Sums, columns: [[v128; 2]; 2], weights: [Panel; 2]) -> Sums {
        for i in 0..8 {
            let (quarter, half) = (i / 2, i % 2);
            let activations = widened(&columns[half], quarter);
            sums[quarter] = multiply(sums[quarter], activations, pair(&weights, quarter, half));
        }
        sums
    }

    /// Weights are loaded once for all pixels, and are few at a time: a browser has fifteen registers for them, the
    /// sums and the activations.
    #[inline(always)]
    fn products<const V: usize, const P: usize, const STRIDE: usize>(
        self,
        x: &[Bytes],
        quad: usize,
        panels: &[Panel],
        mut sums: [[Sums; V]; P],
    ) -> [[Sums; V]; P] {
        let mut quads = [self.quad(x, quad); P];
        for p in 1..P {
            quads[p] = self.quad(&x[p * STRIDE * 2..], quad);
        }
        let (panels, _) = panels.as_chunks::<2>();
        for (v, panels) in panels[..V].iter().enumerate() {
            for i in 0..8 {
                let weights = pair(panels, i / 2, i % 2);
                for p in 0..P {
                    sums[p][v][i / 2] = multiply(sums[p][v][i / 2], quads[p][i % 2], weights);
                }
            }
        }
        sums
    }

    /// As above: a pair of taps at a time.
    #[inline(always)]
    fn column_products<const P: usize, const STRIDE: usize>(self, row: &[Bytes], taps: &[Panel], sums: &mut [Sums; P]) {
        let Some(taps) = taps.first_chunk::<2>() else { return };
        for half in 0..2 {
            let mut columns = [[u8x16_splat(0); 2]; P];
            for p in 0..P {
                let first = p * STRIDE + 2 * half;
                columns[p] = super::zip(super::bytes(&row[first]), super::bytes(&row[first + 1]));
            }
            for quarter in 0..4 {
                let weights = pair(taps, quarter, half);
                for p in 0..P {
                    let activations = widened(&columns[p], quarter);
                    sums[p][quarter] = multiply(sums[p][quarter], activations, weights);
                }
            }
        }
    }

    #[inline(always)]
    fn widen(self, block: &Bytes) -> [Bytes; 2] {
        let bytes = super::bytes(block);
        let mut blocks = [Bytes::ZERO; 2];
        let halves = [u16x8_extend_low_u8x16(bytes), u16x8_extend_high_u8x16(bytes)];
        for (block, half) in blocks.iter_mut().zip(halves) {
            unsafe { v128_store(block.0.as_mut_ptr().cast(), half) }
        }
        blocks
    }

    #[inline(always)]
    fn enlarge(self, sums: Sums, residual: &Bytes, by: &Enlarges) -> Sums {
        super::enlarge(sums, residual, by)
    }

    #[inline(always)]
    fn factors(self, of: &Rescale) -> Rescale {
        *of
    }

    #[inline(always)]
    fn rescale(self, sums: Sums, by: &Rescale) -> Sums {
        super::rescale(sums, by)
    }

    #[inline(always)]
    fn pack(self, values: Sums, add: i32, low: i32) -> Bytes {
        super::pack(values, add, low)
    }
}
