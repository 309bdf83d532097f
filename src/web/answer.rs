//! Results as JavaScript's objects.

use js_sys::{Array, Float32Array, Object, Reflect};
use wasm_bindgen::prelude::*;

use crate::Features;
use crate::models::Form;
use crate::session::{DeviceKind, Session, Top};

/// What there is to know of a session. By hand: serialising would bring tables for printing floats that are a
/// twentieth of the package.
pub(super) fn info(session: &mut Session) -> Object {
    let work = Work::of(session);
    let (model, device, timing) = (session.model(), session.device(), session.timing());
    let details = model.details();
    let number = |value: f64| JsValue::from(value);
    let list = |values: &mut dyn Iterator<Item = JsValue>| -> JsValue { values.collect::<Array>().into() };
    let on = object(&[
        ("kind", if device.kind == DeviceKind::Gpu { "webgpu" } else { "cpu" }.into()),
        ("backend", (&device.backend).into()),
        ("name", (&device.name).into()),
        ("driver", (&device.driver).into()),
        ("reason", (&device.reason).into()),
        ("software", work.software.into()),
        ("timestampPeriod", work.timestamp_period.map_or(JsValue::NULL, number)),
    ]);
    let timing = object(&[("load", number(timing.load)), ("compile", number(timing.compile))]);
    object(&[
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("model", model.name().into()),
        ("form", if details.form == Form::Fused { "fused" } else { "train" }.into()),
        ("classes", number(model.classes() as f64)),
        ("labels", list(&mut session.labels().iter().map(JsValue::from))),
        ("inputSize", list(&mut model.preprocess().crop.iter().map(|side| number(f64::from(*side))))),
        ("parameters", number(model.graph().parameter_count() as f64)),
        ("macs", number(model.graph().macs() as f64)),
        ("weightBytes", number(work.weight_bytes as f64)),
        ("steps", number(work.steps as f64)),
        ("precision", session.precision().to_string().into()),
        ("precisionNote", session.precision_note().map_or(JsValue::NULL, Into::into)),
        ("sourceSha256", (&details.source_sha256).into()),
        ("device", on.into()),
        ("timing", timing.into()),
        ("features", list(&mut session.kept().map(JsValue::from))),
    ])
}

/// What a run takes of where it runs.
struct Work {
    /// Bytes of the weights as they lie there.
    weight_bytes: u64,
    /// Dispatches on a GPU, nodes on the CPU executor.
    steps: usize,
    /// Whether the GPU is the processor.
    software: bool,
    /// Nanoseconds to a tick of the GPU's clock, if it has one.
    timestamp_period: Option<f64>,
}

impl Work {
    fn of(session: &mut Session) -> Work {
        if let Some(executor) = session.gpu() {
            let (plan, software) = (executor.plan(), executor.context().summary().is_software());
            let (weight_bytes, steps) = (plan.weight_bytes(), plan.steps.len());
            return Work { weight_bytes, steps, software, timestamp_period: executor.timestamp_period() };
        }
        let graph = session.model().graph();
        let steps = graph.nodes().len().saturating_sub(1);
        Work { weight_bytes: graph.weight_bytes(), steps, software: false, timestamp_period: None }
    }
}

/// `{ top: [{ class, label, score }], logits }`.
pub(super) fn ranked(top: &[Top], logits: Option<&[f32]>) -> Object {
    let list = Array::new();
    for Top { class, label, score } in top {
        let entry = Object::new();
        set(&entry, "class", &(*class as f64).into());
        set(&entry, "label", &label.into());
        set(&entry, "score", &f64::from(*score).into());
        list.push(&entry);
    }
    let answer = Object::new();
    set(&answer, "top", &list);
    if let Some(logits) = logits {
        set(&answer, "logits", &Float32Array::from(logits));
    }
    answer
}

/// `{ maps: [{ name, stage, shape, stride, data }], logits }`.
pub(super) fn features(features: &Features) -> Object {
    let maps = Array::new();
    for feature in features {
        let map = Object::new();
        let shape = feature.shape();
        let sizes = [shape.channels, shape.height, shape.width].map(|size| JsValue::from(size as f64));
        set(&map, "name", &feature.node().into());
        set(&map, "stage", &feature.stage().map_or(JsValue::NULL, Into::into));
        set(&map, "shape", &sizes.iter().collect::<Array>());
        let stride = feature.stride().map(|stride| stride.map(|side| JsValue::from(side as f64)));
        set(&map, "stride", &stride.map_or(JsValue::NULL, |sides| sides.iter().collect::<Array>().into()));
        set(&map, "data", &Float32Array::from(feature.tensor().data()));
        maps.push(&map);
    }
    let all = Object::new();
    set(&all, "maps", &maps);
    set(&all, "logits", &Float32Array::from(features.output().data()));
    all
}

fn object(properties: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    properties.iter().for_each(|(name, value)| set(&object, name, value));
    object
}

fn set(object: &Object, name: &str, value: &JsValue) {
    // Setting a property of a fresh object cannot fail.
    let _ = Reflect::set(object, &name.into(), value);
}
