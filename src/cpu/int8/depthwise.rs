//! Depthwise convolution: each channel with a kernel of its own.
//!
//! Four neighbouring pixels of sixteen channels are 64 bytes in a row; brought into the order of channels, they are
//! one operand, and four taps of a kernel's row are one instruction.

use super::isa::{Dot, Isa, Job, Traits};
use super::kernel::{Kernel, Out, Reads, Scratch, Tail};
use super::layout::{Bytes, Enlarges, LANES, Panel, Words};
use crate::cpu::blocked::conv::even_parts;
use crate::cpu::blocked::layout::Map;
use crate::cpu::blocked::slots::Rect;
use crate::cpu::blocked::vectors::{segment_len, segments};
use crate::int8::program;

/// Taps of an instruction.
pub(super) const QUAD: usize = 4;

/// Kernels of sixteen channels.
pub(super) struct Kernels {
    /// Rows, and quads of taps per row.
    pub rows: usize,
    pub quads: usize,
    /// `[row][quad]`, packed.
    pub taps: Vec<Panel>,
    pub bias: Words,
}

impl Kernels {
    /// `tap(lane, ky, kx)` for a kernel of that size; biases are corrected for the activations' offset.
    pub(super) fn new(
        [kh, kw]: [usize; 2],
        bias: [i32; LANES],
        traits: Traits,
        tap: impl Fn(usize, usize, usize) -> i8,
    ) -> Self {
        let quads = kw.div_ceil(QUAD);
        let mut taps = Vec::with_capacity(kh * quads);
        for (ky, first) in (0..kh).flat_map(|ky| (0..quads).map(move |quad| (ky, quad * QUAD))) {
            traits.pack(&mut taps, |lane, i| if first + i < kw { tap(lane, ky, first + i) } else { 0 });
        }
        let corrected = |lane: usize| {
            let all = (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx)));
            let sum: i32 = all.map(|(ky, kx)| i32::from(tap(lane, ky, kx))).sum();
            bias[lane].wrapping_sub(sum.wrapping_mul(traits.offset))
        };
        Kernels { rows: kh, quads, taps, bias: Words(std::array::from_fn(corrected)) }
    }
}

/// What a kernel's taps read: a place in a framed plane, and the distance of its rows.
#[derive(Clone, Copy)]
pub(super) struct Plane<'a> {
    pub blocks: &'a [Bytes],
    pub pitch: usize,
}

/// Adds the products of all taps to `sums`: those of `P` outputs of one row whose first tap is at `start`.
/// `QUADS` is the number of quads in a row, or 0 where only `kernels` knows.
#[inline(always)]
pub(super) fn sweep<D: Dot, const P: usize, const STRIDE: usize, const QUADS: usize>(
    dot: D,
    plane: Plane,
    start: usize,
    kernels: &Kernels,
    sums: &mut [D::Sums; P],
) {
    let quads = if QUADS == 0 { kernels.quads } else { QUADS };
    for (ky, taps) in kernels.taps.chunks_exact(quads * D::PARTS).enumerate() {
        let row = &plane.blocks[start + ky * plane.pitch..][..(P - 1) * STRIDE + quads * QUAD];
        for (q, taps) in taps.chunks_exact(D::PARTS).enumerate() {
            dot.column_products::<P, STRIDE>(&row[q * QUAD..][..(P - 1) * STRIDE + QUAD], taps, sums);
        }
    }
}

/// A depthwise convolution of a value whose halo is its padding.
pub(super) struct DepthwiseConv {
    /// For each plane.
    kernels: Vec<Kernels>,
    stride: usize,
    offset: [usize; 2],
    input: Map,
    output: Map,
    residual: Option<(Map, Vec<Enlarges>)>,
    tail: Tail,
    pieces: Vec<Rect>,
}

/// Largest padding that frames are made for.
const MAX_HALO: usize = 8;

impl DepthwiseConv {
    /// Whether it can compute such a convolution.
    pub(super) fn fits(op: &program::Conv) -> bool {
        let depthwise = op.groups > 1 && op.shape[0] == op.groups && op.shape[1] == 1;
        let regular = matches!(op.stride, [1, 1] | [2, 2]) && op.dilation == [1, 1];
        depthwise && regular && op.padding.iter().all(|p| *p <= MAX_HALO)
    }

    /// `input` must have a halo at least as wide as the padding.
    pub(super) fn new(
        op: &program::Conv,
        isa: Isa,
        [input, output]: [Map; 2],
        residual: Option<Map>,
        threads: usize,
    ) -> Self {
        let [_, _, kh, kw] = op.shape;
        let traits = isa.traits();
        let kernels = |plane: usize| {
            let bias = std::array::from_fn(|lane| op.bias.get(plane * LANES + lane).copied().unwrap_or(0));
            let tap = |lane: usize, ky: usize, kx: usize| {
                op.weight.get(((plane * LANES + lane) * kh + ky) * kw + kx).copied().unwrap_or(0)
            };
            Kernels::new([kh, kw], bias, traits, tap)
        };
        DepthwiseConv {
            kernels: (0..output.planes()).map(kernels).collect(),
            stride: op.stride[0],
            offset: op.padding.map(|p| input.halo - p),
            input,
            output,
            residual: residual.zip(op.residual.as_ref().map(|factors| Enlarges::blocks(factors))),
            tail: Tail::new(&op.output),
            pieces: cut(&output, output.planes() * LANES * kh * kw, threads),
        }
    }
}

/// Values times taps below which a piece is not worth handing out.
const SMALL_PIECE: usize = 1 << 17;

/// Pieces per thread, so that a thread that was held up does not hold up the others.
const PIECES_PER_THREAD: usize = 6;

/// Bands of rows, first of all planes of the upper rows, then of the lower ones: whoever made the upper rows of the
/// input takes the upper rows of the output. `work` is the number of products for one pixel.
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
        "depthwise i8"
    }

    fn output(&self) -> Map {
        self.output
    }

    fn makes_sums(&self) -> bool {
        self.tail.makes_sums()
    }

    fn pieces(&self) -> usize {
        self.pieces.len()
    }

    fn rect(&self, piece: usize) -> Rect {
        self.pieces[piece].clone()
    }

    fn run(&self, isa: Isa, _piece: usize, reads: &Reads, out: &mut Out, _scratch: &mut Scratch) {
        let planes = out.rect().planes;
        for plane in planes.clone() {
            isa.dispatch(Rows { conv: self, plane, reads, out });
        }
        self.tail.finish(isa, planes, out);
    }
}

struct Rows<'a, 'r, 'o> {
    conv: &'a DepthwiseConv,
    plane: usize,
    reads: &'a Reads<'r>,
    out: &'a mut Out<'o>,
}

impl Job for Rows<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        let segment = segment_len(self.conv.output.width).min(D::PIXELS);
        match (segment, self.conv.stride) {
            (7, 1) if D::PIXELS >= 7 => self.quads::<D, 7, 1>(dot),
            (7, _) if D::PIXELS >= 7 => self.quads::<D, 7, 2>(dot),
            (4, 1) if D::PIXELS >= 4 => self.quads::<D, 4, 1>(dot),
            (4, _) if D::PIXELS >= 4 => self.quads::<D, 4, 2>(dot),
            (2, 1) if D::PIXELS == 2 => self.quads::<D, 2, 1>(dot),
            (2, _) if D::PIXELS == 2 => self.quads::<D, 2, 2>(dot),
            (_, 1) => self.quads::<D, 1, 1>(dot),
            (_, _) => self.quads::<D, 1, 2>(dot),
        }
    }
}

impl Rows<'_, '_, '_> {
    #[inline(always)]
    fn quads<D: Dot, const P: usize, const STRIDE: usize>(self, dot: D) {
        match self.conv.kernels[self.plane].quads {
            1 => self.rows::<D, P, STRIDE, 1>(dot),
            2 => self.rows::<D, P, STRIDE, 2>(dot),
            _ => self.rows::<D, P, STRIDE, 0>(dot),
        }
    }

    #[inline(always)]
    fn rows<D: Dot, const P: usize, const STRIDE: usize, const QUADS: usize>(self, dot: D) {
        let DepthwiseConv { kernels, offset, input, residual, tail, .. } = self.conv;
        let (plane, kernels) = (self.plane, &kernels[self.plane]);
        let Rect { rows, columns, .. } = self.out.rect();
        let source = Plane { blocks: self.reads.values[0], pitch: input.pitch() };
        for y in rows {
            for x in segments(columns.clone(), P) {
                let start = plane * input.plane_len() + input.framed(y * STRIDE + offset[0], x * STRIDE + offset[1]);
                let mut sums = [dot.load(&kernels.bias); P];
                sweep::<D, P, STRIDE, QUADS>(dot, source, start, kernels, &mut sums);
                let residual = match residual {
                    Some((map, enlarges)) => Some((&self.reads.values[1][map.at(plane, y, x)..], &enlarges[plane])),
                    None => None,
                };
                tail.write(dot, sums, [plane, y, x], residual, self.out);
            }
        }
    }
}
