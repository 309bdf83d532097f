//! How far values are from what they should be.

use serde::{Deserialize, Serialize};

/// What is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Bit for bit: integers.
    Exact,
    /// The relative L2 distance of all values together; a single value may be off by a hundred times that of the
    /// largest.
    Relative(f64),
}

/// The relative L2 distance of a layer in 32-bit floats, whose sums devices add up in other orders than the CPU.
pub(crate) const F32_LAYER: f64 = 5e-5;
/// The same of a layer whose values are stored as 16-bit floats, to the nearest or towards zero.
pub(crate) const F16_LAYER: f64 = 5e-3;

impl Bound {
    /// Of a layer in 32-bit floats.
    pub const F32: Bound = Bound::Relative(F32_LAYER);
    /// Of a layer whose values are stored as 16-bit floats.
    pub const F16: Bound = Bound::Relative(F16_LAYER);

    /// Ten times as much: what is beyond that is no matter of rounding, whatever the network.
    pub(crate) fn wide(self) -> Bound {
        match self {
            Bound::Exact => Bound::Exact,
            Bound::Relative(bound) => Bound::Relative(10.0 * bound),
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bound::Exact => f.write_str("bit for bit"),
            Bound::Relative(bound) => write!(f, "{bound:.0e}"),
        }
    }
}

/// How far values are apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distance {
    /// How many were compared.
    pub values: usize,
    /// How many differ at all.
    pub differing: usize,
    /// How many are NaN or infinite.
    pub not_finite: usize,
    /// The relative L2 distance; of values that are not finite, none.
    pub relative: Option<f64>,
    /// The largest difference; of values that are not finite, none.
    pub largest_difference: Option<f64>,
    /// The largest magnitude that was expected.
    pub largest_expected: f64,
    /// Where the largest difference is, or the first value that is not finite: index among all values, also those that
    /// do not count.
    pub at: usize,
    /// What was found there, as text, for JSON has no NaN.
    pub found: String,
    /// What was expected there.
    pub expected: f64,
}

impl Distance {
    /// Compares; where NaN is expected anything will do.
    pub fn of(found: &[f64], expected: &[f64]) -> Self {
        let mut distance = Distance::default();
        let (mut away, mut norm, mut worst) = (0f64, 0f64, -1f64);
        for (at, expected) in expected.iter().enumerate().filter(|(_, expected)| !expected.is_nan()) {
            let found = found.get(at).copied().unwrap_or(f64::NAN);
            let difference = (found - expected).abs();
            distance.values += 1;
            distance.differing += usize::from(found != *expected);
            distance.largest_expected = distance.largest_expected.max(expected.abs());
            // The first that is no number is further away than any number.
            let rank = if difference.is_finite() { difference } else { f64::INFINITY };
            if rank > worst {
                (distance.at, distance.found, distance.expected) = (at, format!("{found}"), *expected);
                worst = rank;
            }
            if difference.is_finite() {
                (away, norm) = (away + difference * difference, norm + expected * expected);
            } else {
                distance.not_finite += 1;
            }
        }
        if distance.not_finite == 0 {
            let relative = (away / norm.max(f64::MIN_POSITIVE)).sqrt();
            distance.relative = Some(if away == 0.0 { 0.0 } else { relative.min(f64::MAX) });
            distance.largest_difference = Some(worst.max(0.0));
        }
        distance
    }

    /// Whether it is within a bound. Nothing compared is within none.
    pub fn within(&self, bound: Bound) -> bool {
        let (Some(relative), Some(largest)) = (self.relative, self.largest_difference) else { return false };
        self.values > 0
            && match bound {
                Bound::Exact => self.differing == 0,
                Bound::Relative(bound) => relative <= bound && largest <= 100.0 * bound * self.largest_expected,
            }
    }
}

impl std::fmt::Display for Distance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.relative, self.differing) {
            (_, 0) => f.write_str("bit for bit"),
            (Some(relative), differing) => {
                write!(f, "relative error {relative:.1e}, {differing} of {} values differ", self.values)
            }
            (None, _) => write!(f, "{} of {} values are not finite", self.not_finite, self.values),
        }
    }
}

/// Position of the largest value.
pub(super) fn best(values: &[f64]) -> usize {
    (0..values.len()).fold(0, |best, at| if values[at] > values[best] { at } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_found_and_placed() {
        let expected: Vec<f64> = (0..4000).map(|i| if i % 4 == 3 { f64::NAN } else { f64::from(i).sin() }).collect();
        let mut found: Vec<f64> = expected.iter().map(|v| if v.is_nan() { 0.5 } else { v * 1.000_001 }).collect();
        let distance = Distance::of(&found, &expected);
        assert_eq!((distance.values, distance.not_finite), (3000, 0));
        assert!(distance.within(Bound::F32) && !distance.within(Bound::Exact));
        found[1000] += 0.02;
        let distance = Distance::of(&found, &expected);
        assert!(!distance.within(Bound::F32) && distance.within(Bound::F16));
        assert_eq!(distance.at, 1000);
        found[77] = f64::NAN;
        let distance = Distance::of(&found, &expected);
        assert_eq!((distance.at, distance.found.as_str(), distance.not_finite), (77, "NaN", 1));
        assert!(!distance.within(Bound::F16) && distance.to_string().contains("1 of 3000 values are not finite"));
    }

    #[test]
    fn one_wrong_value_among_many_and_a_short_result_are_found() {
        let expected = vec![1.0; 1 << 20];
        let mut found = expected.clone();
        assert!(Distance::of(&found, &expected).within(Bound::Exact));
        found[77] = 1.02;
        let distance = Distance::of(&found, &expected);
        assert!(distance.relative.unwrap() < 5e-5 && !distance.within(Bound::F32));
        assert!(!Distance::of(&expected[1..], &expected).within(Bound::F16));
        assert!(!Distance::of(&[], &[]).within(Bound::F16), "nothing was compared");
        // All zeros are expected: there is nothing to be relative to.
        assert!(!Distance::of(&[0.0, 1.0], &[0.0, 0.0]).within(Bound::F16));
        assert!(Distance::of(&[0.0, 0.0], &[0.0, 0.0]).within(Bound::F32));
    }
}
