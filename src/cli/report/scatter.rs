//! Latency against published accuracy, and latency over minutes.

use std::collections::BTreeSet;

use foveate::bench::sustained;

use super::gather::{Found, Gathered};
use super::labels::{Place, with_room};
use super::plot::{Line, Plot, Point, Scale, WEST};

/// A result of one picture to a run, of a network whose accuracy was published.
pub struct Dot {
    /// Index into [`Gathered::devices`].
    pub series: usize,
    pub model: String,
    pub precision: String,
    /// Median from submission until the result is in memory, in milliseconds.
    pub ms: f64,
    /// In percent.
    pub top1: f64,
}

impl Dot {
    /// `repnext-m1` is of `repnext`.
    pub fn family(&self) -> &str {
        self.model.split('-').next().unwrap_or_default()
    }

    /// What is written beside it: its network; of the network's other number formats, those.
    pub fn name(&self) -> &str {
        if self.precision == "f32" { &self.model } else { &self.precision }
    }
}

/// All dots: those in f32 first, which are to be named first, by device and latency.
pub fn dots(gathered: &Gathered) -> Vec<Dot> {
    let dot = |found: Found| {
        let samples = found.measured.clocks.submit_to_readback.as_ref().filter(|_| found.key.batch == 1)?;
        let (ms, top1) = (samples.summary.p50 / 1e3, gathered.top1(&found.key.model)?);
        Some(Dot { series: found.device, model: found.key.model, precision: found.key.precision, ms, top1 })
    };
    let mut dots: Vec<Dot> = gathered.results().filter_map(dot).collect();
    let rank = |dot: &Dot| (dot.precision != "f32", dot.series);
    dots.sort_by(|a, b| rank(a).cmp(&rank(b)).then(a.ms.total_cmp(&b.ms)));
    dots
}

/// A line through each family in f32 on each device, as in the papers' figures: series and points.
pub fn families(dots: &[Dot]) -> Vec<(usize, Vec<(f64, f64)>)> {
    let of = |dot: &Dot| (dot.series, dot.family().to_owned());
    let f32s = || dots.iter().filter(|dot| dot.precision == "f32");
    let families: BTreeSet<(usize, String)> = f32s().map(of).collect();
    let line = |family: (usize, String)| {
        let points = f32s().filter(|dot| of(dot) == family).map(|dot| (dot.ms, dot.top1)).collect();
        (family.0, points)
    };
    families.into_iter().map(line).filter(|(_, points): &(_, Vec<_>)| points.len() > 1).collect()
}

/// Published top-1 against latency; `None` if no network of these has a published accuracy.
pub fn accuracy(gathered: &Gathered) -> Option<Plot> {
    /// Parts of a wide screen's plot that a letter takes, across and up.
    const LETTER: [f64; 2] = [0.0072, 0.055];
    let dots = dots(gathered);
    if dots.is_empty() {
        return None;
    }
    let (x, y) = (Scale::log(dots.iter().map(|dot| dot.ms)), Scale::even(dots.iter().map(|dot| dot.top1)));
    let place = |dot: &Dot| {
        let (at, above) = (x.at(dot.ms), if dot.series.is_multiple_of(2) { 0.03 } else { -0.03 });
        let size = [(dot.name().chars().count() + 2) as f64 * LETTER[0], LETTER[1]];
        Place { x: at, y: y.at(dot.top1), size, west: at > WEST, above }
    };
    let room = with_room(&dots.iter().map(place).collect::<Vec<_>>());
    let point = |(dot, room): (&Dot, bool)| {
        let Dot { series, model, precision, ms, top1 } = dot;
        let device = gathered.devices.get(*series).map_or("", String::as_str);
        let title = format!("{model}, {precision}, {device}: {ms:.3} ms, {top1} %");
        let label = if room { dot.name().to_owned() } else { String::new() };
        Point { series: *series, x: *ms, y: *top1, label, title, minor: precision != "f32" }
    };
    let points = dots.iter().zip(room).map(point).collect();
    let lines = families(&dots).into_iter().map(|(series, points)| Line { series, points, faint: true }).collect();
    let (x_title, y_title) = ("ms, submit to readback, median", "published top-1 on ImageNet-1k, %");
    Some(Plot { x, y, x_title, y_title, lines, points })
}

/// Latency over time with the name of each curve; `None` if nothing was measured over minutes.
pub fn curves(gathered: &Gathered) -> Option<(Plot, Vec<(usize, String)>)> {
    /// What there is room for on a screen.
    const PARTS: usize = 120;
    let (mut lines, mut names) = (Vec::new(), Vec::new());
    for found in gathered.results() {
        let parts = sustained(found.measured, PARTS);
        if parts.len() < 2 {
            continue;
        }
        let minutes = |part: &foveate::bench::Part| part.from_s / 60.0;
        let p50 = parts.iter().map(|part| (minutes(part), part.summary.p50 / 1e3)).collect();
        let p90 = parts.iter().map(|part| (minutes(part), part.summary.p90 / 1e3)).collect();
        let series = names.len();
        names.push((series, found.key.to_string()));
        lines.push(Line { series, points: p50, faint: false });
        lines.push(Line { series, points: p90, faint: true });
    }
    let all = |of: fn(&(f64, f64)) -> f64| lines.iter().flat_map(move |line: &Line| line.points.iter().map(of));
    let (x, y) = (Scale::from_zero(all(|p| p.0)), Scale::from_zero(all(|p| p.1)));
    let (x_title, y_title) = ("minutes", "ms from a camera's bytes to labels: median, and fainter the 90th percentile");
    (!names.is_empty()).then_some((Plot { x, y, x_title, y_title, lines, points: Vec::new() }, names))
}
