//! How many outputs one invocation computes.
//!
//! A register tile of `pixels` × `planes` (four channels each) reads every weight once for all its
//! pixels and every input once for all its channels; multiplies per load decide the speed.

use crate::ops::Activation;

/// Pixels of a row that one invocation computes: at most 8, with as few beyond the row's end as
/// possible, and of those the most. Rows of 7, 14, 28 … pixels (224² inputs) get 7.
pub fn row_pixels(width: usize) -> usize {
    let waste = |tile: usize| width.div_ceil(tile) * tile - width;
    (1..=8usize.min(width.max(1))).rev().min_by_key(|&tile| (waste(tile) + 8 / tile, waste(tile))).unwrap_or(1)
}

/// The most input columns that an invocation may hold. WGSL grants 8 KiB to all variables of a
/// function; this is half of it.
const MAX_SPAN: usize = 256;

/// A tile of neighbouring outputs of one row of a convolution, and the input columns under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Outputs.
    pub pixels: usize,
    /// Distance of neighbouring input columns: those between are read by no tap.
    pub step: usize,
    /// Number of input columns.
    pub span: usize,
}

/// The tile of `pixels` neighbouring outputs. A tile of one output holds one column per tap. `None` if
/// the columns are too many.
pub fn row(pixels: usize, stride: usize, kernel: usize, dilation: usize) -> Option<Row> {
    let step = if pixels == 1 { dilation } else { gcd(stride, dilation) };
    let span = (pixels.checked_sub(1)? * stride + (kernel - 1) * dilation) / step + 1;
    (span <= MAX_SPAN).then_some(Row { pixels, step, span })
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Output planes that one invocation computes: the largest divisor up to `most`, so that no
/// invocation has planes left over.
pub fn planes(planes: usize, most: usize) -> usize {
    (1..=most).rev().find(|tile| planes.is_multiple_of(*tile)).unwrap_or(1)
}

/// The number by which shaders know an activation.
pub const fn activation(activation: Activation) -> usize {
    match activation {
        Activation::None => 0,
        Activation::Relu => 1,
        Activation::Gelu => 2,
        Activation::Sigmoid => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_multiples_of_seven_waste_nothing() {
        for width in [7, 14, 28, 56, 112, 224] {
            assert_eq!(width % row_pixels(width), 0, "{width}");
            assert!(row_pixels(width) >= 7, "{width}");
        }
        assert_eq!(row_pixels(1), 1);
        assert_eq!(row_pixels(32), 8);
        assert!((1..500).all(|width| (1..=8).contains(&row_pixels(width))));
    }

    #[test]
    fn rows_hold_no_more_columns_than_taps_read() {
        assert_eq!(row(7, 1, 3, 1), Some(Row { pixels: 7, step: 1, span: 9 }));
        assert_eq!(row(7, 2, 3, 2), Some(Row { pixels: 7, step: 2, span: 9 }));
        assert_eq!(row(7, 2, 3, 1), Some(Row { pixels: 7, step: 1, span: 15 }));
        assert_eq!(row(2, 1, 3, 4096), None);
        assert_eq!(row(1, 1, 3, 4096), Some(Row { pixels: 1, step: 4096, span: 3 }));
        assert_eq!(row(1, 1, 257, 1), None);
    }
}
