//! RepNeXt's token mixers: depthwise convolutions that differ between chunks of channels.
//!
//! Chunks do not end where blocks of sixteen channels do, so a block may hold channels of several
//! parts. All its channels are then convolved with the largest kernel among them: smaller ones sit
//! centred in it, between zeros, and the identity is a one in its centre. A 1×k → k×1 pair is a second sum on
//! top, zero for all other channels. Most blocks are of one part, and the others are cheap beside
//! the products of the channel mixer.
//!
//! A piece first copies what it reads with its zero padding to the thread's scratch memory. There,
//! the source channels of an output block come together where they are not one block of the input
//! ([`CopyConv`](crate::ops::CopyConv): output channel `o` reads `o mod C`).

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::depthwise::cut;
use super::kernel::{Kernel, Reads, Scratch};
use super::layout::{Block, LANES, Map};
use super::slots::{Rect, Window};
use super::sweep::{Lines, Plane, Sweep, lines};
use super::vectors::{segment_len, width};
use crate::cpu::simd::Vectors;

/// Channels that are copied at a time where they come from several blocks.
const QUAD: usize = 4;

/// What a channel of the output is made by.
#[derive(Clone, Copy)]
pub(super) enum Part<'a> {
    /// The input channel itself.
    Identity,
    /// A k×k kernel and its bias.
    Square(&'a [f32], f32),
    /// 1×k with its bias, then k×1 with its own.
    Pair { wide: &'a [f32], wide_bias: f32, tall: &'a [f32], tall_bias: f32 },
}

/// A token mixer made ready.
pub(super) struct Mixer {
    planes: Vec<Strip>,
    stride: usize,
    input: Map,
    output: Map,
    pieces: Vec<Rect>,
}

/// One block of output channels.
struct Strip {
    /// The input channel that each channel reads.
    sources: Vec<usize>,
    /// Size of the square kernel and its taps.
    size: usize,
    taps: Vec<Block>,
    bias: Block,
    pair: Option<Pair>,
    /// What the channels of each of this machine's vectors need of that; vectors of no channel are left out.
    needs: Vec<Need>,
}

/// What a vector's channels need of their block's kernels.
#[derive(Clone, Copy)]
struct Need {
    size: usize,
    pair: bool,
}

struct Pair {
    size: usize,
    wide: Vec<Block>,
    wide_bias: Block,
    tall: Vec<Block>,
}

impl Mixer {
    /// `parts` has for every output channel the input channel and what to do with it.
    pub(super) fn new(parts: &[(usize, Part)], stride: usize, input: Map, output: Map, threads: usize) -> Self {
        let planes: Vec<Strip> = parts.chunks(LANES).map(Strip::new).collect();
        let taps: usize = planes.iter().map(|p| p.taps.len() + 2 * p.pair.as_ref().map_or(0, |pair| pair.size)).sum();
        let pieces = cut(&output, taps * LANES, threads);
        // Of one plane each: planes take different times.
        let single = |rect: &Rect| rect.planes.clone().map(|p| Rect { planes: p..p + 1, ..rect.clone() }).collect();
        let pieces = pieces.iter().flat_map(|rect| -> Vec<Rect> { single(rect) }).collect();
        Mixer { planes, stride, input, output, pieces }
    }
}

impl Strip {
    fn new(parts: &[(usize, Part)]) -> Self {
        let side = |part: &Part| match part {
            Part::Square(taps, _) => taps.len().isqrt(),
            _ => 1,
        };
        let length = |part: &Part| if let Part::Pair { wide, .. } = part { wide.len() } else { 0 };
        let size = parts.iter().map(|(_, part)| side(part)).max().unwrap_or(1);
        let long = parts.iter().map(|(_, part)| length(part)).max().unwrap_or(0);
        let mut strip = Strip {
            sources: parts.iter().map(|(source, _)| *source).collect(),
            size,
            taps: vec![Block::ZERO; size * size],
            bias: Block::ZERO,
            pair: None,
            needs: Vec::new(),
        };
        let mut pair =
            Pair { size: long, wide: vec![Block::ZERO; long], wide_bias: Block::ZERO, tall: vec![Block::ZERO; long] };
        for (lane, (_, part)) in parts.iter().enumerate() {
            match *part {
                Part::Identity => strip.taps[size * size / 2].0[lane] = 1.0,
                Part::Square(taps, bias) => {
                    let (own, margin) = (side(part), (size - side(part)) / 2);
                    for (i, tap) in taps.iter().enumerate() {
                        strip.taps[(i / own + margin) * size + i % own + margin].0[lane] = *tap;
                    }
                    strip.bias.0[lane] = bias;
                }
                Part::Pair { wide, wide_bias, tall, tall_bias } => {
                    let margin = (long - wide.len()) / 2;
                    for (i, (wide, tall)) in wide.iter().zip(tall).enumerate() {
                        pair.wide[i + margin].0[lane] = *wide;
                        pair.tall[i + margin].0[lane] = *tall;
                    }
                    pair.wide_bias.0[lane] = wide_bias;
                    strip.bias.0[lane] = tall_bias;
                }
            }
        }
        strip.pair = (long > 0).then_some(pair);
        let need = |parts: &[(usize, Part)]| Need {
            size: parts.iter().map(|(_, part)| side(part)).max().unwrap_or(1),
            pair: parts.iter().any(|(_, part)| length(part) > 0),
        };
        strip.needs = parts.chunks(width().min(LANES)).map(need).collect();
        strip
    }

    /// The square kernel of some channels that need no more than `size` of it.
    fn square(&self, size: usize) -> Plane<'_> {
        let margin = (self.size - size) / 2;
        Plane { blocks: &self.taps[margin * (self.size + 1)..], pitch: self.size }
    }

    /// Pixels that are read beyond the outermost outputs.
    fn reach(&self) -> usize {
        self.size.max(self.pair.as_ref().map_or(0, |pair| pair.size)) / 2
    }

    /// The input plane whose lanes are just those that are read.
    fn one_plane(&self) -> Option<usize> {
        let first = *self.sources.first()?;
        let aligned = self.sources.iter().enumerate().all(|(lane, source)| *source == first + lane);
        (aligned && first % LANES == 0).then_some(first / LANES)
    }

    /// Copies those input rows with a margin of zeros to either side.
    fn gather(&self, x: &[Block], input: &Map, rows: Range<isize>, margin: usize, target: &mut [Block]) {
        let pitch = input.width + 2 * margin;
        for (y, target) in rows.zip(target.chunks_exact_mut(pitch)) {
            let Some(y) = usize::try_from(y).ok().filter(|y| *y < input.height) else {
                target.fill(Block::ZERO);
                continue;
            };
            target[..margin].fill(Block::ZERO);
            target[margin + input.width..].fill(Block::ZERO);
            let target = &mut target[margin..margin + input.width];
            if let Some(plane) = self.one_plane() {
                target.copy_from_slice(&x[input.at(plane, y, 0)..][..input.width]);
                continue;
            }
            for (quad, sources) in self.sources.chunks(QUAD).enumerate() {
                let (lane, source) = (quad * QUAD, sources[0]);
                let together =
                    source % LANES <= LANES - QUAD && sources.iter().enumerate().all(|(i, s)| *s == source + i);
                if together {
                    let row = &x[input.at(source / LANES, y, 0)..][..input.width];
                    let copy = |(t, s): (&mut Block, &Block)| {
                        t.0[lane..lane + QUAD].copy_from_slice(&s.0[source % LANES..source % LANES + QUAD]);
                    };
                    target.iter_mut().zip(row).for_each(copy);
                    continue;
                }
                for (i, source) in sources.iter().enumerate() {
                    let row = &x[input.at(source / LANES, y, 0)..][..input.width];
                    target.iter_mut().zip(row).for_each(|(t, s)| t.0[lane + i] = s.0[source % LANES]);
                }
            }
        }
    }
}

impl Kernel for Mixer {
    fn name(&self) -> &'static str {
        "token mixer"
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

    fn run(&self, _piece: usize, reads: &Reads, out: &mut Window, scratch: &mut Scratch) {
        let Rect { planes, rows, .. } = out.rect().clone();
        for plane in planes {
            let strip = &self.planes[plane];
            let margin = strip.reach();
            let first = (rows.start * self.stride) as isize - margin as isize;
            let count = (rows.len() - 1) * self.stride + 1 + 2 * margin;
            let pitch = self.input.width + 2 * margin;
            // The wide convolution's results: the output's rows and those that `tall` reads around them.
            let between = strip.pair.as_ref().map_or(0, |pair| (rows.len() + 2 * (pair.size / 2)) * self.input.width);
            let (padded, between) = scratch.blocks(count * pitch + between).split_at_mut(count * pitch);
            strip.gather(reads.values[0], &self.input, first..first + count as isize, margin, padded);
            let source = Plane { blocks: padded, pitch };
            Vectors::new().dispatch(Job { mixer: self, strip, plane, margin, source, between, out });
        }
    }
}

struct Job<'a, 'w> {
    mixer: &'a Mixer,
    strip: &'a Strip,
    plane: usize,
    margin: usize,
    source: Plane<'a>,
    between: &'a mut [Block],
    out: &'a mut Window<'w>,
}

/// One vector of each block of a row, whose sums are stored as they are.
fn one_row<'a>(
    vector: usize,
    bias: &'a Block,
    first: Sweep<'a>,
    second: Option<Sweep<'a>>,
    out: &'a mut [Block],
) -> Lines<'a> {
    let (vectors, columns) = (vector..vector + 1, out.len());
    Lines { vectors, bias, columns, rows: 1, first, step: 0, second, relu: false, out, pitch: columns }
}

impl WithSimd for Job<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (segment_len(self.mixer.output.width), self.mixer.stride) {
            (7, 1) => self.rows::<S, 7, 1>(simd),
            (7, _) => self.rows::<S, 7, 2>(simd),
            (4, 1) => self.rows::<S, 4, 1>(simd),
            (4, _) => self.rows::<S, 4, 2>(simd),
            (_, 1) => self.rows::<S, 1, 1>(simd),
            (_, _) => self.rows::<S, 1, 2>(simd),
        }
    }
}

impl Job<'_, '_> {
    #[inline(always)]
    fn rows<S: Simd, const P: usize, const STRIDE: usize>(self, simd: S) {
        let Job { mixer, strip, plane, margin, source, between, out } = self;
        let Rect { rows, columns, .. } = out.rect().clone();
        let pitch = mixer.output.width;
        if let Some(pair) = &strip.pair {
            let reach = pair.size / 2;
            let taps = Plane { blocks: &pair.wide, pitch: pair.size };
            for (i, row) in between.chunks_exact_mut(pitch).enumerate() {
                // Beyond the map's edges `tall` reads zeros, not the bias of `wide`.
                if !(reach..mixer.output.height + reach).contains(&(rows.start + i)) {
                    row.fill(Block::ZERO);
                    continue;
                }
                let start = (i + margin - reach) * source.pitch + columns.start + margin - reach;
                let first = Sweep { plane: source, start, taps, size: [1, pair.size] };
                for (vector, _) in strip.needs.iter().enumerate().filter(|(_, need)| need.pair) {
                    let row = &mut row[columns.clone()];
                    lines::<S, P, 1>(simd, one_row(vector, &pair.wide_bias, first, None, row));
                }
            }
        }
        let between = Plane { blocks: between, pitch };
        for (i, y) in rows.enumerate() {
            let second = strip.pair.as_ref().map(|pair| Sweep {
                plane: between,
                start: i * pitch + columns.start,
                taps: Plane { blocks: &pair.tall, pitch: 1 },
                size: [pair.size, 1],
            });
            let out = out.row(plane, y);
            for (vector, need) in strip.needs.iter().enumerate() {
                let corner = margin - need.size / 2;
                let start = (i * STRIDE + corner) * source.pitch + columns.start * STRIDE + corner;
                let first = Sweep { plane: source, start, taps: strip.square(need.size), size: [need.size; 2] };
                let second = second.filter(|_| need.pair);
                lines::<S, P, STRIDE>(simd, one_row(vector, &strip.bias, first, second, out));
            }
        }
    }
}
