//! Latency against published accuracy, and latency over minutes.

use foveate::bench::sustained;

use super::gather::Gathered;
use super::plot::{Line, Plot, Point, Scale};
use crate::cli::bench::ms;

/// Published top-1 against latency, for results of one picture to a run; `None` if no network of these has
/// a published accuracy.
pub fn accuracy(gathered: &Gathered) -> Option<Plot> {
    let point = |found: super::gather::Found| {
        let samples = found.measured.clocks.submit_to_readback.as_ref().filter(|_| found.key.batch == 1)?;
        let (us, top1) = (samples.summary.p50, gathered.top1(&found.key.model)?);
        let precision = if found.key.precision == "f32" { String::new() } else { format!(" {}", found.key.precision) };
        let title = format!("{}: {} ms, {top1} %", found.key, ms(us));
        Some(Point { series: found.device, x: us / 1e3, y: top1, label: found.key.model + &precision, title })
    };
    let mut points: Vec<Point> = gathered.results().filter_map(point).collect();
    if points.is_empty() {
        return None;
    }
    points.sort_by(|a, b| a.series.cmp(&b.series).then(a.x.total_cmp(&b.x)));
    let (x, y) = (Scale::log(points.iter().map(|p| p.x)), Scale::even(points.iter().map(|p| p.y)));
    // One line through each family on each device, as in the papers' figures.
    let family = |point: &Point| (point.series, point.label.split('-').next().unwrap_or_default().to_owned());
    let mut families: Vec<(usize, String)> = points.iter().map(family).collect();
    families.sort();
    families.dedup();
    let line = |wanted: (usize, String)| {
        let of = |point: &&Point| family(point) == wanted && !point.label.contains(' ');
        Line { series: wanted.0, points: points.iter().filter(of).map(|p| (p.x, p.y)).collect(), faint: true }
    };
    let lines = families.into_iter().map(line).filter(|line| line.points.len() > 1).collect();
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
