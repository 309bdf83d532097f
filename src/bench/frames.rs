//! A camera's frames, made up.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::error::{Error, Result};
use crate::picture::Picture;

/// Frames of one size, RGBA with 8 bits, that follow each other in a circle.
#[derive(Clone, Debug)]
pub struct Frames {
    size: [u32; 2],
    frames: Vec<Vec<u8>>,
}

/// More than are ever under way at once, so that no frame equals the last.
const COUNT: u64 = 4;

impl Frames {
    /// The longest side.
    pub const MAX_SIDE: u32 = 8192;

    /// Frames of `[width, height]` with smooth shades and noise, the same for every machine.
    ///
    /// # Errors
    /// [`Error::Argument`] if a side is zero or above [`Frames::MAX_SIDE`].
    pub fn new(size: [u32; 2]) -> Result<Frames> {
        if size.iter().any(|side| !(1..=Self::MAX_SIDE).contains(side)) {
            let ([width, height], most) = (size, Self::MAX_SIDE);
            return Err(Error::argument(format!("a frame of {width}×{height} pixels: sides go from 1 to {most}")));
        }
        Ok(Frames { size, frames: (0..COUNT).map(|seed| frame(size, seed)).collect() })
    }

    /// Width and height.
    pub fn size(&self) -> [u32; 2] {
        self.size
    }

    /// The picture that a program makes of the bytes of frame `at`, which the camera keeps.
    ///
    /// # Errors
    /// None.
    pub fn picture(&self, at: usize) -> Result<Picture> {
        let [width, height] = self.size;
        let bytes = self.frames.get(at % self.frames.len().max(1)).cloned().unwrap_or_default();
        Picture::from_rgba(width, height, bytes)
    }
}

/// One frame: waves along both axes, which are computed once for a row and once for a column, and noise.
fn frame(size: [u32; 2], seed: u64) -> Vec<u8> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut wave = |pixels: u32| -> Vec<f32> {
        let (turns, phase) = (1.0 + rng.random::<f32>() * 9.0, rng.random::<f32>() * 6.3);
        (0..pixels).map(|at| (at as f32 / pixels as f32 * turns * 6.3 + phase).sin() * 50.0).collect()
    };
    let [columns, rows] = size.map(|pixels| [(); 3].map(|()| wave(pixels)));
    let mut bytes = Vec::with_capacity(size[0] as usize * size[1] as usize * 4);
    for (row, column) in (0..size[1] as usize).flat_map(|row| (0..size[0] as usize).map(move |column| (row, column))) {
        let noise = f32::from(rng.random::<u8>()) / 16.0;
        let shades = columns.iter().zip(&rows).map(|(x, y)| (112.0 + noise + x[column] + y[row]) as u8);
        bytes.extend(shades.chain([255]));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_differ_and_are_the_same_every_time() {
        let frames = Frames::new([33, 9]).unwrap();
        let pictures: Vec<Picture> = (0..5).map(|at| frames.picture(at).unwrap()).collect();
        assert_eq!((pictures[0].width(), pictures[0].height()), (33, 9));
        assert_ne!(pictures[0], pictures[1]);
        assert_eq!(pictures[0], pictures[4]);
        assert_eq!(pictures[2], Frames::new([33, 9]).unwrap().picture(2).unwrap());
        let shades: std::collections::BTreeSet<u8> = pictures[0].rgba().iter().copied().collect();
        assert!(shades.len() > 100, "{}", shades.len());
    }

    #[test]
    fn sizes_are_bounded() {
        for size in [[0, 4], [4, 0], [Frames::MAX_SIDE + 1, 4], [u32::MAX, u32::MAX]] {
            assert!(Frames::new(size).is_err(), "{size:?}");
        }
    }
}
