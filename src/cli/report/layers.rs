//! Profiles: two devices layer by layer, and all layers under the roofline.

use std::fmt;

use foveate::profile::{Layer, Profile};

use super::flame::Flame;
use super::gather::{Gathered, Named};
use super::plot::{Line, Plot, Point, Scale, class};
use crate::cli::html::escape;

/// Profiles of one network, precision and batch, side by side.
pub struct Layers<'a> {
    pub gathered: &'a Gathered,
}

/// The most profiles side by side.
const SIDE_BY_SIDE: usize = 4;

impl fmt::Display for Layers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let profiles = &self.gathered.profiles;
        let same = |a: &Profile, b: &Profile| (&a.model, a.batch) == (&b.model, b.batch);
        let mut shown: Vec<&Profile> = Vec::new();
        for Named { item, .. } in profiles {
            if shown.iter().any(|other| same(other, item)) {
                continue;
            }
            shown.push(item);
            let alike: Vec<&Profile> =
                profiles.iter().map(|p| &p.item).filter(|other| same(other, item)).take(SIDE_BY_SIDE).collect();
            table(f, &alike)?;
        }
        Ok(())
    }
}

/// The nodes of all profiles in the first one's order; what only others have comes at the end.
fn nodes(profiles: &[&Profile]) -> Vec<String> {
    let mut nodes: Vec<String> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for layer in profiles.iter().flat_map(|profile| &profile.layers) {
        if seen.insert(layer.node.clone()) {
            nodes.push(layer.node.clone());
        }
    }
    nodes
}

/// A node's time in microseconds, what part of it the roof is, and its first step.
type Node<'a> = (f64, f64, &'a Layer);

/// A node's steps taken together: some kernels take two dispatches.
fn of_node<'a>(profile: &'a Profile, node: &str) -> Option<Node<'a>> {
    let steps = || profile.layers.iter().filter(|layer| layer.node == node);
    let us: f64 = steps().map(|layer| layer.us).sum();
    let best: f64 = steps().filter_map(|layer| Some(layer.roofline? * layer.us)).sum();
    Some((us, if us > 0.0 { best / us } else { 0.0 }, steps().next()?))
}

fn table(f: &mut fmt::Formatter<'_>, profiles: &[&Profile]) -> fmt::Result {
    let Some(first) = profiles.first() else { return Ok(()) };
    let batch = if first.batch == 1 { String::new() } else { format!(", batch {}", first.batch) };
    write!(f, "<h3>{}{batch}</h3>\n<ul class=\"legend\">", escape(&first.model))?;
    for (at, profile) in profiles.iter().enumerate() {
        let Profile { device, precision, .. } = profile;
        let (name, sum) = (escape(&device.name), profile.sum_us() / 1e3);
        let whole = profile.frame_us.map_or(String::new(), |us| format!("; in one piece {:.3} ms", us / 1e3));
        write!(
            f,
            "<li><span class=\"key {}\"></span><b>{name}</b>, {precision} ",
            class(at),
            precision = escape(precision)
        )?;
        write!(f, "<span class=\"soft\">{} steps, {sum:.3} ms{whole}</span></li>", profile.layers.len())?;
    }
    f.write_str("</ul>\n")?;
    profiles.iter().enumerate().try_for_each(|(at, profile)| write!(f, "{}", Flame(profile, at)))?;
    f.write_str("<table class=\"bars layers\"><thead><tr><th scope=\"col\">layer</th><td></td><th scope=\"col\">µs</th><th scope=\"col\">share</th><th scope=\"col\">of roof</th><th scope=\"col\">kernel</th></tr></thead>\n<tbody>\n")?;
    // One scale for all: a bar twice as long took twice as long.
    let nodes = nodes(profiles);
    let times = nodes.iter().flat_map(|node| profiles.iter().filter_map(|profile| of_node(profile, node)));
    let most = times.map(|(us, ..)| us).fold(f64::MIN_POSITIVE, f64::max);
    for node in nodes {
        write!(f, "<tr><th scope=\"row\">{}</th><td>", escape(&node))?;
        let found: Vec<_> = profiles.iter().map(|profile| (of_node(profile, &node), profile.sum_us())).collect();
        for (at, (layer, _)) in found.iter().enumerate() {
            let x = layer.map_or(0.0, |(us, ..)| us / most * 1000.0);
            write!(
                f,
                "<svg class=\"{} thin\" viewBox=\"0 0 1000 24\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><path class=\"full\" d=\"M0 4H{x:.1}V20H0Z\"/></svg>",
                class(at)
            )?;
        }
        f.write_str("</td>")?;
        let cell = |text: &dyn Fn(f64, f64, &Layer, f64) -> String| -> String {
            let span = |(at, (layer, sum)): (usize, &(Option<Node<'_>>, f64))| {
                let text = layer.map_or("–".to_owned(), |(us, roof, layer)| text(us, roof, layer, *sum));
                format!("<span class=\"{}\">{}</span>", class(at), escape(&text))
            };
            found.iter().enumerate().map(span).collect()
        };
        write!(f, "<td data-h=\"µs\">{}</td>", cell(&|us, _, _, _| format!("{us:.1}")))?;
        write!(
            f,
            "<td data-h=\"share\">{}</td>",
            cell(&|us, _, _, sum| format!("{:.1} %", 100.0 * us / sum.max(1e-9)))
        )?;
        let roof = |_, roof: f64, layer: &Layer, _| match layer.roofline {
            Some(_) => format!("{:.0} %", roof * 100.0),
            None => "–".to_owned(),
        };
        write!(f, "<td data-h=\"of roof\">{}</td>", cell(&roof))?;
        let kernel = |_, _, layer: &Layer, _| format!("{} {}", layer.kernel, layer.tile.as_deref().unwrap_or(""));
        writeln!(f, "<td data-h=\"kernel\">{}</td></tr>", cell(&kernel))?;
    }
    f.write_str("</tbody></table>\n")
}

/// Every layer by operations to a byte, under the ceilings of its device; with the name of each series.
pub fn roofline(gathered: &Gathered) -> Option<(Plot, Vec<(usize, String)>)> {
    let known = || gathered.profiles.iter().filter(|profile| profile.item.ceilings.is_some());
    let (mut points, mut names) = (Vec::new(), Vec::new());
    for (series, Named { item, label }) in known().enumerate() {
        names.push((series, format!("{label}: {}, {}, {}", item.model, item.precision, item.device.name)));
        let drawn = item.layers.iter().filter(|layer| layer.macs > 0 && layer.bytes > 0 && layer.gflop_s > 0.0);
        points.extend(drawn.map(|layer| {
            let x = 2.0 * layer.macs as f64 / layer.bytes as f64;
            let title =
                format!("{}: {:.1} µs, {:.1} GFLOP/s, {:.1} GB/s", layer.node, layer.us, layer.gflop_s, layer.gb_s);
            Point { series, x, y: layer.gflop_s, label: String::new(), title, minor: false }
        }));
    }
    if points.is_empty() {
        return None;
    }
    let x = Scale::log(points.iter().map(|point| point.x));
    let peaks = known().filter_map(|profile| profile.item.ceilings).map(|ceilings| ceilings.f32_gflop_s);
    let y = Scale::log(points.iter().map(|point| point.y).chain(peaks));
    let lines = known().enumerate().filter_map(|(series, profile)| {
        let ceilings = profile.item.ceilings?;
        let (memory, peak) = (ceilings.memory_gb_s(), ceilings.f32_gflop_s);
        let [low, high] = x.ends();
        let roof = |x: f64| (x, (x * memory).min(peak));
        let ridge = (peak / memory).clamp(low, high);
        Some(Line { series, points: vec![roof(low), roof(ridge), roof(high)], faint: false })
    });
    let lines = lines.collect();
    let (x_title, y_title) = ("operations to a byte", "GFLOP/s");
    Some((Plot { x, y, x_title, y_title, lines, points }, names))
}
