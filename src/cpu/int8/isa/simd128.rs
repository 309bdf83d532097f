//! WebAssembly's vectors: sixteen sums are four of them; products go through pairs of 16 bits.

use std::arch::wasm32::*;

use super::super::layout::{Bytes, Enlarges, Panel, Rescale, Words};
use super::{Dot, scalar};

#[derive(Clone, Copy)]
pub(super) struct Simd128;

/// Adds, for each of four channels, four products: activations and weights as four bytes per channel.
#[inline(always)]
fn products(sums: v128, activations: v128, weights: v128) -> v128 {
    let low = i32x4_dot_i16x8(i16x8_extend_low_i8x16(activations), i16x8_extend_low_i8x16(weights));
    let high = i32x4_dot_i16x8(i16x8_extend_high_i8x16(activations), i16x8_extend_high_i8x16(weights));
    // Each has two sums per channel, side by side.
    let even = i32x4_shuffle::<0, 2, 4, 6>(low, high);
    let odd = i32x4_shuffle::<1, 3, 5, 7>(low, high);
    i32x4_add(sums, i32x4_add(even, odd))
}

#[inline(always)]
fn vector(bytes: [u8; 16]) -> v128 {
    u8x16(
        bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7], bytes[8], bytes[9], bytes[10],
        bytes[11], bytes[12], bytes[13], bytes[14], bytes[15],
    )
}

impl Dot for Simd128 {
    type Sums = [v128; 4];
    type Weights = [v128; 4];
    type Quad = v128;
    type Columns = [v128; 4];
    type Factors = Rescale;
    const OFFSET: bool = false;
    const TILE: usize = 1;
    const PIXELS: usize = 4;

    #[inline(always)]
    fn load(self, sums: &Words) -> [v128; 4] {
        let quarters: &[[i32; 4]; 4] = bytemuck::cast_ref(&sums.0);
        quarters.map(|q| i32x4(q[0], q[1], q[2], q[3]))
    }

    #[inline(always)]
    fn store(self, sums: [v128; 4], to: &mut Words) {
        let quarters: &mut [[i32; 4]; 4] = bytemuck::cast_mut(&mut to.0);
        for (quarter, v) in quarters.iter_mut().zip(sums) {
            *quarter = [
                i32x4_extract_lane::<0>(v),
                i32x4_extract_lane::<1>(v),
                i32x4_extract_lane::<2>(v),
                i32x4_extract_lane::<3>(v),
            ];
        }
    }

    #[inline(always)]
    fn add(self, a: [v128; 4], b: [v128; 4]) -> [v128; 4] {
        [0, 1, 2, 3].map(|i| i32x4_add(a[i], b[i]))
    }

    #[inline(always)]
    fn weights(self, panel: &Panel) -> [v128; 4] {
        let quarters: &[[u8; 16]; 4] = bytemuck::cast_ref(&panel.0);
        quarters.map(vector)
    }

    #[inline(always)]
    fn quad(self, block: &Bytes, index: usize) -> v128 {
        let quads: &[i32; 4] = bytemuck::cast_ref(&block.0);
        v128_xor(i32x4_splat(quads[index % 4]), u8x16_splat(128))
    }

    #[inline(always)]
    fn dot(self, sums: [v128; 4], quad: v128, weights: [v128; 4]) -> [v128; 4] {
        [0, 1, 2, 3].map(|i| products(sums[i], quad, weights[i]))
    }

    #[inline(always)]
    fn columns(self, blocks: &[Bytes; 4]) -> [v128; 4] {
        let [a, b, c, d] = blocks.map(|block| v128_xor(vector(block.0), u8x16_splat(128)));
        let low = |a, b| i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b);
        let high = |a, b| i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(a, b);
        let low16 = |a, b| i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a, b);
        let high16 = |a, b| i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(a, b);
        let [ab, cd, top_ab, top_cd] = [low(a, b), low(c, d), high(a, b), high(c, d)];
        [low16(ab, cd), high16(ab, cd), low16(top_ab, top_cd), high16(top_ab, top_cd)]
    }

    #[inline(always)]
    fn dot_columns(self, sums: [v128; 4], columns: [v128; 4], weights: [v128; 4]) -> [v128; 4] {
        [0, 1, 2, 3].map(|i| products(sums[i], columns[i], weights[i]))
    }

    #[inline(always)]
    fn enlarge(self, sums: [v128; 4], residual: &Bytes, by: &Enlarges) -> [v128; 4] {
        let mut words = Words::ZERO;
        self.store(sums, &mut words);
        scalar::enlarge(&mut words, residual, by);
        self.load(&words)
    }

    #[inline(always)]
    fn factors(self, of: &Rescale) -> Rescale {
        *of
    }

    #[inline(always)]
    fn rescale(self, sums: [v128; 4], by: &Rescale) -> [v128; 4] {
        let mut words = Words::ZERO;
        self.store(sums, &mut words);
        scalar::rescale(&mut words, by);
        self.load(&words)
    }

    #[inline(always)]
    fn pack(self, values: [v128; 4], add: i32, low: i32) -> Bytes {
        let mut words = Words::ZERO;
        self.store(values, &mut words);
        scalar::pack(&words, add, low)
    }
}
