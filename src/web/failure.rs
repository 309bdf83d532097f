//! Errors on their way to JavaScript: an `Error` with a code that the scripts turn into a typed one.

use wasm_bindgen::prelude::*;

use crate::error::Error;

/// Builds the JavaScript error of ours.
pub(super) fn failed(error: Error) -> JsValue {
    let thrown = js_sys::Error::new(&error.to_string());
    // Setting a property of a fresh object cannot fail.
    let _ = js_sys::Reflect::set(&thrown, &"code".into(), &code(&error).into());
    thrown.into()
}

/// The code of an error in the package's `FoveateError`.
fn code(error: &Error) -> &'static str {
    match error {
        Error::Checkpoint { .. } | Error::Weights { .. } | Error::Graph { .. } | Error::Inexact { .. } => "bad-file",
        Error::UnknownModel { .. } => "unknown-model",
        Error::Device { .. } => "no-adapter",
        Error::Limit { .. } => "limit",
        Error::Gpu { reason, .. } if reason.contains("out of memory") => "out-of-memory",
        Error::DeviceLost { .. } => "device-lost",
        Error::NotFinite { .. } => "not-finite",
        Error::Argument(_) => "invalid-argument",
        _ => "internal",
    }
}
