//! The module that reads checkpoints: whatever the native program reads becomes a model file of foveate's own, which
//! the modules that compute take. It is fetched for such files only.

use js_sys::{Object, Uint8Array};
use serde::Deserialize;
use wasm_bindgen::prelude::*;

use super::object::object;
use super::{Outcome, failed};
use crate::checkpoint::LoadOptions;
use crate::error::{Error, Result};
use crate::session::Model;

/// Options of reading, by the names that they have in the package.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Options {
    /// What the file is called in messages.
    origin: Option<String>,
    arch: Option<String>,
    use_ema: bool,
    prove: bool,
    /// Instead of a file.
    random: Option<Random>,
}

/// A named network with seeded random weights.
#[derive(Debug, Deserialize)]
struct Random {
    name: String,
    seed: u64,
}

/// Reads and fuses a checkpoint: `{ bytes, load }`, the model file and the milliseconds that it took. `options` are JSON.
#[wasm_bindgen]
pub fn convert(bytes: &[u8], options: &str) -> Outcome<Object> {
    let model = read(bytes, options).map_err(failed)?;
    let load = model.loading().as_secs_f64() * 1e3;
    let file = model.to_bytes().map_err(failed)?;
    drop(model);
    Ok(object(&[("bytes", Uint8Array::from(file.as_slice()).into()), ("load", load.into())]))
}

fn read(bytes: &[u8], options: &str) -> Result<Model> {
    let options: Options = serde_json::from_str(options).map_err(|e| Error::argument(format!("options: {e}")))?;
    match options.random {
        Some(random) => Model::random(&random.name, random.seed, options.prove),
        None => {
            let load = LoadOptions { arch: options.arch, use_ema: options.use_ema, preprocess: None };
            Model::from_bytes(bytes, options.origin.as_deref().unwrap_or("model"), load, options.prove)
        }
    }
}

/// The names of all networks that `random` knows.
#[wasm_bindgen]
pub fn models() -> Vec<String> {
    crate::models::names().map(Into::into).collect()
}
