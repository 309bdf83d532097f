//! A profile as flames, upside down: a row for each depth, in which every part and step is as wide as its time.

use std::fmt;

use foveate::profile::{Layer, Profile, Span, spans};

use super::plot::class;
use crate::cli::html::escape;

/// A profile's flames, in the colour of its series.
pub struct Flame<'a>(pub &'a Profile, pub usize);

/// What part of the whole is drawn: a fraction of a pixel.
const LEAST: f64 = 2e-4;

impl fmt::Display for Flame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (profile, total) = (self.0, self.0.sum_us());
        let spans: Vec<Span> = spans(profile).into_iter().filter(|span| span.us > total * LEAST).collect();
        let depths = spans.iter().map(|span| span.depth + 1).max().unwrap_or(0);
        writeln!(f, "<div class=\"flame {}\">", class(self.1))?;
        for depth in 0..depths {
            f.write_str("<div>")?;
            for span in spans.iter().filter(|span| span.depth == depth) {
                let layer = span.layer.and_then(|at| profile.layers.get(at));
                let (kind, title) = about(span, layer, total);
                let (left, width) = (100.0 * span.start_us / total, 100.0 * span.us / total);
                let name = span.name.rsplit('.').next().filter(|_| depth > 0).unwrap_or(&span.name);
                let (title, name) = (escape(&title), escape(name));
                write!(
                    f,
                    "<span class=\"{kind}\" style=\"left:{left:.3}%;width:{width:.3}%\" title=\"{title}\">{name}</span>"
                )?;
            }
            f.write_str("</div>\n")?;
        }
        f.write_str("</div>\n")
    }
}

/// A span's class, which steps have by how near they come to what the device can, and what it says when pointed at.
fn about(span: &Span, layer: Option<&Layer>, total: f64) -> (String, String) {
    let time = format!("{}: {:.1} µs, {:.1} %", span.name, span.us, 100.0 * span.us / total);
    let Some(Layer { kernel, roofline, .. }) = layer else { return ("part".to_owned(), time) };
    match roofline {
        // Five shades, the last for a fifth from the roof and beyond.
        Some(part) => {
            let shade = (part * 5.0).floor().clamp(0.0, 4.0);
            (format!("step r{shade}"), format!("{time}, {kernel}, {:.0} % of roof", part * 100.0))
        }
        None => ("step".to_owned(), format!("{time}, {kernel}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foveate::bench::Device;
    use foveate::profile::{KIND, Method, SCHEMA_VERSION};

    #[test]
    fn steps_lie_in_their_parts_and_names_cannot_break_out() {
        let layer = |node: &str, us, roofline| Layer { node: node.into(), us, roofline, ..Layer::default() };
        let profile = Profile {
            kind: KIND.into(),
            schema_version: SCHEMA_VERSION,
            model: "m".into(),
            precision: "f32".into(),
            batch: 1,
            device: Device::default(),
            method: Method::Cpu,
            runs: 1,
            ceilings: None,
            frame_us: None,
            layers: vec![layer("a.0.<b>", 30.0, Some(0.5)), layer("c", 10.0, None), layer("gone", 0.0, None)],
        };
        let flame = Flame(&profile, 1).to_string();
        for want in [
            "<span class=\"part\" style=\"left:0.000%;width:75.000%\" title=\"a: 30.0 µs, 75.0 %\">a</span>",
            "class=\"step r2\" style=\"left:0.000%;width:75.000%\"",
            "class=\"step\" style=\"left:75.000%;width:25.000%\"",
        ] {
            assert!(flame.contains(want), "{want}: {flame}");
        }
        assert!(!flame.contains("<b>") && !flame.contains("gone"), "{flame}");
        let nothing = Profile { layers: Vec::new(), ..profile };
        assert_eq!(Flame(&nothing, 1).to_string(), "<div class=\"flame s1\">\n</div>\n");
    }
}
