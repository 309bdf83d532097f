//! The loops over taps natively.

use pulp::Simd;

use super::super::vectors::{load, segments};
use super::{Line, Plane, Sweep, begin, put};

/// Computes a row, `P` outputs at a time, whose inputs are `STRIDE` apart.
#[inline(always)]
pub(in super::super) fn line<S: Simd, const P: usize, const STRIDE: usize>(simd: S, line: Line) {
    let Line { vector, bias, columns, first, second, relu, out } = line;
    for x in segments(0..columns.len(), P) {
        let mut sums = begin::<S, P>(bias, vector);
        sweep::<S, P, STRIDE>(simd, &first, x, vector, &mut sums);
        if let Some(second) = &second {
            sweep::<S, P, 1>(simd, second, x, vector, &mut sums);
        }
        put(simd, relu, vector, sums, &mut out[x..]);
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
