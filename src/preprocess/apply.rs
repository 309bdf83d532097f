//! Preprocessing on the CPU: the two passes over the rows and columns that the crop needs.

use std::borrow::Borrow;

use super::resample::{HALF, level};
use super::{Preprocess, Tables, Taps};
use crate::error::{Error, Result};
use crate::picture::Picture;
use crate::tensor::Tensor;

impl Preprocess {
    /// The network's input for one picture: `[1, 3, crop[0], crop[1]]`, normalised.
    ///
    /// # Errors
    /// As [`Preprocess::tables`].
    pub fn apply(&self, picture: &Picture) -> Result<Tensor> {
        self.apply_batch(&[picture])
    }

    /// The network's input for several pictures, each of any size: `[n, 3, crop[0], crop[1]]`.
    ///
    /// # Errors
    /// As [`Preprocess::tables`]; also for no pictures at all.
    pub fn apply_batch<P: Borrow<Picture>>(&self, pictures: &[P]) -> Result<Tensor> {
        self.validate()?;
        if pictures.is_empty() {
            return Err(Error::argument("a batch needs at least one picture"));
        }
        let [rows, columns] = self.crop.map(|side| side as usize);
        let mut batch = Tensor::zeros([pictures.len(), 3, rows, columns]);
        for (picture, out) in pictures.iter().zip(batch.data_mut().chunks_exact_mut(3 * rows * columns)) {
            self.apply_into(picture.borrow(), out)?;
        }
        Ok(batch)
    }

    /// Writes one picture's `3 · crop[0] · crop[1]` values (channel planes) over `out`.
    ///
    /// # Errors
    /// As [`Preprocess::tables`]; also if `out` has another length.
    pub fn apply_into(&self, picture: &Picture, out: &mut [f32]) -> Result<()> {
        let tables = self.tables(picture.width(), picture.height())?;
        let [rows, columns] = self.crop.map(|side| side as usize);
        if out.len() != 3 * rows * columns {
            return Err(Error::argument(format!(
                "a slot of {} values cannot take a preprocessed picture of 3×{rows}×{columns}",
                out.len()
            )));
        }
        if tables.is_copy() {
            copy(picture, &tables, &self.levels(), out);
            return Ok(());
        }
        let sums = resample(picture, &tables);
        let planes = out.chunks_exact_mut(rows * columns).zip(sums.chunks_exact(rows * columns));
        for ((to, from), values) in planes.zip(&self.levels()) {
            for (to, sum) in to.iter_mut().zip(from) {
                *to = values[usize::from(level(*sum))];
            }
        }
        Ok(())
    }
}

/// Crops and normalises a picture that is not resized.
fn copy(picture: &Picture, Tables { horizontal, vertical }: &Tables, levels: &[[f32; 256]; 3], out: &mut [f32]) {
    let columns = horizontal.outputs();
    let [reds, greens, blues] = levels;
    let (red, rest) = out.split_at_mut(out.len() / 3);
    let (green, blue) = rest.split_at_mut(red.len());
    let planes = red.chunks_exact_mut(columns).zip(green.chunks_exact_mut(columns)).zip(blue.chunks_exact_mut(columns));
    for (y, ((red, green), blue)) in vertical.first().iter().zip(planes) {
        let pixels = picture.row(*y);
        for (((x, red), green), blue) in horizontal.first().iter().zip(red).zip(green).zip(blue) {
            let [r, g, b, _] = pixels[*x as usize].map(usize::from);
            (*red, *green, *blue) = (reds[r], greens[g], blues[b]);
        }
    }
}

/// Resizes and crops into three planes of sums of grey levels, see [`level`].
///
/// Each source row is filtered horizontally once and added at once to all output rows that it has
/// a part in, so no picture-sized intermediate is kept. Sums wrap around on their way at worst: weights
/// may add up to nearly twice the result before others take from it.
fn resample(picture: &Picture, tables: &Tables) -> Vec<i32> {
    let Tables { horizontal, vertical } = tables;
    let (columns, rows, height) = (horizontal.outputs(), vertical.outputs(), vertical.width() as usize);
    let span = horizontal.span();
    let (left, right) = (span.start as usize, span.end as usize);
    let mut pixels = vec![[0i32; 4]; right - left];
    let mut filtered = vec![0i32; 3 * columns];
    let mut out = vec![HALF; 3 * rows * columns];
    // Output rows `begin..` may still want source rows; those before are complete.
    let mut begin = 0;
    for y in vertical.span() {
        while begin < rows && vertical.first()[begin] as usize + height <= y as usize {
            begin += 1;
        }
        let takers = vertical.first()[begin..].iter().take_while(|first| **first <= y).count();
        if takers == 0 {
            continue;
        }
        for (to, from) in pixels.iter_mut().zip(&picture.row(y)[left..right]) {
            *to = from.map(i32::from);
        }
        filter_row(&pixels, left, horizontal, &mut filtered);
        for row in begin..begin + takers {
            let weight = vertical.weights()[row * height + y as usize - vertical.first()[row] as usize];
            for (plane, line) in out.chunks_exact_mut(rows * columns).zip(filtered.chunks_exact(columns)) {
                let sums = &mut plane[row * columns..][..columns];
                sums.iter_mut().zip(line).for_each(|(sum, value)| *sum = sum.wrapping_add(weight.wrapping_mul(*value)));
            }
        }
    }
    out
}

/// One horizontal pass: `pixels` begin at source column `left`; `out` is three lines of grey levels.
fn filter_row(pixels: &[[i32; 4]], left: usize, taps: &Taps, out: &mut [i32]) {
    let width = taps.width() as usize;
    let (red, rest) = out.split_at_mut(taps.outputs());
    let (green, blue) = rest.split_at_mut(taps.outputs());
    let lines = red.iter_mut().zip(green).zip(blue);
    for (((&first, weights), r), (g, b)) in
        taps.first().iter().zip(taps.weights().chunks_exact(width)).zip(lines).map(|(t, ((r, g), b))| ((t, r), (g, b)))
    {
        // All four channels, alpha too, so that a pixel is one vector.
        let mut sum = [HALF; 4];
        for (pixel, weight) in pixels[first as usize - left..][..width].iter().zip(weights) {
            for (sum, value) in sum.iter_mut().zip(pixel) {
                *sum = sum.wrapping_add(weight.wrapping_mul(*value));
            }
        }
        [*r, *g, *b] = [sum[0], sum[1], sum[2]].map(|sum| level(sum).into());
    }
}
