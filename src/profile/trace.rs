//! A profile in the trace event format of Chrome (`chrome://tracing`, Perfetto).

use serde_json::{Value, json};

use super::Profile;

/// The steps one after the other, as if each began when the last had ended, and above them the parts of the
/// network that they belong to (`stages.0`, `stages.0.blocks.1`, by the dots in their names).
pub fn trace(profile: &Profile) -> String {
    let device = &profile.device;
    let process = format!("{}, {}, batch {}, {}", profile.model, profile.precision, profile.batch, device.name);
    let complete = |name: &str, start: f64, us: f64, args: Value| json!({ "name": name, "cat": "step", "ph": "X", "pid": 1, "tid": 1, "ts": start, "dur": us, "args": args });
    // Start, depth and event: of those that begin at once, what encloses has to come first.
    let mut spans: Vec<(f64, usize, Value)> = Vec::new();
    // Parts that are under way: name and start.
    let mut open: Vec<(String, f64)> = Vec::new();
    let mut now = 0.0;
    let close = |open: &mut Vec<(String, f64)>, keep: usize, now: f64, spans: &mut Vec<(f64, usize, Value)>| {
        for (depth, (name, start)) in open.drain(keep..).enumerate() {
            spans.push((start, keep + depth, complete(&name, start, now - start, json!({}))));
        }
    };
    for layer in &profile.layers {
        let parts: Vec<String> = parts(&layer.node);
        let common = open.iter().zip(&parts).take_while(|((name, _), part)| name == *part).count();
        close(&mut open, common, now, &mut spans);
        open.extend(parts.into_iter().skip(common).map(|part| (part, now)));
        let args = json!({
            "kernel": layer.kernel, "tile": layer.tile, "macs": layer.macs, "bytes": layer.bytes,
            "GFLOP/s": layer.gflop_s, "GB/s": layer.gb_s, "roofline": layer.roofline,
        });
        let name = format!("{} [{}]", layer.node, layer.kernel);
        spans.push((now, usize::MAX, complete(&name, now, layer.us, args)));
        now += layer.us;
    }
    close(&mut open, 0, now, &mut spans);
    spans.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let named = |name: &str, tid: u32, args: &str| json!({ "name": name, "ph": "M", "pid": 1, "tid": tid, "args": { "name": args } });
    let heads = [named("process_name", 0, &process), named("thread_name", 1, "parts and steps")];
    let events: Vec<Value> = heads.into_iter().chain(spans.into_iter().map(|(.., event)| event)).collect();
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
    use super::super::{KIND, Layer, Method, SCHEMA_VERSION};
    use super::*;
    use crate::bench::Device;

    #[test]
    fn parts_enclose_their_steps() {
        let layer = |node: &str, us| Layer { node: node.into(), kernel: "k".into(), us, ..Layer::default() };
        let layers = vec![layer("a.0.x", 1.0), layer("a.0.y", 2.0), layer("a.1.x", 4.0), layer("b", 8.0)];
        let profile = Profile {
            kind: KIND.into(),
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
        assert_eq!(Profile::parse(&serde_json::to_vec(&profile).unwrap(), "it").unwrap(), profile);
        let trace: Value = serde_json::from_str(&trace(&profile)).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let spans: Vec<(String, f64, f64)> = events
            .iter()
            .filter(|event| event["ph"] == "X")
            .map(|e| (e["name"].as_str().unwrap().to_owned(), e["ts"].as_f64().unwrap(), e["dur"].as_f64().unwrap()))
            .collect();
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
