//! NEON, which every aarch64 processor has: sixteen sums are four vectors; products of bytes have 16 bits, and are
//! added in pairs to 32.
#![allow(clippy::undocumented_unsafe_blocks, reason = "one comment stands for all: SAFETY of all that follows")]

use std::arch::aarch64::*;

use super::super::layout::{Bytes, Enlarges, Lut, Panel, Rescale, Words};
use super::{Dot, scalar};

#[derive(Clone, Copy)]
pub(super) struct Neon;

// SAFETY of all that follows: aarch64 has NEON, and loads and stores are of references to as many bytes as they move.

/// Adds, for each of four channels, four products: activations and weights as four bytes per channel. A product is at
/// most 127² in magnitude: exact.
#[inline(always)]
fn products(sums: int32x4_t, activations: int8x16_t, weights: int8x16_t) -> int32x4_t {
    unsafe {
        let low = vpaddlq_s16(vmull_s8(vget_low_s8(activations), vget_low_s8(weights)));
        let high = vpaddlq_s16(vmull_high_s8(activations, weights));
        vaddq_s32(sums, vpaddq_s32(low, high))
    }
}

/// Bytes without their offset of 128.
#[inline(always)]
fn signed(bytes: uint8x16_t) -> int8x16_t {
    unsafe { vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(128))) }
}

/// The products of two sums, divided and rounded half to even.
#[inline(always)]
fn rounded(sums: int32x2_t, multiplier: int32x2_t, shift: int32x2_t) -> int32x2_t {
    unsafe {
        let (one, shift) = (vdupq_n_s64(1), vmovl_s32(shift));
        // By a negative count, bits move to the right, copies of the sign come in.
        let right = vnegq_s64(shift);
        let product = vmull_s32(sums, multiplier);
        let odd = vandq_s64(vshlq_s64(product, right), one);
        let half = vsubq_s64(vshlq_s64(one, vsubq_s64(shift, one)), one);
        vmovn_s64(vshlq_s64(vaddq_s64(vaddq_s64(product, half), odd), right))
    }
}

#[inline(always)]
fn words(from: &[i32; 16]) -> [int32x4_t; 4] {
    let quarters: &[[i32; 4]; 4] = bytemuck::cast_ref(from);
    unsafe { [0, 1, 2, 3].map(|i: usize| vld1q_s32(quarters[i].as_ptr())) }
}

impl Dot for Neon {
    type Sums = [int32x4_t; 4];
    type Weights = [int8x16_t; 4];
    type Quad = int8x16_t;
    type Columns = [int8x16_t; 4];
    type Factors = Rescale;
    const OFFSET: bool = false;
    const TILE: usize = 1;
    const PIXELS: usize = 4;

    #[inline(always)]
    fn load(self, sums: &Words) -> [int32x4_t; 4] {
        words(&sums.0)
    }

    #[inline(always)]
    fn store(self, sums: [int32x4_t; 4], to: &mut Words) {
        let quarters: &mut [[i32; 4]; 4] = bytemuck::cast_mut(&mut to.0);
        for (quarter, sums) in quarters.iter_mut().zip(sums) {
            unsafe { vst1q_s32(quarter.as_mut_ptr(), sums) }
        }
    }

    #[inline(always)]
    fn add(self, a: [int32x4_t; 4], b: [int32x4_t; 4]) -> [int32x4_t; 4] {
        unsafe { [0, 1, 2, 3].map(|i: usize| vaddq_s32(a[i], b[i])) }
    }

    #[inline(always)]
    fn weights(self, panels: &[Panel]) -> [int8x16_t; 4] {
        let quarters: &[[i8; 16]; 4] = bytemuck::cast_ref(&panels[0].0);
        unsafe { [0, 1, 2, 3].map(|i: usize| vld1q_s8(quarters[i].as_ptr())) }
    }

    #[inline(always)]
    fn quad(self, blocks: &[Bytes], index: usize) -> int8x16_t {
        let quads: &[u32; 4] = bytemuck::cast_ref(&blocks[0].0);
        unsafe { signed(vreinterpretq_u8_u32(vdupq_n_u32(quads[index % 4]))) }
    }

    #[inline(always)]
    fn dot(self, sums: [int32x4_t; 4], quad: int8x16_t, weights: [int8x16_t; 4]) -> [int32x4_t; 4] {
        [0, 1, 2, 3].map(|i: usize| products(sums[i], quad, weights[i]))
    }

    #[inline(always)]
    fn columns(self, blocks: &[Bytes; 4]) -> [int8x16_t; 4] {
        unsafe {
            let [a, b, c, d] = [0, 1, 2, 3].map(|i: usize| signed(vld1q_u8(blocks[i].0.as_ptr())));
            let low = [vreinterpretq_s16_s8(vzip1q_s8(a, b)), vreinterpretq_s16_s8(vzip1q_s8(c, d))];
            let high = [vreinterpretq_s16_s8(vzip2q_s8(a, b)), vreinterpretq_s16_s8(vzip2q_s8(c, d))];
            [
                vreinterpretq_s8_s16(vzip1q_s16(low[0], low[1])),
                vreinterpretq_s8_s16(vzip2q_s16(low[0], low[1])),
                vreinterpretq_s8_s16(vzip1q_s16(high[0], high[1])),
                vreinterpretq_s8_s16(vzip2q_s16(high[0], high[1])),
            ]
        }
    }

    #[inline(always)]
    fn dot_columns(self, sums: [int32x4_t; 4], columns: [int8x16_t; 4], weights: [int8x16_t; 4]) -> [int32x4_t; 4] {
        [0, 1, 2, 3].map(|i: usize| products(sums[i], columns[i], weights[i]))
    }

    #[inline(always)]
    fn enlarge(self, sums: [int32x4_t; 4], residual: &Bytes, by: &Enlarges) -> [int32x4_t; 4] {
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
    fn rescale(self, sums: [int32x4_t; 4], by: &Rescale) -> [int32x4_t; 4] {
        let [multiplier, shift, bound] = [words(&by.multiplier), words(&by.shift), words(&by.bound)];
        unsafe {
            [0, 1, 2, 3].map(|i: usize| {
                let sums = vminq_s32(vmaxq_s32(sums[i], vnegq_s32(bound[i])), bound[i]);
                let low = rounded(vget_low_s32(sums), vget_low_s32(multiplier[i]), vget_low_s32(shift[i]));
                let high = rounded(vget_high_s32(sums), vget_high_s32(multiplier[i]), vget_high_s32(shift[i]));
                vcombine_s32(low, high)
            })
        }
    }

    #[inline(always)]
    fn pack(self, values: [int32x4_t; 4], add: i32, low: i32) -> Bytes {
        let mut bytes = Bytes::ZERO;
        unsafe {
            let [a, b, c, d] = [0, 1, 2, 3].map(|i: usize| {
                let values = vmaxq_s32(vaddq_s32(values[i], vdupq_n_s32(add)), vdupq_n_s32(low));
                vmovn_u32(vreinterpretq_u32_s32(vminq_s32(values, vdupq_n_s32(255))))
            });
            let halves = [vmovn_u16(vcombine_u16(a, b)), vmovn_u16(vcombine_u16(c, d))];
            vst1q_u8(bytes.0.as_mut_ptr(), vcombine_u8(halves[0], halves[1]));
        }
        bytes
    }

    #[inline(always)]
    fn look_up(self, table: &Lut, blocks: &mut [Bytes]) {
        unsafe {
            let part = |i: usize| vld1q_u8_x4(table.0[64 * i..][..64].as_ptr());
            let parts = [part(0), part(1), part(2), part(3)];
            for block in blocks {
                let mut at = vld1q_u8(block.0.as_ptr());
                // An index that is not one of a part's 64 leaves what is there.
                let mut found = vqtbl4q_u8(parts[0], at);
                for part in &parts[1..] {
                    at = vsubq_u8(at, vdupq_n_u8(64));
                    found = vqtbx4q_u8(found, *part, at);
                }
                vst1q_u8(block.0.as_mut_ptr(), found);
            }
        }
    }
}
