//! What the kernels share of vector code: widths, activations, splitting of rows.
//!
//! A kernel is written once over [`pulp::Simd`] and compiled for AVX-512, AVX2, NEON, simd128 and
//! plain code; [`pulp::Arch`] chooses when it runs.

use std::ops::Range;

use pulp::{Simd, WithSimd};

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

/// ReLU that lets NaN through: damaged weights should show.
#[inline(always)]
pub(in crate::cpu) fn relu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    simd.select_f32s(simd.less_than_f32s(x, zero), zero, x)
}

/// `x · Φ(x)`, with an absolute error below 3e-7 · max(1, |x|).
///
/// `Φ(x) = ½ + x · q(x²)`, where `q` is a polynomial of degree 13 in `u = 2x²/c² − 1`, fitted to
/// |x| ≤ c = 5.2 (minimax of the result's error, by Lawson's reweighting). Beyond, it is `x` itself, or
/// what it is at −c, less than 2e-6. There is no division, which takes as long as sixteen products.
#[inline(always)]
pub(in crate::cpu) fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const LIMIT: f32 = 5.2;
    const Q: [f32; 14] = [
        1.359_499_8e-1,
        -6.774_366e-2,
        5.002_475_5e-2,
        -3.993_02e-2,
        3.198_644_5e-2,
        -2.471_897e-2,
        1.797_356_3e-2,
        -1.252_779_8e-2,
        8.515_524e-3,
        -4.738_109_7e-3,
        1.847_823_5e-3,
        -1.274_388_2e-3,
        1.249_576_5e-3,
        -4.607_372e-4,
    ];
    let splat = |v: f32| simd.splat_f32s(v);
    // Not `max`, which may lose NaN.
    let x = simd.select_f32s(simd.less_than_f32s(x, splat(-LIMIT)), splat(-LIMIT), x);
    let near = simd.min_f32s(x, splat(LIMIT));
    let u = simd.mul_add_e_f32s(simd.mul_f32s(near, near), splat(2.0 / (LIMIT * LIMIT)), splat(-1.0));
    let mut q = splat(Q[13]);
    for c in Q[..13].iter().rev() {
        q = simd.mul_add_e_f32s(q, u, splat(*c));
    }
    simd.mul_f32s(x, simd.mul_add_e_f32s(near, q, splat(0.5)))
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
        Activation::Gelu => gelu(simd, x),
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
