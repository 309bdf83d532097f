//! What Miri executes: the memory that the CPU executor's threads share, and the innermost loops of WebAssembly.
//! Every slice is exactly as long as it has to be, so that what is read beside it is found.
#![allow(dead_code, reason = "the files are used by more than is here")]

/// What the files need of the rest.
mod graph {
    #[derive(Clone, Copy)]
    pub struct Shape {
        pub channels: usize,
        pub height: usize,
        pub width: usize,
    }

    impl Shape {
        pub const fn new(channels: usize, height: usize, width: usize) -> Self {
            Shape { channels, height, width }
        }
    }
}

mod ops {
    #[derive(Clone, Copy, Debug)]
    pub enum Activation {
        None,
        Relu,
        Gelu,
        Sigmoid,
    }

    impl Activation {
        pub const ALL: [Activation; 4] = [Activation::None, Activation::Relu, Activation::Gelu, Activation::Sigmoid];
    }
}

#[path = "."]
mod cpu {
    #[path = "../../src/cpu/simd.rs"]
    pub(crate) mod simd;

    #[path = "."]
    mod blocked {
        #[path = "../../src/cpu/blocked/layout.rs"]
        mod layout;
        #[path = "../../src/cpu/blocked/slots.rs"]
        mod slots;
        #[path = "../../src/cpu/blocked/team.rs"]
        mod team;
        #[path = "../../src/cpu/blocked/tile/mod.rs"]
        mod tile;
        #[path = "../../src/cpu/blocked/vectors.rs"]
        mod vectors;

        #[cfg(test)]
        mod tests {
            use super::layout::{Block, LANES, Map};
            use super::slots::{Rect, Slots};
            use super::team;
            use super::tile::{Sum, Taps};
            use crate::cpu::simd::Vectors;
            use crate::graph::Shape;

            /// Threads write windows of one slot and read another, step after step, as programs have them do.
            #[test]
            fn threads_share_slots() {
                let map = Map::new(Shape::new(20, 4, 5), 1);
                let mut memory = vec![vec![Block([1.0; LANES]); map.len()], vec![Block::ZERO; map.len()]];
                let slots = Slots::new(&mut memory);
                let piece_of = |piece: usize| Rect { planes: 0..2, rows: piece..piece + 1, columns: 0..5 };
                team::run(&[4, 4, 4], &mut [0; 3], |step, piece, done: &mut usize| {
                    // SAFETY: a step reads the slot that the step before it wrote, and writes the other; its windows are
                    // rows of their own.
                    let (from, mut window) = unsafe { (slots.read(step % 2), slots.window(1 - step % 2, map, piece_of(piece))) };
                    for plane in 0..2 {
                        // Of the row before too, which another thread wrote.
                        let above = map.at(plane, piece.saturating_sub(1), 0);
                        for (x, block) in window.row(plane, piece).iter_mut().enumerate() {
                            block.0[0] = from[map.at(plane, piece, x)].0[0] + from[above + x].0[0];
                        }
                    }
                    *done += 1;
                });
                for (plane, y, x) in [(0, 0, 0), (1, 3, 4), (0, 2, 2)] {
                    assert_eq!(memory[1][map.at(plane, y, x)].0[0], 8.0);
                }
            }

            /// Products of tiles against plain loops.
            #[test]
            fn products_stay_within_their_slices() {
                for (kernel, channels, stride, pixels) in
                    [([1, 1], 5, 1, 4), ([3, 3], 16, 1, 7), ([3, 3], 21, 2, 4), ([1, 5], 33, 1, 1), ([5, 1], 2, 2, 7)]
                {
                    let input = Map::new(Shape::new(channels, kernel[0], (pixels - 1) * stride + kernel[1]), 0);
                    let taps = Taps::new(kernel, [0, 0], channels, &input, usize::MAX);
                    let rows = taps.planes * kernel[0];
                    let value = |seed: usize| Block(std::array::from_fn(|lane| ((seed * 7 + lane * 3) % 11) as f32 - 5.0));
                    let x: Vec<Block> = (0..input.len()).map(value).collect();
                    let panel: Vec<Block> = (0..taps.products(&(0..rows))).map(|at| value(at + 1)).collect();
                    let mut totals = vec![Block::ZERO; pixels];
                    // In two runs, as far as there are rows for them.
                    let half = rows / 2;
                    let first = taps.products(&(0..half));
                    for (rows, panel) in [(0..half, &panel[..first]), (half..rows, &panel[first..])] {
                        if !rows.is_empty() {
                            let (taps, x, totals) = (&taps, &x[..], &mut totals[..]);
                            Vectors::new().dispatch(Sum { taps, x, start: 0, rows, panel, stride, pixels, blocks: 1, totals });
                        }
                    }
                    let mut expected = vec![[0f32; LANES]; pixels];
                    let mut weights = panel.iter();
                    for (plane, ky, kx) in (0..taps.planes)
                        .flat_map(|plane| (0..kernel[0]).flat_map(move |ky| (0..kernel[1]).map(move |kx| (plane, ky, kx))))
                    {
                        for channel in 0..LANES.min(channels - plane * LANES) {
                            let weights = weights.next().unwrap();
                            for (p, sums) in expected.iter_mut().enumerate() {
                                let x = x[input.at(plane, ky, p * stride + kx)].0[channel];
                                sums.iter_mut().zip(weights.0).for_each(|(sum, weight)| *sum += x * weight);
                            }
                        }
                    }
                    assert!(weights.next().is_none());
                    let found: Vec<[f32; LANES]> = totals.iter().map(|block| block.0).collect();
                    assert_eq!(found, expected, "{kernel:?}, {channels} channels, stride {stride}, {pixels} pixels");
                }
            }
        }
    }
}
