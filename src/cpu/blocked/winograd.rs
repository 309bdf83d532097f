//! 3×3 convolution of stride 1 by Winograd's minimal filtering F(2×2, 3×3) (Lavin & Gray 2016, 4.1): 16 products
//! per four outputs instead of 36.
//!
//! Each 2×2 tile of outputs reads a 4×4 patch `d`. With the transforms `Bᵀ d B` of the patch and `G g Gᵀ` of the
//! kernel, the convolution is a product at each of 16 positions, summed over the input channels, and `Aᵀ m A` of the
//! sums are the outputs. The sums are 16 matrix products over tiles of the image, which the innermost loop of
//! [`conv`](super::conv) computes. A piece transforms its patches to the thread's scratch memory,
//! `[position][input plane][tile]`, and goes over its output channels, `[position][tile][block]`; weights lie in the
//! order of use, `[tile of channels][position][input][block]`. The transforms are sums and halves; weights are
//! transformed in f64. F(4×4, 3×3) would need fewer products still, but loses two digits.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::conv::{Spec, even_parts};
use super::kernel::{Kernel, Reads, Scratch};
use super::layout::{Block, LANES, Map};
use super::slots::{Rect, Window};
use super::tile::{self, Spot, Sums, Taps};
use super::vectors::{activate, load, store, vectors};
use crate::cpu::simd::Vectors;
use crate::ops::Activation;

/// Positions of a transformed patch.
const POSITIONS: usize = 16;

/// Input channels whose products are added up in one go.
const RUN: usize = 192;

/// Tiles of outputs in a piece, roughly: what is transformed stays in a core's cache.
const TILES: usize = 56;

/// Transformed weights that all threads may read: beyond, each thread reads those of its own channels.
const SHARED_WEIGHTS: usize = 1 << 20;

/// A prepared convolution.
pub(super) struct Winograd {
    activation: Activation,
    channels: usize,
    input: Map,
    output: Map,
    residual: Option<Map>,
    /// Output planes that are computed together.
    groups: Vec<Range<usize>>,
    panels: Vec<Block>,
    /// A block per output plane.
    bias: Vec<Block>,
    pieces: Vec<Piece>,
    segment: usize,
}

struct Piece {
    groups: Range<usize>,
    rect: Rect,
}

impl Winograd {
    /// Whether it saves time: enough pixels to read the larger weights for, and weights that are not huge.
    pub(super) fn fits(kernel: [usize; 2], stride: usize, padding: [usize; 2], io: [usize; 2], pixels: usize) -> bool {
        let [channels, out] = io;
        let regular = kernel == [3, 3] && stride == 1 && padding == [1, 1];
        regular && channels >= 2 * LANES && out >= 2 * LANES && channels * out <= 1 << 18 && pixels >= 144
    }

    /// The frame around the input: the last tile's patch reaches a pixel further where the map is odd.
    pub(super) fn halo(height: usize, width: usize) -> usize {
        1 + (height % 2).max(width % 2)
    }

    /// Transforms and packs the weights. `input` must have that halo.
    pub(super) fn new(spec: &Spec, input: Map, output: Map, residual: Option<Map>, threads: usize) -> Self {
        let (widest, segment) = tile::largest();
        let planes = output.planes();
        let groups: Vec<Range<usize>> = even_parts(planes, planes.div_ceil(widest)).collect();
        let mut panels = vec![Block::ZERO; POSITIONS * input.channels * planes];
        let mut rest = &mut panels[..];
        for group in &groups {
            let (panel, after) = rest.split_at_mut(POSITIONS * input.channels * group.len());
            pack(spec, input.channels, output.channels, group, panel);
            rest = after;
        }
        let mut bias = vec![Block::ZERO; planes];
        for (channel, value) in spec.bias.iter().copied().flatten().enumerate() {
            bias[channel / LANES].0[channel % LANES] = *value;
        }
        let pieces = cut(&groups, size_of_val(&panels[..]), &output, threads);
        let (activation, channels) = (spec.activation, input.channels);
        Winograd { activation, channels, input, output, residual, groups, panels, bias, pieces, segment }
    }

    /// Sums the products of all positions for one group of output planes.
    fn multiply(&self, taps: &Taps, spots: &[Spot], group: &Range<usize>, patches: &[Block], sums: &mut [Block]) {
        let (blocks, planes, tiles) = (group.len(), taps.planes, taps.plane_len);
        let channels = self.output.channels.min(group.end * LANES) - group.start * LANES;
        let mut first = POSITIONS * self.channels * group.start;
        for (x, totals) in patches.chunks_exact(planes * tiles).zip(sums.chunks_exact_mut(tiles * blocks)) {
            for run in (0..planes).step_by(taps.run) {
                let (rows, stride, panels) = (run..planes.min(run + taps.run), 1, &self.panels[..]);
                let panel = first..first + taps.products(&rows) * blocks;
                first = panel.end;
                tile::sum(Sums { taps, x, spots, stride, rows, panels, panel, blocks, channels, totals, out: None });
            }
        }
    }
}

/// Bands of rows for small weights, groups of output planes for large ones. Bands have even rows.
fn cut(groups: &[Range<usize>], bytes: usize, output: &Map, threads: usize) -> Vec<Piece> {
    let [rows, columns] = [output.height, output.width].map(|len| len.div_ceil(2));
    let shared = bytes <= SHARED_WEIGHTS;
    let parts = match threads {
        _ if shared => 1,
        threads if groups.len().is_multiple_of(threads) => threads,
        _ => groups.len(),
    };
    let least = if shared { threads } else { 1 };
    let bands = (rows * columns).div_ceil(TILES).next_multiple_of(least.max(1)).min(rows);
    let mut pieces = Vec::new();
    for part in even_parts(groups.len(), parts) {
        let planes = groups[part.start].start..groups[part.end - 1].end;
        for band in even_parts(rows, bands) {
            let rows = 2 * band.start..output.height.min(2 * band.end);
            let rect = Rect { planes: planes.clone(), rows, columns: 0..output.width };
            pieces.push(Piece { groups: part.clone(), rect });
        }
    }
    pieces
}

/// Transforms the weights of a group of output planes: `[position][input][block]`.
fn pack(spec: &Spec, channels: usize, out_channels: usize, group: &Range<usize>, panel: &mut [Block]) {
    for (block, plane) in group.clone().enumerate() {
        let lanes = LANES.min(out_channels - plane * LANES);
        for input in 0..channels {
            let mut kernels = [[0.0; LANES]; 9];
            for lane in 0..lanes {
                let kernel = &spec.weight[((plane * LANES + lane) * channels + input) * 9..][..9];
                kernels.iter_mut().zip(kernel).for_each(|(tap, w)| tap[lane] = f64::from(*w));
            }
            for (position, values) in transformed(&kernels).into_iter().enumerate() {
                panel[(position * channels + input) * group.len() + block] = Block(values.map(|v| v as f32));
            }
        }
    }
}

/// `G g Gᵀ` with `G = [1 0 0; ½ ½ ½; ½ −½ ½; 0 0 1]`, for the kernels of sixteen output channels.
fn transformed(kernels: &[[f64; LANES]; 9]) -> [[f64; LANES]; POSITIONS] {
    let mut rows = [[[0.0; LANES]; 4]; 3];
    for (y, row) in rows.iter_mut().enumerate() {
        transform_line([&kernels[3 * y], &kernels[3 * y + 1], &kernels[3 * y + 2]], row);
    }
    let mut result = [[0.0; LANES]; POSITIONS];
    for x in 0..4 {
        let mut column = [[0.0; LANES]; 4];
        transform_line([&rows[0][x], &rows[1][x], &rows[2][x]], &mut column);
        for (y, values) in column.into_iter().enumerate() {
            result[4 * y + x] = values;
        }
    }
    result
}

/// `G` times three values, for each lane.
fn transform_line(g: [&[f64; LANES]; 3], line: &mut [[f64; LANES]; 4]) {
    for lane in 0..LANES {
        let [a, b, c] = g.map(|g| g[lane]);
        line[0][lane] = a;
        line[1][lane] = (a + b + c) / 2.0;
        line[2][lane] = (a - b + c) / 2.0;
        line[3][lane] = c;
    }
}

impl Kernel for Winograd {
    fn name(&self) -> &'static str {
        "winograd"
    }

    fn output(&self) -> Map {
        self.output
    }

    fn pieces(&self) -> usize {
        self.pieces.len()
    }

    fn rect(&self, piece: usize) -> Rect {
        self.pieces[piece].rect.clone()
    }

    fn run(&self, piece: usize, reads: &Reads, out: &mut Window, scratch: &mut Scratch) {
        let Piece { groups, rect } = &self.pieces[piece];
        let columns = self.output.width.div_ceil(2);
        let count = rect.rows.len().div_ceil(2) * columns;
        // Whole segments: what is beyond the last tile is computed and not looked at.
        let tiles = count.next_multiple_of(self.segment);
        let len = POSITIONS * self.input.planes() * tiles;
        let most = groups.clone().map(|i| self.groups[i].len()).max().unwrap_or(0);
        let (patches, sums) = scratch.blocks(len + POSITIONS * tiles * most).split_at_mut(len);
        let arch = Vectors::new();
        let (x, input, top) = (reads.values[0], &self.input, rect.rows.start);
        arch.dispatch(Patches { x, input, top, columns, count, tiles, patches });
        let view = Map { channels: self.channels, height: 1, width: tiles, halo: 0 };
        let taps = &Taps::new([1, 1], [0, 0], self.channels, &view, tiles, RUN);
        let spot = |start| Spot { start, pixels: self.segment, at: start };
        let spots: Vec<Spot> = (0..tiles).step_by(self.segment).map(spot).collect();
        for group in &self.groups[groups.clone()] {
            let sums = &mut sums[..POSITIONS * tiles * group.len()];
            self.multiply(taps, &spots, group, patches, sums);
            let residual = reads.values[1];
            arch.dispatch(Outputs { conv: self, group: group.clone(), residual, columns, count, tiles, sums, out });
        }
    }
}

/// `Bᵀ d B` of every patch, with `Bᵀ = [1 0 −1 0; 0 1 1 0; 0 −1 1 0; 0 1 0 −1]`.
struct Patches<'a> {
    x: &'a [Block],
    input: &'a Map,
    /// First output row.
    top: usize,
    /// Tiles per row, tiles in all, and tiles that there is room for.
    columns: usize,
    count: usize,
    tiles: usize,
    patches: &'a mut [Block],
}

impl WithSimd for Patches<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Patches { x, input, top, columns, count, tiles, patches } = self;
        let planes = input.planes();
        for plane in 0..planes {
            let x = &x[plane * input.plane_len()..(plane + 1) * input.plane_len()];
            for tile in 0..count {
                let (y, column) = (top + tile / columns * 2, tile % columns * 2);
                let start = input.framed(y + input.halo - 1, column + input.halo - 1);
                for v in 0..vectors::<S>() {
                    // Plain loops: closures do not always become part of the vector function.
                    let mut lines = [[simd.splat_f32s(0.0); 4]; 4];
                    for (i, line) in lines.iter_mut().enumerate() {
                        let row = &x[start + i * input.pitch()..][..4];
                        for (value, block) in line.iter_mut().zip(row) {
                            *value = load::<S>(block, v);
                        }
                        *line = patch_line(simd, *line);
                    }
                    for i in 0..4 {
                        let values = patch_line(simd, [lines[0][i], lines[1][i], lines[2][i], lines[3][i]]);
                        for (y, value) in values.into_iter().enumerate() {
                            store::<S>(&mut patches[((4 * y + i) * planes + plane) * tiles + tile], v, value);
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn patch_line<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 4] {
    [simd.sub_f32s(a, c), simd.add_f32s(b, c), simd.sub_f32s(c, b), simd.sub_f32s(b, d)]
}

#[inline(always)]
fn output_line<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 2] {
    [simd.add_f32s(simd.add_f32s(a, b), c), simd.sub_f32s(simd.sub_f32s(b, c), d)]
}

/// `Aᵀ m A` of every tile's sums, with `Aᵀ = [1 1 1 0; 0 1 −1 −1]`; then bias, residual, activation, and out.
struct Outputs<'a, 'w> {
    conv: &'a Winograd,
    group: Range<usize>,
    residual: &'a [Block],
    columns: usize,
    count: usize,
    tiles: usize,
    sums: &'a [Block],
    out: &'a mut Window<'w>,
}

impl WithSimd for Outputs<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Outputs { conv, group, residual, columns, count, tiles, sums, out } = self;
        let (top, bottom) = (out.rect().rows.start, out.rect().rows.end);
        for (block, plane) in group.clone().enumerate() {
            for tile in 0..count {
                let (y, x) = (top + tile / columns * 2, tile % columns * 2);
                let width = 2.min(conv.output.width - x);
                for v in 0..vectors::<S>() {
                    let mut lines = [[simd.splat_f32s(0.0); 2]; 4];
                    for (i, line) in lines.iter_mut().enumerate() {
                        let mut values = [simd.splat_f32s(0.0); 4];
                        for (x, value) in values.iter_mut().enumerate() {
                            *value = load::<S>(&sums[((4 * i + x) * tiles + tile) * group.len() + block], v);
                        }
                        *line = output_line(simd, values);
                    }
                    let pairs = [
                        output_line(simd, [lines[0][0], lines[1][0], lines[2][0], lines[3][0]]),
                        output_line(simd, [lines[0][1], lines[1][1], lines[2][1], lines[3][1]]),
                    ];
                    let bias = load::<S>(&conv.bias[plane], v);
                    for dy in 0..2.min(bottom - y) {
                        let residual = conv.residual.map(|map| &residual[map.at(plane, y + dy, x)..][..width]);
                        let out = &mut out.row(plane, y + dy)[x..x + width];
                        for (dx, out) in out.iter_mut().enumerate() {
                            let mut value = simd.add_f32s(pairs[dx][dy], bias);
                            if let Some(residual) = residual {
                                value = simd.add_f32s(value, load::<S>(&residual[dx], v));
                            }
                            store::<S>(out, v, activate(simd, conv.activation, value));
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_the_transforms_is_a_convolution() {
        // In one dimension: outputs of Aᵀ((G g) ∘ (Bᵀ d)).
        let (g, d) = ([2.0, -3.0, 5.0], [7.0, 11.0, -13.0, 17.0]);
        let mut kernels = [[0.0; LANES]; 9];
        (0..3).for_each(|i| kernels[3 + i][5] = g[i]);
        // A kernel with nothing but its second row: position (1, ·) holds half of its line.
        let u: Vec<f64> = transformed(&kernels)[4..8].iter().map(|lanes| 2.0 * lanes[5]).collect();
        let v = [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]];
        let m: Vec<f64> = u.iter().zip(v).map(|(u, v)| u * v).collect();
        let expected = [0, 1].map(|i| (0..3).map(|k| g[k] * d[i + k]).sum::<f64>());
        assert_eq!([m[0] + m[1] + m[2], m[1] - m[2] - m[3]], expected);
    }
}
