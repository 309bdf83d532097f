//! AVX2: sixteen sums are two vectors. With AVX-VNNI four products are one instruction; without, they are pairs
//! by `vpmaddubsw`, which takes bytes without a sign times bytes with one and saturates at 16 bits. Of magnitudes
//! up to 127 and weights that took the activations' signs, a pair is at most 2 · 127² = 32258: exact.
#![allow(clippy::undocumented_unsafe_blocks, reason = "one comment stands for all: SAFETY of all that follows")]

use std::arch::x86_64::*;

use super::super::layout::{Bytes, Enlarges, Panel, Rescale, Words};
use super::{Dot, Job, scalar};

#[target_feature(enable = "avx2,fma")]
pub(super) fn plain<J: Job>(job: J) -> J::Output {
    job.run(Avx2::<false>(()))
}

#[target_feature(enable = "avx2,fma,avxvnni")]
pub(super) fn vnni<J: Job>(job: J) -> J::Output {
    job.run(Avx2::<true>(()))
}

/// Made only by the two functions above: whoever has one runs on a machine with these instructions.
#[derive(Clone, Copy)]
pub(super) struct Avx2<const VNNI: bool>(());

/// Signed bytes and their magnitudes; with VNNI the bytes as they are.
#[derive(Clone, Copy)]
pub(super) struct Activations {
    signed: __m256i,
    magnitudes: __m256i,
}

impl<const VNNI: bool> Avx2<VNNI> {
    #[inline(always)]
    unsafe fn activations(self, bytes: __m256i) -> Activations {
        // SAFETY: see the impl of `Dot`.
        unsafe {
            if VNNI {
                return Activations { signed: bytes, magnitudes: bytes };
            }
            let signed = _mm256_xor_si256(bytes, _mm256_set1_epi8(-128));
            Activations { signed, magnitudes: _mm256_abs_epi8(signed) }
        }
    }

    #[inline(always)]
    unsafe fn products(self, sums: __m256i, activations: Activations, weights: __m256i) -> __m256i {
        // SAFETY: see the impl of `Dot`.
        unsafe {
            if VNNI {
                return _mm256_dpbusd_avx_epi32(sums, activations.signed, weights);
            }
            let weights = _mm256_sign_epi8(weights, activations.signed);
            let pairs = _mm256_maddubs_epi16(activations.magnitudes, weights);
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }
}

// SAFETY of all that follows: the instructions are there (see `Avx2`), and loads and stores are of references to
// as many bytes as they move.
impl<const VNNI: bool> Dot for Avx2<VNNI> {
    type Sums = [__m256i; 2];
    type Weights = [__m256i; 2];
    type Quad = Activations;
    type Columns = [Activations; 2];
    type Factors = Rescale;
    const OFFSET: bool = VNNI;
    const TILE: usize = 1;
    const PIXELS: usize = 4;

    #[inline(always)]
    fn load(self, sums: &Words) -> [__m256i; 2] {
        let halves: &[[i32; 8]; 2] = bytemuck::cast_ref(&sums.0);
        unsafe { [_mm256_loadu_si256(halves[0].as_ptr().cast()), _mm256_loadu_si256(halves[1].as_ptr().cast())] }
    }

    #[inline(always)]
    fn store(self, sums: [__m256i; 2], to: &mut Words) {
        let halves: &mut [[i32; 8]; 2] = bytemuck::cast_mut(&mut to.0);
        unsafe {
            _mm256_storeu_si256(halves[0].as_mut_ptr().cast(), sums[0]);
            _mm256_storeu_si256(halves[1].as_mut_ptr().cast(), sums[1]);
        }
    }

    #[inline(always)]
    fn add(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        unsafe { [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])] }
    }

    #[inline(always)]
    fn weights(self, panels: &[Panel]) -> [__m256i; 2] {
        let halves: &[[i8; 32]; 2] = bytemuck::cast_ref(&panels[0].0);
        unsafe { [_mm256_loadu_si256(halves[0].as_ptr().cast()), _mm256_loadu_si256(halves[1].as_ptr().cast())] }
    }

    #[inline(always)]
    fn quad(self, blocks: &[Bytes], index: usize) -> Activations {
        let quads: &[i32; 4] = bytemuck::cast_ref(&blocks[0].0);
        unsafe { self.activations(_mm256_set1_epi32(quads[index % 4])) }
    }

    #[inline(always)]
    fn dot(self, sums: [__m256i; 2], quad: Activations, weights: [__m256i; 2]) -> [__m256i; 2] {
        unsafe { [self.products(sums[0], quad, weights[0]), self.products(sums[1], quad, weights[1])] }
    }

    #[inline(always)]
    fn columns(self, blocks: &[Bytes; 4]) -> [Activations; 2] {
        unsafe {
            let a = _mm_loadu_si128(blocks[0].0.as_ptr().cast());
            let b = _mm_loadu_si128(blocks[1].0.as_ptr().cast());
            let c = _mm_loadu_si128(blocks[2].0.as_ptr().cast());
            let d = _mm_loadu_si128(blocks[3].0.as_ptr().cast());
            let (ab, cd) = (_mm_unpacklo_epi8(a, b), _mm_unpacklo_epi8(c, d));
            let low = _mm256_set_m128i(_mm_unpackhi_epi16(ab, cd), _mm_unpacklo_epi16(ab, cd));
            let (ab, cd) = (_mm_unpackhi_epi8(a, b), _mm_unpackhi_epi8(c, d));
            let high = _mm256_set_m128i(_mm_unpackhi_epi16(ab, cd), _mm_unpacklo_epi16(ab, cd));
            [self.activations(low), self.activations(high)]
        }
    }

    #[inline(always)]
    fn dot_columns(self, sums: [__m256i; 2], columns: [Activations; 2], weights: [__m256i; 2]) -> [__m256i; 2] {
        unsafe { [self.products(sums[0], columns[0], weights[0]), self.products(sums[1], columns[1], weights[1])] }
    }

    #[inline(always)]
    fn enlarge(self, sums: [__m256i; 2], residual: &Bytes, by: &Enlarges) -> [__m256i; 2] {
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
    fn rescale(self, sums: [__m256i; 2], by: &Rescale) -> [__m256i; 2] {
        let multiplier = self.load(&Words(by.multiplier));
        let shift = self.load(&Words(by.shift));
        let bound = self.load(&Words(by.bound));
        unsafe {
            [rescaled(sums[0], multiplier[0], shift[0], bound[0]), rescaled(sums[1], multiplier[1], shift[1], bound[1])]
        }
    }

    #[inline(always)]
    fn pack(self, values: [__m256i; 2], add: i32, low: i32) -> Bytes {
        let mut bytes = Bytes::ZERO;
        unsafe {
            let (a, b) = (bounded(values[0], add, low), bounded(values[1], add, low));
            // Packing works within halves of 128 bits: the quarters come out as a₀ b₀ a₁ b₁.
            let pairs = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(a, b));
            let packed = _mm_packus_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256::<1>(pairs));
            _mm_storeu_si128(bytes.0.as_mut_ptr().cast(), packed);
        }
        bytes
    }
}

// What follows are functions, not closures: those would not be compiled for these instructions.

#[inline(always)]
unsafe fn bounded(values: __m256i, add: i32, low: i32) -> __m256i {
    // SAFETY: see the impl of `Dot`.
    unsafe {
        let values = _mm256_add_epi32(values, _mm256_set1_epi32(add));
        _mm256_min_epi32(_mm256_max_epi32(values, _mm256_set1_epi32(low)), _mm256_set1_epi32(255))
    }
}

#[inline(always)]
unsafe fn rescaled(sums: __m256i, multiplier: __m256i, shift: __m256i, bound: __m256i) -> __m256i {
    // SAFETY: see the impl of `Dot`.
    unsafe {
        let least = _mm256_sub_epi32(_mm256_setzero_si256(), bound);
        let sums = _mm256_min_epi32(_mm256_max_epi32(sums, least), bound);
        let even = rounded(sums, multiplier, _mm256_and_si256(shift, _mm256_set1_epi64x(0xffff_ffff)));
        let odd =
            rounded(_mm256_srli_epi64::<32>(sums), _mm256_srli_epi64::<32>(multiplier), _mm256_srli_epi64::<32>(shift));
        _mm256_blend_epi32::<0b1010_1010>(even, _mm256_slli_epi64::<32>(odd))
    }
}

/// The products of the lower halves of lanes, divided and rounded half to even. There is no arithmetic shift of
/// 64 bits: what is shifted is made positive by a multiple of the divisor.
#[inline(always)]
unsafe fn rounded(sums: __m256i, multiplier: __m256i, shift: __m256i) -> __m256i {
    // SAFETY: see the impl of `Dot`.
    unsafe {
        let (one, away) = (_mm256_set1_epi64x(1), _mm256_set1_epi64x(1 << 62));
        let product = _mm256_add_epi64(_mm256_mul_epi32(sums, multiplier), away);
        let odd = _mm256_and_si256(_mm256_srlv_epi64(product, shift), one);
        let half = _mm256_sub_epi64(_mm256_sllv_epi64(one, _mm256_sub_epi64(shift, one)), one);
        let rounded = _mm256_srlv_epi64(_mm256_add_epi64(_mm256_add_epi64(product, half), odd), shift);
        _mm256_sub_epi64(rounded, _mm256_srlv_epi64(away, shift))
    }
}
