//! The loops over taps natively.

use pulp::Simd;

use super::super::vectors::{load, segments};
use super::{Lines, Plane, Sweep, begin, put};

/// Computes rows, `P` outputs at a time, whose inputs are `STRIDE` apart.
#[inline(always)]
pub(in super::super) fn lines<S: Simd, const P: usize, const STRIDE: usize>(simd: S, lines: Lines) {
    let Lines { vectors, bias, columns, rows, mut first, step, second, relu, out, pitch } = lines;
    debug_assert!(rows == 1 || second.is_none());
    for row in 0..rows {
        let out = &mut out[row * pitch..][..columns];
        for vector in vectors.clone() {
            for x in segments(0..columns, P) {
                let mut sums = begin::<S, P>(bias, vector);
                sweep::<S, P, STRIDE>(simd, &first, x, vector, &mut sums);
                if let Some(second) = &second {
                    sweep::<S, P, 1>(simd, second, x, vector, &mut sums);
                }
                put(simd, relu, vector, sums, &mut out[x..]);
            }
        }
        first.start += step;
    }
}

/// Adds the products of all taps for the outputs from `x` on.
#[inline(always)]
fn sweep<S: Simd, const P: usize, const STRIDE: usize>(
    simd: S,
    Sweep { plane: Plane { blocks, pitch }, start, taps, size }: &Sweep,
    x: usize,
    vector: usize,
    sums: &mut [S::f32s; P],
) {
    for (ky, taps) in taps.blocks.chunks(taps.pitch).take(size[0]).enumerate() {
        let row = &blocks[start + x * STRIDE + ky * pitch..][..size[1] + (P - 1) * STRIDE];
        for (x, tap) in row.windows((P - 1) * STRIDE + 1).zip(&taps[..size[1]]) {
            let tap = load::<S>(tap, vector);
            for p in 0..P {
                sums[p] = simd.mul_add_e_f32s(load::<S>(&x[p * STRIDE], vector), tap, sums[p]);
            }
        }
    }
}
