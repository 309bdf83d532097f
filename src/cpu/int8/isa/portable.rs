//! Plain code.

use super::super::layout::{Bytes, Enlarges, LANES, Panel, Rescale, Words};
use super::{Dot, scalar};

#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Dot for Portable {
    type Sums = Words;
    type Weights = Panel;
    type Quad = [i16; 4];
    type Columns = [Bytes; 4];
    type Factors = Rescale;
    const OFFSET: bool = false;
    const TILE: usize = 1;
    const PIXELS: usize = 4;

    #[inline(always)]
    fn load(self, sums: &Words) -> Words {
        *sums
    }

    #[inline(always)]
    fn store(self, sums: Words, to: &mut Words) {
        *to = sums;
    }

    #[inline(always)]
    fn add(self, a: Words, b: Words) -> Words {
        Words(std::array::from_fn(|lane| a.0[lane].wrapping_add(b.0[lane])))
    }

    #[inline(always)]
    fn weights(self, panels: &[Panel]) -> Panel {
        panels[0]
    }

    #[inline(always)]
    fn quad(self, blocks: &[Bytes], index: usize) -> [i16; 4] {
        let first = index % 4 * 4;
        [0, 1, 2, 3].map(|i| i16::from(blocks[0].0[first + i]) - 128)
    }

    #[inline(always)]
    fn dot(self, mut sums: Words, quad: [i16; 4], weights: Panel) -> Words {
        for lane in 0..LANES {
            let product = |i: usize| i32::from(quad[i]) * i32::from(weights.0[lane * 4 + i]);
            sums.0[lane] = sums.0[lane].wrapping_add(product(0) + product(1) + product(2) + product(3));
        }
        sums
    }

    #[inline(always)]
    fn columns(self, blocks: &[Bytes; 4]) -> [Bytes; 4] {
        *blocks
    }

    #[inline(always)]
    fn dot_columns(self, mut sums: Words, columns: [Bytes; 4], weights: Panel) -> Words {
        for lane in 0..LANES {
            let product = |i: usize| (i32::from(columns[i].0[lane]) - 128) * i32::from(weights.0[lane * 4 + i]);
            sums.0[lane] = sums.0[lane].wrapping_add(product(0) + product(1) + product(2) + product(3));
        }
        sums
    }

    #[inline(always)]
    fn enlarge(self, mut sums: Words, residual: &Bytes, by: &Enlarges) -> Words {
        scalar::enlarge(&mut sums, residual, by);
        sums
    }

    #[inline(always)]
    fn factors(self, of: &Rescale) -> Rescale {
        *of
    }

    #[inline(always)]
    fn rescale(self, mut sums: Words, by: &Rescale) -> Words {
        scalar::rescale(&mut sums, by);
        sums
    }

    #[inline(always)]
    fn pack(self, values: Words, add: i32, low: i32) -> Bytes {
        Bytes(std::array::from_fn(|lane| (values.0[lane] + add).clamp(low, 255) as u8))
    }
}
