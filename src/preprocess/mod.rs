//! From a picture to the network's input: resize, centre crop, normalise.
//!
//! The resize is PIL's antialiased one (what torchvision and timm evaluate with), written as tap
//! tables ([`Tables`]) for the cropped range alone. It is done in integers, as PIL does it, so that CPU and
//! GPU prepare the same bits, and resize as PIL to the bit (but for pictures more than twice as high as
//! wide, which PIL 13 shrinks along their columns first: to one level there).
//!
//! For each output pixel: every row in the vertical taps is filtered horizontally and rounded to a grey
//! level, 0…255, then the rows are weighted and the sum is rounded so too; then `(v / 255 − mean) / std`, from
//! a table with an entry for each level ([`Preprocess::levels`]). Alpha is ignored, as PIL's `convert("RGB")`
//! does.

mod apply;
mod resample;

pub use resample::{PRECISION, Taps};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The longest side that a network's input or a resize may have, in pixels.
pub const MAX_SIDE: u32 = 8192;

/// What is done to a picture before the network sees it; part of the model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// The resize, before the crop.
    pub resize: Resize,
    /// Rows and columns of the centre crop: the network's input size.
    pub crop: [u32; 2],
    /// Subtracted per channel (red, green, blue), in units where white is 1.
    pub mean: [f32; 3],
    /// Divided by, per channel, after the mean was subtracted.
    pub std: [f32; 3],
}

/// A resize that keeps the aspect ratio. A picture that has the size already is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    /// New length of the shorter side in pixels; the longer becomes `⌊shorter · long / short⌋`
    /// (torchvision's rule).
    pub shorter: u32,
    /// The interpolation.
    pub filter: Filter,
}

/// Interpolation of a [`Resize`]; both are widened by the reduction factor when shrinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// A triangle, 2 taps wide when enlarging.
    Bilinear,
    /// Keys' cubic with a = −0.5, 4 taps wide when enlarging.
    Bicubic,
}

/// The tap tables of one picture size, for the cropped range alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Tables {
    /// One row of taps for each output column.
    pub horizontal: Taps,
    /// One row of taps for each output row.
    pub vertical: Taps,
}

impl Tables {
    /// Whether the picture keeps its size: each output is one of its pixels.
    pub(crate) fn is_copy(&self) -> bool {
        self.horizontal.width() == 1 && self.vertical.width() == 1
    }
}

impl Preprocess {
    /// Checks a description that may come from a file.
    ///
    /// # Errors
    /// Sizes of zero or beyond [`MAX_SIDE`], a crop larger than the resized shorter side, numbers
    /// that are not finite, and a `std` that is not positive.
    pub fn validate(&self) -> Result<()> {
        let fail = |reason: String| Err(Error::argument(format!("preprocessing: {reason}")));
        let [rows, columns] = self.crop;
        let shorter = self.resize.shorter;
        for (what, size) in [("resize.shorter", shorter), ("crop rows", rows), ("crop columns", columns)] {
            if size == 0 || size > MAX_SIDE {
                return fail(format!("{what} is {size}; it must be 1 to {MAX_SIDE} pixels"));
            }
        }
        if shorter < rows.max(columns) {
            return fail(format!(
                "the crop of {rows}×{columns} (rows × columns) does not fit the resized shorter side of {shorter} \
                 pixels; resize.shorter must be at least {}",
                rows.max(columns)
            ));
        }
        if let Some(mean) = self.mean.iter().find(|m| !m.is_finite()) {
            return fail(format!("mean holds {mean}; it must be a finite number per channel"));
        }
        if let Some(std) = self.std.iter().find(|s| !(s.is_normal() && **s > 0.0)) {
            return fail(format!("std holds {std}; it must be a finite number above zero per channel"));
        }
        Ok(())
    }

    /// What the network gets for each grey level, per channel: `(v / 255 − mean) / std`. One rounding of it for
    /// all devices, which differ in how they divide.
    pub fn levels(&self) -> [[f32; 256]; 3] {
        let channel = |(mean, std): (f32, f32)| std::array::from_fn(|v| (v as f32 / 255.0 - mean) / std);
        let [red, green, blue] = self.mean;
        let [r, g, b] = self.std;
        [(red, r), (green, g), (blue, b)].map(channel)
    }

    /// Width and height of a `width × height` picture after the resize, before the crop
    /// (64-bit because a 1 × 2³² picture grows by its aspect ratio).
    ///
    /// # Errors
    /// If the picture has no pixels.
    pub fn resized(&self, width: u32, height: u32) -> Result<(u64, u64)> {
        let (short, long) = (width.min(height), width.max(height));
        if short == 0 {
            return Err(Error::argument(format!("a picture of {width}×{height} has no pixels")));
        }
        let shorter = u64::from(self.resize.shorter);
        let longer = shorter * u64::from(long) / u64::from(short);
        Ok(if width <= height { (shorter, longer) } else { (longer, shorter) })
    }

    /// The tap tables for a picture of `width × height`: `crop[1]` rows of horizontal taps and
    /// `crop[0]` of vertical ones.
    ///
    /// # Errors
    /// As [`Preprocess::validate`] and [`Preprocess::resized`].
    pub fn tables(&self, width: u32, height: u32) -> Result<Tables> {
        self.validate()?;
        let (new_width, new_height) = self.resized(width, height)?;
        let [rows, columns] = self.crop;
        let filter = self.resize.filter;
        Ok(Tables {
            horizontal: Taps::new(filter, width, new_width, crop_offset(new_width, columns), columns),
            vertical: Taps::new(filter, height, new_height, crop_offset(new_height, rows), rows),
        })
    }
}

/// Where a centre crop of `crop` begins in `size ≥ crop`: Python's `round((size − crop) / 2)`,
/// halves to the even neighbour.
fn crop_offset(size: u64, crop: u32) -> u64 {
    let margin = size.saturating_sub(u64::from(crop));
    let half = margin / 2;
    half + (margin % 2) * (half % 2)
}
