//! Where a value lies across a plot.

use crate::cli::analyze::report::number;

/// The horizontal axis that all rows of a chart share.
#[derive(Clone, Debug)]
pub struct Axis {
    low: f64,
    high: f64,
    /// Below this magnitude distances are true, above it equal steps are equal factors; `None` for a
    /// plain axis.
    bend: Option<f64>,
}

/// Rows whose widest is this many times as wide as the median one would not be seen side by side on
/// a plain axis.
const TOO_WIDE: f64 = 12.0;

impl Axis {
    /// An axis on which all of these (smallest, largest) pairs fit, bent where one of them would
    /// leave no room for the others.
    pub fn around(extents: impl Iterator<Item = (f64, f64)>) -> Axis {
        let mut low = f64::INFINITY;
        let mut high = f64::NEG_INFINITY;
        let mut widths = Vec::new();
        for (from, to) in extents.filter(|(from, to)| from.is_finite() && to.is_finite()) {
            (low, high) = (low.min(from), high.max(to));
            widths.push(from.abs().max(to.abs()));
        }
        widths.retain(|width| *width > 0.0);
        widths.sort_by(f64::total_cmp);
        let (Some(median), Some(widest)) = (widths.get(widths.len() / 2).copied(), widths.last().copied()) else {
            return Axis { low: -1.0, high: 1.0, bend: None };
        };
        if high - low < 1e-9 * widest {
            (low, high) = (low - widest / 2.0, high + widest / 2.0);
        }
        let bend = (widest / median > TOO_WIDE).then_some(median);
        Axis { low, high, bend }.padded()
    }

    /// From zero to `high`.
    pub fn from_zero(high: f64) -> Axis {
        Axis { low: 0.0, high: if high > 0.0 { high } else { 1.0 }, bend: None }
    }

    /// With some room at both ends.
    fn padded(self) -> Axis {
        let (from, to) = (self.stretch(self.low), self.stretch(self.high));
        let room = 0.02 * (to - from);
        Axis { low: self.unstretch(from - room), high: self.unstretch(to + room), ..self }
    }

    /// Whether large values are drawn closer together.
    pub fn is_bent(&self) -> bool {
        self.bend.is_some()
    }

    fn stretch(&self, value: f64) -> f64 {
        self.bend.map_or(value, |bend| (value / bend).asinh())
    }

    fn unstretch(&self, place: f64) -> f64 {
        self.bend.map_or(place, |bend| place.sinh() * bend)
    }

    /// From 0 at the left to 1 at the right; what lies beyond is drawn at the end.
    pub fn at(&self, value: f64) -> f64 {
        let (from, to) = (self.stretch(self.low), self.stretch(self.high));
        let place = (self.stretch(value) - from) / (to - from);
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Round values along the axis with what is written at them, at least `apart` from each other, as
    /// a part of the axis.
    pub fn ticks(&self, apart: f64) -> Vec<(f64, String)> {
        let values = match self.bend {
            None => self.even(apart),
            Some(bend) => self.decades(bend),
        };
        let mut ticks: Vec<(f64, String)> = Vec::new();
        for value in values {
            let at = self.at(value);
            if ticks.iter().all(|(other, _)| (at - other).abs() >= apart) {
                ticks.push((at, label(value)));
            }
        }
        ticks.sort_by(|a, b| a.0.total_cmp(&b.0));
        ticks
    }

    /// Multiples of a round step.
    fn even(&self, apart: f64) -> Vec<f64> {
        let rough = (self.high - self.low) * apart.max(0.05);
        let decade = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|s| s * decade).into_iter().find(|s| *s >= rough).unwrap_or(decade);
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        (first..=last.min(first.saturating_add(20))).map(|i| i as f64 * step).collect()
    }

    /// Zero, and powers of ten on either side of it, the largest first: they have the room.
    fn decades(&self, bend: f64) -> Vec<f64> {
        let first = bend.log10().round() as i32;
        let last = self.low.abs().max(self.high).log10().floor() as i32;
        let sides = (first..=last.min(first.saturating_add(40))).rev().map(|power| 10f64.powi(power));
        let all = std::iter::once(0.0).chain(sides.flat_map(|size| [-size, size]));
        all.filter(|value| (self.low..=self.high).contains(value)).collect()
    }
}

/// A round number without the zeros after its last digit.
fn label(value: f64) -> String {
    let text = number(value);
    match text.contains('.') && !text.contains('e') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_axes_have_round_ticks_within() {
        let axis = Axis::around([(-1.3, 2.1), (-0.4, 0.9)].into_iter());
        assert!(!axis.is_bent());
        let ticks = axis.ticks(0.13);
        assert_eq!(ticks.iter().map(|t| t.1.as_str()).collect::<Vec<_>>(), ["−1", "−0.5", "0", "0.5", "1", "1.5", "2"]);
        assert!(axis.at(-1.3) > 0.0 && axis.at(2.1) < 1.0 && axis.at(-99.0) == 0.0 && axis.at(99.0) == 1.0);
        assert!((axis.at(0.4) - (axis.at(-1.3) + axis.at(2.1)) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn one_wide_row_bends_the_axis_and_order_is_kept() {
        let axis = Axis::around([(-1.0, 1.0), (-1.0, 2.0), (-2000.0, 3000.0)].into_iter());
        assert!(axis.is_bent());
        assert!(axis.at(1.0) - axis.at(-1.0) > 0.05, "small values can be seen");
        let ticks = axis.ticks(0.13);
        assert!(ticks.len() >= 3 && ticks.iter().any(|t| t.1 == "0"), "{ticks:?}");
        assert!(ticks.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 0.13), "{ticks:?}");
        let places: Vec<f64> = [-2000.0, -1.0, 0.0, 0.5, 3000.0].map(|v| axis.at(v)).to_vec();
        assert!(places.is_sorted());
    }

    #[test]
    fn nothing_and_constants_have_axes() {
        for extents in [vec![], vec![(0.0, 0.0)], vec![(3.0, 3.0)], vec![(f64::NAN, 1.0)], vec![(-1e308, 1e308)]] {
            let axis = Axis::around(extents.clone().into_iter());
            assert!((0.0..=1.0).contains(&axis.at(3.0)), "{extents:?} {axis:?}");
            assert!(axis.ticks(0.1).len() < 30);
        }
    }
}
