//! A convolution of the network's input, whose few channels would leave most lanes of a block empty:
//! every tap of every channel becomes a channel of its own (three channels and 3×3 taps: 27), a band of
//! rows at a time in the thread's scratch memory, and a pointwise convolution does the rest.
//!
//! This form takes any stride, padding and dilation.

use super::conv::{Conv, Spec};
use super::kernel::{Kernel, Reads, Scratch};
use super::layout::{Block, LANES, Map};
use super::slots::{Rect, Window};
use crate::graph::Shape;
use crate::ops::Conv2d;

/// Taps times channels beyond which unfolding costs more than it saves.
const MAX_DEPTH: usize = 16 * LANES;

pub(super) struct Stem {
    conv: Conv,
    op: Conv2d,
    kernel: [usize; 2],
    input: Shape,
    /// A band: a channel per tap and input channel.
    unfolded: Map,
}

impl Stem {
    /// Whether it is made for such a convolution of the input.
    pub(super) fn fits(op: &Conv2d, depth: usize) -> bool {
        op.groups == 1 && depth <= MAX_DEPTH
    }

    /// `spec` has the weights; `op` the geometry.
    pub(super) fn new(op: &Conv2d, spec: &Spec, input: Shape, output: Map, threads: usize) -> Self {
        let channels = input.channels * spec.kernel[0] * spec.kernel[1];
        let pointwise = Spec { kernel: [1, 1], stride: 1, padding: [0, 0], groups: 1, ..*spec };
        let unfolded = Map { channels, height: output.height, width: output.width, halo: 0 };
        let conv = Conv::unfolded(&pointwise, unfolded, output, threads);
        let height = (0..conv.pieces()).map(|i| conv.rect(i).rows.len()).max().unwrap_or(0);
        let unfolded = Map { height, ..unfolded };
        Stem { conv: conv.of_bands(unfolded), op: op.clone(), kernel: spec.kernel, input, unfolded }
    }

    /// Fills the band of these output rows.
    fn unfold(&self, image: &[f32], rows: std::ops::Range<usize>, blocks: &mut [Block]) {
        let [kh, kw] = self.kernel;
        let Shape { height, width, .. } = self.input;
        let Conv2d { stride, padding, dilation, .. } = self.op;
        for index in 0..self.unfolded.channels {
            let (channel, ky, kx) = (index / (kh * kw), index / kw % kh, index % kw);
            let (plane, lane) = (index / LANES, index % LANES);
            // The outputs whose tap lies within the input's row.
            let right = kx * dilation[1];
            let columns = self.unfolded.width;
            let begin = padding[1].saturating_sub(right).div_ceil(stride[1]).min(columns);
            let end = (width + padding[1]).saturating_sub(right).div_ceil(stride[1]).clamp(begin, columns);
            for (i, y) in rows.clone().enumerate() {
                let start = self.unfolded.at(plane, i, 0);
                let row = &mut blocks[start..start + columns];
                let y = (y * stride[0] + ky * dilation[0]).checked_sub(padding[0]).filter(|y| *y < height);
                let (Some(y), true) = (y, begin < end) else {
                    row.iter_mut().for_each(|block| block.0[lane] = 0.0);
                    continue;
                };
                row[..begin].iter_mut().for_each(|block| block.0[lane] = 0.0);
                row[end..].iter_mut().for_each(|block| block.0[lane] = 0.0);
                let first = (channel * height + y) * width;
                let source = &image[first + begin * stride[1] + right - padding[1]..first + width];
                let targets = row[begin..end].iter_mut();
                targets.zip(source.iter().step_by(stride[1])).for_each(|(block, v)| block.0[lane] = *v);
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
        let rows = self.conv.rect(piece).rows;
        let blocks = scratch.blocks(self.unfolded.len());
        self.unfold(reads.image, rows.clone(), blocks);
        self.conv.compute(piece, blocks, rows.start, &[], out);
    }
}
