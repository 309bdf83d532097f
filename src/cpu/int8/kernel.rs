//! What a step of an integer program looks like to whoever runs it, and the end of every step: finishing sums.

use super::isa::{Dot, Isa, Job};
use super::layout::{Bytes, Enlarges, Lut, Rescale, Words};
use crate::cpu::blocked::layout::Map;
use crate::cpu::blocked::slots::{Rect, Window};
use crate::int8::program::Output;
use crate::int8::table::Finish;

/// What a step reads: the network's input as it came, `[c, h, w]`, and up to two values.
pub(super) struct Reads<'a> {
    pub image: &'a [f32],
    pub values: [&'a [Bytes]; 2],
}

/// What a piece of work writes.
pub(super) enum Out<'a> {
    Bytes(Window<'a, Bytes>),
    Words(Window<'a, Words>),
}

impl Out<'_> {
    pub(super) fn rect(&self) -> Rect {
        match self {
            Out::Bytes(window) => window.rect().clone(),
            Out::Words(window) => window.rect().clone(),
        }
    }
}

/// Memory of one thread, which grows to what the largest piece needs and stays.
#[derive(Default)]
pub(super) struct Scratch {
    bytes: Vec<Bytes>,
    words: Vec<Words>,
}

impl Scratch {
    /// That many blocks of each, with whatever is in them.
    pub(super) fn blocks(&mut self, bytes: usize, words: usize) -> (&mut [Bytes], &mut [Words]) {
        if self.bytes.len() < bytes {
            self.bytes.resize(bytes, Bytes::ZERO);
        }
        if self.words.len() < words {
            self.words.resize(words, Words::ZERO);
        }
        (&mut self.bytes[..bytes], &mut self.words[..words])
    }
}

/// An operation made ready for one shape and one instruction set, cut in pieces that any thread may take in any
/// order.
pub(super) trait Kernel: Send + Sync {
    /// Name in profiles.
    fn name(&self) -> &'static str;

    /// Where the value lies that it writes. May be a flat view of the slot.
    fn output(&self) -> Map;

    /// Whether the value is one of sums.
    fn makes_sums(&self) -> bool {
        false
    }

    /// Number of pieces.
    fn pieces(&self) -> usize;

    /// What a piece writes; no two pieces overlap.
    fn rect(&self, piece: usize) -> Rect;

    /// Computes a piece.
    fn run(&self, isa: Isa, piece: usize, reads: &Reads, out: &mut Out, scratch: &mut Scratch);
}

/// How rescaled sums become bytes.
pub(super) struct Ending {
    /// Added to a rescaled sum, and the least byte then.
    pub add: i32,
    pub low: i32,
    pub table: Option<Box<Lut>>,
}

impl Ending {
    pub(super) fn new(finish: &Finish) -> Self {
        match finish {
            Finish::Clamp { low } => Ending { add: 128, low: low + 128, table: None },
            Finish::Table(table) => {
                let entries = table.entries.map(|entry| (entry as u8) ^ 128);
                Ending { add: table.offset, low: 0, table: Some(Box::new(Lut(entries))) }
            }
        }
    }

    /// Looks up all bytes of a window's planes, which are indices so far.
    pub(super) fn look_up(&self, isa: Isa, planes: std::ops::Range<usize>, out: &mut Out) {
        let (Some(table), Out::Bytes(window)) = (&self.table, out) else { return };
        for plane in planes {
            for y in window.rect().rows.clone() {
                isa.dispatch(LookUp { table, row: window.row(plane, y) });
            }
        }
    }
}

struct LookUp<'a> {
    table: &'a Lut,
    row: &'a mut [Bytes],
}

impl Job for LookUp<'_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        dot.look_up(self.table, self.row);
    }
}

/// What becomes of the sums of a convolution.
pub(super) enum Tail {
    /// They are the value.
    Sums,
    /// Rescaled by a block of factors per plane.
    Rescaled { rescale: Vec<Rescale>, ending: Ending },
}

impl Tail {
    pub(super) fn new(output: &Output) -> Self {
        match output {
            Output::Sums => Tail::Sums,
            Output::Rescaled { requant, finish } => {
                Tail::Rescaled { rescale: Rescale::blocks(requant), ending: Ending::new(finish) }
            }
        }
    }

    pub(super) fn makes_sums(&self) -> bool {
        matches!(self, Tail::Sums)
    }

    /// Looks up what was written as indices.
    pub(super) fn finish(&self, isa: Isa, planes: std::ops::Range<usize>, out: &mut Out) {
        if let Tail::Rescaled { ending, .. } = self {
            ending.look_up(isa, planes, out);
        }
    }

    /// Writes the sums of neighbouring pixels of a plane; the first is at `column` of the window. `residual` begins
    /// with that of the first.
    #[inline(always)]
    pub(super) fn write<D: Dot, const P: usize>(
        &self,
        dot: D,
        mut sums: [D::Sums; P],
        [plane, y, column]: [usize; 3],
        residual: Option<(&[Bytes], &Enlarges)>,
        out: &mut Out,
    ) {
        // Loops, not closures: those would not be compiled for the set's instructions.
        if let Some((blocks, by)) = residual {
            let blocks = &blocks[..P];
            for p in 0..P {
                sums[p] = dot.enlarge(sums[p], &blocks[p], by);
            }
        }
        match (self, out) {
            (Tail::Rescaled { rescale, ending }, Out::Bytes(window)) => {
                let row = &mut window.row(plane, y)[column..][..P];
                let by = dot.factors(&rescale[plane]);
                for p in 0..P {
                    row[p] = dot.pack(dot.rescale(sums[p], &by), ending.add, ending.low);
                }
            }
            (Tail::Sums, Out::Words(window)) => {
                let row = &mut window.row(plane, y)[column..][..P];
                for p in 0..P {
                    dot.store(sums[p], &mut row[p]);
                }
            }
            // A program's check sees to it that kernels and windows agree.
            _ => {}
        }
    }
}
