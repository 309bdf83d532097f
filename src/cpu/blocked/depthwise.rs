//! Depthwise convolution: each channel with a kernel of its own.
//!
//! A vector is sixteen channels (or a part of them) of one pixel, so every tap is one product of a
//! vector of weights with a vector of the input. `P` neighbouring outputs are summed in registers,
//! a weight is loaded once for all of them.

use pulp::{Simd, WithSimd};

use super::conv::even_parts;
use super::kernel::{Kernel, Reads, Scratch};
use super::layout::{Block, LANES, Map};
use super::slots::{Rect, Window};
use super::sweep::{Lines, Plane, Sweep, lines};
use super::vectors::{activate, load, segment_len, store, vectors};
use crate::cpu::simd::Vectors;
use crate::ops::Activation;

/// Kernels of all channels, a block per plane and tap.
pub(super) struct Kernels {
    pub size: [usize; 2],
    pub weights: Vec<Block>,
    /// A block per plane.
    pub bias: Vec<Block>,
}

impl Kernels {
    /// Of `[channels, 1, kh, kw]` weights.
    pub(super) fn new(size: [usize; 2], weight: &[f32], bias: Option<&[f32]>, channels: usize) -> Self {
        let (taps, planes) = (size[0] * size[1], channels.div_ceil(LANES));
        let mut kernels = Kernels { size, weights: vec![Block::ZERO; planes * taps], bias: vec![Block::ZERO; planes] };
        for channel in 0..channels {
            let (plane, lane) = (channel / LANES, channel % LANES);
            for tap in 0..taps {
                kernels.weights[plane * taps + tap].0[lane] = weight[channel * taps + tap];
            }
            kernels.bias[plane].0[lane] = bias.map_or(0.0, |bias| bias[channel]);
        }
        kernels
    }

    /// A plane's kernels.
    fn taps(&self, plane: usize) -> Plane<'_> {
        let taps = self.size[0] * self.size[1];
        Plane { blocks: &self.weights[plane * taps..(plane + 1) * taps], pitch: self.size[1] }
    }
}

/// A depthwise convolution of a value whose halo is its padding.
pub(super) struct DepthwiseConv {
    kernels: Kernels,
    stride: usize,
    offset: [usize; 2],
    activation: Activation,
    input: Map,
    output: Map,
    residual: Option<Map>,
    pieces: Vec<Rect>,
}

impl DepthwiseConv {
    /// `input` must have a halo at least as wide as the padding; the stride is 1 or 2.
    pub(super) fn new(
        kernels: Kernels,
        stride: usize,
        padding: [usize; 2],
        activation: Activation,
        [input, output]: [Map; 2],
        residual: Option<Map>,
        threads: usize,
    ) -> Self {
        let offset = padding.map(|p| input.halo - p);
        let pieces = cut(&output, output.planes() * LANES * kernels.size[0] * kernels.size[1], threads);
        DepthwiseConv { kernels, stride, offset, activation, input, output, residual, pieces }
    }
}

/// Values times taps below which a piece is not worth handing out.
const SMALL_PIECE: usize = 1 << 16;

/// Pieces per thread, so that a thread that was held up does not hold up the others.
const PIECES_PER_THREAD: usize = 6;

/// Bands of rows, first of all planes of the upper rows, then of the lower ones: whoever made the upper
/// rows of the input takes the upper rows of the output, and has them in its cache. `work` is the
/// number of products for one pixel.
pub(super) fn cut(output: &Map, work: usize, threads: usize) -> Vec<Rect> {
    let products = work * output.height * output.width;
    let wanted = if threads > 1 { (threads * PIECES_PER_THREAD).min(products / SMALL_PIECE).max(1) } else { 1 };
    let bands = threads.min(wanted).min(output.height).max(1);
    let parts = wanted.div_ceil(bands).clamp(1, output.planes());
    let mut pieces = Vec::new();
    for rows in even_parts(output.height, bands) {
        for planes in even_parts(output.planes(), parts) {
            pieces.push(Rect { planes, rows: rows.clone(), columns: 0..output.width });
        }
    }
    pieces
}

impl Kernel for DepthwiseConv {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn output(&self) -> Map {
        self.output
    }

    fn pieces(&self) -> usize {
        self.pieces.len()
    }

    fn rect(&self, piece: usize) -> Rect {
        self.pieces[piece].clone()
    }

    fn run(&self, _piece: usize, reads: &Reads, out: &mut Window, _scratch: &mut Scratch) {
        Vectors::new().dispatch(Job { conv: self, reads, out });
    }
}

struct Job<'a, 'r, 'w> {
    conv: &'a DepthwiseConv,
    reads: &'a Reads<'r>,
    out: &'a mut Window<'w>,
}

impl WithSimd for Job<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (segment_len(self.conv.output.width), self.conv.stride) {
            (7, 1) => self.rows::<S, 7, 1>(simd),
            (7, _) => self.rows::<S, 7, 2>(simd),
            (4, 1) => self.rows::<S, 4, 1>(simd),
            (4, _) => self.rows::<S, 4, 2>(simd),
            (_, 1) => self.rows::<S, 1, 1>(simd),
            (_, _) => self.rows::<S, 1, 2>(simd),
        }
    }
}

impl Job<'_, '_, '_> {
    #[inline(always)]
    fn rows<S: Simd, const P: usize, const STRIDE: usize>(self, simd: S) {
        let DepthwiseConv { kernels, offset, input, output, residual, activation, .. } = self.conv;
        let Rect { planes, rows, .. } = self.out.rect().clone();
        // What is left to do when a row's sums are there.
        let simple = residual.is_none() && matches!(activation, Activation::None | Activation::Relu);
        let relu = simple && *activation == Activation::Relu;
        for plane in planes {
            let blocks = &self.reads.values[0][plane * input.plane_len()..(plane + 1) * input.plane_len()];
            let (source, taps) = (Plane { blocks, pitch: input.pitch() }, kernels.taps(plane));
            let start = input.framed(rows.start * STRIDE + offset[0], offset[1]);
            let first = Sweep { plane: source, start, taps, size: kernels.size };
            let (bias, out, pitch) = (&kernels.bias[plane], self.out.rows(plane), output.pitch());
            let (vectors, columns, rows, step) = (0..vectors::<S>(), output.width, rows.len(), STRIDE * input.pitch());
            lines::<S, P, STRIDE>(
                simd,
                Lines { vectors, bias, columns, rows, first, step, second: None, relu, out, pitch },
            );
            if !simple {
                for y in self.out.rect().rows.clone() {
                    let residual = residual.map(|map| &self.reads.values[1][map.at(plane, y, 0)..]);
                    finish::<S>(simd, *activation, residual, self.out.row(plane, y));
                }
            }
        }
    }
}

/// `row = activation(row [+ residual])`.
#[inline(always)]
fn finish<S: Simd>(simd: S, activation: Activation, residual: Option<&[Block]>, row: &mut [Block]) {
    for (i, block) in row.iter_mut().enumerate() {
        for v in 0..vectors::<S>() {
            let mut value = load::<S>(block, v);
            if let Some(residual) = residual {
                value = simd.add_f32s(value, load::<S>(&residual[i], v));
            }
            store::<S>(block, v, activate(simd, activation, value));
        }
    }
}
