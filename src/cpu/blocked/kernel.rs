//! What a step of a program looks like to whoever runs it.

use super::layout::{Block, Map};
use super::slots::{Rect, Window};

/// What a step reads: the network's input as it came, `[c, h, w]`, and up to two values.
pub(super) struct Reads<'a> {
    pub image: &'a [f32],
    pub values: [&'a [Block]; 2],
}

/// Memory of one thread, which grows to what the largest piece needs and stays.
#[derive(Default)]
pub(super) struct Scratch(Vec<Block>);

impl Scratch {
    /// That many blocks, with whatever is in them.
    pub(super) fn blocks(&mut self, len: usize) -> &mut [Block] {
        if self.0.len() < len {
            self.0.resize(len, Block::ZERO);
        }
        &mut self.0[..len]
    }
}

/// An operator made ready for one shape: weights packed, work cut in pieces that any thread may
/// take in any order. The result does not depend on who takes what.
pub(super) trait Kernel: Send + Sync {
    /// Name in profiles.
    fn name(&self) -> &'static str;

    /// Where the value lies that it writes. May be a flat view of the slot.
    fn output(&self) -> Map;

    /// Number of pieces.
    fn pieces(&self) -> usize;

    /// What a piece writes; no two pieces overlap.
    fn rect(&self, piece: usize) -> Rect;

    /// Computes a piece.
    fn run(&self, piece: usize, reads: &Reads, out: &mut Window, scratch: &mut Scratch);
}
