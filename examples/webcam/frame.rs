//! Frames as sources deliver them, and their colours on the CPU.

use std::time::Instant;

use foveate::{Picture, Result};

/// How the pixels of a frame lie in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Red, green, blue, alpha.
    Rgba,
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Luma alone, full range.
    Gray,
    /// Two pixels in four bytes: luma, blue difference, luma, red difference (BT.601, 16 to 235). Even width.
    Yuyv,
    /// All lumas, then pairs of blue and red difference for each 2×2 pixels (BT.601, 16 to 235). Even sides.
    Nv12,
}

impl Layout {
    /// The entry point of frame.wgsl that turns it into RGBA; none if it is that.
    pub fn entry_point(self) -> Option<&'static str> {
        match self {
            Layout::Rgba => None,
            Layout::Rgb => Some("rgb"),
            Layout::Bgr => Some("bgr"),
            Layout::Gray => Some("gray"),
            Layout::Yuyv => Some("yuyv"),
            Layout::Nv12 => Some("nv12"),
        }
    }

    /// Bytes of a frame; `None` for sizes that the layout cannot have.
    pub fn bytes(self, width: u32, height: u32) -> Option<usize> {
        let (columns, rows) = (width as usize, height as usize);
        let pixels = columns.checked_mul(rows).filter(|pixels| *pixels > 0)?;
        let even = |side: u32| side.is_multiple_of(2);
        match self {
            Layout::Rgba => pixels.checked_mul(4),
            Layout::Rgb | Layout::Bgr => pixels.checked_mul(3),
            Layout::Gray => Some(pixels),
            Layout::Yuyv => pixels.checked_mul(2).filter(|_| even(width)),
            Layout::Nv12 => pixels.checked_mul(3).map(|bytes| bytes / 2).filter(|_| even(width) && even(height)),
        }
    }
}

/// A frame in the program's memory.
#[derive(Clone, Debug)]
pub struct Frame {
    layout: Layout,
    width: u32,
    height: u32,
    bytes: Vec<u8>,
    taken: Instant,
}

impl Frame {
    /// # Errors
    /// A sentence, if the number of bytes is not the layout's for that size.
    pub fn new(layout: Layout, width: u32, height: u32, mut bytes: Vec<u8>) -> Result<Frame, String> {
        let taken = Instant::now();
        match layout.bytes(width, height) {
            // Drivers pad the end of a buffer.
            Some(wanted) if bytes.len() >= wanted => {
                bytes.truncate(wanted);
                Ok(Frame { layout, width, height, bytes, taken })
            }
            Some(wanted) => {
                Err(format!("a {layout:?} frame of {width}×{height} takes {wanted} bytes, but {} came", bytes.len()))
            }
            None => Err(format!("a {layout:?} frame cannot have the size {width}×{height}")),
        }
    }

    pub fn of(picture: &Picture) -> Frame {
        let (width, height, bytes) = (picture.width(), picture.height(), picture.rgba().to_vec());
        Frame { layout: Layout::Rgba, width, height, bytes, taken: Instant::now() }
    }

    /// When it was there.
    pub fn taken(&self) -> Instant {
        self.taken
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    pub fn size(&self) -> [u32; 2] {
        [self.width, self.height]
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// In RGBA, by the same arithmetic as frame.wgsl's: for sessions on the CPU, and screenshots.
    pub fn to_picture(&self) -> Result<Picture> {
        let opaque = |[r, g, b]: [u8; 3]| [r, g, b, 255];
        let by_three = || self.bytes.as_chunks::<3>().0.iter();
        let rgba: Vec<u8> = match self.layout {
            Layout::Rgba => self.bytes.clone(),
            Layout::Rgb => by_three().flat_map(|rgb| opaque(*rgb)).collect(),
            Layout::Bgr => by_three().flat_map(|[b, g, r]| opaque([*r, *g, *b])).collect(),
            Layout::Gray => self.bytes.iter().flat_map(|y| opaque([*y; 3])).collect(),
            Layout::Yuyv => {
                let pairs = self.bytes.as_chunks::<4>().0.iter();
                pairs
                    .flat_map(|[y0, u, y1, v]| [opaque(rgb(*y0, *u, *v)), opaque(rgb(*y1, *u, *v))])
                    .flatten()
                    .collect()
            }
            Layout::Nv12 => {
                let (columns, pixels) = (self.width as usize, self.width as usize * self.height as usize);
                let (luma, chroma) = self.bytes.split_at(pixels);
                let pixel = |(at, y): (usize, &u8)| {
                    let pair = at / columns / 2 * columns + at % columns / 2 * 2;
                    opaque(rgb(*y, chroma[pair], chroma[pair + 1]))
                };
                luma.iter().enumerate().flat_map(pixel).collect()
            }
        };
        Picture::from_rgba(self.width, self.height, rgba)
    }
}

/// BT.601, from 16–235 (luma) and 16–240 (differences) to 0–255, rounded. The shader has the same numbers.
fn rgb(y: u8, u: u8, v: u8) -> [u8; 3] {
    let (y, u, v) = (1.164_383_6 * (f32::from(y) - 16.0), f32::from(u) - 128.0, f32::from(v) - 128.0);
    let level = |value: f32| value.round().clamp(0.0, 255.0) as u8;
    [level(y + 1.596_026_8 * v), level(y - 0.391_762_3 * u - 0.812_967_6 * v), level(y + 2.017_232_1 * u)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_colours_of_every_layout() {
        let pixels = |layout, width, height, bytes: &[u8]| {
            Frame::new(layout, width, height, bytes.to_vec()).unwrap().to_picture().unwrap().rgba().to_vec()
        };
        assert_eq!(pixels(Layout::Rgb, 1, 1, &[1, 2, 3]), [1, 2, 3, 255]);
        assert_eq!(pixels(Layout::Bgr, 1, 1, &[1, 2, 3]), [3, 2, 1, 255]);
        assert_eq!(pixels(Layout::Gray, 1, 1, &[7]), [7, 7, 7, 255]);
        // Black and white; then BT.601's pure red (81, 90, 240).
        assert_eq!(pixels(Layout::Yuyv, 2, 1, &[16, 128, 235, 128]), [0, 0, 0, 255, 255, 255, 255, 255]);
        let red = pixels(Layout::Yuyv, 2, 1, &[81, 90, 81, 240]);
        assert!(red[0] >= 253 && red[1] <= 2 && red[2] <= 2, "{red:?}");
        let nv12 = pixels(Layout::Nv12, 2, 2, &[81, 81, 16, 235, 90, 240]);
        assert_eq!(nv12[..4], red[..4]);
        assert_eq!(nv12.len(), 16);
    }

    #[test]
    fn frames_of_another_size_are_refused_and_padding_is_cut() {
        assert!(Frame::new(Layout::Yuyv, 3, 1, vec![0; 100]).unwrap_err().contains("3×1"));
        assert!(Frame::new(Layout::Nv12, 2, 3, vec![0; 100]).is_err());
        assert!(Frame::new(Layout::Rgb, 0, 3, vec![]).is_err());
        assert!(Frame::new(Layout::Rgb, 2, 2, vec![0; 11]).unwrap_err().contains("12 bytes, but 11 came"));
        assert_eq!(Frame::new(Layout::Rgb, 2, 2, vec![0; 64]).unwrap().bytes().len(), 12);
    }
}
