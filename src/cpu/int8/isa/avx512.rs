//! AVX-512 with VNNI: sixteen sums are one vector, four products each are one instruction.
#![allow(clippy::undocumented_unsafe_blocks, reason = "one comment stands for all: SAFETY of all that follows")]

use std::arch::x86_64::*;

use super::super::layout::{Bytes, Enlarges, Lut, Panel, Rescale, Words};
use super::{Dot, Job};

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn vnni<J: Job>(job: J) -> J::Output {
    job.run(Avx512::<false>(()))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi")]
pub(super) fn vbmi<J: Job>(job: J) -> J::Output {
    job.run(Avx512::<true>(()))
}

/// Made only by the two functions above: whoever has one runs on a machine with these instructions.
#[derive(Clone, Copy)]
pub(super) struct Avx512<const VBMI: bool>(());

/// Of dwords: lane q of 128 bits gets quad q of all four pixels.
const QUADS_TOGETHER: [i32; 16] = [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15];

/// Of bytes: byte 4c + p comes from channel c of pixel p.
const CHANNELS_TOGETHER: [u8; 64] = {
    let mut from = [0; 64];
    let mut i = 0;
    while i < 64 {
        from[i] = ((i % 4) * 16 + i / 4) as u8;
        i += 1;
    }
    from
};

/// Of bytes within 128 bits: byte 4c + p comes from byte c of dword p.
const TRANSPOSED: [u8; 64] = {
    let mut from = [0; 64];
    let mut i = 0;
    while i < 64 {
        from[i] = ((i % 4) * 4 + i % 16 / 4) as u8;
        i += 1;
    }
    from
};

/// Factors of every second channel, in lanes of 64 bits.
#[derive(Clone, Copy)]
pub(super) struct Lane {
    multiplier: __m512i,
    shift: __m512i,
    /// One less than half of the divisor.
    half: __m512i,
}

/// Factors of sixteen channels.
#[derive(Clone, Copy)]
pub(super) struct Factors {
    even: Lane,
    odd: Lane,
    bound: __m512i,
    steep: bool,
}

// What follows are functions, not closures: those would not be compiled for these instructions.

#[inline(always)]
unsafe fn lane(multiplier: __m512i, shift: __m512i) -> Lane {
    // SAFETY: see the impl of `Dot`.
    unsafe {
        let one = _mm512_set1_epi64(1);
        let half = _mm512_sub_epi64(_mm512_sllv_epi64(one, _mm512_sub_epi64(shift, one)), one);
        Lane { multiplier, shift, half }
    }
}

/// The products of the lower halves of lanes, divided and rounded half to even.
#[inline(always)]
unsafe fn rounded(sums: __m512i, by: &Lane) -> __m512i {
    // SAFETY: see the impl of `Dot`.
    unsafe {
        let product = _mm512_mul_epi32(sums, by.multiplier);
        let odd = _mm512_and_si512(_mm512_srlv_epi64(product, by.shift), _mm512_set1_epi64(1));
        _mm512_srav_epi64(_mm512_add_epi64(_mm512_add_epi64(product, by.half), odd), by.shift)
    }
}

#[inline(always)]
unsafe fn words(from: &[i32; 16]) -> __m512i {
    // SAFETY: sixteen integers are 64 bytes; the caller has AVX-512.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

// SAFETY of all that follows: the instructions are there (see `Avx512`), and loads and stores are of references to
// as many bytes as they move.
impl<const VBMI: bool> Dot for Avx512<VBMI> {
    type Sums = __m512i;
    type Weights = __m512i;
    type Quad = __m512i;
    type Columns = __m512i;
    type Factors = Factors;
    const OFFSET: bool = true;
    const TILE: usize = 3;
    const PIXELS: usize = 7;

    #[inline(always)]
    fn load(self, sums: &Words) -> __m512i {
        unsafe { words(&sums.0) }
    }

    #[inline(always)]
    fn store(self, sums: __m512i, to: &mut Words) {
        unsafe { _mm512_storeu_si512(to.0.as_mut_ptr().cast(), sums) }
    }

    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn weights(self, panels: &[Panel]) -> __m512i {
        unsafe { _mm512_loadu_si512(panels[0].0.as_ptr().cast()) }
    }

    #[inline(always)]
    fn quad(self, blocks: &[Bytes], index: usize) -> __m512i {
        let quads: &[i32; 4] = bytemuck::cast_ref(&blocks[0].0);
        unsafe { _mm512_set1_epi32(quads[index % 4]) }
    }

    #[inline(always)]
    fn dot(self, sums: __m512i, quad: __m512i, weights: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sums, quad, weights) }
    }

    #[inline(always)]
    fn columns(self, blocks: &[Bytes; 4]) -> __m512i {
        unsafe {
            let pixels = _mm512_loadu_si512(blocks.as_ptr().cast());
            if VBMI {
                return _mm512_permutexvar_epi8(_mm512_loadu_si512(CHANNELS_TOGETHER.as_ptr().cast()), pixels);
            }
            let quads = _mm512_permutexvar_epi32(words(&QUADS_TOGETHER), pixels);
            _mm512_shuffle_epi8(quads, _mm512_loadu_si512(TRANSPOSED.as_ptr().cast()))
        }
    }

    #[inline(always)]
    fn dot_columns(self, sums: __m512i, columns: __m512i, weights: __m512i) -> __m512i {
        self.dot(sums, columns, weights)
    }

    #[inline(always)]
    fn enlarge(self, sums: __m512i, residual: &Bytes, by: &Enlarges) -> __m512i {
        unsafe {
            let bytes = _mm_xor_si128(_mm_loadu_si128(residual.0.as_ptr().cast()), _mm_set1_epi8(-128));
            let q = _mm512_cvtepi8_epi32(bytes);
            let product = _mm512_sllv_epi32(_mm512_mullo_epi32(q, words(&by.multiplier)), words(&by.left));
            let right = words(&by.right);
            let odd = _mm512_and_si512(_mm512_srlv_epi32(product, right), words(&by.odd));
            let rounded = _mm512_add_epi32(_mm512_add_epi32(product, words(&by.half)), odd);
            _mm512_add_epi32(sums, _mm512_srav_epi32(rounded, right))
        }
    }

    #[inline(always)]
    fn factors(self, of: &Rescale) -> Factors {
        unsafe {
            let (multiplier, shift) = (words(&of.multiplier), words(&of.shift));
            let even = lane(multiplier, _mm512_and_si512(shift, _mm512_set1_epi64(0xffff_ffff)));
            let odd = lane(_mm512_srli_epi64::<32>(multiplier), _mm512_srli_epi64::<32>(shift));
            Factors { even, odd, bound: words(&of.bound), steep: of.steep }
        }
    }

    #[inline(always)]
    fn rescale(self, sums: __m512i, by: &Factors) -> __m512i {
        unsafe {
            let mut sums = sums;
            if by.steep {
                let least = _mm512_sub_epi32(_mm512_setzero_si512(), by.bound);
                sums = _mm512_min_epi32(_mm512_max_epi32(sums, least), by.bound);
            }
            let (even, odd) = (rounded(sums, &by.even), rounded(_mm512_srli_epi64::<32>(sums), &by.odd));
            _mm512_mask_shuffle_epi32::<0b10_10_00_00>(even, 0xaaaa, odd)
        }
    }

    #[inline(always)]
    fn pack(self, values: __m512i, add: i32, low: i32) -> Bytes {
        let mut bytes = Bytes::ZERO;
        unsafe {
            let values = _mm512_add_epi32(values, _mm512_set1_epi32(add - 128));
            let values = _mm512_max_epi32(values, _mm512_set1_epi32(low - 128));
            let packed = _mm_xor_si128(_mm512_cvtsepi32_epi8(values), _mm_set1_epi8(-128));
            _mm_storeu_si128(bytes.0.as_mut_ptr().cast(), packed);
        }
        bytes
    }

    #[inline(always)]
    fn look_up(self, table: &Lut, blocks: &mut [Bytes]) {
        if !VBMI {
            for byte in blocks.iter_mut().flat_map(|block| &mut block.0) {
                *byte = table.0[usize::from(*byte)];
            }
            return;
        }
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(blocks);
        unsafe {
            let entries: &[[u8; 64]; 4] = bytemuck::cast_ref(&table.0);
            let parts = [
                _mm512_loadu_si512(entries[0].as_ptr().cast()),
                _mm512_loadu_si512(entries[1].as_ptr().cast()),
                _mm512_loadu_si512(entries[2].as_ptr().cast()),
                _mm512_loadu_si512(entries[3].as_ptr().cast()),
            ];
            for chunk in bytes.chunks_mut(64) {
                let mask = u64::MAX >> (64 - chunk.len());
                let at = _mm512_maskz_loadu_epi8(mask, chunk.as_ptr().cast());
                let lower = _mm512_permutex2var_epi8(parts[0], at, parts[1]);
                let upper = _mm512_permutex2var_epi8(parts[2], at, parts[3]);
                let entries = _mm512_mask_blend_epi8(_mm512_movepi8_mask(at), lower, upper);
                _mm512_mask_storeu_epi8(chunk.as_mut_ptr().cast(), mask, entries);
            }
        }
    }
}
