//! The loops over taps as WebAssembly's engines want them: with as few tests and reads as there can be. Rows of three
//! taps, the most frequent, read each value once.

use pulp::Simd;

use super::super::vectors::{segments, vectors};
use super::{Lines, Sweep, begin, put};

/// Computes rows, `P` outputs at a time, whose inputs are `STRIDE` apart. Not a part of its caller, which would
/// take its registers.
#[inline(never)]
pub(in super::super) fn lines<S: Simd, const P: usize, const STRIDE: usize>(simd: S, lines: Lines) {
    let Lines { vectors: range, bias, columns, rows, mut first, step, second, relu, out, pitch } = lines;
    assert!(range.end <= vectors::<S>() && P <= columns && rows > 0 && (rows == 1 || second.is_none()));
    first.check((rows - 1) * step + (columns - 1) * STRIDE);
    if let Some(second) = &second {
        second.check(columns - 1);
    }
    let threes = STRIDE == 1 && first.size == [3, 3] && second.is_none();
    for row in 0..rows {
        let out = &mut out[row * pitch..][..columns];
        for vector in range.clone() {
            for x in segments(0..columns, P) {
                let sums = begin::<S, P>(bias, vector);
                // SAFETY: checked for the last output; no segment goes beyond it.
                let sums = unsafe {
                    if threes {
                        squares(simd, &first, x, vector, sums)
                    } else {
                        let sums = sweep::<S, P, STRIDE>(simd, &first, x, vector, sums);
                        second.iter().fold(sums, |sums, second| sweep::<S, P, 1>(simd, second, x, vector, sums))
                    }
                };
                put(simd, relu, vector, sums, &mut out[x..]);
            }
        }
        first.start += step;
    }
}

impl Sweep<'_> {
    /// That all is there which the outputs read whose inputs are as far as that from the first one's.
    fn check(&self, last: usize) {
        let [height, width] = self.size;
        assert!(height > 0 && width > 0);
        let reach = |pitch: usize| (height - 1) * pitch + width - 1;
        assert!(self.start + reach(self.plane.pitch) + last < self.plane.blocks.len());
        assert!(reach(self.taps.pitch) < self.taps.blocks.len());
    }

    /// One of a block's vectors, of the first value that the output at `x` reads and of the first tap.
    #[inline(always)]
    fn at<S: Simd>(&self, x: usize, vector: usize) -> [*const S::f32s; 2] {
        let vector = |blocks: &[super::Block]| blocks.as_ptr().cast::<S::f32s>().wrapping_add(vector);
        [vector(&self.plane.blocks[self.start + x..]), vector(self.taps.blocks)]
    }
}

/// Adds the products of all taps for the outputs from `x` on.
///
/// # Safety
/// Of a sweep that was checked for the last of these outputs.
#[inline(always)]
unsafe fn sweep<S: Simd, const P: usize, const STRIDE: usize>(
    simd: S,
    sweep: &Sweep,
    x: usize,
    vector: usize,
    mut sums: [S::f32s; P],
) -> [S::f32s; P] {
    let [mut row, mut taps] = sweep.at::<S>(x * STRIDE, vector);
    for _ in 0..sweep.size[0] {
        let (mut value, mut tap) = (row, taps);
        let end = taps.wrapping_add(sweep.size[1] * vectors::<S>());
        while tap != end {
            // SAFETY: the last tap of the last output lies within the plane, and within the kernel.
            unsafe {
                for p in 0..P {
                    sums[p] = simd.mul_add_e_f32s(*value.add(p * STRIDE * vectors::<S>()), *tap, sums[p]);
                }
            }
            (value, tap) = (value.wrapping_add(vectors::<S>()), tap.wrapping_add(vectors::<S>()));
        }
        row = row.wrapping_add(sweep.plane.pitch * vectors::<S>());
        taps = taps.wrapping_add(sweep.taps.pitch * vectors::<S>());
    }
    sums
}

/// [`sweep`] of a 3×3 kernel, of inputs that are next to each other.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn squares<S: Simd, const P: usize>(
    simd: S,
    sweep: &Sweep,
    x: usize,
    vector: usize,
    mut sums: [S::f32s; P],
) -> [S::f32s; P] {
    let [mut row, mut taps] = sweep.at::<S>(x, vector);
    for _ in 0..3 {
        // SAFETY: as above.
        let three: [S::f32s; 3] = std::array::from_fn(|i| unsafe { *taps.add(i * vectors::<S>()) });
        for at in 0..P + 2 {
            // SAFETY: as above.
            let value = unsafe { *row.add(at * vectors::<S>()) };
            for (i, tap) in three.into_iter().enumerate() {
                if (i..P + i).contains(&at) {
                    sums[at - i] = simd.mul_add_e_f32s(value, tap, sums[at - i]);
                }
            }
        }
        row = row.wrapping_add(sweep.plane.pitch * vectors::<S>());
        taps = taps.wrapping_add(sweep.taps.pitch * vectors::<S>());
    }
    sums
}
