//! The unit of a channel's sums, and all that is expressed in it.

use crate::int8::arith::{Enlarge, LARGEST};

/// What biases and residuals may be in units of the sums.
const MOST: f64 = (1u32 << 29) as f64;

/// What products may sum up to.
const MOST_PRODUCTS: i64 = (1 << 30) - (1 << 16);

/// A channel's scales and bias.
pub(super) struct Channel<'a> {
    /// Integers of its weights.
    pub weights: &'a [i8],
    /// Scale of the input times that of the weights.
    pub unit: f64,
    pub bias: f64,
    /// Scale of the second input.
    pub residual: Option<f32>,
    /// Scale of the output.
    pub output: Option<f32>,
}

/// The same in integers.
pub(super) struct Sums {
    /// What one stands for.
    pub unit: f64,
    pub weights: Vec<i8>,
    pub bias: i32,
    pub residual: Enlarge,
}

impl Channel<'_> {
    /// Expresses everything in the sums' unit.
    ///
    /// A unit is that of the products, but for two cases. Without any weight, the unit is free, and is chosen fine
    /// enough for the bias. Where bias or residual would be 2^29 units or more, because the weights are next to
    /// nothing beside them, the unit grows, and the weights are rounded once more: together they cannot have moved
    /// the output by much.
    pub(super) fn sums(&self) -> Result<Sums, String> {
        if !self.bias.is_finite() {
            return Err(format!("a bias is {}", self.bias));
        }
        let residual = f64::from(self.residual.unwrap_or(0.0));
        let dead = self.weights.iter().all(|w| *w == 0);
        let fine = match self.output {
            Some(scale) => f64::from(scale) / 4096.0,
            None if self.bias != 0.0 => self.bias.abs() / f64::from(1 << 20),
            None => self.unit,
        };
        let products = if dead { fine } else { self.unit };
        let unit = products.max(self.bias.abs() / MOST).max(residual * f64::from(LARGEST) / MOST);
        let shrink = products / unit;
        let rounded = |w: &i8| if shrink < 1.0 { (f64::from(*w) * shrink).round_ties_even() as i8 } else { *w };
        let weights: Vec<i8> = self.weights.iter().map(rounded).collect();
        let largest = weights.iter().map(|w| i64::from(*w).abs()).sum::<i64>() * i64::from(LARGEST);
        if largest > MOST_PRODUCTS {
            let count = weights.len();
            return Err(format!("{count} products might be {largest}, more than sums of 32 bits hold; keep it float"));
        }
        let bias = (self.bias / unit).round_ties_even() as i32;
        Ok(Sums { unit, weights, bias, residual: Enlarge::new(residual / unit) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(weights: &[i8], unit: f64, bias: f64) -> Channel<'_> {
        Channel { weights, unit, bias, residual: None, output: Some(0.1) }
    }

    #[test]
    fn an_ordinary_channel_keeps_its_weights() {
        let sums = channel(&[1, -127, 3], 1e-4, 0.25).sums().unwrap();
        assert_eq!((sums.unit, sums.weights, sums.bias), (1e-4, vec![1, -127, 3], 2500));
    }

    #[test]
    fn a_dead_channel_still_has_its_bias() {
        let sums = channel(&[0, 0], 7.0, 0.33).sums().unwrap();
        assert!((f64::from(sums.bias) * sums.unit - 0.33).abs() < 1e-4);
        let sums = Channel { output: None, ..channel(&[0, 0], 7.0, 0.33) }.sums().unwrap();
        assert!((f64::from(sums.bias) * sums.unit - 0.33).abs() < 1e-5);
        assert_eq!(channel(&[0], 7.0, 0.0).sums().unwrap().bias, 0);
    }

    #[test]
    fn weights_that_are_nothing_beside_the_bias_give_way() {
        let sums = channel(&[127, -64], 1e-12, -5.0).sums().unwrap();
        assert_eq!(sums.bias, -(1 << 29));
        assert!((f64::from(sums.bias) * sums.unit + 5.0).abs() < 1e-7);
        let shrink = 1e-12 / sums.unit;
        assert_eq!(sums.weights, [127.0, -64.0].map(|w: f64| (w * shrink).round_ties_even() as i8));
        // A residual as well.
        let sums = Channel { residual: Some(1.0), ..channel(&[127], 1e-12, 0.0) }.sums().unwrap();
        assert!(sums.residual.apply(127) <= 1 << 29 && sums.residual.apply(127) > 1 << 28);
        assert!((f64::from(sums.residual.apply(100)) * sums.unit - 100.0).abs() < 0.002);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(channel(&[1], 1.0, f64::NAN).sums().is_err());
        assert!(channel(&vec![127; 66_568], 1e-4, 0.0).sums().is_ok());
        let message = channel(&vec![127; 66_569], 1e-4, 0.0).sums().err().unwrap();
        assert!(message.contains("66569 products"), "{message}");
    }
}
