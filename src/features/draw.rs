//! Values as pictures: channels side by side, in colours.
//!
//! Small maps are enlarged by whole factors without smoothing, so that every value is a square;
//! large ones are reduced by averaging blocks. Gaps are transparent, and values that are not finite
//! are pure magenta, which is in no colour map.

use super::font;
use super::{Branch, Colormap};
use crate::error::{Error, Result};
use crate::picture::Picture;
use crate::preprocess::Preprocess;
use crate::tensor::Tensor;

/// The most channels that one picture shows, whatever was asked for.
pub const MAX_CHANNELS: usize = 4096;

/// Which values share the colours' range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Each map goes from its own smallest value to its own largest: shows the shape of all.
    /// The values of a vector share one range all the same.
    #[default]
    Map,
    /// All maps of a picture share one range: shows which are strong.
    Tensor,
}

/// How values are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// How many channels are shown, the first ones; at most [`MAX_CHANNELS`].
    pub channels: usize,
    /// The colours.
    pub colormap: Colormap,
    /// Which values share a range.
    pub scale: Scale,
}

impl Default for Style {
    fn default() -> Self {
        Style { channels: 64, colormap: Colormap::default(), scale: Scale::default() }
    }
}

impl Style {
    /// Whether maps of that size share a range. The values of a vector do in any case: each by itself
    /// would be its own lowest.
    fn shares(&self, size: [usize; 2]) -> bool {
        self.scale == Scale::Tensor || size == [1, 1]
    }
}

/// Side that maps are enlarged towards, in pixels; that of single values; the longest side of all.
const SIDE: usize = 112;
const DOT: usize = 20;
const LONGEST: usize = 256;
/// Sides within the columns of a picture of branches: the mean's, and each channel's.
const MEAN_SIDE: usize = 224;
const SMALL_SIDE: usize = 56;
/// Pixels that the maps of one picture may take together.
const MAX_PIXELS: usize = 1 << 24;
/// Between maps, and between the columns of branches.
const GAP: usize = 2;
const COLUMN_GAP: usize = 20;
/// Pixels per dot of a title.
const DOT_SIZE: usize = 2;
/// Readable on white and on black.
const TITLE: [u8; 4] = [128, 128, 128, 255];
const NOT_FINITE: [u8; 3] = [255, 0, 255];

/// The channels of one sample of `[n, c, h, w]` in a grid, row by row.
///
/// # Errors
/// If the tensor has another number of dimensions, or no such sample.
pub fn grid(tensor: &Tensor, sample: usize, style: &Style) -> Result<Picture> {
    let maps = Maps::of(tensor, sample)?;
    let count = maps.count.min(style.channels.clamp(1, MAX_CHANNELS));
    let shared = style.shares(maps.size).then(|| Range::of(maps.values()));
    let cells: Vec<Vec<f32>> = (0..count).map(|c| maps.channel(c).to_vec()).collect();
    let grid = Grid::new(&cells, maps.size, columns(count), Zoom::new(maps.size, count, SIDE));
    let mut canvas = Canvas::new(grid.width(), grid.height());
    grid.draw(&mut canvas, [0, 0], shared, style.colormap);
    canvas.finish()
}

/// The branches of a token mixer side by side, for one sample: the title, the mean over the
/// branch's channels, and below it the channels by themselves. The means share a range among each
/// other where the style's scale is [`Scale::Tensor`].
///
/// # Errors
/// As [`grid`]; also if there are no branches.
pub fn branches(branches: &[Branch], sample: usize, style: &Style) -> Result<Picture> {
    let all: Vec<Maps<'_>> = branches.iter().map(|b| Maps::of(&b.tensor, sample)).collect::<Result<_>>()?;
    let first = all.first().ok_or_else(|| Error::argument("there are no branches to be drawn"))?;
    let (size, each) = (first.size, style.channels.clamp(1, MAX_CHANNELS).div_ceil(all.len()));
    let means: Vec<Vec<f32>> = all.iter().map(Maps::mean).collect();
    let shared = |values: &mut dyn Iterator<Item = f32>| style.shares(size).then(|| Range::of(values));
    let of_means = shared(&mut means.iter().flatten().copied());
    let of_channels = shared(&mut all.iter().flat_map(Maps::values));
    let columns: Vec<(Grid, Grid)> = all
        .iter()
        .zip(means)
        .map(|(maps, mean)| {
            let cells: Vec<Vec<f32>> = (0..maps.count.min(each)).map(|c| maps.channel(c).to_vec()).collect();
            let zoom = Zoom::new(size, cells.len() * all.len(), SMALL_SIDE);
            (Grid::new(&[mean], size, 1, Zoom::new(size, 1, MEAN_SIDE)), Grid::new(&cells, size, 4, zoom))
        })
        .collect();
    let titles = branches.iter().map(|b| format!("{} {}", b.name, b.kernel));
    let width = columns.iter().map(|(mean, grid)| mean.width().max(grid.width())).max().unwrap_or(0);
    let width = titles.clone().map(|t| text_width(t.trim_end())).fold(width, usize::max);
    let top = font::HEIGHT * DOT_SIZE + 4 * GAP;
    let below = |(mean, grid): &(Grid, Grid)| top + mean.height() + 4 * GAP + grid.height();
    let height = columns.iter().map(below).max().unwrap_or(0);
    let mut canvas = Canvas::new(columns.len() * (width + COLUMN_GAP) - COLUMN_GAP, height);
    for (i, ((mean, grid), title)) in columns.iter().zip(titles).enumerate() {
        let x = i * (width + COLUMN_GAP);
        canvas.title(title.trim_end(), [x, 0]);
        mean.draw(&mut canvas, [x, top], of_means, style.colormap);
        grid.draw(&mut canvas, [x, top + mean.height() + 4 * GAP], of_channels, style.colormap);
    }
    canvas.finish()
}

/// The network's input `[n, 3, h, w]` as it would look as a photograph: normalisation undone.
///
/// # Errors
/// As [`grid`]; also if there are not three channels.
pub fn input(tensor: &Tensor, sample: usize, preprocess: &Preprocess) -> Result<Picture> {
    let maps = Maps::of(tensor, sample)?;
    let zoom = Zoom::new(maps.size, 1, MEAN_SIDE);
    let planes: Vec<Vec<f32>> = (0..maps.count).map(|c| zoom.apply(maps.channel(c), maps.size)).collect();
    let [height, width] = zoom.size(maps.size);
    let mut canvas = Canvas::new(width, height);
    let [red, green, blue] = &planes[..] else {
        return Err(Error::argument(format!("an input of {} channels is no picture; 3 are", maps.count)));
    };
    for (at, ((r, g), b)) in red.iter().zip(green).zip(blue).enumerate() {
        let normalised = [(r, 0), (g, 1), (b, 2)];
        // A cast from float to u8 saturates, and makes 0 of a NaN.
        let rgb = normalised.map(|(v, c)| ((v * preprocess.std[c] + preprocess.mean[c]) * 255.0).round() as u8);
        canvas.set(at % width, at / width, rgb);
    }
    canvas.finish()
}

/// One sample's channels.
struct Maps<'t> {
    data: &'t [f32],
    count: usize,
    /// Rows and columns.
    size: [usize; 2],
}

impl<'t> Maps<'t> {
    fn of(tensor: &'t Tensor, sample: usize) -> Result<Self> {
        let fail = || {
            let shape = tensor.shape();
            Error::argument(format!("sample {sample} of a tensor of shape {shape:?} cannot be drawn; [n, c, h, w] can"))
        };
        let &[_, count, height, width] = tensor.shape() else { return Err(fail()) };
        // Of sizes beside a zero the others may be anything.
        let len = count.saturating_mul(height).saturating_mul(width);
        let data = tensor.data().chunks_exact(len.max(1)).nth(sample).ok_or_else(fail)?;
        Ok(Maps { data, count, size: [height, width] })
    }

    fn channel(&self, index: usize) -> &'t [f32] {
        let pixels = self.size[0] * self.size[1];
        &self.data[index * pixels..(index + 1) * pixels]
    }

    fn values(&self) -> impl Iterator<Item = f32> + use<'t> {
        self.data.iter().copied()
    }

    /// The mean over channels, pixel by pixel.
    fn mean(&self) -> Vec<f32> {
        let mut sums = vec![0f64; self.size[0] * self.size[1]];
        for channel in self.data.chunks_exact(sums.len()) {
            sums.iter_mut().zip(channel).for_each(|(sum, v)| *sum += f64::from(*v));
        }
        sums.into_iter().map(|sum| (sum / self.count as f64) as f32).collect()
    }
}

/// Smallest and largest finite value.
#[derive(Clone, Copy)]
struct Range {
    low: f32,
    high: f32,
}

impl Range {
    fn of(values: impl Iterator<Item = f32>) -> Self {
        let start = Range { low: f32::INFINITY, high: f32::NEG_INFINITY };
        let wider = |r: Range, v: f32| Range { low: r.low.min(v), high: r.high.max(v) };
        values.filter(|v| v.is_finite()).fold(start, wider)
    }

    /// 0 to 1 in the range; a range of one value is its own lowest.
    fn place(self, value: f32) -> f32 {
        // Halves, since the difference of two finite values may be infinite.
        let (span, above) = (self.high / 2.0 - self.low / 2.0, value / 2.0 - self.low / 2.0);
        if span > 0.0 { above / span } else { 0.0 }
    }
}

/// By how much maps grow or shrink.
#[derive(Clone, Copy)]
enum Zoom {
    Enlarge(usize),
    Reduce(usize),
}

impl Zoom {
    /// For `count` maps of a size that are to be about `side` pixels long.
    fn new([height, width]: [usize; 2], count: usize, side: usize) -> Self {
        let longest = height.max(width).max(1);
        let side = if longest == 1 { side.min(DOT) } else { side };
        let most = (MAX_PIXELS / count.max(1)).isqrt().clamp(1, LONGEST.max(side));
        if longest > most.min(2 * side) {
            return Zoom::Reduce(longest.div_ceil(most.min(2 * side)));
        }
        Zoom::Enlarge(((side + longest / 2) / longest).clamp(1, (most / longest).max(1)))
    }

    fn size(self, size: [usize; 2]) -> [usize; 2] {
        match self {
            Zoom::Enlarge(by) => size.map(|s| s * by),
            Zoom::Reduce(by) => size.map(|s| s.div_ceil(by)),
        }
    }

    fn apply(self, map: &[f32], [height, width]: [usize; 2]) -> Vec<f32> {
        let [rows, columns] = self.size([height, width]);
        let at = |row: usize, column: usize| match self {
            Zoom::Enlarge(by) => map[row / by * width + column / by],
            Zoom::Reduce(by) => {
                let (bottom, right) = (((row + 1) * by).min(height), ((column + 1) * by).min(width));
                let block = (row * by..bottom).flat_map(|y| &map[y * width + column * by..y * width + right]);
                let (sum, count) = block.fold((0f64, 0usize), |(sum, n), v| (sum + f64::from(*v), n + 1));
                (sum / count as f64) as f32
            }
        };
        (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))).map(|(y, x)| at(y, x)).collect()
    }
}

/// How many maps go in a row: about a square, with few empty places in the last row.
fn columns(count: usize) -> usize {
    let square = count.isqrt() + usize::from(count.isqrt().pow(2) < count);
    let empty = |columns: &usize| count.next_multiple_of(*columns) - count;
    (square.max(1)..=(square * 3 / 2).max(1)).min_by_key(empty).unwrap_or(1)
}

/// Maps in rows, enlarged or reduced.
struct Grid {
    cells: Vec<(Range, Vec<f32>)>,
    columns: usize,
    /// Rows and columns of a cell.
    cell: [usize; 2],
}

impl Grid {
    fn new(maps: &[Vec<f32>], size: [usize; 2], columns: usize, zoom: Zoom) -> Self {
        // The range is the map's own, not that of its blocks' means: the caption names it.
        let cells = maps.iter().map(|map| (Range::of(map.iter().copied()), zoom.apply(map, size))).collect();
        Grid { cells, columns: columns.min(maps.len()).max(1), cell: zoom.size(size) }
    }

    fn width(&self) -> usize {
        self.columns * (self.cell[1] + GAP) - GAP
    }

    fn height(&self) -> usize {
        (self.cells.len().div_ceil(self.columns) * (self.cell[0] + GAP)).saturating_sub(GAP)
    }

    fn draw(&self, canvas: &mut Canvas, [left, top]: [usize; 2], shared: Option<Range>, colours: Colormap) {
        for (i, (own, cell)) in self.cells.iter().enumerate() {
            let (x, y) = (i % self.columns * (self.cell[1] + GAP), i / self.columns * (self.cell[0] + GAP));
            let range = shared.unwrap_or(*own);
            for (at, value) in cell.iter().enumerate() {
                let rgb = if value.is_finite() { colours.colour(range.place(*value)) } else { NOT_FINITE };
                canvas.set(left + x + at % self.cell[1], top + y + at / self.cell[1], rgb);
            }
        }
    }
}

/// An RGBA picture in the making, transparent at first.
struct Canvas {
    width: usize,
    height: usize,
    rgba: Vec<u8>,
}

impl Canvas {
    fn new(width: usize, height: usize) -> Self {
        Canvas { width, height, rgba: vec![0; width * height * 4] }
    }

    fn set(&mut self, x: usize, y: usize, [r, g, b]: [u8; 3]) {
        self.put(x, y, [r, g, b, 255]);
    }

    fn put(&mut self, x: usize, y: usize, rgba: [u8; 4]) {
        if x < self.width && y < self.height {
            self.rgba[(y * self.width + x) * 4..][..4].copy_from_slice(&rgba);
        }
    }

    fn title(&mut self, text: &str, [left, top]: [usize; 2]) {
        for (column, row) in font::dots(text) {
            for at in 0..DOT_SIZE * DOT_SIZE {
                let (x, y) = (column * DOT_SIZE + at % DOT_SIZE, row * DOT_SIZE + at / DOT_SIZE);
                self.put(left + x, top + y, TITLE);
            }
        }
    }

    fn finish(self) -> Result<Picture> {
        let side = |pixels: usize| u32::try_from(pixels).map_err(Error::argument);
        Picture::from_rgba(side(self.width)?, side(self.height)?, self.rgba)
    }
}

fn text_width(text: &str) -> usize {
    (text.chars().count() * font::ADVANCE).saturating_sub(1) * DOT_SIZE
}

#[cfg(test)]
mod tests;
