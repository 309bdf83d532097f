//! A profile in the trace event format of Chrome (`chrome://tracing`, Perfetto).

use serde_json::{Value, json};

use super::spans::{Span, spans};
use super::{Layer, Profile};

/// Every [span](super::Span) as a complete event; steps say what they are made of.
pub fn trace(profile: &Profile) -> String {
    let device = &profile.device;
    let process = format!("{}, {}, batch {}, {}", profile.model, profile.precision, profile.batch, device.name);
    let named = |name: &str, tid: u32, args: &str| json!({ "name": name, "ph": "M", "pid": 1, "tid": tid, "args": { "name": args } });
    let heads = [named("process_name", 0, &process), named("thread_name", 1, "parts and steps")];
    let events = spans(profile).into_iter().map(|Span { name, start_us, us, layer, .. }| {
        let layer = layer.and_then(|at| profile.layers.get(at));
        let name = layer.map_or(name.clone(), |layer| format!("{name} [{}]", layer.kernel));
        let args = layer.map_or(json!({}), about);
        json!({ "name": name, "cat": "step", "ph": "X", "pid": 1, "tid": 1, "ts": start_us, "dur": us, "args": args })
    });
    let events: Vec<Value> = heads.into_iter().chain(events).collect();
    json!({ "displayTimeUnit": "ms", "traceEvents": events }).to_string()
}

/// What is shown of a step that is selected.
fn about(layer: &Layer) -> Value {
    json!({
        "kernel": layer.kernel, "tile": layer.tile, "macs": layer.macs, "bytes": layer.bytes,
        "GFLOP/s": layer.gflop_s, "GB/s": layer.gb_s, "roofline": layer.roofline,
    })
}

#[cfg(test)]
mod tests {
    use super::super::spans::tests::profile;
    use super::*;

    #[test]
    fn events_are_the_spans() {
        let profile = profile(&[("a.0.x", 1.0), ("a.0.y", 2.0), ("b", 8.0)]);
        assert_eq!(Profile::parse(&serde_json::to_vec(&profile).unwrap(), "it").unwrap(), profile);
        let trace: Value = serde_json::from_str(&trace(&profile)).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let spans: Vec<(&str, f64, f64)> = events
            .iter()
            .filter(|event| event["ph"] == "X")
            .map(|e| (e["name"].as_str().unwrap(), e["ts"].as_f64().unwrap(), e["dur"].as_f64().unwrap()))
            .collect();
        let expected =
            [("a", 0.0, 3.0), ("a.0", 0.0, 3.0), ("a.0.x [k]", 0.0, 1.0), ("a.0.y [k]", 1.0, 2.0), ("b [k]", 3.0, 8.0)];
        assert_eq!(spans, expected);
        assert_eq!(events.last().unwrap()["args"]["kernel"], "k");
    }
}
