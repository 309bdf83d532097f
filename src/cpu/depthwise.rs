//! Convolution of one plane with one kernel, for everything depthwise.
//!
//! The plane is first copied with its zero padding into a scratch plane, split by the stride into
//! phases: with stride 2, even and odd rows and columns each get a plane of their own. In that
//! form every tap of the kernel, for any stride, padding and dilation, reads at a fixed distance
//! from the output's position, so all taps are accumulated over long runs of neighbours without
//! any test for edges. The output is computed in the scratch plane's pitch; what lies beyond a
//! row's end is not copied out.

use pulp::{Simd, WithSimd};

use super::simd::Vectors;
use super::*;

/// Vectors that are accumulated at a time, in registers.
const VECTORS: usize = 8;

/// Values of that many of the widest vectors.
const MAX_BLOCK: usize = VECTORS * 16;

/// Which inputs a convolution's outputs see. The pairs are (vertical, horizontal).
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
}

impl Window {
    /// Rows and columns of a phase's plane.
    fn phase(&self, output: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|axis| output[axis] + (self.kernel[axis] - 1) * self.dilation[axis] / self.stride[axis])
    }

    /// Whether the padded planes are not much larger than the planes themselves. Absurd paddings
    /// and dilations are for algorithms that do not store the padding.
    pub(super) fn is_modest(&self, input: [usize; 2], output: [usize; 2]) -> bool {
        const FAR: usize = 1 << 12;
        let near = |axis: usize| {
            self.padding[axis] <= FAR && (self.kernel[axis] - 1).saturating_mul(self.dilation[axis]) <= FAR
        };
        near(0) && near(1) && {
            let phase = self.phase(output).iter().product::<usize>();
            let phases: usize = [0, 1].iter().map(|axis| self.stride[*axis].min(self.kernel[*axis])).product();
            let planes = input.iter().product::<usize>() + output.iter().product::<usize>();
            phase.saturating_mul(phases) <= planes.saturating_mul(64).saturating_add(FAR)
        }
    }
}

/// A convolution of planes of one size.
pub(super) struct PlaneConv {
    window: Window,
    input: [usize; 2],
    output: [usize; 2],
    /// Rows and columns of a phase's plane.
    phase: [usize; 2],
    /// Phases that some tap reads, (vertical, horizontal).
    phases: Vec<[usize; 2]>,
    /// Distance of each tap from the output's position, in the scratch memory.
    offsets: Vec<usize>,
}

impl PlaneConv {
    /// Prepares the convolution.
    pub(super) fn new(window: Window, input: [usize; 2], output: [usize; 2]) -> Self {
        let Window { kernel, stride, dilation, .. } = window;
        let phase = window.phase(output);
        let mut phases: Vec<[usize; 2]> = Vec::new();
        let mut offsets = Vec::with_capacity(kernel[0] * kernel[1]);
        for tap in 0..kernel[0] * kernel[1] {
            let (y, x) = (tap / kernel[1] * dilation[0], tap % kernel[1] * dilation[1]);
            let key = [y % stride[0], x % stride[1]];
            let index = phases.iter().position(|p| *p == key).unwrap_or_else(|| {
                phases.push(key);
                phases.len() - 1
            });
            offsets.push((index * phase[0] + y / stride[0]) * phase[1] + x / stride[1]);
        }
        PlaneConv { window, input, output, phase, phases, offsets }
    }

    /// `out = conv(x)`; `weight` has one value per tap, row-major.
    pub(super) fn run(&self, x: &[f32], weight: &[f32], out: &mut [f32]) {
        let [rows, columns] = self.output;
        let [_, pitch] = self.phase;
        let planes = self.phases.len() * self.phase[0] * pitch;
        // Both parts are longer than needed, for the last block to be a whole one.
        let flat = ((rows - 1) * pitch + columns).next_multiple_of(MAX_BLOCK);
        let mut scratch = vec![0.0; planes + MAX_BLOCK + flat];
        let (padded, flat) = scratch.split_at_mut(planes + MAX_BLOCK);
        self.fill(x, padded);
        Vectors::new().dispatch(Sweep { offsets: &self.offsets, weight, padded, out: flat });
        for (out, flat) in out.chunks_mut(columns).zip(flat.chunks(pitch)) {
            out.copy_from_slice(&flat[..columns]);
        }
    }

    /// Copies the plane into its padded phases; `scratch` holds zeros.
    fn fill(&self, x: &[f32], scratch: &mut [f32]) {
        let Window { stride, padding, .. } = self.window;
        let [height, width] = self.input;
        let [rows, pitch] = self.phase;
        for (index, [py, px]) in self.phases.iter().enumerate() {
            // Position q of a phase holds the input's q·stride + phase − padding.
            for row in 0..rows {
                let Some(y) = (row * stride[0] + py).checked_sub(padding[0]).filter(|y| *y < height) else {
                    continue;
                };
                let first = padding[1].saturating_sub(*px).div_ceil(stride[1]);
                if first >= pitch {
                    continue;
                }
                let start = (index * rows + row) * pitch;
                let target = &mut scratch[start + first..start + pitch];
                let begin = (first * stride[1] + px - padding[1]).min(width);
                let source = &x[y * width + begin..(y + 1) * width];
                if stride[1] == 1 {
                    let len = target.len().min(source.len());
                    target[..len].copy_from_slice(&source[..len]);
                } else {
                    target.iter_mut().zip(source.iter().step_by(stride[1])).for_each(|(t, s)| *t = *s);
                }
            }
        }
    }
}

/// `out[i] = Σ weight[tap] · padded[i + offsets[tap]]`.
struct Sweep<'a> {
    offsets: &'a [usize],
    weight: &'a [f32],
    padded: &'a [f32],
    /// Of a length that is a multiple of [`MAX_BLOCK`].
    out: &'a mut [f32],
}

impl WithSimd for Sweep<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        const { assert!(MAX_BLOCK.is_multiple_of(VECTORS * S::F32_LANES), "wider vectors than MAX_BLOCK has room for") };
        let block = VECTORS * S::F32_LANES;
        for (i, out) in self.out.chunks_exact_mut(block).enumerate() {
            let mut sums = [simd.splat_f32s(0.0); VECTORS];
            for (offset, w) in self.offsets.iter().zip(self.weight) {
                let start = i * block + offset;
                let (values, _) = S::as_simd_f32s(&self.padded[start..start + block]);
                let w = simd.splat_f32s(*w);
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum = simd.mul_add_e_f32s(w, *value, *sum);
                }
            }
            S::as_mut_simd_f32s(out).0.copy_from_slice(&sums);
        }
    }
}

/// One of the depthwise convolutions of a [`ChunkConv`] or [`CopyConv`] with its weights.
pub(super) struct Plane<'a> {
    conv: PlaneConv,
    weight: &'a [f32],
    bias: &'a [f32],
}

impl<'a> Plane<'a> {
    /// The part, for input planes of `input` pixels; padding `(k − 1)/2`.
    pub(super) fn new(part: Depthwise, stride: usize, input: [usize; 2], params: &'a Params) -> Self {
        let kernel = part.kernel(params);
        let padding = kernel.map(|k| (k - 1) / 2);
        let window = Window { kernel, stride: [stride; 2], padding, dilation: [1, 1] };
        let conv = PlaneConv::new(window, input, input.map(|len| len.div_ceil(stride)));
        Plane { conv, weight: params.tensor(part.weight).data(), bias: params.tensor(part.bias).data() }
    }

    /// `out = conv(x) + bias` with the kernel of `channel`.
    pub(super) fn run(&self, channel: usize, x: &[f32], out: &mut [f32]) {
        let taps = self.conv.offsets.len();
        self.conv.run(x, &self.weight[channel * taps..(channel + 1) * taps], out);
        epilogue::finish(out, self.bias[channel], None, Activation::None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vector_width_gives_the_same_sums() {
        let padded: Vec<f32> = (0..3 * MAX_BLOCK).map(|i| (i * 29 % 64) as f32).collect();
        let (offsets, weight) = ([0, 3, 17], [1.0, -2.0, 0.5]);
        let expected: Vec<f32> =
            (0..2 * MAX_BLOCK).map(|i| padded[i] - 2.0 * padded[i + 3] + 0.5 * padded[i + 17]).collect();
        let mut scalar = vec![f32::NAN; expected.len()];
        let mut widest = scalar.clone();
        let sweep = |out| Sweep { offsets: &offsets, weight: &weight, padded: &padded, out };
        sweep(&mut scalar).with_simd(pulp::Scalar::new());
        Vectors::new().dispatch(sweep(&mut widest));
        assert_eq!((&scalar, &widest), (&expected, &expected));
    }
}
