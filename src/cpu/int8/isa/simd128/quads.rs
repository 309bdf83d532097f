//! Four products of bytes at once, by relaxed SIMD.
//!
//! What that computes where a byte of the second operand is above 127 is left to the machine: ARM's `sdot` takes it as
//! signed, `vpdpbusd` of x86 as unsigned, and older machines saturate in between. [`computes`] finds out; who does
//! neither of the first two is not asked, and is slower by it than [`Pairs`](super::Pairs) are.
#![allow(clippy::undocumented_unsafe_blocks, reason = "one comment stands for all: see the module above")]

use std::arch::wasm32::*;

use super::super::super::layout::{Bytes, Enlarges, Panel, Rescale, Words};
use super::super::Dot;
use super::Sums;

/// `i32x4.relaxed_dot_i8x16_i7x16_add`, where it takes all bytes as unsigned or all as signed.
#[derive(Clone, Copy)]
pub(in super::super) struct Quads<const UNSIGNED: bool>;

/// Four bytes and weights that tell the ways apart: sums that saturate at 16 bits, or that wrap there, are others.
const TELLING: [([u8; 4], [i8; 4]); 4] = [
    ([255; 4], [127; 4]),
    ([255, 0, 200, 129], [-127; 4]),
    ([128; 4], [-127; 4]),
    ([1, 127, 128, 255], [127, -127, 5, -7]),
];

/// Whether this machine computes so.
pub(in super::super) fn computes<const UNSIGNED: bool>() -> bool {
    TELLING.iter().all(|(bytes, weights)| {
        let product = |i: usize| {
            let byte = if UNSIGNED { i32::from(bytes[i]) } else { i32::from(bytes[i] as i8) };
            byte * i32::from(weights[i])
        };
        let (a, b) = (i32::from_le_bytes(*bytes), i32::from_le_bytes(weights.map(|w| w as u8)));
        // What the compiler knows it might compute itself, in one of the ways that it may.
        let [a, b] = [a, b].map(std::hint::black_box);
        let sums = i32x4_relaxed_dot_i8x16_i7x16_add(i32x4_splat(b), i32x4_splat(a), i32x4_splat(9));
        let expected = 9 + (0..4).map(product).sum::<i32>();
        i32x4_all_true(i32x4_eq(sums, i32x4_splat(expected)))
    })
}

impl<const UNSIGNED: bool> Quads<UNSIGNED> {
    #[inline(always)]
    fn activations(self, bytes: v128) -> v128 {
        if UNSIGNED { bytes } else { v128_xor(bytes, u8x16_splat(128)) }
    }
}

impl<const UNSIGNED: bool> Dot for Quads<UNSIGNED> {
    type Sums = Sums;
    type Weights = [v128; 4];
    type Quad = v128;
    type Columns = [v128; 4];
    type Factors = Rescale;
    const OFFSET: bool = UNSIGNED;
    const TILE: usize = 1;
    const PIXELS: usize = 2;

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
    fn weights(self, panels: &[Panel]) -> [v128; 4] {
        let quarters: &[[i8; 16]; 4] = bytemuck::cast_ref(&panels[0].0);
        [0, 1, 2, 3].map(|i: usize| unsafe { v128_load(quarters[i].as_ptr().cast()) })
    }

    #[inline(always)]
    fn quad(self, blocks: &[Bytes], index: usize) -> v128 {
        self.activations(super::splat(&blocks[0], index))
    }

    #[inline(always)]
    fn dot(self, sums: Sums, quad: v128, weights: [v128; 4]) -> Sums {
        [0, 1, 2, 3].map(|i| i32x4_relaxed_dot_i8x16_i7x16_add(weights[i], quad, sums[i]))
    }

    #[inline(always)]
    fn columns(self, blocks: &[Bytes; 4]) -> [v128; 4] {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i: usize| self.activations(super::bytes(&blocks[i])));
        let [ab, cd] = [super::zip(a, b), super::zip(c, d)];
        let low = |i: usize| i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(ab[i], cd[i]);
        let high = |i: usize| i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(ab[i], cd[i]);
        [low(0), high(0), low(1), high(1)]
    }

    #[inline(always)]
    fn dot_columns(self, sums: Sums, columns: [v128; 4], weights: [v128; 4]) -> Sums {
        [0, 1, 2, 3].map(|i| i32x4_relaxed_dot_i8x16_i7x16_add(weights[i], columns[i], sums[i]))
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
