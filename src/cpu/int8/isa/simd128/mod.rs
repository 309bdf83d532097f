//! WebAssembly's vectors: sixteen sums are four of them. What is here is the same however products are made:
//! [`pairs`] has them from what every browser has, [`quads`] from relaxed SIMD.
#![allow(clippy::undocumented_unsafe_blocks, reason = "one comment stands for all: SAFETY of all that follows")]

mod pairs;
#[cfg(target_feature = "relaxed-simd")]
mod quads;

use std::arch::wasm32::*;

pub(super) use pairs::Pairs;
#[cfg(target_feature = "relaxed-simd")]
pub(super) use quads::{Quads, computes};

use super::super::layout::{Bytes, Enlarges, Rescale, Words};
use super::scalar;

// SAFETY of all that follows: vectors have no alignment to keep, and loads and stores are of references to as many
// bytes as they move.

/// Sums of sixteen channels.
type Sums = [v128; 4];

#[inline(always)]
fn load(words: &[i32; 16]) -> Sums {
    let quarters: &[[i32; 4]; 4] = bytemuck::cast_ref(words);
    [0, 1, 2, 3].map(|i: usize| unsafe { v128_load(quarters[i].as_ptr().cast()) })
}

#[inline(always)]
fn store(sums: Sums, to: &mut [i32; 16]) {
    let quarters: &mut [[i32; 4]; 4] = bytemuck::cast_mut(to);
    for (quarter, sums) in quarters.iter_mut().zip(sums) {
        unsafe { v128_store(quarter.as_mut_ptr().cast(), sums) }
    }
}

#[inline(always)]
fn add(a: Sums, b: Sums) -> Sums {
    [0, 1, 2, 3].map(|i| i32x4_add(a[i], b[i]))
}

/// Four bytes of a block, four times.
#[inline(always)]
fn splat(block: &Bytes, quad: usize) -> v128 {
    let quads: &[[u8; 4]; 4] = bytemuck::cast_ref(&block.0);
    unsafe { v128_load32_splat(quads[quad % 4].as_ptr().cast()) }
}

/// Sixteen bytes.
#[inline(always)]
fn bytes(block: &Bytes) -> v128 {
    unsafe { v128_load(block.0.as_ptr().cast()) }
}

/// Bytes of two vectors in turn: of the first eight, of the last eight.
#[inline(always)]
fn zip(a: v128, b: v128) -> [v128; 2] {
    [
        i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b),
        i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(a, b),
    ]
}

#[inline(always)]
fn enlarge(sums: Sums, residual: &Bytes, by: &Enlarges) -> Sums {
    if !by.whole {
        let mut words = Words::ZERO;
        store(sums, &mut words.0);
        scalar::enlarge(&mut words, residual, by);
        return load(&words.0);
    }
    let signed = v128_xor(bytes(residual), u8x16_splat(128));
    let halves = [i16x8_extend_low_i8x16(signed), i16x8_extend_high_i8x16(signed)];
    let by = load(&by.product);
    [0, 1, 2, 3].map(|i: usize| {
        let half = halves[i / 2];
        let q = if i % 2 == 0 { i32x4_extend_low_i16x8(half) } else { i32x4_extend_high_i16x8(half) };
        i32x4_add(sums[i], i32x4_mul(q, by[i]))
    })
}

/// Numbers of 64 bits have places for all of a product ([`Rescale::exact`]), and round halves to the even integer
/// where 1.5 · 2^52 is added to them: that leaves it in the lower 32 bits.
#[inline(always)]
fn rescale(sums: Sums, by: &Rescale) -> Sums {
    if !by.exact {
        let mut words = Words::ZERO;
        store(sums, &mut words.0);
        scalar::rescale(&mut words, by);
        return load(&words.0);
    }
    let factors: &[[f64; 2]; 8] = bytemuck::cast_ref(&by.factor);
    let rounded = |sums: v128, factors: &[f64; 2]| {
        let factors = unsafe { v128_load(factors.as_ptr().cast()) };
        f64x2_add(f64x2_mul(f64x2_convert_low_i32x4(sums), factors), f64x2_splat(6_755_399_441_055_744.0))
    };
    [0, 1, 2, 3].map(|i: usize| {
        let low = rounded(sums[i], &factors[2 * i]);
        let high = rounded(i64x2_shuffle::<1, 1>(sums[i], sums[i]), &factors[2 * i + 1]);
        i32x4_shuffle::<0, 2, 4, 6>(low, high)
    })
}

#[inline(always)]
fn pack(values: Sums, add: i32, low: i32) -> Bytes {
    // No instructions that saturate: the compiler makes comparisons of them.
    let (add, low, high) = (i32x4_splat(add), i32x4_splat(low), i32x4_splat(255));
    let [a, b, c, d] = values.map(|values| i32x4_min(i32x4_max(i32x4_add(values, add), low), high));
    let turned = v128_or(v128_or(a, i32x4_shl(b, 8)), v128_or(i32x4_shl(c, 16), i32x4_shl(d, 24)));
    let packed = i8x16_shuffle::<0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15>(turned, turned);
    let mut bytes = Bytes::ZERO;
    unsafe { v128_store(bytes.0.as_mut_ptr().cast(), packed) };
    bytes
}
