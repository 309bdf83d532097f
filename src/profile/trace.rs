//! A profile in the trace event format of Chrome (`chrome://tracing`, Perfetto).

use serde_json::{Value, json};

use super::Profile;

/// The steps one after the other, as if each began when the last had ended, and above them the parts of the
/// network that they belong to (`stages.0`, `stages.0.blocks.1`, by the dots in their names).
pub fn trace(profile: &Profile) -> String {
    let device = &profile.device;
    let process = format!("{}, {}, batch {}, {}", profile.model, profile.precision, profile.batch, device.name);
    let mut events = vec![
        json!({ "name": "process_name", "ph": "M", "pid": 1, "tid": 0, "args": { "name": process } }),
        json!({ "name": "thread_name", "ph": "M", "pid": 1, "tid": 1, "args": { "name": "parts and steps" } }),
    ];
    let complete = |name: &str, start: f64, us: f64, args: Value| json!({ "name": name, "cat": "step", "ph": "X", "pid": 1, "tid": 1, "ts": start, "dur": us, "args": args });
    // Parts that are under way: name and start.
    let mut open: Vec<(String, f64)> = Vec::new();
    let mut now = 0.0;
    for layer in &profile.layers {
        let parts: Vec<String> = parts(&layer.node);
        let common = open.iter().zip(&parts).take_while(|((name, _), part)| name == *part).count();
        for (name, start) in open.drain(common..).rev() {
            events.push(complete(&name, start, now - start, json!({})));
        }
        open.extend(parts.into_iter().skip(common).map(|part| (part, now)));
        let args = json!({
            "kernel": layer.kernel, "tile": layer.tile, "macs": layer.macs, "bytes": layer.bytes,
            "GFLOP/s": layer.gflop_s, "GB/s": layer.gb_s, "roofline": layer.roofline,
        });
        events.push(complete(&format!("{} [{}]", layer.node, layer.kernel), now, layer.us, args));
        now += layer.us;
    }
    for (name, start) in open.drain(..).rev() {
        events.push(complete(&name, start, now - start, json!({})));
    }
    json!({ "displayTimeUnit": "ms", "traceEvents": events }).to_string()
}

/// `stages.0.blocks.1.conv` is in `stages`, `stages.0`, `stages.0.blocks` and `stages.0.blocks.1`; of these,
/// those that end in a number or stand first.
fn parts(node: &str) -> Vec<String> {
    let dots: Vec<usize> = node.match_indices('.').map(|(at, _)| at).collect();
    let prefixes = dots.iter().filter_map(|&at| node.get(..at));
    let last = |prefix: &str| prefix.rsplit('.').next().unwrap_or_default().to_owned();
    let numbered = |prefix: &&str| !prefix.contains('.') || last(prefix).chars().all(|c| c.is_ascii_digit());
    prefixes.filter(numbered).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Layer, Method, SCHEMA_VERSION};
    use super::*;
    use crate::bench::Device;

    #[test]
    fn parts_enclose_their_steps() {
        let layer = |node: &str, us| Layer { node: node.into(), kernel: "k".into(), us, ..Layer::default() };
        let layers = vec![layer("a.0.x", 1.0), layer("a.0.y", 2.0), layer("a.1.x", 4.0), layer("b", 8.0)];
        let profile = Profile {
            schema_version: SCHEMA_VERSION,
            model: "m".into(),
            precision: "f32".into(),
            batch: 1,
            device: Device::default(),
            method: Method::Passes,
            runs: 1,
            ceilings: None,
            frame_us: None,
            layers,
        };
        let trace: Value = serde_json::from_str(&trace(&profile)).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let mut spans: Vec<(String, f64, f64)> = events
            .iter()
            .filter(|event| event["ph"] == "X")
            .map(|e| (e["name"].as_str().unwrap().to_owned(), e["ts"].as_f64().unwrap(), e["dur"].as_f64().unwrap()))
            .collect();
        spans.sort_by(|a, b| a.1.total_cmp(&b.1).then(b.2.total_cmp(&a.2)));
        let expected = [
            ("a", 0.0, 7.0),
            ("a.0", 0.0, 3.0),
            ("a.0.x [k]", 0.0, 1.0),
            ("a.0.y [k]", 1.0, 2.0),
            ("a.1", 3.0, 4.0),
            ("a.1.x [k]", 3.0, 4.0),
            ("b [k]", 7.0, 8.0),
        ];
        assert_eq!(spans, expected.map(|(name, start, us)| (name.to_owned(), start, us)));
    }
}
