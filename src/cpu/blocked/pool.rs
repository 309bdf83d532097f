//! The mean over each plane.

use super::conv::even_parts;
use super::kernel::{Kernel, Reads, Scratch};
use super::layout::{LANES, Map};
use super::slots::{Rect, Window};

pub(super) struct Pool {
    input: Map,
    output: Map,
    parts: usize,
}

impl Pool {
    pub(super) fn new(input: Map, output: Map, threads: usize) -> Self {
        Pool { input, output, parts: threads.clamp(1, output.planes()) }
    }
}

impl Kernel for Pool {
    fn name(&self) -> &'static str {
        "mean"
    }

    fn output(&self) -> Map {
        self.output
    }

    fn pieces(&self) -> usize {
        self.parts
    }

    fn rect(&self, piece: usize) -> Rect {
        let planes = even_parts(self.output.planes(), self.parts).nth(piece).unwrap_or(0..0);
        Rect { planes, ..Rect::whole(&self.output) }
    }

    fn run(&self, piece: usize, reads: &Reads, out: &mut Window, _scratch: &mut Scratch) {
        let Map { height, width, .. } = self.input;
        for plane in self.rect(piece).planes {
            // In f64, for a sum over a large map would lose digits.
            let mut sums = [0.0f64; LANES];
            for y in 0..height {
                for block in &reads.values[0][self.input.at(plane, y, 0)..][..width] {
                    sums.iter_mut().zip(block.0).for_each(|(sum, v)| *sum += f64::from(v));
                }
            }
            out.row(plane, 0)[0].0 = sums.map(|sum| (sum / (height * width) as f64) as f32);
        }
    }
}
