//! Pictures: RGBA8, and with feature `decode` from files of any format that people keep photographs in.

#[cfg(feature = "decode")]
mod bmp;
#[cfg(feature = "decode")]
mod claim;
#[cfg(feature = "decode")]
mod decode;
#[cfg(feature = "decode")]
mod ico;
#[cfg(feature = "decode")]
mod jpeg;
#[cfg(feature = "decode")]
mod tiff;

use crate::error::{Error, Result};

/// The most memory that one decoded picture may take (134 million pixels as RGBA8).
pub const MAX_BYTES: u64 = 512 << 20;

/// A decoded picture: RGBA8 rows, top to bottom, no padding, at least one pixel.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    rgba: Vec<u8>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({}×{})", self.width, self.height)
    }
}

impl Picture {
    /// A picture from `width · height` pixels of red, green, blue, alpha.
    ///
    /// # Errors
    /// If a side is zero or the number of bytes is not `width · height · 4`.
    pub fn from_rgba(width: u32, height: u32, rgba: Vec<u8>) -> Result<Picture> {
        check_size(width, height, 4, rgba.len())?;
        Ok(Picture { width, height, rgba })
    }

    /// A picture from `width · height` pixels of red, green, blue; alpha becomes opaque.
    ///
    /// # Errors
    /// If a side is zero or the number of bytes is not `width · height · 3`.
    pub fn from_rgb(width: u32, height: u32, rgb: &[u8]) -> Result<Picture> {
        check_size(width, height, 3, rgb.len())?;
        let rgba = rgb.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [r, g, b, 255]).collect();
        Ok(Picture { width, height, rgba })
    }

    /// Columns.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Red, green, blue, alpha of each pixel, rows from top to bottom without padding.
    pub fn rgba(&self) -> &[u8] {
        &self.rgba
    }

    /// The pixels of row `y`, which must be below the height.
    #[allow(clippy::indexing_slicing, reason = "a picture has as many pixels as its size says, and callers count rows")]
    pub(crate) fn row(&self, y: u32) -> &[[u8; 4]] {
        let width = self.width as usize;
        &self.rgba.as_chunks::<4>().0[y as usize * width..][..width]
    }
}

fn check_size(width: u32, height: u32, channels: u64, bytes: usize) -> Result<()> {
    if width == 0 || height == 0 {
        return Err(Error::argument(format!("a picture of {width}×{height} has no pixels")));
    }
    let wanted = (u64::from(width) * u64::from(height)).checked_mul(channels);
    if wanted != Some(bytes as u64) {
        return Err(Error::argument(format!(
            "a picture of {width}×{height} with {channels} bytes per pixel cannot be made of {bytes} bytes"
        )));
    }
    Ok(())
}
