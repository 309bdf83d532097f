//! A profile in words and bars.

use foveate::profile::{Layer, Method, Profile};
use foveate::roofline::Bound;

use super::flame;
use crate::cli::table::{Align, Table, rounded, shown};

/// Columns of the flames.
const COLUMNS: usize = 110;

/// The widest bar.
const WIDTH: f64 = 20.0;

/// All lines.
pub fn lines(profile: &Profile) -> Vec<String> {
    let Profile { model, precision, batch, device, .. } = profile;
    let backend = if device.kind == "gpu" { format!(", {}", device.backend) } else { String::new() };
    let mut lines = vec![shown(&format!("{model}, {precision}, batch {batch}, {}{backend}", device.name))];
    lines.extend(steps(profile).into_iter().map(|line| format!("  {line}")));
    lines.push(String::new());
    lines.extend(parts(profile).into_iter().map(|line| format!("  {line}")));
    lines.push(String::new());
    lines.extend(flame::rows(profile, COLUMNS).into_iter().map(|line| format!("  {line}")));
    lines.push(String::new());
    lines.extend(summary(profile).into_iter().map(|line| format!("  {line}")));
    lines
}

fn steps(profile: &Profile) -> Vec<String> {
    let columns =
        ["step", "kernel", "tile", "µs", "share", "MACs", "bytes", "GFLOP/s", "GB/s", "roof", "held back by", "time"];
    let left = |at: usize| if matches!(at, 0 | 1 | 2 | 10 | 11) { Align::Left } else { Align::Right };
    let mut table = Table::new(std::array::from_fn::<_, 12, _>(|at| (columns[at], left(at))));
    let most = profile.layers.iter().map(|layer| layer.share).fold(0.0, f64::max);
    for layer in &profile.layers {
        let Layer { node, kernel, tile, us, share, macs, bytes, gflop_s, gb_s, roofline, bound, .. } = layer;
        let some = |there: bool, text: String| if there { text } else { String::new() };
        let bound = bound.map_or("", |bound| match bound {
            Bound::Memory => "memory",
            Bound::Compute => "arithmetic",
        });
        table.row([
            shown(node),
            kernel.clone(),
            tile.clone().unwrap_or_default(),
            format!("{us:.1}"),
            format!("{:.1} %", share * 100.0),
            some(*macs > 0, rounded(*macs)),
            some(*bytes > 0, rounded(*bytes)),
            some(*macs > 0, format!("{gflop_s:.1}")),
            some(*bytes > 0, format!("{gb_s:.1}")),
            roofline.map_or(String::new(), |part| format!("{:.0} %", part * 100.0)),
            bound.to_owned(),
            bar(share / most.max(f64::MIN_POSITIVE), WIDTH),
        ]);
    }
    table.lines()
}

/// A bar of whole and eighth blocks.
fn bar(part: f64, width: f64) -> String {
    let eighths = (part.clamp(0.0, 1.0) * width * 8.0).round() as usize;
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    "█".repeat(eighths / 8) + rest
}

/// `stem.0` is of `stem`, `stages.1.blocks.0` of `stages.1`.
fn part(node: &str) -> &str {
    let end = |from: usize| node.get(from..).and_then(|rest| rest.find('.')).map_or(node.len(), |at| from + at);
    let first = end(0);
    let numbered = |end: usize| node.get(first + 1..end).is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
    let second = end((first + 1).min(node.len()));
    let whole = node.get(..first) == Some("stages") && numbered(second);
    node.get(..if whole { second } else { first }).unwrap_or(node)
}

/// The network's parts, one below the other where they lie in time.
fn parts(profile: &Profile) -> Vec<String> {
    const COLUMNS: f64 = 60.0;
    let of = |layer: &Layer| part(&layer.node).to_owned();
    let total = profile.sum_us().max(f64::MIN_POSITIVE);
    let mut table =
        Table::new([("part", Align::Left), ("µs", Align::Right), ("share", Align::Right), ("", Align::Left)]);
    let mut start = 0.0;
    for layers in profile.layers.chunk_by(|a, b| of(a) == of(b)) {
        let us: f64 = layers.iter().map(|layer| layer.us).sum();
        let name = layers.first().map(of).unwrap_or_default();
        let before = " ".repeat((start / total * COLUMNS) as usize);
        let line = before + &bar(us / total, COLUMNS);
        table.row([shown(&name), format!("{us:.1}"), format!("{:.1} %", us / total * 100.0), line]);
        start += us;
    }
    table.lines()
}

fn summary(profile: &Profile) -> Vec<String> {
    let (sum, count) = (profile.sum_us() / 1e3, profile.layers.len());
    let clock = match profile.method {
        Method::InsidePass => "timestamps between the dispatches of one pass",
        Method::Passes => "timestamps around a pass for each step",
        Method::Repeated => "the wall's clock over repeated dispatches",
        Method::Cpu => "the wall's clock",
    };
    let mut lines = vec![format!("{count} steps, {sum:.3} ms together: medians of {} runs by {clock}", profile.runs)];
    if let Some(frame) = profile.frame_us.map(|us| us / 1e3) {
        let more = 100.0 * (sum / frame - 1.0);
        let how = if profile.method == Method::Passes { "with a pass for each step" } else { "taken apart" };
        let word = if more < 0.0 { "less" } else { "more" };
        lines.push(format!("the same run in one piece: {frame:.3} ms; {how} it takes {:.1} % {word}", more.abs()));
    }
    if let Some(ceilings) = &profile.ceilings {
        let at_best: f64 = profile.layers.iter().filter_map(|layer| Some(layer.roofline? * layer.us)).sum();
        let (memory, f32s) = (ceilings.memory_gb_s(), ceilings.f32_gflop_s);
        lines.push(format!(
            "at best, by {memory:.0} GB/s and {f32s:.0} GFLOP/s: {:.3} ms, {:.0} % of the time taken",
            at_best / 1e3,
            at_best / profile.sum_us().max(f64::MIN_POSITIVE) * 100.0
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_belong_to_parts() {
        let nodes = ["stages.1.blocks.0.x", "stages.12", "stages.", "stages", "stem.0.x", "stage1.0", "", ".", "é.1"];
        let expected = ["stages.1", "stages.12", "stages.", "stages", "stem", "stage1", "", "", "é"];
        assert_eq!(nodes.map(part), expected);
    }

    #[test]
    fn bars_are_as_long_as_their_part() {
        assert_eq!(bar(1.0, 4.0), "████");
        assert_eq!(bar(0.5, 1.0), "▌");
        assert_eq!((bar(0.0, 9.0), bar(f64::NAN, 9.0), bar(9.0, 1.0)), (String::new(), String::new(), "█".to_owned()));
    }
}
