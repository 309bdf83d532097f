//! What Miri executes: the memory that the CPU executor's threads share, and the innermost loops of WebAssembly.
//! Every slice is exactly as long as it has to be, so that what is read beside it is found.
#![allow(dead_code, unused_imports, reason = "the files are used by more than is here")]

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
        #[path = "../../src/cpu/blocked/gelu.rs"]
        mod gelu;
        #[path = "../../src/cpu/blocked/layout.rs"]
        mod layout;
        #[path = "../../src/cpu/blocked/slots.rs"]
        mod slots;
        #[path = "../../src/cpu/blocked/sweep/mod.rs"]
        mod sweep;
        #[path = "../../src/cpu/blocked/team.rs"]
        mod team;
        #[path = "../../src/cpu/blocked/tile/mod.rs"]
        mod tile;
        #[path = "../../src/cpu/blocked/vectors.rs"]
        mod vectors;

        #[cfg(test)]
        mod tests {
            use pulp::{Simd, WithSimd};

            use super::layout::{Block, LANES, Map};
            use super::slots::{Rect, Slots};
            use super::sweep::{Lines, Plane, Sweep, lines};
            use super::team;
            use super::tile::{self, Out, Place, Spot, Sums, Taps};
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
                    let (from, mut window) =
                        unsafe { (slots.read(step % 2), slots.window(1 - step % 2, map, piece_of(piece))) };
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

            fn value(seed: usize) -> Block {
                Block(std::array::from_fn(|lane| ((seed * 7 + lane * 3) % 11) as f32 - 5.0))
            }

            /// Vectors of four, as WebAssembly's are.
            fn fours(work: impl WithSimd<Output = ()>) {
                work.with_simd(pulp::Scalar128b);
            }

            /// Products of tiles against plain loops, for some rows of several pixels and of one.
            #[test]
            fn products_stay_within_their_slices() {
                for (kernel, channels, stride, pixels) in
                    [([1, 1], 5, 1, 4), ([3, 3], 16, 1, 7), ([3, 3], 21, 2, 4), ([1, 5], 33, 1, 1), ([5, 1], 2, 2, 12)]
                {
                    let input = Map::new(Shape::new(channels, kernel[0], (pixels - 1) * stride + kernel[1]), 0);
                    let plane_len = input.at(1, 0, 0);
                    let taps = Taps::new(kernel, [0, 0], channels, &input, plane_len, usize::MAX);
                    let rows = taps.planes * kernel[0];
                    let x: Vec<Block> = (0..input.len()).map(value).collect();
                    let panels: Vec<Block> = (0..taps.products(&(0..rows))).map(|at| value(at + 1)).collect();
                    let mut totals = vec![Block([f32::NAN; LANES]); pixels];
                    let spots: Vec<Spot> = tile::segments(0..pixels)
                        .map(|(first, len)| Spot { start: first * stride, pixels: len, at: first })
                        .collect();
                    // Segments may overlap, and sums are added: one after the other, as programs have them do.
                    let mut expected = vec![[0f32; LANES]; pixels];
                    let mut weights = panels.iter();
                    for (plane, ky, kx) in (0..taps.planes).flat_map(|plane| {
                        (0..kernel[0]).flat_map(move |ky| (0..kernel[1]).map(move |kx| (plane, ky, kx)))
                    }) {
                        for channel in 0..LANES.min(channels - plane * LANES) {
                            let weights = weights.next().unwrap();
                            for (p, sums) in expected.iter_mut().enumerate() {
                                let x = x[input.at(plane, ky, p * stride + kx)].0[channel];
                                sums.iter_mut().zip(weights.0).for_each(|(sum, weight)| *sum += x * weight);
                            }
                        }
                    }
                    assert!(weights.next().is_none());
                    // In two runs, as far as there are rows for them; the last goes on into the totals, or into a map
                    // whose rows end after half of the pixels, two blocks before the next.
                    let (half, end, gap, bias) = (rows / 2, pixels.div_ceil(2), 2, [value(4)]);
                    for finished in [false, true] {
                        let mut plane = vec![Block([f32::NAN; LANES]); pixels + gap];
                        for spot in &spots {
                            let beyond = spot.at >= end;
                            let place = [Place {
                                start: spot.at + if beyond { gap } else { 0 },
                                before: if beyond { spot.pixels } else { end - spot.at },
                            }];
                            for rows in [0..half, half..rows] {
                                if rows.is_empty() {
                                    continue;
                                }
                                let first = taps.products(&(0..rows.start));
                                let out = finished && rows.start == half;
                                fours(Sums {
                                    taps: &taps,
                                    x: &x,
                                    spots: &[*spot],
                                    stride,
                                    panel: first..first + taps.products(&rows),
                                    rows,
                                    panels: &panels,
                                    blocks: 1,
                                    channels: LANES,
                                    totals: &mut totals,
                                    out: out.then(|| Out {
                                        places: &place,
                                        bias: &bias,
                                        limit: 0.0,
                                        planes: [&mut plane, &mut [], &mut []],
                                        gap,
                                    }),
                                });
                            }
                        }
                        let at = |p: usize| if p < end { p } else { p + gap };
                        for (p, sums) in expected.iter().enumerate() {
                            let case = format!("{kernel:?}, {channels} channels, stride {stride}, pixel {p}");
                            if finished {
                                let wanted: Vec<f32> =
                                    sums.iter().zip(bias[0].0).map(|(sum, bias)| (sum + bias).max(0.0)).collect();
                                assert_eq!(plane[at(p)].0[..], wanted, "{case}");
                            } else {
                                assert_eq!(totals[p].0, *sums, "{case}");
                            }
                        }
                        let kept = |block: &Block| block.0.iter().all(|v| v.is_nan());
                        assert!(plane[end..end + gap].iter().all(kept));
                    }
                }
            }

            /// Rows, `P` outputs at a time.
            struct Rows<'a, const P: usize, const STRIDE: usize>(Lines<'a>);

            impl<const P: usize, const STRIDE: usize> WithSimd for Rows<'_, P, STRIDE> {
                type Output = ();
                fn with_simd<S: Simd>(self, simd: S) {
                    lines::<S, P, STRIDE>(simd, self.0);
                }
            }

            /// Depthwise taps against plain loops, planes and kernels being no longer than they have to be.
            fn check_rows<const P: usize, const STRIDE: usize>(
                size: [usize; 2],
                [rows, columns]: [usize; 2],
                second: bool,
            ) {
                let pitch = (columns - 1) * STRIDE + size[1];
                let blocks: Vec<Block> = (0..((rows - 1) * STRIDE + size[0]) * pitch).map(value).collect();
                let taps: Vec<Block> = (0..size[0] * size[1]).map(|at| value(at + 3)).collect();
                let (more, other): (Vec<Block>, Vec<Block>) =
                    ((0..columns + 1).map(|at| value(at + 5)).collect(), vec![value(1), value(2)]);
                // With something between rows that is left alone.
                let across = columns + 2;
                let mut out = vec![Block([f32::NAN; LANES]); (rows - 1) * across + columns];
                let bias = value(9);
                let plane = |blocks, pitch| Plane { blocks, pitch };
                let first = Sweep { plane: plane(&blocks, pitch), start: 0, taps: plane(&taps, size[1]), size };
                let next = Sweep { plane: plane(&more, columns + 1), start: 0, taps: plane(&other, 2), size: [1, 2] };
                fours(Rows::<P, STRIDE>(Lines {
                    vectors: 0..4,
                    bias: &bias,
                    columns,
                    rows,
                    first,
                    step: STRIDE * pitch,
                    second: second.then_some(next),
                    relu: false,
                    out: &mut out,
                    pitch: across,
                }));
                for (at, found) in out.iter().enumerate() {
                    let (y, x) = (at / across, at % across);
                    if x >= columns {
                        assert!(found.0.iter().all(|value| value.is_nan()), "between rows");
                        continue;
                    }
                    for lane in 0..LANES {
                        let mut sum = bias.0[lane];
                        for (ky, kx) in (0..size[0]).flat_map(|ky| (0..size[1]).map(move |kx| (ky, kx))) {
                            let value = blocks[(y * STRIDE + ky) * pitch + x * STRIDE + kx].0[lane];
                            sum += value * taps[ky * size[1] + kx].0[lane];
                        }
                        if second {
                            sum += (0..2).map(|kx| more[x + kx].0[lane] * other[kx].0[lane]).sum::<f32>();
                        }
                        assert_eq!(found.0[lane], sum, "{size:?}, {rows}×{columns}, at {y}, {x}, lane {lane}");
                    }
                }
            }

            #[test]
            fn taps_stay_within_their_slices() {
                check_rows::<4, 1>([3, 3], [3, 7], false);
                check_rows::<4, 1>([3, 3], [1, 4], true);
                check_rows::<7, 1>([1, 11], [1, 14], true);
                check_rows::<4, 2>([7, 7], [2, 5], false);
                check_rows::<1, 2>([11, 1], [3, 3], false);
            }
        }
    }
}
