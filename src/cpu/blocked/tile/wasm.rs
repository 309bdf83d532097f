//! The loops over products as WebAssembly's engines want them: they compile loops as they are, and keep twelve sums, two
//! vectors of weights and a value in the fifteen registers that they use of a PC's. What LLVM makes of plain slices
//! leaves two divisions and several tests to every plane of the input, a tenth of the time.

use pulp::Simd;

use super::{Block, LANES, MAX_SEGMENT, Sum, Taps};

impl Sum<'_> {
    /// The sums of the `W` vectors from `FIRST` on.
    #[inline(always)]
    pub(super) fn products<S: Simd, const FIRST: usize, const W: usize, const P: usize, const STRIDE: usize>(
        &self,
        simd: S,
    ) -> [[S::f32s; W]; P] {
        let Taps { kernel: [height, width], planes, last, plane_len, pitch, .. } = *self.taps;
        let mut sums = [[simd.splat_f32s(0.0); W]; P];
        if self.rows.is_empty() {
            return sums;
        }
        // The last tap of the last plane that is read, for the last pixel.
        let reach = (self.rows.end - 1) / height * plane_len + (height - 1) * pitch + width - 1 + (P - 1) * STRIDE;
        assert!(self.start + reach < self.x.len() && self.taps.products(&self.rows) <= self.panel.len());
        let (mut plane, mut ky) = (self.rows.start / height, self.rows.start % height);
        let mut row = self.start + plane * plane_len + ky * pitch;
        let mut weights = self.panel.as_ptr();
        for _ in self.rows.clone() {
            let channels = if plane + 1 < planes { LANES } else { last };
            for kx in 0..width {
                // SAFETY: the rows and planes up to `reach` lie within the input, and `channels` is at most LANES: of each
                // block that many values are read from the first on. The products of these rows, which are as many as
                // there are steps, lie within the panel.
                unsafe {
                    let mut x = self.x.as_ptr().add(row + kx).cast::<f32>();
                    let end = weights.add(channels);
                    while weights != end {
                        sums = step::<S, FIRST, W, P, STRIDE>(simd, x, weights, sums);
                        (x, weights) = (x.add(1), weights.add(1));
                    }
                }
            }
            (ky, row) = (ky + 1, row + pitch);
            if ky == height {
                (plane, ky) = (plane + 1, 0);
                row = self.start + plane * plane_len;
            }
        }
        sums
    }
}

/// Adds the products of one input channel.
///
/// # Safety
/// `weights` has to be readable, and `x` at `P` places, `STRIDE` blocks apart.
#[inline(always)]
unsafe fn step<S: Simd, const FIRST: usize, const W: usize, const P: usize, const STRIDE: usize>(
    simd: S,
    x: *const f32,
    weights: *const Block,
    mut sums: [[S::f32s; W]; P],
) -> [[S::f32s; W]; P] {
    // SAFETY: the caller's.
    let weights = S::as_simd_f32s(unsafe { &(*weights).0 }).0;
    let weights: [S::f32s; W] = std::array::from_fn(|w| weights[FIRST + w]);
    each_pixel!(P, |p| {
        // SAFETY: the caller's.
        let value = simd.splat_f32s(unsafe { *x.add(p * STRIDE * LANES) });
        for w in 0..W {
            sums[p][w] = simd.mul_add_e_f32s(value, weights[w], sums[p][w]);
        }
    });
    sums
}
