//! A profile as flames, upside down: a row for each depth, in which every part and step is as wide as its time.

use foveate::profile::{Profile, spans};

use crate::cli::table::shown;

/// Rows of so many columns; deeper ones enclose less. What is narrower than a column is left out.
pub fn rows(profile: &Profile, width: usize) -> Vec<String> {
    let total = profile.sum_us();
    if total <= 0.0 {
        return Vec::new();
    }
    // The first row is the network.
    let whole = format!("{} {:.3} ms", profile.model, total / 1e3);
    let mut rows = vec![cell(&shown(&whole), width)];
    let mut ends = vec![width];
    for span in spans(profile) {
        let column = |us: f64| ((us / total * width as f64).round() as usize).min(width);
        let (from, to) = (column(span.start_us), column(span.start_us + span.us));
        let depth = span.depth + 1;
        while rows.len() <= depth {
            rows.push(String::new());
            ends.push(0);
        }
        let (Some(row), Some(end)) = (rows.get_mut(depth), ends.get_mut(depth)) else { continue };
        if to <= from || from < *end {
            continue;
        }
        row.push_str(&" ".repeat(from - *end));
        row.push_str(&cell(last(&shown(&span.name), span.depth), to - from));
        *end = to;
    }
    rows.into_iter().map(|row| row.trim_end().to_owned()).collect()
}

/// A name without what the rows above say.
fn last(name: &str, depth: usize) -> &str {
    let tail = if depth == 0 { name } else { name.rsplit('.').next().unwrap_or(name) };
    if tail.is_empty() { name } else { tail }
}

/// A bar with a name in it, as far as there is room.
fn cell(name: &str, width: usize) -> String {
    let Some(room) = width.checked_sub(1) else { return String::new() };
    let text: String = name.chars().take(room).collect();
    let rest = room - text.chars().count();
    format!("▌{text}{}", "░".repeat(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use foveate::bench::Device;
    use foveate::profile::{KIND, Layer, Method, SCHEMA_VERSION};

    fn profile(layers: &[(&str, f64)]) -> Profile {
        let layer = |(node, us): &(&str, f64)| Layer { node: (*node).to_owned(), us: *us, ..Layer::default() };
        Profile {
            kind: KIND.into(),
            schema_version: SCHEMA_VERSION,
            model: "net".into(),
            precision: "f32".into(),
            batch: 1,
            device: Device::default(),
            method: Method::Cpu,
            runs: 1,
            ceilings: None,
            frame_us: None,
            layers: layers.iter().map(layer).collect(),
        }
    }

    #[test]
    fn parts_lie_under_what_they_belong_to() {
        let rows = rows(&profile(&[("stem", 4.0), ("a.0.conv", 8.0), ("a.0.add", 4.0), ("a.1", 4.0)]), 20);
        assert_eq!(rows, ["▌net 0.020 ms░░░░░░░", "▌ste▌a░░░░░░░░░░░░░░", "    ▌0░░░░░░░░░░▌1░░", "    ▌conv░░░▌add"]);
    }

    #[test]
    fn any_times_and_names_make_rows_of_the_width() {
        let many: Vec<(String, f64)> = (0..500).map(|i| (format!("s.{}.é\u{7}", i % 7), f64::from(i % 3))).collect();
        let many: Vec<(&str, f64)> = many.iter().map(|(name, us)| (name.as_str(), *us)).collect();
        for (layers, width) in [(&many[..], 60), (&many[..], 0), (&[("x", 0.0)][..], 60), (&[][..], 60)] {
            let rows = rows(&profile(layers), width);
            assert!(rows.iter().all(|row| row.chars().count() <= width && !row.contains('\u{7}')), "{rows:?}");
        }
    }
}
