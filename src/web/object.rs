//! JavaScript's objects.

use js_sys::{Object, Reflect};
use wasm_bindgen::JsValue;

pub(super) fn object(properties: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    properties.iter().for_each(|(name, value)| set(&object, name, value));
    object
}

pub(super) fn set(object: &Object, name: &str, value: &JsValue) {
    // Setting a property of a fresh object cannot fail.
    let _ = Reflect::set(object, &name.into(), value);
}
