//! GELU, the sigmoid and other activations as tables of 256 integers.

use super::arith::{LARGEST, Requant};
use crate::ops::Activation;

/// An activation of a rounded value: `entries[clamp(value + offset, 0, 255)]`.
///
/// For a sum of products the step between entries is chosen by [`Table::of_sums`]; for a value that is an
/// integer of the grid already, entry `q + 128` is that of `q` ([`Table::of_grid`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The integers of the output's grid.
    pub entries: [i8; 256],
    /// What zero's place in the table is.
    pub offset: i32,
}

impl Table {
    /// For an `i8` of scale `from` the activation on the grid of scale `to`, exactly rounded.
    pub fn of_grid(activation: Activation, from: f32, to: f32) -> Self {
        let entry = |i: usize| {
            let q = (i as i32 - 128).max(-LARGEST);
            on_grid(activation, f64::from(q) * f64::from(from), to.into())
        };
        Table { entries: std::array::from_fn(entry), offset: 128 }
    }

    /// For sums: the table and the step between its entries, to which sums are rescaled.
    ///
    /// The 256 entries cover the inputs between which the rounded output changes, and no others: GELU's
    /// negative side ends where it rounds to zero for good, its positive side where it saturates. Rounding to
    /// the step between entries moves the output by at most `|slope| / 2` of these steps. For GELU they are
    /// about those of the output, or finer, from an output range of ±2 on; below, its negative side, which is
    /// 2.5 to 4 long, takes most of the entries.
    pub fn of_sums(activation: Activation, to: f32) -> (Self, f64) {
        let scale = f64::from(to);
        let rounded = |x: f64| on_grid(activation, x, scale);
        let (low, high) = changes(&rounded, scale);
        // One entry fewer, so that the first and the last lie beyond the ends wherever zero's comes to lie.
        let step = ((high - low) / 254.0).max(f64::MIN_POSITIVE);
        let offset = (-low / step).ceil();
        let entry = |i: usize| rounded((i as f64 - offset) * step);
        (Table { entries: std::array::from_fn(entry), offset: offset as i32 }, step)
    }

    /// The entry for a value.
    #[inline(always)]
    pub fn at(&self, value: i32) -> i8 {
        self.entries[(value.saturating_add(self.offset)).clamp(0, 255) as usize]
    }
}

/// The inputs beyond which the rounded output does not change any more.
fn changes(rounded: &impl Fn(f64) -> i8, scale: f64) -> (f64, f64) {
    // Every activation here is constant, or within 1e-16 of the identity, beyond ±64 or the grid's end.
    let far = (f64::from(LARGEST) + 1.0).mul_add(scale, 64.0);
    let edge = |end: f64| {
        let last = rounded(end);
        // Fine steps from the far end: GELU is not monotone, so a bisection alone might miss its dip.
        let steps = 4096;
        let at = |i: usize| end * (1.0 - i as f64 / f64::from(steps));
        let Some(first) = (1..=steps as usize).find(|i| rounded(at(*i)) != last) else { return 0.0 };
        let (mut inside, mut outside) = (at(first), at(first - 1));
        for _ in 0..60 {
            let middle = 0.5 * (inside + outside);
            if rounded(middle) == last { outside = middle } else { inside = middle }
        }
        outside
    };
    let (low, high) = (edge(-far), edge(far));
    // A table that holds one value needs some width all the same.
    if high - low > scale * 1e-3 { (low.min(0.0), high.max(0.0)) } else { (-far, far) }
}

fn on_grid(activation: Activation, x: f64, scale: f64) -> i8 {
    (exact(activation, x) / scale).round_ties_even().clamp(-f64::from(LARGEST), f64::from(LARGEST)) as i8
}

/// The activation in f64, by operations that round the same way on every platform.
pub(super) fn exact(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Gelu => 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Activation::Sigmoid => {
            let e = exp(-x.abs());
            if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
        }
    }
}

/// eˣ for x ≤ 0: Taylor's series at x / 1024, squared ten times.
fn exp(x: f64) -> f64 {
    let small = x.max(-700.0) / 1024.0;
    let series = (1..=14).rev().fold(1.0, |sum, n| 1.0 + sum * small / f64::from(n));
    (0..10).fold(series, |power, _| power * power)
}

/// The error function: `2/√π e^{−x²} Σ 2ⁿ x^{2n+1} / (2n+1)!!`, whose terms are all of one sign.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let square = x * x;
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * square / f64::from(2 * n + 1);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * exp(-square) * sum
}

/// How a rescaled sum becomes an integer of the output's grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Saturated to `low..=127`; `low` is −127, or 0 for ReLU.
    Clamp {
        /// The least output.
        low: i32,
    },
    /// Looked up.
    Table(Box<Table>),
}

impl Finish {
    /// For this activation, and the scale to which sums have to be brought for it; `to` is the output's.
    pub fn new(activation: Activation, to: f32) -> (Self, f64) {
        match activation {
            Activation::None => (Finish::Clamp { low: -LARGEST }, to.into()),
            Activation::Relu => (Finish::Clamp { low: 0 }, to.into()),
            Activation::Gelu | Activation::Sigmoid => {
                let (table, step) = Table::of_sums(activation, to);
                (Finish::Table(Box::new(table)), step)
            }
        }
    }

    /// The output for a rescaled sum.
    #[inline(always)]
    pub fn apply(&self, value: i32) -> i8 {
        match self {
            Finish::Clamp { low } => value.clamp(*low, LARGEST) as i8,
            Finish::Table(table) => table.at(value),
        }
    }

    /// Rescales a sum and finishes it.
    #[inline(always)]
    pub fn of(&self, requant: Requant, sum: i32) -> i8 {
        self.apply(requant.apply(sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_those_of_a_library() {
        for i in -8000..=8000 {
            let x = f64::from(i) * 1e-3;
            assert!((erf(x) - libm::erf(x)).abs() < 1e-13, "erf {x}");
            let phi = 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
            assert!((exact(Activation::Gelu, x) - x * phi).abs() < 1e-12, "gelu {x}");
            assert!((exact(Activation::Sigmoid, x) - 1.0 / (1.0 + (-x).exp())).abs() < 1e-13, "sigmoid {x}");
        }
        assert_eq!(exact(Activation::Gelu, -1e6), 0.0);
        assert_eq!(exact(Activation::Sigmoid, -1e6), exact(Activation::Sigmoid, -700.0));
    }

    #[test]
    fn a_grid_s_table_is_rounded_exactly() {
        for activation in Activation::ALL {
            let table = Table::of_grid(activation, 0.05, 0.03);
            for q in -127..=127i32 {
                let x = f64::from(q) * f64::from(0.05f32);
                let expected = (exact(activation, x) / f64::from(0.03f32)).round_ties_even().clamp(-127.0, 127.0);
                assert_eq!(f64::from(table.at(q)), expected, "{activation:?} {q}");
            }
        }
    }

    /// Rounding to the table's step, then to the output's grid.
    #[test]
    fn a_table_of_sums_is_as_near_as_its_step() {
        for (activation, scales) in [
            (Activation::Gelu, [1e-4, 1e-3, 0.02, 0.05, 0.3, 2.0]),
            (Activation::Sigmoid, [1e-3, 0.004, 1.0 / 127.0, 0.01, 0.1, 0.9]),
        ] {
            for scale in scales {
                let (finish, step) = Finish::new(activation, scale);
                let mut worst = 0.0f64;
                for i in -40_000..=40_000 {
                    let x = f64::from(i) * (130.0 * f64::from(scale) + 8.0) / 40_000.0;
                    let q = finish.apply((x / step).round_ties_even() as i32);
                    let wanted = (exact(activation, x) / f64::from(scale)).clamp(-127.0, 127.0);
                    worst = worst.max((f64::from(q) - wanted).abs());
                }
                // GELU's slope is at most 1.13, the sigmoid's a quarter.
                let coarse = step / f64::from(scale);
                assert!(worst <= 0.51 + 0.565 * coarse, "{activation:?} {scale}: {worst}, {coarse}");
                assert!(scale < 0.02 || worst < 1.2, "{activation:?} {scale}: {worst}, {coarse}");
            }
        }
    }

    #[test]
    fn relu_clamps_at_zero() {
        let (finish, scale) = Finish::new(Activation::Relu, 0.5);
        assert_eq!(scale, 0.5);
        assert_eq!([-300, -1, 0, 5, 300].map(|v| finish.apply(v)), [0, 0, 0, 5, 127]);
        assert_eq!(Finish::new(Activation::None, 0.5).0.apply(-300), -127);
    }
}
