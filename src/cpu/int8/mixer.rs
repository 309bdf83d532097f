//! RepNeXt's token mixers in one step: each block of sixteen output channels by itself.
//!
//! Chunks do not end where blocks do, so a block's channels may have kernels of different sizes: the smaller ones sit
//! in the middle of the largest, with zeros around. The 1×11 and 11×1 pair of a block goes through scratch memory,
//! where columns lie in a row, so that four taps of the second are one instruction as well.

use super::depthwise::{Kernels, Plane, QUAD, cut, sweep};
use super::isa::{Dot, Isa, Job, Traits};
use super::kernel::{Ending, Kernel, Out, Reads, Scratch, Tail};
use super::layout::{Bytes, LANES, Rescale};
use crate::cpu::blocked::layout::Map;
use crate::cpu::blocked::slots::Rect;
use crate::cpu::blocked::vectors::{segment_len, segments};
use crate::int8::arith::Requant;
use crate::int8::program::{self, Depthwise};
use crate::int8::table::Finish;

/// A token mixer with packed weights.
pub(super) struct Mixer {
    strips: Vec<Strip>,
    stride: usize,
    input: Map,
    output: Map,
    tail: Tail,
    pieces: Vec<Rect>,
}

/// How one block of output channels is made.
struct Strip {
    /// The input channel of each lane.
    sources: Vec<usize>,
    square: Kernels,
    pair: Option<Pair>,
}

/// Two convolutions, one after the other.
struct Pair {
    wide: Kernels,
    between: Rescale,
    /// With its taps along a row.
    tall: Kernels,
    size: usize,
}

/// Largest distance from a kernel's middle to its edge.
const MAX_REACH: usize = 8;

impl Mixer {
    /// Whether it can compute such a mixer.
    pub(super) fn fits(op: &program::Mixer) -> bool {
        let part = |part: &program::Part| {
            let [kh, kw] = part.conv.kernel;
            match &part.first {
                Some(first) => op.stride == 1 && first.kernel == [1, kh] && kw == 1 && kh / 2 <= MAX_REACH,
                None => kh == kw && kh / 2 <= MAX_REACH,
            }
        };
        matches!(op.stride, 1 | 2) && op.parts.iter().all(part)
    }

    /// The frame of zeros that it reads around its input.
    pub(super) fn halo(op: &program::Mixer) -> usize {
        op.parts.iter().map(|part| part.conv.kernel[0] / 2).max().unwrap_or(0)
    }

    /// `input` must have a halo of at least [`Mixer::halo`].
    pub(super) fn new(op: &program::Mixer, isa: Isa, input: Map, output: Map, threads: usize) -> Self {
        let channels: Vec<Channel> = op.parts.iter().flat_map(Channel::of).collect();
        let traits = isa.traits();
        let strips = channels.chunks(LANES).map(|lanes| Strip::new(lanes, traits)).collect();
        let requant: Vec<Requant> = op.parts.iter().flat_map(|part| part.conv.requant.iter().copied()).collect();
        let tail = match requant.is_empty() {
            true => Tail::Sums,
            false => {
                Tail::Rescaled { rescale: Rescale::blocks(&requant), ending: Ending::new(&Finish::Clamp { low: -127 }) }
            }
        };
        let taps = op.parts.iter().map(|part| part.conv.weight.len()).sum();
        Mixer { strips, stride: op.stride, input, output, tail, pieces: cut(&output, taps, threads) }
    }
}

/// One output channel of a part.
struct Channel<'a> {
    source: usize,
    part: &'a program::Part,
    index: usize,
}

impl<'a> Channel<'a> {
    fn of(part: &'a program::Part) -> impl Iterator<Item = Channel<'a>> {
        (0..part.conv.channels()).map(move |index| Channel { source: part.source + index, part, index })
    }

    /// Side of its kernel, if it is a square.
    fn square(&self) -> usize {
        if self.part.first.is_none() { self.part.conv.kernel[0] } else { 1 }
    }

    /// Length of its pair of kernels.
    fn pair(&self) -> usize {
        if self.part.first.is_some() { self.part.conv.kernel[0] } else { 0 }
    }

    /// A tap of one of its convolutions, which sits in the middle of a kernel of that size.
    fn tap(&self, op: &Depthwise, [ky, kx]: [usize; 2], [rows, columns]: [usize; 2]) -> i8 {
        let [kh, kw] = op.kernel;
        let y = ky.checked_sub((rows - kh) / 2).filter(|y| *y < kh);
        let x = kx.checked_sub((columns - kw) / 2).filter(|x| *x < kw);
        y.zip(x).map_or(0, |(y, x)| op.weight[(self.index * kh + y) * kw + x])
    }
}

impl Strip {
    fn new(lanes: &[Channel], traits: Traits) -> Self {
        let size = lanes.iter().map(Channel::square).max().unwrap_or(1);
        let long = lanes.iter().map(Channel::pair).max().unwrap_or(0);
        let lane = |i: usize| lanes.get(i);
        let squares = |i: usize, ky: usize, kx: usize| {
            let own = lane(i).filter(|c| c.part.first.is_none());
            own.map_or(0, |c| c.tap(&c.part.conv, [ky, kx], [size, size]))
        };
        let bias = |i: usize| lane(i).map_or(0, |c| c.part.conv.bias[c.index]);
        let square = Kernels::new([size, size], std::array::from_fn(bias), traits, squares);
        let first = |i: usize| lane(i).and_then(|c| Some((c, c.part.first.as_ref()?)));
        let pair = (long > 0).then(|| {
            let wide = |i: usize, _: usize, k: usize| first(i).map_or(0, |(c, op)| c.tap(op, [0, k], [1, long]));
            let tall =
                |i: usize, _: usize, k: usize| first(i).map_or(0, |(c, _)| c.tap(&c.part.conv, [k, 0], [long, 1]));
            let bias = |i: usize| first(i).map_or(0, |(c, op)| op.bias[c.index]);
            let requant = |i: usize| first(i).map_or(Requant::default(), |(c, op)| op.requant[c.index]);
            Pair {
                wide: Kernels::new([1, long], std::array::from_fn(bias), traits, wide),
                between: Rescale::new(&std::array::from_fn::<_, LANES, _>(requant)),
                tall: Kernels::new([1, long], [0; LANES], traits, tall),
                size: long,
            }
        });
        Strip { sources: lanes.iter().map(|c| c.source).collect(), square, pair }
    }

    /// Pixels that are read beyond the outermost outputs.
    fn reach(&self) -> usize {
        self.square.rows.max(self.pair.as_ref().map_or(0, |pair| pair.size)) / 2
    }

    /// The input plane whose lanes are just those that are read.
    fn one_plane(&self) -> Option<usize> {
        let first = *self.sources.first()?;
        let aligned = self.sources.iter().enumerate().all(|(lane, source)| *source == first + lane);
        (aligned && first % LANES == 0).then_some(first / LANES)
    }
}

impl Kernel for Mixer {
    fn name(&self) -> &'static str {
        "token mixer i8"
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

    fn run(&self, isa: Isa, _piece: usize, reads: &Reads, out: &mut Out, scratch: &mut Scratch) {
        let Rect { planes, rows, .. } = out.rect();
        for plane in planes {
            let strip = &self.strips[plane];
            // Where in the source the window's upper left output has its middle tap.
            let (input, middle) = (&self.input, rows.start * self.stride);
            let reach = strip.reach();
            let count = (rows.len() - 1) * self.stride + 1 + 2 * reach;
            let gathered = if strip.one_plane().is_some() { 0 } else { count * input.pitch() + QUAD };
            let column = strip.pair.as_ref().map_or(0, |pair| rows.len() + pair.size + QUAD);
            let (bytes, _) = scratch.blocks(gathered + column * input.width + QUAD, 0);
            let (gathered, between) = bytes.split_at_mut(gathered);
            let source = match strip.one_plane() {
                Some(plane) => {
                    let start = plane * input.plane_len() + (middle + input.halo - reach) * input.pitch();
                    Plane { blocks: &reads.values[0][start..], pitch: input.pitch() }
                }
                None => {
                    gather(strip, reads.values[0], input, middle + input.halo - reach, count, gathered);
                    Plane { blocks: gathered, pitch: input.pitch() }
                }
            };
            isa.dispatch(Rows { mixer: self, strip, plane, source, column, between, out });
        }
    }
}

/// Collects each lane's channel of those framed rows.
fn gather(strip: &Strip, x: &[Bytes], input: &Map, first: usize, count: usize, target: &mut [Bytes]) {
    let len = count * input.pitch();
    for (lane, source) in strip.sources.iter().enumerate() {
        let start = source / LANES * input.plane_len() + first * input.pitch();
        let rows = &x[start..start + len];
        target.iter_mut().zip(rows).for_each(|(t, s)| t.0[lane] = s.0[source % LANES]);
    }
}

struct Rows<'a, 'o> {
    mixer: &'a Mixer,
    strip: &'a Strip,
    plane: usize,
    /// Begins with the framed row that the window's first row reads first.
    source: Plane<'a>,
    /// Blocks of a column between the pair's convolutions.
    column: usize,
    between: &'a mut [Bytes],
    out: &'a mut Out<'o>,
}

impl Job for Rows<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        let segment = segment_len(self.mixer.output.width).min(D::PIXELS);
        match (segment, self.mixer.stride) {
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

impl Rows<'_, '_> {
    #[inline(always)]
    fn quads<D: Dot, const P: usize, const STRIDE: usize>(self, dot: D) {
        match self.strip.square.quads {
            1 => self.rows::<D, P, STRIDE, 1>(dot),
            2 => self.rows::<D, P, STRIDE, 2>(dot),
            _ => self.rows::<D, P, STRIDE, 0>(dot),
        }
    }

    #[inline(always)]
    fn rows<D: Dot, const P: usize, const STRIDE: usize, const QUADS: usize>(mut self, dot: D) {
        if let Some(pair) = &self.strip.pair {
            self.wide::<D, P>(dot, pair);
        }
        let Rows { mixer, strip, plane, source, column, between, out } = self;
        let Rect { rows, columns, .. } = out.rect();
        let reach = strip.reach() - strip.square.rows / 2;
        let left = mixer.input.halo - strip.square.rows / 2;
        for (i, y) in rows.enumerate() {
            for x in segments(columns.clone(), P) {
                let start = (i * STRIDE + reach) * source.pitch + x * STRIDE + left;
                let mut sums = [dot.load(&strip.square.bias); P];
                sweep::<D, P, STRIDE, QUADS>(dot, source, start, &strip.square, &mut sums);
                if let Some(pair) = &strip.pair {
                    let mut tall = [dot.load(&pair.tall.bias); P];
                    for (p, sum) in tall.iter_mut().enumerate() {
                        let mut one = [*sum];
                        let column = Plane { blocks: &between[(x + p) * column + i..], pitch: 0 };
                        sweep::<D, 1, 1, 0>(dot, column, 0, &pair.tall, &mut one);
                        *sum = one[0];
                    }
                    for (sum, tall) in sums.iter_mut().zip(tall) {
                        *sum = dot.add(*sum, tall);
                    }
                }
                mixer.tail.write(dot, sums, [plane, y, x], None, out);
            }
        }
    }

    /// The first convolution of a pair: the rows that the second reads, column by column.
    #[inline(always)]
    fn wide<D: Dot, const P: usize>(&mut self, dot: D, pair: &Pair) {
        let Rect { rows, columns, .. } = self.out.rect();
        let (reach, height) = (pair.size / 2, self.mixer.output.height);
        let left = self.mixer.input.halo - reach;
        let between = dot.factors(&pair.between);
        for i in 0..rows.len() + 2 * reach {
            // Beyond the map's edges the second convolution reads zeros, not the bias of the first.
            let inside = (reach..height + reach).contains(&(rows.start + i));
            for x in segments(columns.clone(), P) {
                let mut sums = [dot.load(&pair.wide.bias); P];
                if inside {
                    let start = (i + self.strip.reach() - reach) * self.source.pitch + x + left;
                    sweep::<D, P, 1, 0>(dot, self.source, start, &pair.wide, &mut sums);
                }
                for (p, sum) in sums.into_iter().enumerate() {
                    let block = &mut self.between[(x + p) * self.column + i];
                    *block = if inside { dot.pack(dot.rescale(sum, &between), 128, 1) } else { Bytes::ZERO };
                }
            }
        }
    }
}
