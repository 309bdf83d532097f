//! A convolution of the network's input, whose few channels would leave most lanes of a block empty:
//! every tap of every channel becomes a channel of its own (three channels and 3×3 taps: 27), a band of
//! rows at a time in the thread's scratch memory, and a pointwise convolution does the rest.
//!
//! The band's input rows first come together as quads, four channels of a pixel, so that a tap of a pixel
//! is one copy. This form takes any stride and dilation.

use std::ops::Range;

use super::conv::{Conv, Spec};
use super::kernel::{Kernel, Reads, Scratch};
use super::layout::{LANES, Map};
use super::slots::{Rect, Window};
use crate::graph::Shape;
use crate::ops::Conv2d;

/// Channels of a pixel that are copied at a time.
const QUAD: usize = 4;

/// Planes of unfolded channels that the convolution can take.
const MAX_PLANES: usize = 2;

pub(super) struct Stem {
    conv: Conv,
    op: Conv2d,
    kernel: [usize; 2],
    input: Shape,
    width: usize,
    /// Blocks per unfolded pixel.
    planes: usize,
}

impl Stem {
    /// Whether it can compute such a convolution of the input.
    pub(super) fn fits(op: &Conv2d, channels: usize, kernel: [usize; 2]) -> bool {
        let near = |axis: usize| op.padding[axis] <= LANES && (kernel[axis] - 1) * op.dilation[axis] <= 4 * LANES;
        let (taps, depth) = (kernel[0] * kernel[1], channels * kernel[0] * kernel[1]);
        // The last tap's quad may reach beyond its channels.
        let room = depth.div_ceil(LANES) * LANES >= (taps - 1) * channels + QUAD;
        op.groups == 1 && channels <= QUAD && depth <= MAX_PLANES * LANES && near(0) && near(1) && room
    }

    /// `spec` has the weights; `op` the geometry.
    pub(super) fn new(op: &Conv2d, spec: &Spec, input: Shape, output: Map, threads: usize) -> Self {
        let taps = spec.kernel[0] * spec.kernel[1];
        let channels = input.channels * taps;
        // Unfolded channels in the order in which they are copied: all channels of a tap.
        let depth_first = |w: &[f32]| -> Vec<f32> {
            (0..channels).map(|i| w[i % input.channels * taps + i / input.channels]).collect()
        };
        let weight: Vec<f32> = spec.weight.chunks_exact(channels).flat_map(depth_first).collect();
        let pointwise = Spec { weight: &weight, kernel: [1, 1], stride: 1, padding: [0, 0], groups: 1, ..*spec };
        let unfolded = Map { channels, height: output.height, width: output.width, halo: 0 };
        let conv = Conv::side_by_side(&pointwise, unfolded, output, threads);
        let (op, kernel, width, planes) = (op.clone(), spec.kernel, output.width, unfolded.planes());
        Stem { conv, op, kernel, input, width, planes }
    }

    /// Rows and columns of the quads that these output rows read, their padding among them.
    fn quads(&self, rows: usize) -> [usize; 2] {
        let extent = |axis: usize, len: usize| {
            (len - 1) * self.op.stride[axis] + (self.kernel[axis] - 1) * self.op.dilation[axis] + 1
        };
        [extent(0, rows), extent(1, self.width)]
    }

    /// Collects the input's channels, with zeros around it.
    fn collect(&self, image: &[f32], top: usize, [rows, columns]: [usize; 2], quads: &mut [[f32; QUAD]]) {
        let Shape { channels, height, width } = self.input;
        let [above, left] = self.op.padding;
        let (begin, end) = (left.min(columns), (left + width).min(columns));
        for (i, row) in quads.chunks_exact_mut(columns).take(rows).enumerate() {
            let Some(y) = (top * self.op.stride[0] + i).checked_sub(above).filter(|y| *y < height) else {
                row.fill([0.0; QUAD]);
                continue;
            };
            row[..begin].fill([0.0; QUAD]);
            row[end..].fill([0.0; QUAD]);
            for channel in 0..channels {
                let source = &image[(channel * height + y) * width..][..width];
                row[begin..end].iter_mut().zip(source).for_each(|(quad, v)| quad[channel] = *v);
            }
        }
    }

    /// One output row's unfolded pixels, which have `N` values each. Quads overlap: the lanes beyond a tap's
    /// channels are written again by the next.
    fn unfold<const N: usize>(&self, quads: &[[f32; QUAD]], columns: usize, row: &mut [[f32; N]]) {
        let [_, kw] = self.kernel;
        let Conv2d { stride, dilation, .. } = self.op;
        for tap in 0..self.kernel[0] * kw {
            let lane = tap * self.input.channels;
            let start = tap / kw * dilation[0] * columns + tap % kw * dilation[1];
            let quads = quads[start..].chunks(stride[1]);
            for (pixel, quad) in row.iter_mut().zip(quads) {
                pixel[lane..lane + QUAD].copy_from_slice(&quad[0]);
            }
        }
    }
}

impl Kernel for Stem {
    fn name(&self) -> &'static str {
        "unfolded"
    }

    fn output(&self) -> Map {
        self.conv.output()
    }

    fn pieces(&self) -> usize {
        self.conv.pieces()
    }

    fn rect(&self, piece: usize) -> Rect {
        self.conv.rect(piece)
    }

    fn run(&self, piece: usize, reads: &Reads, out: &mut Window, scratch: &mut Scratch) {
        let rows: Range<usize> = self.conv.rect(piece).rows;
        let [quad_rows, columns] = self.quads(rows.len());
        let len = rows.len() * self.width * self.planes;
        let quads = (quad_rows * columns).div_ceil(LANES / QUAD);
        let (blocks, quads) = scratch.blocks(len + quads).split_at_mut(len);
        let quads: &mut [[f32; QUAD]] = bytemuck::cast_slice_mut(quads);
        self.collect(reads.image, rows.start, [quad_rows, columns], quads);
        for (i, row) in blocks.chunks_exact_mut(self.width * self.planes).enumerate() {
            let quads = &quads[i * self.op.stride[0] * columns..];
            match self.planes {
                1 => self.unfold::<LANES>(quads, columns, bytemuck::cast_slice_mut(row)),
                _ => self.unfold::<{ 2 * LANES }>(quads, columns, bytemuck::cast_slice_mut(row)),
            }
        }
        self.conv.compute(piece, blocks, &[], out);
    }
}
