//! Rounding and rescaling of integers: the arithmetic that CPU and GPU share, bit for bit.
//!
//! Definitions are written with `i64`, which is what they mean; [`Requant::apply_in_halves`] and
//! [`shift_round`] compute the same with 32 bits only, as shaders have to, and tests hold the two
//! together. Every rounding is to the nearest integer, halves to the even one, once per result.

/// The largest integer of the grid; the smallest is its negative.
pub const LARGEST: i32 = crate::quant::grid::LARGEST;

/// Beyond ± this, results of [`Requant::apply`] saturate: far outside of what any of them is used for.
pub const SATURATED: i32 = i16::MAX as i32;

/// A positive factor as `multiplier / 2^shift`, with which sums are rescaled.
///
/// The multiplier has 31 bits, `2^30 ≤ multiplier < 2^31`, and the shift is 15 to 62; or both are zero,
/// for factors so small that every `i32` becomes zero. A factor is off by at most one part in 2^31: as good as exact,
/// so that integers are what rounding between the layers of a network of floats makes, and not only near it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requant {
    /// 31 bits without a sign.
    pub multiplier: i32,
    /// 15 to 62; from 31 on for factors below one.
    pub shift: u32,
}

impl Requant {
    /// The factor one: results are what was put in, if not saturated.
    pub const ONE: Requant = Requant { multiplier: 1 << 30, shift: 30 };

    /// The nearest to this factor. From 2^15 on, where every sum but zero saturates, it is 2^15.
    /// A NaN and what is not above zero becomes zero.
    pub fn new(factor: f64) -> Self {
        // Half of the least factor's step: the largest sum makes a half with it, which is rounded to zero.
        if factor.is_nan() || factor <= power_of_two(-32) {
            return Requant::default();
        }
        let (multiplier, shift) = mantissa(factor.min(f64::from(1 << 15)), 31);
        Requant { multiplier, shift: shift.unsigned_abs() }
    }

    /// The factor that it stands for.
    pub fn factor(self) -> f64 {
        f64::from(self.multiplier) * power_of_two(-(self.shift as i32))
    }

    /// `round(sum · multiplier / 2^shift)`, half to even, saturated at ±[`SATURATED`].
    #[inline(always)]
    pub fn apply(self, sum: i32) -> i32 {
        let product = i64::from(sum) * i64::from(self.multiplier);
        let half = (1i64 << self.shift) >> 1;
        let odd = (product >> self.shift) & 1;
        let rounded = if self.shift == 0 { product } else { (product + half - 1 + odd) >> self.shift };
        rounded.clamp(-i64::from(SATURATED), SATURATED.into()) as i32
    }

    /// [`apply`](Self::apply) as shaders compute it: products of 16-bit halves, no 64-bit integers.
    ///
    /// The product, of up to 62 bits and a sign, is `high · 2^32 + low`. For factors below one it is divided by 2^31
    /// first, which leaves `whole`, an `i32`, and the bits below. Factors of one and above (shift below 31) saturate
    /// for every sum of more than 16 bits, so there the product has 46 bits at most.
    pub fn apply_in_halves(self, sum: i32) -> i32 {
        let steep = self.shift < 31;
        let sum = if steep { sum.clamp(-SATURATED, SATURATED) } else { sum };
        let (high, low) = self.product(sum);
        let (kept, below) = if steep {
            match self.shift {
                0 => (0, 0),
                shift => ((high << (32 - shift)) | (low >> shift) as i32, low << (32 - shift)),
            }
        } else {
            let (whole, rest, beyond) = ((high << 1) | (low >> 31) as i32, low << 1, self.shift - 31);
            // The bits below the binary point, those that do not fit as a single one at the end.
            let moved_out = |bits: u32| (bits << (31 - beyond)) << 1;
            (whole >> beyond, moved_out(whole as u32) | (rest >> beyond) | moved_out(rest).min(1))
        };
        let half = 0x8000_0000;
        let up = below > half || (below == half && kept & 1 == 1);
        (kept + i32::from(up)).clamp(-SATURATED, SATURATED)
    }

    /// `sum · multiplier` as upper and lower 32 bits.
    fn product(self, sum: i32) -> (i32, u32) {
        let [sum_high, factor_high] = [sum, self.multiplier].map(|v| v >> 16);
        let [sum_low, factor_low] = [sum, self.multiplier].map(|v| (v & 0xffff) as u32);
        let low = sum_low * factor_low;
        let middle = sum_low * factor_high as u32 + (low >> 16);
        let signed = sum_high * factor_low as i32 + (middle & 0xffff) as i32;
        let high = sum_high * factor_high + (signed >> 16) + (middle >> 16) as i32;
        (high, ((signed as u32) << 16) | (low & 0xffff))
    }
}

/// `round(value / 2^shift)`, half to even; the shift is 0 to 31, and of others the last five bits count.
#[inline(always)]
pub fn shift_round(value: i32, shift: u32) -> i32 {
    if shift == 0 {
        return value;
    }
    let kept = value.wrapping_shr(shift);
    let below = (value as u32).wrapping_shl(32u32.wrapping_sub(shift));
    let half = 0x8000_0000;
    kept + i32::from(below > half || (below == half && kept & 1 == 1))
}

/// A float's way onto a grid: `round(value · inverse)`, half to even, saturated.
///
/// Not a division by the scale, which shaders may round otherwise than processors do. NaN and denormal numbers,
/// which they may take for anything and for zero, become zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ToGrid {
    /// The scale's inverse, a normal number.
    pub inverse: f32,
    /// Magnitudes beyond it saturate.
    pub limit: f32,
}

impl ToGrid {
    /// For the grid of that scale, which is a normal number.
    pub fn new(scale: f32) -> Self {
        // Scales of more than 2^126, which no range has, get the smallest inverse that there is.
        ToGrid { inverse: (1.0 / scale).max(f32::MIN_POSITIVE), limit: scale * (LARGEST + 1) as f32 }
    }

    /// The integer for a float.
    #[inline(always)]
    pub fn apply(self, value: f32) -> i8 {
        if value.is_nan() || value.abs() < f32::MIN_POSITIVE {
            return 0;
        }
        let steps = (value.abs().min(self.limit) * self.inverse).round_ties_even();
        steps.min(LARGEST as f32).copysign(value) as i8
    }
}

/// A residual operand's way into the unit of a convolution's sums: a positive factor as
/// `multiplier · 2^left / 2^right`.
///
/// That unit is mostly hundreds of times finer than the operand's scale, so that the sum is rounded to the
/// output's grid only once. The multiplier has 22 bits; one of the shifts is zero. Off by at most one part in
/// 2^22, and half a unit; not at all where the factor is a whole number of up to 22 bits, as `quantize` makes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enlarge {
    /// 22 bits without a sign.
    pub multiplier: i32,
    /// 0 or 1: products of 8 and 22 bits have that much room.
    pub left: u32,
    /// 0 to 31.
    pub right: u32,
}

impl Enlarge {
    /// The largest factor: an operand of ±127 then makes less than 2^30.
    pub const LARGEST: f64 = (1u64 << 23) as f64;

    /// Of the multiplier.
    const BITS: u32 = 22;

    /// The nearest to this factor, which is at most [`Enlarge::LARGEST`].
    pub fn new(factor: f64) -> Self {
        let (multiplier, shift) = mantissa(factor.min(Self::LARGEST), Self::BITS);
        match u32::try_from(shift) {
            Ok(32..) => Enlarge::default(),
            Ok(right) => Enlarge { multiplier, left: 0, right },
            Err(_) if shift < -1 => Enlarge { multiplier: (1 << Self::BITS) - 1, left: 1, right: 0 },
            Err(_) => Enlarge { multiplier, left: shift.unsigned_abs(), right: 0 },
        }
    }

    /// The factor that it stands for.
    pub fn factor(self) -> f64 {
        f64::from(self.multiplier) * power_of_two(self.left as i32 - self.right as i32)
    }

    /// `round(operand · multiplier · 2^left / 2^right)`, half to even.
    #[inline(always)]
    pub fn apply(self, operand: i8) -> i32 {
        shift_round((i32::from(operand) * self.multiplier) << self.left, self.right)
    }
}

/// Several factors over one power of two, for sums of values with scales of their own:
/// `round(Σ operandᵢ · multiplierᵢ / 2^shift)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blend {
    /// One for each operand: the largest has 22 bits where there are two, one less where there are up to four, and
    /// so on; or less where the shift is at its end.
    pub multipliers: Vec<i32>,
    /// 0 to 30.
    pub shift: u32,
}

impl Blend {
    /// The most operands: as many products of 8 and 17 bits fit a sum.
    pub const OPERANDS: usize = 64;

    /// The nearest to these factors (positive), off by at most one part in 2^17 of the largest each, one in 2^22 if there
    /// are two.
    ///
    /// Nothing if the largest is beyond what a multiplier may be, or there are more operands than
    /// [`Blend::OPERANDS`].
    pub fn new(factors: &[f64]) -> Option<Self> {
        let largest = factors.iter().copied().fold(0.0, f64::max);
        // Multipliers of up to 2^23 in all make sums of 30 bits.
        let bits = 23 - factors.len().next_power_of_two().max(2).trailing_zeros().min(6);
        let (_, shift) = mantissa(largest, bits);
        let shift = shift.min(30);
        if shift < 0 || factors.len() > Self::OPERANDS || factors.iter().any(|f| f.is_nan() || *f < 0.0) {
            return None;
        }
        let scaled = |factor: &f64| (factor * power_of_two(shift)).round_ties_even() as i32;
        Some(Blend { multipliers: factors.iter().map(scaled).collect(), shift: shift.unsigned_abs() })
    }
}

/// `factor ≈ multiplier / 2^shift` with a multiplier of so many bits; zero for what is not above zero.
fn mantissa(factor: f64, bits: u32) -> (i32, i32) {
    if factor.is_nan() || factor < f64::MIN_POSITIVE {
        return (0, 0);
    }
    // factor = fraction · 2^exponent with 1 ≤ fraction < 2; factors here are normal numbers.
    let exponent = ((factor.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let shift = (bits as i32 - 1 - exponent).clamp(-64, 100);
    let multiplier = (factor * power_of_two(shift)).round_ties_even();
    let limit = power_of_two(bits as i32);
    if multiplier == limit { ((0.5 * limit) as i32, shift - 1) } else { (multiplier as i32, shift) }
}

/// Exactly, on every platform; −1022 to 1023.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition in exact rationals: the nearest integer to `value / 2^shift`, half to even.
    fn exact(value: i128, shift: u32) -> i128 {
        let one = 1i128 << shift;
        let (whole, rest) = (value.div_euclid(one), value.rem_euclid(one));
        match (2 * rest).cmp(&one) {
            std::cmp::Ordering::Less => whole,
            std::cmp::Ordering::Greater => whole + 1,
            std::cmp::Ordering::Equal => whole + (whole & 1),
        }
    }

    fn saturated(value: i128) -> i32 {
        value.clamp(-i128::from(SATURATED), SATURATED.into()) as i32
    }

    fn requant() -> impl Strategy<Value = Requant> {
        let any = (1u32 << 30..1 << 31, 15u32..63).prop_map(|(m, shift)| Requant { multiplier: m as i32, shift });
        prop_oneof![any, Just(Requant::ONE), Just(Requant::default())]
    }

    /// Sums of all sizes, and those around a half.
    fn sum() -> impl Strategy<Value = i32> {
        let sized = (any::<i32>(), 0u32..31).prop_map(|(v, bits)| v >> bits);
        prop_oneof![sized, Just(i32::MIN), Just(i32::MAX), Just(0), -70_000..70_000]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

        #[test]
        fn requantisation_is_the_exact_one_in_both_forms(requant in requant(), sum in sum()) {
            let expected = saturated(exact(i128::from(sum) * i128::from(requant.multiplier), requant.shift));
            prop_assert_eq!(requant.apply(sum), expected);
            prop_assert_eq!(requant.apply_in_halves(sum), expected);
        }

        #[test]
        fn a_power_of_two_meets_ties_and_rounds_them_to_even(shift in 31u32..55, count in -300i32..300, near in -1i32..=1) {
            let requant = Requant { multiplier: 1 << 30, shift };
            // The sum is half a step beyond `count` steps, or one off.
            let half = 1i64 << (shift - 31);
            let Ok(sum) = i32::try_from((2 * i64::from(count) + 1) * half + i64::from(near)) else { return Ok(()) };
            let expected = saturated(exact(i128::from(sum) << 30, shift));
            prop_assert_eq!(requant.apply(sum), expected);
            prop_assert_eq!(requant.apply_in_halves(sum), expected);
            if near == 0 {
                prop_assert_eq!(requant.apply(sum) & 1, 0);
            }
        }

        #[test]
        fn shifts_round_exactly(value in any::<i32>(), shift in 0u32..32) {
            prop_assert_eq!(i128::from(shift_round(value, shift)), exact(value.into(), shift));
        }

        #[test]
        fn factors_are_near_and_multipliers_have_31_bits(exponent in -48.0f64..16.0) {
            let factor = exponent.exp2();
            let requant = Requant::new(factor);
            if requant != Requant::default() && factor < f64::from(1 << 15) {
                prop_assert!((requant.factor() / factor - 1.0).abs() <= 2f64.powi(-31) * 1.001, "{requant:?} {factor}");
                prop_assert!(requant.multiplier >= 1 << 30 && (15..63).contains(&requant.shift));
            } else {
                prop_assert!(factor <= 2f64.powi(-32) || factor >= f64::from(1 << 15) && requant.apply(1) == SATURATED);
            }
        }

        #[test]
        fn operands_are_enlarged_exactly(exponent in -20.0f64..23.0, operand in -127i8..=127) {
            let factor = exponent.exp2();
            let enlarge = Enlarge::new(factor);
            let product = (i128::from(operand) * i128::from(enlarge.multiplier)) << enlarge.left;
            prop_assert!(product.abs() < 1 << 30);
            prop_assert_eq!(i128::from(enlarge.apply(operand)), exact(product, enlarge.right));
            let error = f64::from(enlarge.apply(operand)) - factor * f64::from(operand);
            prop_assert!(error.abs() <= 0.5 + factor * 127.0 * 2f64.powi(-22) * 1.001, "{enlarge:?} {factor} {error}");
        }

        #[test]
        fn blends_are_near(exponents in prop::collection::vec(-20.0f64..15.9, 2..64)) {
            let factors: Vec<f64> = exponents.iter().map(|e| e.exp2()).collect();
            let largest = factors.iter().copied().fold(0.0, f64::max);
            let blend = Blend::new(&factors).unwrap();
            for (factor, multiplier) in factors.iter().zip(&blend.multipliers) {
                let error = f64::from(*multiplier) * (-f64::from(blend.shift)).exp2() - factor;
                prop_assert!(error.abs() <= largest.max(2f64.powi(-14)) * 2f64.powi(-17) && (0..=1 << 22).contains(multiplier));
            }
            let most: i64 = blend.multipliers.iter().map(|m| i64::from(*m) * 127).sum();
            prop_assert!(most < 1 << 30);
        }
    }

    #[test]
    fn floats_get_onto_the_grid() {
        for scale in [1.0f32, 0.1, 0.3, 3.7e-5, 1e-30, 1e30, f32::MIN_POSITIVE] {
            let grid = ToGrid::new(scale);
            for q in -127..=127i8 {
                assert_eq!(grid.apply(f32::from(q) * scale), q, "{q} {scale}");
            }
            assert_eq!([f32::INFINITY, f32::MAX, f32::NEG_INFINITY].map(|v| grid.apply(v)), [127, 127, -127]);
            assert_eq!([f32::NAN, 1e-40, -1e-40, 0.0, -0.0].map(|v| grid.apply(v)), [0; 5]);
        }
        let grid = ToGrid::new(1.0);
        assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 127.5].map(|v| grid.apply(v)), [0, 2, 2, 0, -2, 126, 127]);
    }

    #[test]
    fn factors_at_the_ends() {
        assert_eq!(Requant::new(1.0), Requant::ONE);
        assert_eq!(Requant::new(0.5).apply(5), 2);
        assert_eq!(Requant::new(0.5).apply(-5), -2);
        assert_eq!(Requant::new(0.5).apply(7), 4);
        for nothing in [0.0, -1.0, f64::NAN, 1e-300, 2f64.powi(-60)] {
            assert_eq!(Requant::new(nothing).apply(i32::MAX), 0, "{nothing}");
        }
        for steep in [32768.0, 1e9, f64::INFINITY] {
            let requant = Requant::new(steep);
            for apply in [Requant::apply, Requant::apply_in_halves] {
                assert_eq!([apply(requant, 1), apply(requant, 0), apply(requant, -1)], [SATURATED, 0, -SATURATED]);
            }
        }
        // Just below a power of two the multiplier rounds up to it.
        assert_eq!(Requant::new(1.0 - 1e-10), Requant::ONE);
        assert_eq!(Blend::new(&[4_194_304.0]), None);
        assert_eq!(Blend::new(&[0.5; 65]), None);
        assert_eq!(Blend::new(&[1e-40, 0.0]), Some(Blend { multipliers: vec![0, 0], shift: 30 }));
    }
}
