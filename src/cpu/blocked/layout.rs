//! How values lie in memory while the fast path runs: `[⌈c/16⌉][halo + h + halo][halo + w + halo]`
//! blocks of sixteen channels of one pixel.
//!
//! Sixteen channels are one AVX-512 vector, two of AVX2, four of NEON or simd128, and one cache
//! line: kernels take whole vectors along the channels, so no map is too small or too odd for them,
//! and neighbouring pixels are a constant distance apart. The halo is a frame of zeros, as wide as
//! the largest padding among the value's readers, which therefore need no tests for edges. Lanes
//! beyond the last channel hold anything finite or not: nobody reads them.

use crate::graph::Shape;

/// Channels in a block.
pub(in crate::cpu) const LANES: usize = 16;

/// Sixteen channels of one pixel: one cache line.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(in crate::cpu) struct Block(pub [f32; LANES]);

// SAFETY: sixteen floats without padding between or after them (64 bytes, aligned to 64); any bits are
// a value.
unsafe impl bytemuck::Zeroable for Block {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Block {}

impl Block {
    pub(in crate::cpu) const ZERO: Block = Block([0.0; LANES]);
}

/// Shape of a value and the width of the frame of zeros around each of its planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cpu) struct Map {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub halo: usize,
}

impl Map {
    pub(in crate::cpu) fn new(shape: Shape, halo: usize) -> Self {
        let Shape { channels, height, width } = shape;
        Map { channels, height, width, halo }
    }

    /// The same values as a single row, which exists where there is no frame between rows.
    pub(in crate::cpu) fn flat(self) -> Option<Self> {
        (self.halo == 0).then_some(Map { height: 1, width: self.height * self.width, ..self })
    }

    /// Number of planes of blocks.
    pub(in crate::cpu) fn planes(&self) -> usize {
        self.channels.div_ceil(LANES)
    }

    /// Blocks from one row to the next.
    pub(in crate::cpu) fn pitch(&self) -> usize {
        self.width + 2 * self.halo
    }

    /// Blocks from one plane to the next.
    pub(in crate::cpu) fn plane_len(&self) -> usize {
        self.pitch() * (self.height + 2 * self.halo)
    }

    /// Number of blocks.
    pub(in crate::cpu) fn len(&self) -> usize {
        self.planes() * self.plane_len()
    }

    /// Position of a pixel within a plane. `y` and `x` count from the frame's corner, so that what a
    /// tap reads above and left of the map has a position too.
    pub(in crate::cpu) fn framed(&self, y: usize, x: usize) -> usize {
        y * self.pitch() + x
    }

    /// Position of a pixel of the map itself.
    pub(in crate::cpu) fn at(&self, plane: usize, y: usize, x: usize) -> usize {
        plane * self.plane_len() + self.framed(y + self.halo, x + self.halo)
    }

    /// Copies `[c, h, w]` values in; the frame is left alone.
    pub(in crate::cpu) fn enter(&self, values: &[f32], blocks: &mut [Block]) {
        for (channel, plane) in values.chunks_exact(self.height * self.width).enumerate() {
            let (block, lane) = (channel / LANES, channel % LANES);
            for (y, row) in plane.chunks_exact(self.width).enumerate() {
                let start = self.at(block, y, 0);
                let target = &mut blocks[start..start + self.width];
                target.iter_mut().zip(row).for_each(|(block, v)| block.0[lane] = *v);
            }
        }
    }

    /// Copies the values out as `[c, h, w]`.
    pub(in crate::cpu) fn leave(&self, blocks: &[Block], values: &mut [f32]) {
        for (channel, plane) in values.chunks_exact_mut(self.height * self.width).enumerate() {
            let (block, lane) = (channel / LANES, channel % LANES);
            for (y, row) in plane.chunks_exact_mut(self.width).enumerate() {
                let start = self.at(block, y, 0);
                let source = &blocks[start..start + self.width];
                row.iter_mut().zip(source).for_each(|(v, block)| *v = block.0[lane]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_enters_leaves_again_and_the_frame_stays_zero() {
        for (channels, halo) in [(1, 0), (16, 1), (19, 3), (40, 2)] {
            let map = Map::new(Shape::new(channels, 3, 5), halo);
            let values: Vec<f32> = (0..channels * 15).map(|i| i as f32 + 1.0).collect();
            let mut blocks = vec![Block::ZERO; map.len()];
            map.enter(&values, &mut blocks);
            let mut back = vec![0.0; values.len()];
            map.leave(&blocks, &mut back);
            assert_eq!(back, values);
            let filled = blocks.iter().flat_map(|b| b.0).filter(|v| *v != 0.0).count();
            assert_eq!(filled, values.len());
            assert_eq!(blocks[map.at(0, 2, 4)].0[0], 15.0);
            assert_eq!(map.at(0, 0, 0), map.framed(halo, halo));
        }
    }

    #[test]
    fn only_maps_without_a_frame_are_flat() {
        let map = Map::new(Shape::new(4, 3, 5), 0);
        assert_eq!(map.flat(), Some(Map { channels: 4, height: 1, width: 15, halo: 0 }));
        assert_eq!(Map { halo: 1, ..map }.flat(), None);
    }
}
