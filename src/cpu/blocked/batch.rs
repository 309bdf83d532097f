//! Which pixels of a convolution's output are computed one after the other, with the same weights at hand.

use super::layout::Map;
use super::slots::Rect;
use super::tile::{self, Place, Spot};

/// Spots in a batch.
pub(super) const BATCH: usize = 14;

/// Some spots, and which pixels of the output they are.
pub(super) struct Batch {
    pub spots: Vec<Spot>,
    /// Where each spot's pixels go in the window's rows; none where a spot may end more than one row.
    pub places: Option<Vec<Place>>,
    pub lines: Vec<Line>,
}

/// Neighbouring pixels of one row.
pub(super) struct Line {
    pub y: usize,
    pub x: usize,
    pub pixels: usize,
    /// The first pixel's place in the totals.
    pub at: usize,
}

/// The batches of a rectangle of an output. `across`: spots go on in the next row. `start` is where the pixel at
/// `[y, x]` reads its first tap.
pub(super) fn batches(rect: &Rect, output: &Map, across: bool, start: impl Fn([usize; 2]) -> usize) -> Vec<Batch> {
    let (width, pitch) = (output.width, output.pitch());
    let rows = rect.rows.len();
    let (rows, columns) = if across { (1, 0..rows * width) } else { (rows, rect.columns.clone()) };
    let segments = (0..rows).flat_map(|row| tile::segments(columns.clone()).map(move |segment| (row, segment)));
    let segments: Vec<(usize, (usize, usize))> = segments.collect();
    let batch = |segments: &[(usize, (usize, usize))]| {
        let places = segments.iter().map(|&(row, (x, pixels))| {
            let [y, x, width] = if across { [x / width, x % width, width] } else { [row, x - columns.start, pixels] };
            (pixels <= width).then(|| Place { start: y * pitch + x, before: if across { width - x } else { pixels } })
        });
        let mut batch = Batch { spots: Vec::new(), places: places.collect(), lines: Vec::new() };
        let mut at = 0;
        for &(row, (x, pixels)) in segments {
            let [y, x] = [rect.rows.start + row + x / width, x % width];
            batch.spots.push(Spot { start: start([y, x]), pixels, at });
            batch.add(rect, [y, x], pixels, at);
            at += pixels;
        }
        batch
    };
    segments.chunks(BATCH).map(batch).collect()
}

impl Batch {
    /// Adds those pixels to the last line or to new ones.
    fn add(&mut self, rect: &Rect, [mut y, mut x]: [usize; 2], mut pixels: usize, mut at: usize) {
        while pixels > 0 {
            let len = pixels.min(rect.columns.end - x);
            match self.lines.last_mut() {
                Some(line) if line.y == y && line.x + line.pixels == x => line.pixels += len,
                _ => self.lines.push(Line { y, x, pixels: len, at }),
            }
            (y, x, pixels, at) = (y + 1, rect.columns.start, pixels - len, at + len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Shape;

    #[test]
    fn lines_and_places_are_the_pixels_of_the_spots_and_make_up_the_rectangle() {
        let mut narrow = 0;
        for (across, rows, columns, width) in [
            (true, 2..9, 0..14, 14),
            (true, 0..7, 0..7, 7),
            (true, 0..7, 0..2, 2),
            (false, 1..4, 0..30, 30),
            (false, 0..1, 12..45, 60),
        ] {
            let rect = Rect { planes: 0..1, rows: rows.clone(), columns: columns.clone() };
            let mut seen = vec![0; 9 * 60];
            let output = Map::new(Shape::new(1, 9, width), 1);
            let batches = batches(&rect, &output, across, |[y, x]| y * 100 + x);
            assert!(!batches.is_empty());
            for batch in &batches {
                assert!(batch.spots.len() <= BATCH);
                let mut pixels: Vec<[usize; 2]> = Vec::new();
                for line in &batch.lines {
                    assert_eq!(line.at, pixels.len());
                    assert!(rows.contains(&line.y) && line.x >= columns.start && line.x + line.pixels <= columns.end);
                    pixels.extend((line.x..line.x + line.pixels).map(|x| [line.y, x]));
                }
                for (i, spot) in batch.spots.iter().enumerate() {
                    let [y, x] = pixels[spot.at];
                    assert_eq!(spot.start, y * 100 + x);
                    assert!(spot.at + spot.pixels <= pixels.len() && spot.pixels <= tile::MAX_SEGMENT);
                    let Some(places) = &batch.places else {
                        narrow += 1;
                        continue;
                    };
                    for (p, [y, x]) in pixels[spot.at..][..spot.pixels].iter().enumerate() {
                        let after = if p < places[i].before { 0 } else { output.pitch() - width };
                        let first = output.at(0, rows.start, columns.start);
                        assert_eq!(first + places[i].start + p + after, output.at(0, *y, *x), "{across} {y} {x}");
                    }
                }
                let count: usize = batch.spots.iter().map(|spot| spot.pixels).sum();
                assert_eq!(count, pixels.len());
                pixels.iter().for_each(|[y, x]| seen[y * 60 + x] += 1);
            }
            for (i, times) in seen.iter().enumerate() {
                let inside = rows.contains(&(i / 60)) && columns.contains(&(i % 60));
                assert_eq!(inside, *times > 0, "{across} {i}");
            }
        }
        assert!(narrow > 0);
    }
}
