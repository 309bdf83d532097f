//! A picture of a report for a README: latency against published accuracy, and a bar for each device, network and
//! number format. SVG that fetches nothing, for light and dark pages.

use std::collections::BTreeMap;
use std::fmt::Write;

use foveate::{Error, Result};

use super::bars::{Group, groups, summaries};
use super::gather::Gathered;
use super::labels::{Place, with_room};
use super::plot::{Scale, class};
use super::scatter::{Dot, dots, families};
use crate::cli::bench::ms;
use crate::cli::html::escape;

/// Colours are the page's, with grounds of their own; text is written in the reader's font.
const STYLE: &str = "svg { --fg: #1c1c1e; --soft: #5d5d64; --card: #ffffff; --line: #e2e2de; --s0: #1f5fa8; --s1: #b3470f; \
--s2: #1d6b37; --s3: #7b3fa0; --s4: #7a5c00; --s5: #a02352; font: 13px system-ui, sans-serif; fill: var(--fg); }
@media (prefers-color-scheme: dark) { svg { --fg: #ececee; --soft: #a6a6ae; --card: #202024; --line: #3a3a40; --s0: #8ab8f0; \
--s1: #f2a36b; --s2: #7fd39a; --s3: #cfa0f0; --s4: #e0c35a; --s5: #f592b4; } }
.card { fill: var(--card); stroke: var(--line); } .grid { stroke: var(--line); } .soft { fill: var(--soft); } .end { text-anchor: end; }
.middle { text-anchor: middle; } .h { font-weight: 600; } .curve { fill: none; stroke-width: 1.5; opacity: .6; }
.s0 { fill: var(--s0); stroke: var(--s0); } .s1 { fill: var(--s1); stroke: var(--s1); } .s2 { fill: var(--s2); stroke: var(--s2); }
.s3 { fill: var(--s3); stroke: var(--s3); } .s4 { fill: var(--s4); stroke: var(--s4); } .s5 { fill: var(--s5); stroke: var(--s5); }
text.s0, text.s1, text.s2, text.s3, text.s4, text.s5 { stroke: none; } .light { opacity: .3; stroke: none; } .half { opacity: .45; stroke: none; }
.full { stroke: none; }";

const WIDTH: f64 = 900.0;
/// Left and right ends of the plot.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 880.0;
/// Height of the plot.
const PLOT: f64 = 330.0;
/// Where bars begin and end.
const BARS: f64 = 165.0;
const ENDS: f64 = 760.0;
/// From one bar to the next.
const BAR: f64 = 15.0;
/// About the width and height of a letter.
const LETTER: [f64; 2] = [6.9, 14.0];

/// The picture.
///
/// # Errors
/// [`Error::Argument`] if there is nothing to draw.
pub fn svg(gathered: &Gathered) -> Result<String> {
    let (dots, groups) = (dots(gathered), chosen(groups(gathered)));
    if groups.is_empty() {
        return Err(Error::argument("a picture shows benchmarks, and none with times was named"));
    }
    let mut body = String::new();
    let mut y = 30.0;
    for (series, device) in gathered.devices.iter().enumerate().filter(|(series, _)| appears(*series, &dots, &groups)) {
        let class = class(series);
        let _ = writeln!(
            body,
            "<rect class=\"{class}\" x=\"20\" y=\"{:.0}\" width=\"10\" height=\"10\" rx=\"2\"/>",
            y - 10.0
        );
        text(&mut body, 36.0, y, "", device);
        y += 20.0;
    }
    if !dots.is_empty() {
        scatter(&mut body, &dots, y + 20.0);
        y += PLOT + 80.0;
    }
    text(&mut body, 20.0, y + 8.0, "soft", BARS_ABOUT);
    y = bars(&mut body, gathered, &groups, y + 22.0);
    let height = y + 12.0;
    let (outer, inner) = (format!("0 0 {WIDTH} {height:.0}"), height - 1.0);
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" viewBox=\"{outer}\" role=\"img\" \
         aria-label=\"{}\">\n<style>{STYLE}</style>\n<rect class=\"card\" x=\".5\" y=\".5\" width=\"{}\" height=\"{inner:.0}\" \
         rx=\"8\"/>\n{body}</svg>\n",
        escape(&spoken(&groups, gathered)),
        WIDTH - 1.0
    ))
}

const BARS_ABOUT: &str =
    "median ms from a camera's RGBA bytes to labels, line to p99; darker: the network, darkest: the GPU's own clock";

fn appears(series: usize, dots: &[Dot], groups: &[Group<'_>]) -> bool {
    let results = || groups.iter().flat_map(|group| &group.results);
    dots.iter().any(|dot| dot.series == series) || results().any(|found| found.device == series)
}

/// Where networks were measured in several number formats, those are compared; the plot shows the others.
fn chosen(groups: Vec<Group<'_>>) -> Vec<Group<'_>> {
    let model = |group: &Group<'_>| group.results.first().map(|found| found.key.model.clone()).unwrap_or_default();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    groups.iter().for_each(|group| *counts.entry(model(group)).or_default() += 1);
    let several = |group: &Group<'_>| counts.get(&model(group)).is_some_and(|count| *count > 1);
    let any = groups.iter().any(several);
    groups.into_iter().filter(|group| !any || several(group)).collect()
}

/// The numbers, for those who do not see them.
fn spoken(groups: &[Group<'_>], gathered: &Gathered) -> String {
    let one = |group: &Group<'_>| {
        let results = group.results.iter().filter_map(|found| {
            let (whole, ..) = summaries(found)?;
            Some(format!("{} {} ms", group.bar(gathered, found), ms(whole.p50)))
        });
        format!("{}: {}", group.name, results.collect::<Vec<_>>().join(", "))
    };
    groups.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn text(body: &mut String, x: f64, y: f64, class: &str, what: &str) {
    let _ = writeln!(body, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(what));
}

fn grid(body: &mut String, path: &str) {
    let _ = writeln!(body, "<path class=\"grid\" d=\"{path}\"/>");
}

fn scatter(body: &mut String, dots: &[Dot], top: f64) {
    let (x, y) = (Scale::log(dots.iter().map(|dot| dot.ms)), Scale::even(dots.iter().map(|dot| dot.top1)));
    let (across, up) = (|at: f64| LEFT + at * (RIGHT - LEFT), |at: f64| top + (1.0 - at) * PLOT);
    text(body, 20.0, top - 10.0, "soft", "published top-1 on ImageNet-1k, %");
    for (at, label) in x.ticks(9) {
        grid(body, &format!("M{0:.1} {top:.1}V{1:.1}", across(at), top + PLOT));
        text(body, across(at), top + PLOT + 16.0, "soft middle", &label);
    }
    for (at, label) in y.ticks(8) {
        grid(body, &format!("M{LEFT} {0:.1}H{RIGHT}", up(at)));
        text(body, LEFT - 6.0, up(at) + 4.0, "soft end", &label);
    }
    text(
        body,
        RIGHT,
        top + PLOT + 32.0,
        "soft end",
        "ms for one picture, from submission until the result is in memory, median",
    );
    for (series, points) in families(dots) {
        let path: Vec<String> =
            points.iter().map(|(ms, top1)| format!("{:.1} {:.1}", across(x.at(*ms)), up(y.at(*top1)))).collect();
        let _ =
            writeln!(body, "<path class=\"curve {}\" style=\"fill:none\" d=\"M{}\"/>", class(series), path.join("L"));
    }
    let place = |dot: &Dot| {
        let (at, letters) = (x.at(dot.ms), dot.name().chars().count() as f64);
        let size = [(letters * LETTER[0] + 9.0) / (RIGHT - LEFT), LETTER[1] / PLOT];
        Place { x: at, y: y.at(dot.top1), size, west: at > 0.85, above: 6.0 / PLOT }
    };
    let places: Vec<Place> = dots.iter().map(place).collect();
    for ((dot, place), room) in dots.iter().zip(&places).zip(with_room(&places)) {
        let (cx, cy, class) = (across(place.x), up(place.y), class(dot.series));
        let _ = writeln!(body, "<circle class=\"{class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"4\"/>");
        if room {
            let (x, end) = if place.west { (cx - 7.0, " end") } else { (cx + 7.0, "") };
            text(body, x, cy - 3.0, &format!("{class}{end}"), dot.name());
        }
    }
}

/// Bars from `top` on; where they end.
fn bars(body: &mut String, gathered: &Gathered, groups: &[Group<'_>], top: f64) -> f64 {
    let all = || groups.iter().flat_map(|group| &group.results).filter_map(|found| Some(summaries(found)?.0.p99 / 1e3));
    let scale = Scale::from_zero(all());
    let x = |us: f64| BARS + scale.at(us / 1e3) * (ENDS - BARS);
    let mut y = top;
    for group in groups {
        text(body, BARS - 8.0, y + 11.0, "end", &group.name);
        for found in &group.results {
            let Some((whole, network, gpu)) = summaries(found) else { continue };
            let class = class(found.device);
            let mut bar = |shade: &str, us: f64| {
                let width = (x(us) - BARS).max(0.5);
                let _ = writeln!(
                    body,
                    "<rect class=\"{class} {shade}\" x=\"{BARS}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"11\"/>"
                );
            };
            bar("light", whole.p50);
            network.into_iter().for_each(|us| bar("half", us));
            gpu.into_iter().for_each(|us| bar("full", us));
            let (from, to, middle) = (x(whole.p50), x(whole.p99), y + 5.5);
            let path = format!("M{from:.1} {middle:.1}H{to:.1}M{to:.1} {:.1}V{:.1}", y + 1.5, y + 9.5);
            let _ = writeln!(
                body,
                "<path class=\"{class}\" d=\"{path}\"><title>{}</title></path>",
                escape(&group.bar(gathered, found))
            );
            text(body, to + 8.0, y + 10.0, "", &format!("{} – {}", ms(whole.p50), ms(whole.p99)));
            y += BAR;
        }
        y += 9.0;
    }
    y
}
