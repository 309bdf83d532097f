//! What was seen of a value: a histogram of magnitudes that grows with them.

/// Number of bins. The largest magnitude lies in the upper half of them, so a step of the 8-bit grid
/// that spans it is at least 16 bins wide.
const BINS: usize = 4096;

/// A histogram of |x|, whose range doubles as larger values come: neighbouring bins are merged, so
/// the counts stay exact and do not depend on the order of what came. Zeros are counted apart: their
/// rounding costs nothing. Values that are not finite are counted and otherwise left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    counts: Vec<u64>,
    /// Width of a bin, a power of two; zero until something other than zero came.
    width: f64,
    zeros: u64,
    not_finite: u64,
    largest: f32,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: vec![0; BINS], width: 0.0, zeros: 0, not_finite: 0, largest: 0.0 }
    }
}

impl Histogram {
    /// Of these values.
    pub fn of(values: &[f32]) -> Self {
        let mut histogram = Histogram::default();
        histogram.add(values);
        histogram
    }

    /// Counts more values.
    pub fn add(&mut self, values: &[f32]) {
        let finite = values.iter().map(|v| v.abs()).filter(|v| v.is_finite());
        let largest = finite.fold(0.0f32, f32::max);
        self.grow(largest);
        if self.width == 0.0 {
            let not_finite = values.iter().filter(|v| !v.is_finite()).count() as u64;
            self.not_finite += not_finite;
            self.zeros += values.len() as u64 - not_finite;
            return;
        }
        let per_bin = self.width.recip();
        for value in values {
            if !value.is_finite() {
                self.not_finite += 1;
            } else if *value == 0.0 {
                self.zeros += 1;
            } else if let Some(count) = self.counts.get_mut((f64::from(value.abs()) * per_bin) as usize) {
                *count += 1;
            }
        }
    }

    /// Makes the range hold `largest`.
    fn grow(&mut self, largest: f32) {
        if largest == 0.0 {
            return;
        }
        self.largest = self.largest.max(largest);
        if self.width == 0.0 {
            // The power of two for which `largest` is in the upper half; doubling from far below
            // ends at the same.
            self.width = 2f64.powi(f64::from(largest).log2().floor() as i32 + 1) / BINS as f64;
        }
        while f64::from(largest) >= self.width * BINS as f64 {
            for i in 0..BINS / 2 {
                self.counts[i] = self.counts[2 * i] + self.counts[2 * i + 1];
            }
            self.counts[BINS / 2..].fill(0);
            self.width *= 2.0;
        }
    }

    /// The largest finite magnitude; 0 if there was none other.
    pub fn largest(&self) -> f32 {
        self.largest
    }

    /// Number of finite values, zeros included.
    pub fn count(&self) -> u64 {
        self.zeros + self.counts.iter().sum::<u64>()
    }

    /// Number of zeros.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Number of values that were NaN or infinite.
    pub fn not_finite(&self) -> u64 {
        self.not_finite
    }

    /// Width of a bin; 0 if nothing other than zeros came.
    pub fn width(&self) -> f64 {
        self.width
    }

    /// How many magnitudes lie in each bin, up to the last that is not empty: bin `i` holds those
    /// from `i · width` to below `(i + 1) · width`, but no zeros.
    pub fn bins(&self) -> &[u64] {
        let end = self.counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        &self.counts[..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) * scale).collect()
    }

    #[test]
    fn the_order_of_what_comes_does_not_matter() {
        let parts = [values(500, 0.001), values(500, 3.0), values(300, 170.0), vec![0.0; 10], values(200, 0.5)];
        let (mut there, mut back) = (Histogram::default(), Histogram::default());
        parts.iter().for_each(|part| there.add(part));
        parts.iter().rev().for_each(|part| back.add(part));
        assert_eq!(there, back);
        assert_eq!(there, Histogram::of(&parts.concat()));
        assert_eq!(there.count(), 1510);
        assert_eq!(there.bins().iter().sum::<u64>() + there.zeros(), 1510);
        assert!(there.largest() <= 170.0 && there.largest() > 169.0);
        assert!(there.bins().len() > BINS / 2);
    }

    #[test]
    fn powers_of_two_and_extremes_are_counted_once() {
        for largest in [1.0, 2.0, 0.5, f32::MIN_POSITIVE, 1e-45, f32::MAX, 3.999_999_8, 4.0] {
            let mut histogram = Histogram::of(&[largest]);
            histogram.add(&[largest, -largest / 2.0]);
            let ends = [histogram.bins().len() > BINS / 2, histogram.bins().len() <= BINS];
            assert_eq!((histogram.count(), histogram.largest(), ends), (3, largest, [true; 2]), "{largest}");
        }
        let odd = Histogram::of(&[f32::NAN, f32::INFINITY, 0.0, -0.0]);
        assert_eq!((odd.not_finite(), odd.zeros(), odd.count(), odd.largest()), (2, 2, 2, 0.0));
        assert!(odd.bins().is_empty());
    }
}
