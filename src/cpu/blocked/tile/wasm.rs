//! The loops over products as WebAssembly's engines want them: they compile loops as they are, and keep twelve sums,
//! two vectors of weights and a value in the fifteen registers that they use of a PC's. What LLVM makes of plain
//! slices leaves a division and several tests to every plane of the input, which cost as much as half of its products.

use pulp::Simd;

use super::{LANES, MAX_SEGMENT, Sum, Taps};

impl Sum<'_> {
    /// The sums of the `W` vectors from `first` on.
    #[inline(always)]
    pub(super) fn products<S: Simd, const V: usize, const W: usize, const P: usize, const STRIDE: usize>(
        &self,
        simd: S,
        first: usize,
    ) -> [[S::f32s; W]; P] {
        let Taps { kernel: [height, width], planes, last, plane_len, pitch, .. } = *self.taps;
        let mut sums = [[simd.splat_f32s(0.0); W]; P];
        if self.rows.is_empty() {
            return sums;
        }
        let (mut plane, mut ky) = (self.rows.start / height, self.rows.start % height);
        // The last tap of the last plane that is read, for the last pixel.
        let reach = (self.rows.end - 1) / height * plane_len + (height - 1) * pitch + width - 1 + (P - 1) * STRIDE;
        let (panel, _) = S::as_simd_f32s(bytemuck::cast_slice(self.panel));
        let (panel, _) = panel.as_chunks::<V>();
        assert!(self.start + reach < self.x.len() && self.taps.products(&self.rows) <= panel.len() && first + W <= V);
        let mut row = self.start + plane * plane_len + ky * pitch;
        let mut weights = panel.as_ptr();
        for _ in self.rows.clone() {
            let channels = if plane + 1 < planes { LANES } else { last };
            for kx in 0..width {
                // SAFETY: the rows and planes up to `reach` lie within the input; the products of these rows within the
                // panel. A block is read from its first value on, `channels` of LANES.
                unsafe {
                    let mut x = self.x.as_ptr().add(row + kx).cast::<f32>();
                    let end = weights.add(channels);
                    while weights != end {
                        let factors: [S::f32s; W] = std::array::from_fn(|w| (*weights)[first + w]);
                        each_pixel!(P, |p| {
                            let value = simd.splat_f32s(*x.add(p * STRIDE * LANES));
                            for w in 0..W {
                                sums[p][w] = simd.mul_add_e_f32s(value, factors[w], sums[p][w]);
                            }
                        });
                        x = x.add(1);
                        weights = weights.add(1);
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
