//! Dense and grouped convolution, weights packed once: a register tile of `P` pixels × `T` blocks of
//! output channels is summed over all taps and input channels and finished (bias, residual,
//! activation) before it is stored.
//!
//! Per product of the tile, one value of each pixel is broadcast and multiplied with `T` vectors of
//! weights: 7 × 3 vectors of AVX-512 are 21 sums for 10 loads, all within 32 registers, and products run
//! at the machine's full rate. Machines with narrower vectors have smaller tiles ([`tile::largest`]). Weights lie in the order of use, `[tile][input plane][ky][kx][16 inputs][T]`,
//! and are read once per tile of pixels, as a stream. Nothing is unfolded: pixels are a constant
//! distance apart, and the input's frame of zeros is its padding.
//!
//! At most [`RUN`] products are added up before they go into a tile's totals, which keeps the rounding
//! of a sum of twenty thousand products at that of a few hundred. The weights of a run fit the first cache,
//! and up to [`BATCH`](super::batch::BATCH) tiles use them before the next run's are read.

use std::ops::Range;

use super::batch::{BATCH, Batch, batches};
use super::kernel::{Kernel, Reads, Scratch};
use super::layout::{Block, LANES, Map};
use super::slots::{Rect, Window};
use super::tile::{self, Finish, MAX_SEGMENT, MAX_TILE, Out, Sums, Taps};
use crate::cpu::simd::Vectors;
use crate::ops::Activation;

/// Products that are added up in one go, unless a single row of taps has more: 27 KiB of weights for
/// a tile of three AVX-512 vectors, 20 KiB for the block that is computed at a time in WebAssembly.
const RUN: usize = if cfg!(target_arch = "wasm32") { 320 } else { 144 };

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
    output: Map,
    residual: Option<Map>,
    tiles: Vec<Tile>,
    panels: Vec<Block>,
    /// A block per output plane.
    bias: Vec<Block>,
    pieces: Vec<Piece>,
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
    batches: Vec<Batch>,
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
        Self::build(spec, input, output, residual, false, threads)
    }

    /// A pointwise convolution of an input that somebody else makes for each piece, of its rows alone and all planes of
    /// a pixel side by side: one or two.
    pub(super) fn side_by_side(spec: &Spec, input: Map, output: Map, threads: usize) -> Self {
        debug_assert!(input.planes() <= 2, "kernels know strides of one and two");
        Self::build(spec, input, output, None, true, threads)
    }

    fn build(spec: &Spec, input: Map, output: Map, residual: Option<Map>, bands: bool, threads: usize) -> Self {
        let Spec { kernel, padding, groups, activation, .. } = *spec;
        let channels = input.channels / groups;
        let (stride, plane_len) = if bands { (input.planes(), 1) } else { (spec.stride, input.plane_len()) };
        let taps = Taps::new(kernel, padding, channels, &input, plane_len, RUN);
        let per_group = (output.channels / groups).div_ceil(LANES);
        let (widest, _) = tile::largest();
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
        let widest = |columns| tile::segments(0..columns).map(|(_, pixels)| pixels).max().unwrap_or(1);
        // Without neighbours and frames, what is left of a row goes with the next.
        let plain = kernel == [1, 1] && spec.stride == 1 && padding == [0, 0] && input.halo == 0;
        let across = plain && output.height > 1 && !output.width.is_multiple_of(widest(output.width));
        let segment = widest(if across { output.height * output.width } else { output.width });
        let mut pieces = cut(&tiles, &panels, &input, &output, segment, depth, threads);
        for Piece { rect, batches: all, .. } in &mut pieces {
            let top = if bands { rect.rows.start } else { 0 };
            let start =
                |[y, x]: [usize; 2]| input.framed((y - top) * stride + taps.offset[0], x * stride + taps.offset[1]);
            *all = batches(rect, &output, across, start);
        }
        Conv { taps, stride, activation, output, residual, tiles, panels, bias, pieces }
    }

    /// Computes a piece.
    pub(super) fn compute(&self, piece: usize, x: &[Block], residual: &[Block], out: &mut Window) {
        let Piece { tiles, batches, .. } = &self.pieces[piece];
        let mut totals = [Block::ZERO; BATCH * MAX_SEGMENT * MAX_TILE];
        for tile in &self.tiles[tiles.clone()] {
            for batch in batches {
                let whole = self.out(tile, batch, out);
                let finished = whole.is_some();
                self.sum(tile, x, batch, &mut totals, whole);
                if !finished {
                    self.finish(tile, residual, batch, &totals, out);
                }
            }
        }
    }

    /// Where the sums of a batch go at once; nothing where more than a bias and a ReLU is to be done to them.
    fn out<'a>(&'a self, tile: &Tile, batch: &'a Batch, out: &'a mut Window) -> Option<Out<'a>> {
        let places = batch.places.as_deref().filter(|_| self.residual.is_none())?;
        let limit = match self.activation {
            Activation::None => f32::NEG_INFINITY,
            Activation::Relu => 0.0,
            _ => return None,
        };
        let (bias, gap) = (&self.bias[tile.planes.clone()], self.output.pitch() - self.output.width);
        Some(Out { places, bias, limit, planes: out.rows_of(tile.planes.clone()), gap })
    }

    /// Sums the products of a batch; into the totals, or `out`.
    fn sum(&self, tile: &Tile, x: &[Block], batch: &Batch, totals: &mut [Block], mut out: Option<Out>) {
        let (taps, stride, spots, panels) = (&self.taps, self.stride, &batch.spots[..], &self.panels[..]);
        let x = &x[tile.input * taps.plane_len..];
        let blocks = tile.planes.len();
        let channels = self.output.channels.min(tile.planes.end * LANES) - tile.planes.start * LANES;
        let mut first = tile.panel.start;
        let rows = taps.planes * taps.kernel[0];
        for run in (0..rows).step_by(taps.run) {
            let out = if run + taps.run >= rows { out.take() } else { None };
            let rows = run..rows.min(run + taps.run);
            let panel = first..first + taps.products(&rows) * blocks;
            first = panel.end;
            tile::sum(Sums { taps, x, spots, stride, rows, panels, panel, blocks, channels, totals, out });
        }
    }

    /// Bias, residual, activation, and out.
    fn finish(&self, tile: &Tile, residual: &[Block], batch: &Batch, totals: &[Block], out: &mut Window) {
        let (arch, left) = (Vectors::new(), out.rect().columns.start);
        let (blocks, activation) = (tile.planes.len(), self.activation);
        for line in &batch.lines {
            for (i, plane) in tile.planes.clone().enumerate() {
                let residual = self.residual.map(|map| &residual[map.at(plane, line.y, line.x)..][..line.pixels]);
                let out = &mut out.row(plane, line.y)[line.x - left..][..line.pixels];
                let channels = LANES.min(self.output.channels - plane * LANES);
                let (totals, bias) = (&totals[line.at * blocks + i..], &self.bias[plane]);
                arch.dispatch(Finish { totals, blocks, channels, bias, residual, activation, out });
            }
        }
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
        self.compute(piece, reads.values[0], reads.values[1], out);
    }
}

/// Splits `0..len` in that many parts whose lengths differ by one at most.
pub(in crate::cpu) fn even_parts(len: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
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

/// Weights that all threads may read: beyond, each thread reads those of its own output channels.
const SHARED_WEIGHTS: usize = 640 << 10;

/// Input of a band that stays in a core's cache while all tiles go over it.
const CACHED_INPUT: usize = 256 << 10;

/// Products below which a piece is not worth handing out.
const SMALL_PIECE: usize = 1 << 19;

/// Pieces per thread, so that a thread that was held up does not hold up the others.
const PIECES_PER_THREAD: usize = 6;

/// Small weights: bands of pixels, all channels each. Large ones, or maps of few pixels: each tile of
/// channels is a piece (or some), so that every thread reads a part of the weights only.
fn cut(
    tiles: &[Tile],
    panels: &[Block],
    input: &Map,
    output: &Map,
    segment: usize,
    depth: usize,
    threads: usize,
) -> Vec<Piece> {
    let pixels = output.height * output.width;
    let products = output.planes() * LANES * pixels * depth;
    let most = if threads > 1 { threads * PIECES_PER_THREAD } else { 1 };
    let wanted = most.min(products / SMALL_PIECE).max(1);
    let batches = pixels.div_ceil(segment * BATCH);
    let by_pixels = batches >= threads && size_of_val(panels) <= SHARED_WEIGHTS;
    let groups: Vec<Range<usize>> = even_parts(tiles.len(), if by_pixels { 1 } else { tiles.len() }).collect();
    let bands = if by_pixels {
        // All tiles of a band read the same input; a band of less than a batch reads the weights too often.
        let for_cache = input.len() * size_of::<Block>() / CACHED_INPUT;
        wanted.max(for_cache).min(batches.next_multiple_of(threads.max(1)))
    } else {
        wanted.div_ceil(groups.len())
    };
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
            pieces.push(Piece { tiles: tiles_range.clone(), rect, batches: Vec::new() });
        }
    }
    pieces
}
