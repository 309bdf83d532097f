//! What the kernels share of vector code: widths, activations, splitting of rows.
//!
//! A kernel is written once over [`pulp::Simd`] and compiled for AVX-512, AVX2, NEON, simd128 and
//! plain code; [`pulp::Arch`] chooses when it runs.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::gelu::Gelu;
use super::layout::{Block, LANES};
use crate::cpu::simd::Vectors;
use crate::ops::Activation;

/// Vectors in a block, for each width.
pub(in crate::cpu) const fn vectors<S: Simd>() -> usize {
    LANES / S::F32_LANES
}

/// Values in a vector on this machine.
pub(in crate::cpu) fn width() -> usize {
    struct Width;
    impl WithSimd for Width {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    Vectors::new().dispatch(Width)
}

/// One of a block's vectors.
#[inline(always)]
pub(in crate::cpu) fn load<S: Simd>(block: &Block, vector: usize) -> S::f32s {
    S::as_simd_f32s(&block.0).0[vector]
}

/// Puts one of a block's vectors.
#[inline(always)]
pub(in crate::cpu) fn store<S: Simd>(block: &mut Block, vector: usize, value: S::f32s) {
    S::as_mut_simd_f32s(&mut block.0).0[vector] = value;
}

/// The first pixels of the segments of `P` that a row is computed in. The last one overlaps the one
/// before it where `P` does not divide the row, so that no segment is shorter.
pub(in crate::cpu) fn segments(columns: Range<usize>, pixels: usize) -> impl Iterator<Item = usize> + Clone {
    let last = columns.end.saturating_sub(pixels);
    columns.step_by(pixels).map(move |x| x.min(last))
}

/// Pixels per segment that waste least on rows of this length: 7 for all that divides 224, else 4,
/// or 1 for the shortest.
pub(in crate::cpu) fn segment_len(columns: usize) -> usize {
    match columns {
        0..=3 => 1,
        4..=6 => 4,
        // A segment of 7 does a little more per cycle than one of 4.
        _ if columns.div_ceil(4) * 4 * 10 < columns.div_ceil(7) * 7 * 9 => 4,
        _ => 7,
    }
}

/// ReLU that lets NaN through.
#[inline(always)]
pub(in crate::cpu) fn relu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    zero_below(simd, x, x, simd.splat_f32s(0.0))
}

/// Zero where `x` is less than `limit`, else `value`; there too where `x` is NaN.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline(always)]
pub(super) fn zero_below<S: Simd>(simd: S, value: S::f32s, x: S::f32s, limit: S::f32s) -> S::f32s {
    simd.select_f32s(simd.less_than_f32s(x, limit), simd.splat_f32s(0.0), value)
}

/// Zero where `x` is less than `limit`, else `value`; there too where `x` is NaN. By an instruction less than a selection
/// takes, which is three for a browser's engine.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
pub(super) fn zero_below<S: Simd>(_: S, value: S::f32s, x: S::f32s, limit: S::f32s) -> S::f32s {
    use std::arch::wasm32::{f32x4_lt, v128, v128_andnot};
    use std::mem::transmute_copy;
    const { assert!(size_of::<S::f32s>() == size_of::<v128>()) };
    // SAFETY: both types are four floats.
    unsafe {
        let [value, x, limit]: [v128; 3] = [value, x, limit].map(|v| transmute_copy(&v));
        transmute_copy(&v128_andnot(value, f32x4_lt(x, limit)))
    }
}

/// Only gates have it: vectors of a few hundred values.
#[inline(always)]
pub(in crate::cpu) fn sigmoid<S: Simd>(mut x: S::f32s) -> S::f32s {
    for v in bytemuck::cast_slice_mut::<S::f32s, f32>(std::slice::from_mut(&mut x)) {
        *v = 1.0 / (1.0 + (-*v).exp());
    }
    x
}

/// Any activation of a vector.
#[inline(always)]
pub(in crate::cpu) fn activate<S: Simd>(simd: S, activation: Activation, x: S::f32s) -> S::f32s {
    match activation {
        Activation::None => x,
        Activation::Relu => relu(simd, x),
        Activation::Gelu => Gelu::new().of(simd, [x])[0],
        Activation::Sigmoid => sigmoid::<S>(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Each<'a>(Activation, &'a mut [Block]);
    impl WithSimd for Each<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            for block in self.1 {
                for v in 0..vectors::<S>() {
                    store::<S>(block, v, activate(simd, self.0, load::<S>(block, v)));
                }
            }
        }
    }

    fn all(activation: Activation, values: &[f32]) -> Vec<f32> {
        let mut blocks: Vec<Block> = values.iter().map(|v| Block([*v; LANES])).collect();
        Vectors::new().dispatch(Each(activation, &mut blocks));
        let mut plain: Vec<Block> = values.iter().map(|v| Block([*v; LANES])).collect();
        Each(activation, &mut plain).with_simd(pulp::Scalar::new());
        for ((a, b), x) in blocks.iter().zip(&plain).zip(values) {
            assert!(a.0.iter().all(|v| v.to_bits() == a.0[0].to_bits()));
            let (a, b) = (a.0[0], b.0[0]);
            // A fused product rounds once less.
            assert!(a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-6 * x.abs().max(1.0), "{x}: {a}, {b}");
        }
        blocks.iter().map(|b| b.0[0]).collect()
    }

    #[test]
    fn gelu_keeps_its_error_bound() {
        let x: Vec<f32> = (-120_000..=120_000).map(|i| i as f32 * 1e-4).collect();
        let mut largest = 0.0f64;
        for (x, found) in x.iter().zip(all(Activation::Gelu, &x)) {
            let x = f64::from(*x);
            let exact = x * 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
            largest = largest.max((f64::from(found) - exact).abs() / x.abs().max(1.0));
        }
        assert!(largest < 3e-7, "{largest:e}");
    }

    #[test]
    fn activations_know_their_limits() {
        assert_eq!(all(Activation::Gelu, &[0.0, -0.0]), [0.0, 0.0]);
        for x in [6.0f32, 1e3, 1e30] {
            assert!((all(Activation::Gelu, &[x])[0] / x - 1.0).abs() < 2e-7);
        }
        assert!(all(Activation::Gelu, &[-5.3, -100.0, -1e30, f32::NEG_INFINITY]).iter().all(|v| v.abs() < 2e-6));
        assert_eq!(all(Activation::Relu, &[-1.0, 2.0, -0.0, f32::INFINITY]), [0.0, 2.0, 0.0, f32::INFINITY]);
        assert_eq!(all(Activation::Sigmoid, &[0.0, 200.0, -200.0]), [0.5, 1.0, 0.0]);
        for activation in Activation::ALL {
            assert!(all(activation, &[f32::NAN])[0].is_nan(), "{activation:?}");
        }
    }

    #[test]
    fn segments_cover_a_row_and_stay_within_it() {
        for columns in 1..200 {
            let len = segment_len(columns);
            let starts: Vec<usize> = segments(3..3 + columns, len).collect();
            assert!(len <= columns && starts[0] == 3 && *starts.last().unwrap() == 3 + columns - len);
            assert!(starts.windows(2).all(|s| s[0] < s[1] && s[1] <= s[0] + len));
        }
        assert_eq!([1, 6, 7, 8, 14, 16, 28, 224].map(segment_len), [1, 4, 7, 4, 7, 4, 7, 7]);
    }
}
