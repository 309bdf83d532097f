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

/// Output planes that one invocation computes: the largest divisor up to `most`, so that no
/// invocation has planes left over.
pub fn planes(planes: usize, most: usize) -> usize {
    (1..=most).rev().find(|tile| planes.is_multiple_of(*tile)).unwrap_or(1)
}

/// The number by which shaders know an activation.
pub fn activation(activation: Activation) -> usize {
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
}
