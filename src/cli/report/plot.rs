//! Plots across two axes. Lines are drawn in a picture that is stretched to the room there is; points, axis
//! labels and names are ordinary text of the page above it, so that they stay legible on a phone.

use std::fmt::{self, Write};

use crate::cli::html::escape;

/// An axis with a logarithmic or an even scale.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    /// Powers of ten apart; values that are not positive are left out.
    pub fn log(values: impl Iterator<Item = f64>) -> Scale {
        let (low, high) = extent(values.filter(|value| *value > 0.0));
        let (low, high) = if low.is_finite() { (low / 1.25, high * 1.25) } else { (1.0, 10.0) };
        // At least a factor of two, or there would be no room for a tick.
        let high = high.max(low * 2.0);
        Scale { low, high, log: true }
    }

    /// Even steps, with some room on both sides.
    pub fn even(values: impl Iterator<Item = f64>) -> Scale {
        let (low, high) = extent(values);
        let (low, high) = if low.is_finite() { (low, high) } else { (0.0, 1.0) };
        let room = ((high - low) * 0.08).max(high.abs() * 0.01).max(1e-9);
        Scale { low: low - room, high: high + room, log: false }
    }

    /// From zero in even steps.
    pub fn from_zero(values: impl Iterator<Item = f64>) -> Scale {
        let (_, high) = extent(values);
        let high = if high.is_finite() && high > 0.0 { high * 1.05 } else { 1.0 };
        Scale { low: 0.0, high, log: false }
    }

    /// 0 at the low end, 1 at the high one.
    pub fn at(&self, value: f64) -> f64 {
        let place = if self.log {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The ends.
    pub fn ends(&self) -> [f64; 2] {
        [self.low, self.high]
    }

    /// Round values with what is written at them, at most about `count`.
    pub fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let values: Vec<f64> = if self.log { self.decades(count) } else { self.steps(count) };
        values.into_iter().map(|value| (self.at(value), label(value))).collect()
    }

    fn steps(&self, count: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / count.max(1) as f64;
        let decade = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|s| s * decade).into_iter().find(|s| *s >= rough).unwrap_or(decade);
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        (first..=last.min(first.saturating_add(30))).map(|i| i as f64 * step).collect()
    }

    fn decades(&self, count: usize) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let within = |steps: &[f64], every: usize| -> Vec<f64> {
            let decades = (first..=last.min(first.saturating_add(60))).step_by(every);
            let all = decades.flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
            all.filter(|value| (self.low..=self.high).contains(value)).collect()
        };
        // As many as there is room for, the finest first.
        let choices = [(&[1.0, 2.0, 5.0][..], 1), (&[1.0, 3.0], 1), (&[1.0], 1), (&[1.0], 2), (&[1.0], 4), (&[1.0], 8)];
        let fine: Vec<f64> = within(&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0], 1);
        if fine.len() <= count {
            return fine;
        }
        choices.iter().map(|(steps, every)| within(steps, *every)).find(|v| v.len() <= count).unwrap_or_default()
    }
}

fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// A number with as few digits as tell it from its neighbours on an axis.
fn label(value: f64) -> String {
    match value.abs() {
        1e6.. => format!("{:.0} M", value / 1e6),
        1e4.. => format!("{:.0} k", value / 1e3),
        0.0 => "0".to_owned(),
        small if small < 1e-3 => format!("{value:.0e}"),
        _ => {
            let text = format!("{value:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

/// A line through points.
pub struct Line {
    /// Series: its colour.
    pub series: usize,
    pub points: Vec<(f64, f64)>,
    /// Whether it is drawn faintly.
    pub faint: bool,
}

/// A point with what is known of it.
pub struct Point {
    pub series: usize,
    pub x: f64,
    pub y: f64,
    /// What is written beside it; may be empty.
    pub label: String,
    /// What it says when pointed at.
    pub title: String,
    /// Whether what is written beside it is left out where there is little room.
    pub minor: bool,
}

/// From where on names stand to the left of their points.
pub const WEST: f64 = 0.7;

/// A plot.
pub struct Plot {
    pub x: Scale,
    pub y: Scale,
    pub x_title: &'static str,
    pub y_title: &'static str,
    pub lines: Vec<Line>,
    pub points: Vec<Point>,
}

impl fmt::Display for Plot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (across, up) = (self.x.ticks(7), self.y.ticks(8));
        writeln!(f, "<div class=\"plot\"><div class=\"soft\">{}</div><div class=\"area\">", escape(self.y_title))?;
        f.write_str("<svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><path class=\"grid\" d=\"")?;
        across.iter().try_for_each(|(at, _)| write!(f, "M{:.1} 0V1000", at * 1000.0))?;
        up.iter().try_for_each(|(at, _)| write!(f, "M0 {:.1}H1000", (1.0 - at) * 1000.0))?;
        f.write_str("\"/>")?;
        for line in &self.lines {
            let faint = if line.faint { " faint" } else { "" };
            write!(f, "<path class=\"curve {}{faint}\" d=\"", class(line.series))?;
            let mut command = 'M';
            for (x, y) in &line.points {
                write!(f, "{command}{:.1} {:.1}", self.x.at(*x) * 1000.0, (1.0 - self.y.at(*y)) * 1000.0)?;
                command = 'L';
            }
            f.write_str("\"/>")?;
        }
        f.write_str("</svg>\n")?;
        for (at, text) in &up {
            write!(f, "<span class=\"up\" style=\"top:{:.2}%\">{text}</span>", (1.0 - at) * 100.0)?;
        }
        for (at, text) in &across {
            write!(f, "<span class=\"across\" style=\"left:{:.2}%\">{text}</span>", at * 100.0)?;
        }
        f.write_char('\n')?;
        for Point { series, x, y, label, title, minor } in &self.points {
            let (x, y) = (self.x.at(*x), self.y.at(*y));
            let side = if x > WEST { " west" } else { "" };
            let minor = if *minor { " minor" } else { "" };
            write!(
                f,
                "<span class=\"point {}{side}{minor}\" style=\"left:{:.2}%;top:{:.2}%\" ",
                class(*series),
                x * 100.0,
                (1.0 - y) * 100.0
            )?;
            writeln!(f, "title=\"{}\"><i></i><b>{}</b></span>", escape(title), escape(label))?;
        }
        writeln!(f, "</div><div class=\"soft x\">{}</div></div>", escape(self.x_title))
    }
}

/// The class that colours a series; there are six colours.
pub fn class(series: usize) -> String {
    format!("s{}", series % 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_a_few_round_ticks_and_take_anything() {
        let scale = Scale::log([0.31, 48.0].into_iter());
        let ticks = |room| -> Vec<String> { scale.ticks(room).into_iter().map(|(_, text)| text).collect() };
        assert_eq!(ticks(7), ["0.5", "1", "2", "5", "10", "20", "50"]);
        assert_eq!(ticks(6), ["0.3", "1", "3", "10", "30"]);
        assert!(scale.at(0.31) > 0.0 && scale.at(48.0) < 1.0 && scale.at(-1.0) == 0.0);
        let even = Scale::even([70.0, 82.0].into_iter());
        let ticks: Vec<String> = even.ticks(8).into_iter().map(|(_, text)| text).collect();
        assert_eq!(ticks, ["70", "72", "74", "76", "78", "80", "82"]);
        let odd =
            [vec![], vec![0.0], vec![f64::NAN], vec![-3.0], vec![1e-300, 1e300], vec![5.0; 3], vec![f64::INFINITY]];
        for values in odd {
            let all = || values.iter().copied();
            for scale in [Scale::log(all()), Scale::even(all()), Scale::from_zero(all())] {
                assert!((0.0..=1.0).contains(&scale.at(3.0)) && scale.ticks(8).len() <= 31, "{values:?} {scale:?}");
            }
        }
    }

    #[test]
    fn names_cannot_break_out() {
        let point = Point { series: 0, x: 1.0, y: 1.0, label: "<b>".into(), title: "\"><script>".into(), minor: false };
        let scale = Scale::even([0.0, 2.0].into_iter());
        let plot =
            Plot { x: scale, y: scale, x_title: "x", y_title: "y", lines: Vec::new(), points: vec![point] }.to_string();
        assert!(!plot.contains("<script") && plot.contains("&lt;b&gt;"), "{plot}");
    }
}
