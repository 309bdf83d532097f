//! Dense and grouped convolution, weights packed once: a register tile of `P` pixels × `T` blocks of
//! output channels is summed over all taps and input channels and finished (bias, residual,
//! activation) before it is stored.
//!
//! Per product of the tile, one value of each pixel is broadcast and multiplied with `T` vectors of
//! weights: 7 × 3 vectors of AVX-512 are 21 sums for 10 loads, all within 32 registers, and products run
//! at the machine's full rate. Machines with narrower vectors have tiles of 4 pixels × 1 block. Weights lie in the order of use, `[tile][input plane][ky][kx][16 inputs][T]`,
//! and are read once per tile of pixels, as a stream. Nothing is unfolded: pixels are a constant
//! distance apart, and the input's frame of zeros is its padding.
//!
//! At most [`RUN`] products are added up before they go into a tile's totals, which keeps the rounding
//! of a sum of twenty thousand products at that of a few hundred. The weights of a run fit the first cache,
//! and up to [`BATCH`] tiles use them before the next run's are read.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::kernel::{Kernel, Reads, Scratch};
use super::layout::{Block, LANES, Map};
use super::slots::{Rect, Window};
use super::vectors::{activate, load, segment_len, segments, store, vectors, width};
use crate::ops::Activation;

/// Products that are added up in one go, unless a single row of taps has more: 27 KiB of weights for
/// a tile of three AVX-512 vectors.
const RUN: usize = 144;

/// Tiles of pixels that share the weights of a run.
const BATCH: usize = 8;

/// Most blocks of output channels in a tile; a fourth would not leave registers for the operands.
const MAX_TILE: usize = 3;

/// What a dense convolution computes, apart from where its values lie.
pub(super) struct Spec<'a> {
    /// `[out, in / groups, kh, kw]`.
    pub weight: &'a [f32],
    /// `[out]`.
    pub bias: Option<&'a [f32]>,
    pub kernel: [usize; 2],
    pub stride: usize,
    pub padding: [usize; 2],
    /// 1, or such that both channels per group are multiples of 16.
    pub groups: usize,
    pub activation: Activation,
}

/// A dense convolution with packed weights.
pub(super) struct Conv {
    taps: Taps,
    stride: usize,
    activation: Activation,
    input: Map,
    output: Map,
    residual: Option<Map>,
    tiles: Vec<Tile>,
    panels: Vec<Block>,
    /// A block per output plane.
    bias: Vec<Block>,
    pieces: Vec<Piece>,
    segment: usize,
}

/// What a tile reads of the input.
#[derive(Clone, Copy)]
struct Taps {
    kernel: [usize; 2],
    /// Rows and columns from the input's frame to the first tap of the first output.
    offset: [usize; 2],
    /// Input planes of a group, and channels in the last of them.
    planes: usize,
    last: usize,
    plane_len: usize,
    pitch: usize,
    /// Rows of taps whose products are added up in one go.
    run: usize,
}

/// Neighbouring blocks of output channels that are computed together.
#[derive(Clone, Debug)]
struct Tile {
    planes: Range<usize>,
    /// First input plane of its group.
    input: usize,
    panel: Range<usize>,
}

/// What one thread takes at a time.
struct Piece {
    tiles: Range<usize>,
    rect: Rect,
}

impl Conv {
    /// Packs the weights and cuts the work in pieces for that many threads. `input` must have a
    /// halo at least as wide as the padding.
    pub(super) fn new(spec: &Spec, input: Map, output: Map, residual: Option<Map>, threads: usize) -> Self {
        let Spec { kernel, stride, padding, .. } = *spec;
        // Without frames and borders, all pixels are one long row.
        let plain = kernel == [1, 1] && stride == 1 && padding == [0, 0];
        let flat = || Some((input.flat()?, output.flat()?, residual.map_or(Some(None), |r| r.flat().map(Some))?));
        let (input, output, residual) = plain.then(flat).flatten().unwrap_or((input, output, residual));
        Self::build(spec, input, output, residual, threads)
    }

    /// A pointwise convolution of an input that somebody else makes band by band, all planes of a pixel side
    /// by side: one or two.
    pub(super) fn side_by_side(spec: &Spec, input: Map, output: Map, threads: usize) -> Self {
        let conv = Self::build(spec, input, output, None, threads);
        let stride = input.planes();
        debug_assert!(stride <= 2, "kernels know strides of one and two");
        Conv { taps: Taps { plane_len: 1, ..conv.taps }, stride, ..conv }
    }

    fn build(spec: &Spec, input: Map, output: Map, residual: Option<Map>, threads: usize) -> Self {
        let Spec { kernel, stride, padding, groups, activation, .. } = *spec;
        let channels = input.channels / groups;
        let taps = Taps {
            kernel,
            offset: padding.map(|p| input.halo - p),
            planes: channels.div_ceil(LANES),
            last: (channels - 1) % LANES + 1,
            plane_len: input.plane_len(),
            pitch: input.pitch(),
            run: (RUN / (kernel[1] * LANES)).max(1),
        };
        let per_group = (output.channels / groups).div_ceil(LANES);
        let wide = width() == LANES;
        let widest = if wide { MAX_TILE } else { 1 };
        let depth = channels * kernel[0] * kernel[1];
        let mut tiles = Vec::new();
        let mut panels = Vec::new();
        for group in 0..groups {
            for part in even_parts(per_group, per_group.div_ceil(widest)) {
                let planes = group * per_group + part.start..group * per_group + part.end;
                let start = panels.len();
                pack(spec, channels, output.channels, planes.clone(), &mut panels);
                debug_assert_eq!(panels.len() - start, depth * planes.len());
                tiles.push(Tile { planes, input: group * taps.planes, panel: start..panels.len() });
            }
        }
        let mut bias = vec![Block::ZERO; output.planes()];
        for (channel, value) in spec.bias.iter().copied().flatten().enumerate() {
            bias[channel / LANES].0[channel % LANES] = *value;
        }
        let segment = segment_len(output.width).min(if wide { 7 } else { 4 });
        let pieces = cut(&tiles, &panels, &input, &output, segment, depth, threads);
        Conv { taps, stride, activation, input, output, residual, tiles, panels, bias, pieces, segment }
    }

    /// Computes a piece from an input that was made for the output's rows from `top` on.
    pub(super) fn compute(&self, piece: usize, x: &[Block], top: usize, residual: &[Block], out: &mut Window) {
        Arch::new().dispatch(Job { conv: self, tiles: self.pieces[piece].tiles.clone(), x, top, residual, out });
    }
}

impl Kernel for Conv {
    fn name(&self) -> &'static str {
        match self.taps.kernel {
            [1, 1] => "pointwise",
            _ => "direct",
        }
    }

    fn output(&self) -> Map {
        self.output
    }

    fn pieces(&self) -> usize {
        self.pieces.len()
    }

    fn rect(&self, piece: usize) -> Rect {
        self.pieces[piece].rect.clone()
    }

    fn run(&self, piece: usize, reads: &Reads, out: &mut Window, _scratch: &mut Scratch) {
        self.compute(piece, reads.values[0], 0, reads.values[1], out);
    }
}

/// Splits `0..len` in that many parts whose lengths differ by one at most.
pub(super) fn even_parts(len: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    (0..parts).map(move |i| i * len / parts..(i + 1) * len / parts)
}

/// Appends the weights of some output planes in the order of use.
fn pack(spec: &Spec, channels: usize, out_channels: usize, planes: Range<usize>, panels: &mut Vec<Block>) {
    let taps = spec.kernel[0] * spec.kernel[1];
    for first in (0..channels).step_by(LANES) {
        for tap in 0..taps {
            for input in first..channels.min(first + LANES) {
                for plane in planes.clone() {
                    let mut block = Block::ZERO;
                    for (lane, w) in block.0.iter_mut().enumerate() {
                        let out = plane * LANES + lane;
                        if out < out_channels {
                            *w = spec.weight[(out * channels + input) * taps + tap];
                        }
                    }
                    panels.push(block);
                }
            }
        }
    }
}

/// Weights that stay in a core's cache while it goes over its pixels.
const CACHED_WEIGHTS: usize = 256 << 10;

/// Products below which a piece is not worth handing out.
const SMALL_PIECE: usize = 1 << 19;

/// Pieces per thread, so that a thread that was held up does not hold up the others.
const PIECES_PER_THREAD: usize = 6;

/// Small weights: bands of pixels, all channels each. Large ones: each tile of channels is a piece
/// (or few), so that every thread reads a part of the weights only.
fn cut(
    tiles: &[Tile],
    panels: &[Block],
    input: &Map,
    output: &Map,
    segment: usize,
    depth: usize,
    threads: usize,
) -> Vec<Piece> {
    let products = output.planes() * LANES * output.height * output.width * depth;
    let wanted = if threads > 1 { (threads * PIECES_PER_THREAD).min(products / SMALL_PIECE).max(1) } else { 1 };
    let by_pixels = size_of_val(panels) <= CACHED_WEIGHTS;
    let groups: Vec<Range<usize>> =
        if by_pixels { vec![0..tiles.len()] } else { (0..tiles.len()).map(|i| i..i + 1).collect() };
    // All tiles of a band read the same input, from the cache if it is small enough.
    let for_cache = if by_pixels && tiles.len() > 1 { input.len() * size_of::<Block>() / CACHED_WEIGHTS } else { 1 };
    let bands = wanted.div_ceil(groups.len()).max(for_cache).max(1);
    let areas: Vec<(Range<usize>, Range<usize>)> = if output.height == 1 {
        let whole = output.width / segment;
        let parts = even_parts(whole, bands.min(whole));
        // The last part has what is left of the row.
        let column = |s: usize| if s == whole { output.width } else { s * segment };
        parts.map(|part| (0..1, column(part.start)..column(part.end))).collect()
    } else {
        even_parts(output.height, bands.min(output.height)).map(|rows| (rows, 0..output.width)).collect()
    };
    let mut pieces = Vec::new();
    for tiles_range in &groups {
        let planes = tiles[tiles_range.start].planes.start..tiles[tiles_range.end - 1].planes.end;
        for (rows, columns) in &areas {
            let rect = Rect { planes: planes.clone(), rows: rows.clone(), columns: columns.clone() };
            pieces.push(Piece { tiles: tiles_range.clone(), rect });
        }
    }
    pieces
}

/// The tiles of one piece.
struct Job<'a, 'w> {
    conv: &'a Conv,
    tiles: Range<usize>,
    x: &'a [Block],
    /// First output row that `x` was made for.
    top: usize,
    residual: &'a [Block],
    out: &'a mut Window<'w>,
}

impl WithSimd for Job<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for tile in &self.conv.tiles[self.tiles.clone()] {
            // Vectors per pixel of the tile.
            match tile.planes.len() * vectors::<S>() {
                1 => self.tile::<S, 1>(simd, tile),
                2 => self.tile::<S, 2>(simd, tile),
                3 => self.tile::<S, 3>(simd, tile),
                4 => self.tile::<S, 4>(simd, tile),
                _ => self.tile::<S, LANES>(simd, tile),
            }
        }
    }
}

impl Job<'_, '_> {
    #[inline(always)]
    fn tile<S: Simd, const V: usize>(&mut self, simd: S, tile: &Tile) {
        match (self.conv.segment, self.conv.stride) {
            (7, 1) if S::F32_LANES == LANES => self.rows::<S, V, 7, 1>(simd, tile),
            (7, _) if S::F32_LANES == LANES => self.rows::<S, V, 7, 2>(simd, tile),
            (4, 1) => self.rows::<S, V, 4, 1>(simd, tile),
            (4, _) => self.rows::<S, V, 4, 2>(simd, tile),
            (_, 1) => self.rows::<S, V, 1, 1>(simd, tile),
            (_, _) => self.rows::<S, V, 1, 2>(simd, tile),
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const V: usize, const P: usize, const STRIDE: usize>(&mut self, simd: S, tile: &Tile) {
        let (panel, _) = S::as_simd_f32s(bytemuck::cast_slice(&self.conv.panels[tile.panel.clone()]));
        let Rect { rows, columns, .. } = self.out.rect().clone();
        let mut batch = [[0; 2]; BATCH];
        let mut count = 0;
        for y in rows {
            for x in segments(columns.clone(), P) {
                batch[count] = [y, x];
                count += 1;
                if count == BATCH {
                    self.batch::<S, V, P, STRIDE>(simd, tile, panel, &batch);
                    count = 0;
                }
            }
        }
        self.batch::<S, V, P, STRIDE>(simd, tile, panel, &batch[..count]);
    }

    /// Computes the segments that begin with these pixels.
    #[inline(always)]
    fn batch<S: Simd, const V: usize, const P: usize, const STRIDE: usize>(
        &mut self,
        simd: S,
        tile: &Tile,
        panel: &[S::f32s],
        segments: &[[usize; 2]],
    ) {
        let Conv { taps, input, .. } = self.conv;
        let (mut panel, _) = panel.as_chunks::<V>();
        let mut totals = [[[simd.splat_f32s(0.0); V]; P]; BATCH];
        let rows = taps.planes * taps.kernel[0];
        for first in (0..rows).step_by(taps.run) {
            let run = first..rows.min(first + taps.run);
            let mut rest = panel;
            for ([y, x], totals) in segments.iter().zip(&mut totals) {
                let corner = input.framed((y - self.top) * STRIDE + taps.offset[0], x * STRIDE + taps.offset[1]);
                let start = tile.input * taps.plane_len + corner;
                rest = taps.sum::<S, V, P, STRIDE>(simd, self.x, start, run.clone(), panel, totals);
            }
            panel = rest;
        }
        for ([y, x], totals) in segments.iter().zip(&totals) {
            self.finish::<S, V, P>(simd, tile, *y, *x, totals);
        }
    }

    /// Bias, residual, activation, and out.
    #[inline(always)]
    fn finish<S: Simd, const V: usize, const P: usize>(
        &mut self,
        simd: S,
        tile: &Tile,
        y: usize,
        x: usize,
        totals: &[[S::f32s; V]; P],
    ) {
        let first = self.out.rect().columns.start;
        for (i, plane) in tile.planes.clone().enumerate() {
            let bias = &self.conv.bias[plane];
            let residual = self.conv.residual.map(|map| &self.residual[map.at(plane, y, x)..][..P]);
            let out = &mut self.out.row(plane, y)[x - first..][..P];
            for (p, out) in out.iter_mut().enumerate() {
                for v in 0..vectors::<S>() {
                    let mut sum = simd.add_f32s(totals[p][(i * vectors::<S>() + v) % V], load::<S>(bias, v));
                    if let Some(residual) = residual {
                        sum = simd.add_f32s(sum, load::<S>(&residual[p], v));
                    }
                    store::<S>(out, v, activate(simd, self.conv.activation, sum));
                }
            }
        }
    }
}

impl Taps {
    /// Adds the products of some rows of taps (input planes × rows of the kernel) to a tile whose first
    /// pixel's first tap is at `start`, with the weights that `panel` begins with. Returns the others.
    #[inline(always)]
    fn sum<'a, S: Simd, const V: usize, const P: usize, const STRIDE: usize>(
        &self,
        simd: S,
        x: &[Block],
        start: usize,
        rows: Range<usize>,
        mut panel: &'a [[S::f32s; V]],
        totals: &mut [[S::f32s; V]; P],
    ) -> &'a [[S::f32s; V]] {
        let mut sums = [[simd.splat_f32s(0.0); V]; P];
        for row in rows {
            let (plane, ky) = (row / self.kernel[0], row % self.kernel[0]);
            let channels = if plane + 1 < self.planes { LANES } else { self.last };
            let row = start + plane * self.plane_len + ky * self.pitch;
            for kx in 0..self.kernel[1] {
                let x = &x[row + kx..][..(P - 1) * STRIDE + 1];
                let (weights, rest) = panel.split_at(channels);
                panel = rest;
                for (i, weights) in weights.iter().enumerate() {
                    sums = products::<S, V, P, STRIDE>(simd, x, i, weights, sums);
                }
            }
        }
        for (totals, sums) in totals.iter_mut().zip(&sums) {
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = simd.add_f32s(*total, *sum);
            }
        }
        panel
    }
}

/// Adds the products of one input channel. The sums come and go by value and the lane is a remainder: with
/// an index that has a known bound, LLVM unrolls the caller's loop and then keeps the sums in memory.
#[inline(always)]
fn products<S: Simd, const V: usize, const P: usize, const STRIDE: usize>(
    simd: S,
    x: &[Block],
    lane: usize,
    weights: &[S::f32s; V],
    mut sums: [[S::f32s; V]; P],
) -> [[S::f32s; V]; P] {
    for p in 0..P {
        let x = simd.splat_f32s(x[p * STRIDE].0[lane % LANES]);
        for v in 0..V {
            sums[p][v] = simd.mul_add_e_f32s(x, weights[v], sums[p][v]);
        }
    }
    sums
}
