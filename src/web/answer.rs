//! Results as JavaScript's objects.

use js_sys::{Array, Float32Array, Object};
use wasm_bindgen::JsValue;

use super::object::{object, set};
use crate::Features;
use crate::models::Form;
use crate::session::{DeviceInfo, DeviceKind, Model, Precision, Timing, Top};

/// What there is to know of a session.
pub(super) struct About<'a> {
    pub model: &'a Model,
    pub device: &'a DeviceInfo,
    pub timing: Timing,
    pub labels: &'a [String],
    pub precision: Precision,
    pub note: Option<&'a str>,
    /// Names of the values that it keeps.
    pub kept: Vec<&'a str>,
    /// Bytes of the weights as they lie there.
    pub weight_bytes: u64,
    /// Dispatches on a GPU, nodes on the CPU executor.
    pub steps: usize,
    /// Whether the GPU is the processor.
    pub software: bool,
    /// Nanoseconds to a tick of the GPU's clock, if it has one.
    pub timestamp_period: Option<f64>,
}

/// The same as an object. By hand: serialising would bring tables for printing floats that are a twentieth of a module.
pub(super) fn info(about: &About<'_>) -> Object {
    let About { model, device, timing, .. } = about;
    let details = model.details();
    let number = |value: f64| JsValue::from(value);
    let list = |values: &mut dyn Iterator<Item = JsValue>| -> JsValue { values.collect::<Array>().into() };
    let on = object(&[
        ("kind", if device.kind == DeviceKind::Gpu { "webgpu" } else { "cpu" }.into()),
        ("backend", (&device.backend).into()),
        ("name", (&device.name).into()),
        ("driver", (&device.driver).into()),
        ("reason", (&device.reason).into()),
        ("software", about.software.into()),
        ("timestampPeriod", about.timestamp_period.map_or(JsValue::NULL, number)),
    ]);
    let timing = object(&[("load", number(timing.load)), ("compile", number(timing.compile))]);
    object(&[
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("model", model.name().into()),
        ("form", if details.form == Form::Fused { "fused" } else { "train" }.into()),
        ("classes", number(model.classes() as f64)),
        ("labels", list(&mut about.labels.iter().map(JsValue::from))),
        ("inputSize", list(&mut model.preprocess().crop.iter().map(|side| number(f64::from(*side))))),
        ("parameters", number(model.graph().parameter_count() as f64)),
        ("macs", number(model.graph().macs() as f64)),
        ("weightBytes", number(about.weight_bytes as f64)),
        ("steps", number(about.steps as f64)),
        ("precision", about.precision.to_string().into()),
        ("precisionNote", about.note.map_or(JsValue::NULL, Into::into)),
        ("sourceSha256", (&details.source_sha256).into()),
        ("device", on.into()),
        ("timing", timing.into()),
        ("features", list(&mut about.kept.iter().map(|name| JsValue::from(*name)))),
    ])
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
