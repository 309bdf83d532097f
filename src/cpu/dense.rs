//! Dense and grouped convolution as a matrix product per image and group:
//! `[out, in·kh·kw] · [in·kh·kw, pixels]`.
//!
//! The right-hand matrix (im2col) is made for a band of output rows at a time, which bounds its
//! memory; for a 1×1 convolution of stride 1 it is the input itself.

use super::matmul::{Matrix, multiply};
use super::*;

/// Values that a band's matrix may hold, unless a single row needs more.
const BAND: usize = 1 << 20;

/// Sizes within one group of one image.
struct Geometry<'a> {
    conv: &'a Conv2d,
    kernel: [usize; 2],
    input: [usize; 2],
    output: [usize; 2],
    channels: usize,
    out_channels: usize,
}

/// The convolution of `inputs[0]`, with the residual `inputs[1]` if there is one.
pub(super) fn run(conv: &Conv2d, inputs: &[&Tensor], shape: Shape, params: &Params) -> Tensor {
    let x = inputs[0];
    let n = batch(x);
    let groups = conv.groups;
    let (weight, bias) = (params.tensor(conv.weight), conv.bias.map(|id| params.tensor(id).data()));
    let geometry = Geometry {
        conv,
        kernel: conv.kernel(params),
        input: extent(x),
        output: [shape.height, shape.width],
        channels: x.shape()[1] / groups,
        out_channels: shape.channels / groups,
    };
    let (x_len, weight_len) = (x.len() / (n * groups), weight.len() / groups);
    let out_len = geometry.out_channels * shape.pixels();
    let mut out = output(n, shape);
    let work = |index: usize, out: &mut [f32], shared: bool| {
        let group = index % groups;
        let weight = &weight.data()[group * weight_len..(group + 1) * weight_len];
        let bias = bias.map(|b| &b[group * geometry.out_channels..(group + 1) * geometry.out_channels]);
        let residual = inputs.get(1).map(|r| &r.data()[index * out_len..(index + 1) * out_len]);
        geometry.run(&x.data()[index * x_len..(index + 1) * x_len], weight, bias, residual, out, shared);
    };
    // Where there are enough images and groups, each is one thread's; otherwise the threads share
    // every product.
    if n * groups >= parallel::threads() {
        parallel::for_each_piece(out.data_mut(), out_len, |i, out| work(i, out, false));
    } else {
        let pieces = out.data_mut().chunks_mut(out_len).enumerate();
        pieces.for_each(|(i, out)| work(i, out, true));
    }
    out
}

impl Geometry<'_> {
    /// One group of one image; the threads share the work if `shared`, else it is the caller's.
    fn run(
        &self,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        residual: Option<&[f32]>,
        out: &mut [f32],
        shared: bool,
    ) {
        let [rows, columns] = self.output;
        let pixels = rows * columns;
        let depth = self.channels * self.kernel[0] * self.kernel[1];
        let weight = Matrix::new(weight, self.out_channels, depth);
        if self.is_pointwise() {
            multiply(weight, Matrix::new(x, depth, pixels), out, pixels, parallel::gemm_threads(shared));
        } else {
            let band = (BAND / (depth * columns).max(1)).clamp(1, rows);
            let mut matrix = vec![0.0; depth * band * columns];
            for first in (0..rows).step_by(band) {
                let band = band.min(rows - first);
                let matrix = &mut matrix[..depth * band * columns];
                self.unfold(x, first, band, matrix, shared);
                let matrix = Matrix::new(matrix, depth, band * columns);
                multiply(weight, matrix, &mut out[first * columns..], pixels, parallel::gemm_threads(shared));
            }
        }
        let finish = |channel: usize, row: &mut [f32]| {
            let residual = residual.map(|r| &r[channel * pixels..(channel + 1) * pixels]);
            epilogue::finish(row, bias.map_or(0.0, |b| b[channel]), residual, self.conv.activation);
        };
        parallel::for_each_piece_if(shared, out, pixels, finish);
    }

    fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.conv.stride == [1, 1] && self.conv.padding == [0, 0]
    }

    /// Writes the matrix of a band of output rows: a row per (channel, tap), a column per pixel.
    fn unfold(&self, x: &[f32], first: usize, band: usize, matrix: &mut [f32], shared: bool) {
        let [kh, kw] = self.kernel;
        let len = band * self.output[1];
        let plane = self.input[0] * self.input[1];
        let work = |index: usize, row: &mut [f32]| {
            let (channel, tap) = (index / (kh * kw), index % (kh * kw));
            let x = &x[channel * plane..(channel + 1) * plane];
            self.unfold_tap(x, [tap / kw, tap % kw], first, row);
        };
        parallel::for_each_piece_if(shared, matrix, len, work);
    }

    /// What one tap reads of one channel, for all pixels of the band.
    fn unfold_tap(&self, x: &[f32], tap: [usize; 2], first: usize, out: &mut [f32]) {
        let Conv2d { stride, padding, dilation, .. } = *self.conv;
        let ([height, width], columns) = (self.input, self.output[1]);
        let (down, right) = (tap[0] * dilation[0], tap[1] * dilation[1]);
        // Columns whose tap lies within the input's row.
        let begin = padding[1].saturating_sub(right).div_ceil(stride[1]).min(columns);
        let end = (width + padding[1]).saturating_sub(right).div_ceil(stride[1]).clamp(begin, columns);
        for (y, row) in out.chunks_mut(columns).enumerate() {
            let y = ((first + y) * stride[0] + down).checked_sub(padding[0]).filter(|y| *y < height);
            let (Some(y), true) = (y, begin < end) else {
                row.fill(0.0);
                continue;
            };
            row[..begin].fill(0.0);
            row[end..].fill(0.0);
            let source = &x[y * width + begin * stride[1] + right - padding[1]..(y + 1) * width];
            if stride[1] == 1 {
                row[begin..end].copy_from_slice(&source[..end - begin]);
            } else {
                row[begin..end].iter_mut().zip(source.iter().step_by(stride[1])).for_each(|(t, s)| *t = *s);
            }
        }
    }
}
