//! Dense and grouped convolution: a register tile of pixels × blocks of output channels is summed over all taps and
//! input channels, four at a time, then rescaled and stored as bytes.
//!
//! Per instruction of a tile, four channels of each pixel are broadcast and multiplied with weights of sixteen output
//! channels. Sums are exact, so nothing is gained by splitting them: a tile goes over the whole depth in registers.
//! Weights lie in the order of use, `[tile][input plane][ky][kx][4 quads][blocks]`.

use std::ops::Range;

use super::isa::{Dot, Isa, Job, Traits};
use super::kernel::{Kernel, Out, Reads, Scratch, Tail};
use super::layout::{Bytes, Enlarges, LANES, Panel, Words};
use crate::cpu::blocked::conv::even_parts;
use crate::cpu::blocked::layout::Map;
use crate::cpu::blocked::slots::Rect;
use crate::cpu::blocked::vectors::{segment_len, segments};
use crate::int8::program;

/// Input channels of an instruction.
const QUAD: usize = 4;

/// Most pixels, and blocks of output channels, of a tile.
const MAX_PIXELS: usize = 7;
const MAX_TILE: usize = 3;

/// A convolution with packed weights.
pub(super) struct Conv {
    taps: Taps,
    stride: [usize; 2],
    input: Map,
    output: Map,
    residual: Option<(Map, Vec<Enlarges>)>,
    tiles: Vec<Tile>,
    panels: Vec<Panel>,
    bias: Vec<Words>,
    tail: Tail,
    pieces: Vec<Piece>,
    segment: usize,
    /// See [`Dot::PAIRED`].
    paired: bool,
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

/// What a tile reads of the input.
#[derive(Clone, Copy)]
struct Taps {
    kernel: [usize; 2],
    /// Rows and columns from the input's frame to the first tap of the first output.
    offset: [usize; 2],
    planes: usize,
    /// Quads in the last plane.
    last: usize,
    plane_len: usize,
    pitch: usize,
}

/// Largest padding that frames are made for.
const MAX_HALO: usize = 8;

/// Weights that a grouped convolution may have after its groups are filled up with zeros.
const MAX_FILLED: usize = 1 << 23;

impl Conv {
    /// Whether it can compute such a convolution.
    pub(super) fn fits(op: &program::Conv) -> bool {
        let [out, per_group, kh, kw] = op.shape;
        let (regular, filled) = (op.dilation == [1, 1] && op.stride[1] <= 2, Self::filled(op));
        let affordable = !filled || out * per_group * op.groups * kh * kw <= MAX_FILLED;
        regular && affordable && op.padding.iter().all(|p| *p <= MAX_HALO)
    }

    /// Whether groups are not of whole blocks, so that their weights have to be filled up with zeros.
    fn filled(op: &program::Conv) -> bool {
        let [out, per_group, ..] = op.shape;
        op.groups > 1 && !(per_group.is_multiple_of(LANES) && (out / op.groups).is_multiple_of(LANES))
    }

    /// Packs the weights and cuts the work for that many threads. `input` must have a halo at least as wide as the
    /// padding.
    pub(super) fn new(
        op: &program::Conv,
        isa: Isa,
        input: Map,
        output: Map,
        residual: Option<Map>,
        threads: usize,
    ) -> Self {
        let kernel = [op.shape[2], op.shape[3]];
        // Without frames and borders, all pixels are one long row.
        let plain = kernel == [1, 1] && op.stride == [1, 1] && op.padding == [0, 0];
        let flat = || Some((input.flat()?, output.flat()?, residual.map_or(Some(None), |r| r.flat().map(Some))?));
        let (input, output, residual) = plain.then(flat).flatten().unwrap_or((input, output, residual));
        let traits = isa.traits();
        let groups = if Self::filled(op) { 1 } else { op.groups };
        let channels = input.channels / groups;
        let taps = Taps {
            kernel,
            offset: op.padding.map(|p| input.halo - p),
            planes: channels.div_ceil(LANES),
            last: ((channels - 1) % LANES + 1).div_ceil(QUAD),
            plane_len: input.plane_len(),
            pitch: input.pitch(),
        };
        let per_group = (output.channels / groups).div_ceil(LANES);
        let (mut tiles, mut panels) = (Vec::new(), Vec::new());
        for group in 0..groups {
            for part in even_parts(per_group, per_group.div_ceil(traits.tile)) {
                let planes = group * per_group + part.start..group * per_group + part.end;
                let start = panels.len();
                pack(op, traits, [channels, groups], planes.clone(), &mut panels);
                tiles.push(Tile { planes, input: group * taps.planes, panel: start..panels.len() });
            }
        }
        let residual = residual.zip(op.residual.as_ref().map(|factors| Enlarges::blocks(factors)));
        let segment = segment_len(output.width).min(traits.pixels);
        let pieces = cut(&tiles, &panels, &input, &output, segment, threads);
        let (bias, tail) = (biases(op, traits), Tail::new(&op.output));
        Conv {
            taps,
            stride: op.stride,
            input,
            output,
            residual,
            tiles,
            panels,
            bias,
            tail,
            pieces,
            segment,
            paired: traits.paired,
        }
    }
}

impl Kernel for Conv {
    fn name(&self) -> &'static str {
        if self.taps.kernel == [1, 1] { "pointwise i8" } else { "direct i8" }
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
        self.pieces[piece].rect.clone()
    }

    fn run(&self, isa: Isa, piece: usize, reads: &Reads, out: &mut Out, scratch: &mut Scratch) {
        let Rect { rows, columns, .. } = self.pieces[piece].rect.clone();
        let mut totals = [Words::ZERO; MAX_PIXELS * MAX_TILE];
        let first = columns.start;
        let (x, taps, origin) = match self.paired {
            true => self.widened(isa, reads.values[0], [&rows, &columns], scratch),
            false => (reads.values[0], self.taps, [0, 0]),
        };
        let [top, left] = self.corner([0, 0]);
        for tile in &self.tiles[self.pieces[piece].tiles.clone()] {
            let blocks = tile.planes.len();
            for y in rows.clone() {
                for x_first in segments(columns.clone(), self.segment) {
                    let corner = (y * self.stride[0] + top - origin[0]) * taps.pitch + x_first * self.stride[1] + left
                        - origin[1];
                    isa.dispatch(Sum {
                        taps: &taps,
                        x,
                        start: tile.input * taps.plane_len + corner,
                        panel: &self.panels[tile.panel.clone()],
                        bias: &self.bias[tile.planes.clone()],
                        stride: self.stride[1],
                        pixels: self.segment,
                        totals: &mut totals,
                    });
                    let pixels = self.segment;
                    let (totals, at) = (&totals[..pixels * blocks], [y, x_first, x_first - first]);
                    isa.dispatch(Write { conv: self, planes: tile.planes.clone(), reads, totals, at, out });
                }
            }
            self.tail.finish(isa, tile.planes.clone(), out);
        }
    }
}

impl Conv {
    /// Row and column, in the framed input, of the first tap of an output.
    fn corner(&self, [y, x]: [usize; 2]) -> [usize; 2] {
        [y * self.stride[0] + self.taps.offset[0], x * self.stride[1] + self.taps.offset[1]]
    }

    /// What some outputs read, with 16 bits for each activation; how it lies, and which row and column it begins with.
    fn widened<'s>(
        &self,
        isa: Isa,
        x: &[Bytes],
        [rows, columns]: [&Range<usize>; 2],
        scratch: &'s mut Scratch,
    ) -> (&'s [Bytes], Taps, [usize; 2]) {
        let origin = self.corner([rows.start, columns.start]);
        let [bottom, right] = self.corner([rows.end - 1, columns.end - 1]);
        let [height, width] = [bottom + self.taps.kernel[0] - origin[0], right + self.taps.kernel[1] - origin[1]];
        let taps = Taps { plane_len: height * width, pitch: width, ..self.taps };
        let (wide, _) = scratch.blocks(self.input.planes() * taps.plane_len * 2, 0);
        for (row, to) in wide.chunks_exact_mut(width * 2).enumerate() {
            let (plane, y) = (row / height, row % height);
            let start = plane * self.taps.plane_len + (origin[0] + y) * self.taps.pitch + origin[1];
            isa.dispatch(Widen { from: &x[start..][..width], to });
        }
        (wide, taps, origin)
    }
}

struct Widen<'a> {
    from: &'a [Bytes],
    to: &'a mut [Bytes],
}

impl Job for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        for (to, from) in self.to.as_chunks_mut::<2>().0.iter_mut().zip(self.from) {
            *to = dot.widen(from);
        }
    }
}

/// Sums all products of one tile, `[pixel][block]`.
struct Sum<'a> {
    taps: &'a Taps,
    x: &'a [Bytes],
    /// Position of the first pixel's first tap.
    start: usize,
    panel: &'a [Panel],
    /// A block per block of output channels.
    bias: &'a [Words],
    stride: usize,
    pixels: usize,
    totals: &'a mut [Words],
}

impl Job for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        match self.bias.len() {
            1 => self.blocks::<D, 1>(dot),
            2 if D::TILE > 1 => self.blocks::<D, 2>(dot),
            _ if D::TILE > 1 => self.blocks::<D, MAX_TILE>(dot),
            _ => {}
        }
    }
}

impl Sum<'_> {
    #[inline(always)]
    fn blocks<D: Dot, const V: usize>(self, dot: D) {
        match (self.pixels, self.stride) {
            (7, 1) if D::PIXELS >= 7 => self.tile::<D, V, 7, 1>(dot),
            (7, _) if D::PIXELS >= 7 => self.tile::<D, V, 7, 2>(dot),
            (4, 1) if D::PIXELS >= 4 => self.tile::<D, V, 4, 1>(dot),
            (4, _) if D::PIXELS >= 4 => self.tile::<D, V, 4, 2>(dot),
            (2, 1) if D::PIXELS == 2 => self.tile::<D, V, 2, 1>(dot),
            (2, _) if D::PIXELS == 2 => self.tile::<D, V, 2, 2>(dot),
            (_, 1) => self.tile::<D, V, 1, 1>(dot),
            (_, _) => self.tile::<D, V, 1, 2>(dot),
        }
    }

    #[inline(always)]
    fn tile<D: Dot, const V: usize, const P: usize, const STRIDE: usize>(self, dot: D) {
        let Taps { kernel, planes, last, plane_len, pitch, .. } = *self.taps;
        let Some(bias) = self.bias.first_chunk::<V>() else { return };
        let mut panel = self.panel;
        let mut sums = [bias.each_ref().map(|bias| dot.load(bias)); P];
        for plane in 0..planes {
            let quads = if plane + 1 < planes { LANES / QUAD } else { last };
            for ky in 0..kernel[0] {
                let row = self.start + plane * plane_len + ky * pitch;
                for kx in 0..kernel[1] {
                    let x = &self.x[(row + kx) * D::PARTS..][..((P - 1) * STRIDE + 1) * D::PARTS];
                    let (weights, rest) = panel.split_at(quads * V * D::PARTS);
                    panel = rest;
                    for (i, weights) in weights.chunks_exact(V * D::PARTS).enumerate() {
                        sums = dot.products::<V, P, STRIDE>(x, i, weights, sums);
                    }
                }
            }
        }
        for (totals, sums) in self.totals.as_chunks_mut::<V>().0.iter_mut().zip(sums) {
            for (total, sums) in totals.iter_mut().zip(sums) {
                dot.store(sums, total);
            }
        }
    }
}

/// Finishes a tile.
struct Write<'a, 'r, 'o> {
    conv: &'a Conv,
    planes: Range<usize>,
    reads: &'a Reads<'r>,
    totals: &'a [Words],
    /// Row, column, and column of the window.
    at: [usize; 3],
    out: &'a mut Out<'o>,
}

impl Job for Write<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        match self.conv.segment {
            7 if D::PIXELS >= 7 => self.pixels::<D, 7>(dot),
            4 if D::PIXELS >= 4 => self.pixels::<D, 4>(dot),
            2 if D::PIXELS == 2 => self.pixels::<D, 2>(dot),
            _ => self.pixels::<D, 1>(dot),
        }
    }
}

impl Write<'_, '_, '_> {
    #[inline(always)]
    fn pixels<D: Dot, const P: usize>(self, dot: D) {
        let [y, x, column] = self.at;
        let blocks = self.planes.len();
        for (i, plane) in self.planes.enumerate() {
            let residual = match &self.conv.residual {
                Some((map, enlarges)) => Some((&self.reads.values[1][map.at(plane, y, x)..], &enlarges[plane])),
                None => None,
            };
            let mut sums = [dot.load(&self.totals[i]); P];
            for (sums, total) in sums.iter_mut().zip(self.totals[i..].iter().step_by(blocks)) {
                *sums = dot.load(total);
            }
            self.conv.tail.write(dot, sums, [plane, y, column], residual, self.out);
        }
    }
}

/// A weight, or zero where input and output channel are in different groups or there is none.
fn weight(op: &program::Conv, output: usize, input: usize, tap: usize) -> i8 {
    let [out, per_group, kh, kw] = op.shape;
    let group = output / (out / op.groups).max(1);
    match input.checked_sub(group * per_group) {
        Some(c) if output < out && c < per_group => op.weight[(output * per_group + c) * kh * kw + tap],
        _ => 0,
    }
}

/// Appends the weights of some output planes in the order of use. `channels` and `groups` are those of the input
/// after filling up.
fn pack(
    op: &program::Conv,
    traits: Traits,
    [channels, groups]: [usize; 2],
    planes: Range<usize>,
    panels: &mut Vec<Panel>,
) {
    let [out, _, kh, kw] = op.shape;
    let group = planes.start * LANES / (out / groups).max(1);
    // Nothing to fill up, and no division for every weight.
    let whole = groups == op.groups;
    let row = channels * kh * kw;
    for first in (0..channels).step_by(LANES) {
        for tap in 0..kh * kw {
            for quad in (first..channels.min(first + LANES)).step_by(QUAD) {
                for plane in planes.clone() {
                    traits.pack(panels, |lane, i| {
                        let (output, input) = (plane * LANES + lane, quad + i);
                        match input < channels {
                            true if whole && output < out => op.weight[output * row + input * kh * kw + tap],
                            true => weight(op, output, group * channels + input, tap),
                            false => 0,
                        }
                    });
                }
            }
        }
    }
}

/// Biases, lower by what the activations' offset adds to the sums.
fn biases(op: &program::Conv, traits: Traits) -> Vec<Words> {
    let row = op.weight.len() / op.shape[0].max(1);
    let corrected = |(bias, row): (&i32, &[i8])| {
        let weights: i32 = row.iter().map(|w| i32::from(*w)).sum();
        bias.wrapping_sub(weights.wrapping_mul(traits.offset))
    };
    let all: Vec<i32> = op.bias.iter().zip(op.weight.chunks_exact(row.max(1))).map(corrected).collect();
    let block = |biases: &[i32]| Words(std::array::from_fn(|lane| biases.get(lane).copied().unwrap_or(0)));
    all.chunks(LANES).map(block).collect()
}

/// Weights that all threads may read: beyond, each thread reads those of its own output channels.
const SHARED_WEIGHTS: usize = 512 << 10;

/// Input of a band that stays in a core's cache while all tiles go over it.
const CACHED_INPUT: usize = 128 << 10;

/// Products below which a piece is not worth handing out.
const SMALL_PIECE: usize = 1 << 20;

/// Pieces per thread, so that a thread that was held up does not hold up the others.
const PIECES_PER_THREAD: usize = 6;

/// Small weights: bands of pixels, all channels each. Large ones, or maps of few pixels: each tile of channels is a
/// piece (or some), so that every thread reads a part of the weights only.
fn cut(tiles: &[Tile], panels: &[Panel], input: &Map, output: &Map, segment: usize, threads: usize) -> Vec<Piece> {
    let pixels = output.height * output.width;
    let products = panels.len() * 4 * LANES * pixels;
    let most = if threads > 1 { threads * PIECES_PER_THREAD } else { 1 };
    let wanted = most.min(products / SMALL_PIECE).max(1);
    let batches = pixels.div_ceil(segment * 14);
    let by_pixels = batches >= threads && size_of_val(panels) <= SHARED_WEIGHTS;
    let groups: Vec<Range<usize>> = even_parts(tiles.len(), if by_pixels { 1 } else { tiles.len() }).collect();
    let bands = if by_pixels {
        let for_cache = input.len() * size_of::<Bytes>() / CACHED_INPUT;
        wanted.max(for_cache).min(batches.next_multiple_of(threads.max(1)))
    } else {
        wanted.div_ceil(groups.len())
    };
    let areas: Vec<(Range<usize>, Range<usize>)> = if output.height == 1 {
        let whole = output.width / segment;
        // The last part has what is left of the row.
        let column = |s: usize| if s == whole { output.width } else { s * segment };
        even_parts(whole, bands.min(whole)).map(|part| (0..1, column(part.start)..column(part.end))).collect()
    } else {
        even_parts(output.height, bands.min(output.height)).map(|rows| (rows, 0..output.width)).collect()
    };
    let mut pieces = Vec::new();
    for range in &groups {
        let planes = tiles[range.start].planes.start..tiles[range.end - 1].planes.end;
        for (rows, columns) in &areas {
            let rect = Rect { planes: planes.clone(), rows: rows.clone(), columns: columns.clone() };
            pieces.push(Piece { tiles: range.clone(), rect });
        }
    }
    pieces
}
