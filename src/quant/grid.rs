//! Rounding to the grid of 8-bit integers: symmetric, from −127 to 127, half to even.

/// The largest integer of the grid; the smallest is its negative. −128 is left out, so that the grid
/// is symmetric.
pub const LARGEST: i32 = 127;

/// The scale (the step of the grid) whose largest value is `range`. A range of zero, and one that is
/// so small that values could not be divided by its scale, becomes the range 1.
pub fn scale_of(range: f32) -> f32 {
    let scale = range / LARGEST as f32;
    if scale.is_finite() && scale >= f32::MIN_POSITIVE { scale } else { 1.0 / LARGEST as f32 }
}

/// The integer nearest to `value / scale`, half to even, saturated. A NaN becomes 0.
#[inline(always)]
pub fn quantize(value: f32, scale: f32) -> i8 {
    // Casts saturate, and make a NaN zero.
    (value / scale).round_ties_even().clamp(-(LARGEST as f32), LARGEST as f32) as i8
}

/// What an integer stands for.
#[inline(always)]
pub fn dequantize(integer: i8, scale: f32) -> f32 {
    f32::from(integer) * scale
}

/// The point of the grid nearest to `value`. A NaN stays one, so that damage shows.
#[inline(always)]
pub fn round(value: f32, scale: f32) -> f32 {
    (value / scale).round_ties_even().clamp(-(LARGEST as f32), LARGEST as f32) * scale
}

/// Rounds every value to the grid.
pub fn round_all(values: &mut [f32], scale: f32) {
    crate::cpu::simd::Vectors::new().dispatch(|| values.iter_mut().for_each(|value| *value = round(*value, scale)));
}

/// Whether all values are points of the grid.
pub fn all_lie_on(values: &[f32], scale: f32) -> bool {
    // No early end: this way it becomes vector instructions.
    let on_grid = |all: bool, value: &f32| all & (round(*value, scale) == *value);
    crate::cpu::simd::Vectors::new().dispatch(|| values.iter().fold(true, on_grid))
}

/// Appends [`quantize`] of every value.
pub fn quantize_all(values: &[f32], scale: f32, to: &mut Vec<i8>) {
    // Adding 1.5 · 2^23 leaves the nearest integer, half to even, in the lowest bits: casts would be made one by one.
    const TO_INTEGER: f32 = 12_582_912.0;
    let start = to.len();
    to.resize(start + values.len(), 0);
    let each = |(to, value): (&mut i8, &f32)| {
        let steps = (value / scale).clamp(-(LARGEST as f32), LARGEST as f32);
        *to = (if steps.is_nan() { 0.0 } else { steps } + TO_INTEGER).to_bits() as i8;
    };
    crate::cpu::simd::Vectors::new().dispatch(|| to[start..].iter_mut().zip(values).for_each(each));
}

/// Whether a number can be a scale: positive, finite, and not so small that dividing by it overflows.
pub fn is_scale(scale: f32) -> bool {
    scale.is_finite() && scale >= f32::MIN_POSITIVE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_half_to_even_and_saturates() {
        let cases = [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (126.5, 126), (127.5, 127), (-1e9, -127)];
        for (value, expected) in cases {
            assert_eq!(quantize(value, 1.0), expected, "{value}");
            assert_eq!(quantize(value * 0.25, 0.25), expected, "{value}");
            assert_eq!(round(value, 1.0), f32::from(expected), "{value}");
        }
        assert_eq!((quantize(f32::NAN, 1.0), quantize(f32::INFINITY, 1.0)), (0, 127));
        assert!(round(f32::NAN, 1.0).is_nan());
    }

    #[test]
    fn points_of_the_grid_are_kept() {
        for scale in [1.0f32, 0.1, 3.7e-5, 1e-30, 1e30] {
            for q in -127..=127i8 {
                assert_eq!(quantize(dequantize(q, scale), scale), q, "{q} {scale}");
                assert_eq!(round(dequantize(q, scale), scale), dequantize(q, scale), "{q} {scale}");
            }
        }
    }

    #[test]
    fn many_values_are_as_one() {
        let ends = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, 1e-40, -0.0];
        let values: Vec<f32> = (-2600..=2600).map(|i| i as f32 * 0.05).chain(ends).collect();
        for scale in [1.0, 0.1, 0.3, 1e-20] {
            let mut integers = vec![5];
            quantize_all(&values, scale, &mut integers);
            let expected = values.iter().map(|value| quantize(*value, scale));
            assert!(integers.into_iter().eq(std::iter::once(5).chain(expected)), "{scale}");
            let mut points: Vec<f32> = (-127..=127).map(|q| dequantize(q, scale)).collect();
            assert!(all_lie_on(&points, scale));
            for (at, off) in [(3, 128.0 * scale), (90, 0.5 * scale), (254, f32::NAN)] {
                let point = std::mem::replace(&mut points[at], off);
                assert!(!all_lie_on(&points, scale), "{off} {scale}");
                points[at] = point;
            }
        }
    }

    #[test]
    fn every_range_has_a_scale() {
        for range in [0.0, 1e-45, 1e-38, 1.0, 1e30, f32::MAX, f32::NAN, f32::INFINITY] {
            assert!(is_scale(scale_of(range)), "{range}");
        }
        assert_eq!(scale_of(127.0), 1.0);
        for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-45] {
            assert!(!is_scale(scale), "{scale}");
        }
    }
}
