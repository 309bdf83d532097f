//! `x · Φ(x)`, where Φ is the normal distribution, of several vectors at a time, with an absolute error below
//! 3e-7 · max(1, |x|).
//!
//! `Φ(x) = ½ + x · q(x²)`, where `q` is fitted to |x| ≤ c = 5.2 (minimax of the result's error, by Lawson's
//! reweighting). Beyond, the result is `x` itself, or less than 2e-6. NaN comes through.

use pulp::Simd;

use super::vectors::zero_below;

const LIMIT: f32 = 5.2;

/// The function, with its constants where they are read fastest.
#[derive(Clone, Copy)]
pub(super) struct Gelu {
    quotient: &'static Quotient,
}

impl Gelu {
    #[inline(always)]
    pub(super) fn new() -> Self {
        // Browsers' engines make each vector that they know of three instructions, whenever it is used: twice as long as
        // everything else here. Those in memory they only read.
        Gelu { quotient: std::hint::black_box(&QUOTIENT) }
    }

    /// Of each value of each vector.
    #[inline(always)]
    pub(super) fn of<S: Simd, const N: usize>(self, simd: S, x: [S::f32s; N]) -> [S::f32s; N] {
        match cfg!(target_arch = "wasm32") {
            true => by_quotient(simd, self.quotient, x),
            false => by_polynomial(simd, x),
        }
    }
}

/// `q` as a quotient of polynomials in `x²`, of degrees 4 and 5.
struct Quotient {
    p: [f32; 5],
    q: [f32; 6],
    limits: [f32; 2],
    half: f32,
}

static QUOTIENT: Quotient = Quotient {
    p: [3.989_414_6e-1, 5.088_325e-2, 5.608_240_6e-3, 3.292_015_2e-4, 6.113_858e-6],
    q: [1.0, 2.942_022_7e-1, 3.810_694e-2, 2.785_593_3e-3, 1.184_828_9e-4, 5.225_082e-7],
    limits: [-LIMIT, LIMIT],
    half: 0.5,
};

/// `q` as a polynomial of degree 13 in `u = 2x²/c² − 1`: vectors of sixteen take as long for a division as for sixteen
/// products.
#[inline(always)]
fn by_polynomial<S: Simd, const N: usize>(simd: S, x: [S::f32s; N]) -> [S::f32s; N] {
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
    let x = x.map(|x| simd.select_f32s(simd.less_than_f32s(x, splat(-LIMIT)), splat(-LIMIT), x));
    let near = x.map(|x| simd.min_f32s(x, splat(LIMIT)));
    let u = near.map(|x| simd.mul_add_e_f32s(simd.mul_f32s(x, x), splat(2.0 / (LIMIT * LIMIT)), splat(-1.0)));
    let q = horner(simd, &Q, u);
    std::array::from_fn(|i| simd.mul_f32s(x[i], simd.mul_add_e_f32s(near[i], q[i], splat(0.5))))
}

/// Vectors of four are divided in less time than the longer polynomial takes.
#[inline(always)]
fn by_quotient<S: Simd, const N: usize>(simd: S, constants: &Quotient, x: [S::f32s; N]) -> [S::f32s; N] {
    let limits = constants.limits.map(|limit| simd.splat_f32s(limit));
    let near = x.map(|x| clamp(simd, x, limits));
    let t = near.map(|x| simd.mul_f32s(x, x));
    let (p, q) = (horner(simd, &constants.p, t), horner(simd, &constants.q, t));
    let half = simd.splat_f32s(constants.half);
    std::array::from_fn(|i| {
        let result = simd.mul_f32s(x[i], simd.mul_add_e_f32s(near[i], simd.div_f32s(p[i], q[i]), half));
        zero_below(simd, result, x[i], limits[0])
    })
}

/// A polynomial, the coefficient of the lowest power first.
#[inline(always)]
fn horner<S: Simd, const N: usize>(simd: S, coefficients: &[f32], x: [S::f32s; N]) -> [S::f32s; N] {
    let mut sums = [simd.splat_f32s(0.0); N];
    for (i, c) in coefficients.iter().rev().enumerate() {
        let c = simd.splat_f32s(*c);
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum = if i == 0 { c } else { simd.mul_add_e_f32s(*sum, x, c) };
        }
    }
    sums
}

/// Within the limits, or anything if it is NaN.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline(always)]
fn clamp<S: Simd>(simd: S, x: S::f32s, [low, high]: [S::f32s; 2]) -> S::f32s {
    simd.min_f32s(simd.max_f32s(x, low), high)
}

/// With instructions that do not look for NaN, for which `f32x4.min` has six more.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
fn clamp<S: Simd>(_: S, x: S::f32s, limits: [S::f32s; 2]) -> S::f32s {
    use std::arch::wasm32::{f32x4_pmax, f32x4_pmin, v128};
    use std::mem::transmute_copy;
    const { assert!(size_of::<S::f32s>() == size_of::<v128>()) };
    // SAFETY: both types are four floats.
    unsafe {
        let [x, low, high]: [v128; 3] = [x, limits[0], limits[1]].map(|v| transmute_copy(&v));
        transmute_copy(&f32x4_pmin(f32x4_pmax(x, low), high))
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::{Block, LANES};
    use super::super::vectors::{load, store, vectors};
    use super::*;
    use crate::cpu::simd::Vectors;

    struct Each<'a, const QUOTIENT: bool>(&'a mut [Block]);
    impl<const QUOTIENT: bool> pulp::WithSimd for Each<'_, QUOTIENT> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            for block in self.0 {
                for v in 0..vectors::<S>() {
                    let x = [load::<S>(block, v)];
                    let [y] = if QUOTIENT { by_quotient(simd, &super::QUOTIENT, x) } else { by_polynomial(simd, x) };
                    store::<S>(block, v, y);
                }
            }
        }
    }

    fn largest_error<const QUOTIENT: bool>(values: &[f32], plain: bool) -> f64 {
        let mut blocks: Vec<Block> = values.iter().map(|v| Block([*v; LANES])).collect();
        let each = Each::<QUOTIENT>(&mut blocks);
        match plain {
            true => pulp::WithSimd::with_simd(each, pulp::Scalar::new()),
            false => Vectors::new().dispatch(each),
        }
        let mut largest = 0.0f64;
        for (x, block) in values.iter().zip(&blocks) {
            assert!(block.0.iter().all(|v| v.to_bits() == block.0[0].to_bits()));
            let x = f64::from(*x);
            let exact = x * 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
            largest = largest.max((f64::from(block.0[0]) - exact).abs() / x.abs().max(1.0));
        }
        largest
    }

    #[test]
    fn both_forms_keep_the_error_bound_and_let_nan_through() {
        let x: Vec<f32> = (-120_000..=120_000).map(|i| i as f32 * 1e-4).chain([1e3, -1e3, 1e30, -1e30, -0.0]).collect();
        for plain in [false, true] {
            let errors = [largest_error::<false>(&x, plain), largest_error::<true>(&x, plain)];
            assert!(errors.iter().all(|e| *e < 3e-7), "{errors:?}");
        }
        let mut blocks = [f32::NAN, f32::NEG_INFINITY, f32::INFINITY].map(|v| Block([v; LANES]));
        Vectors::new().dispatch(Each::<true>(&mut blocks));
        let found = blocks.map(|block| block.0[3]);
        assert!(found[0].is_nan() && found[1].abs() < 2e-6 && found[2] == f32::INFINITY, "{found:?}");
    }
}
