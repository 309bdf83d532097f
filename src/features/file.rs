//! Values as a safetensors file, for programs in other languages.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};

use super::Features;
use crate::error::{Error, Result};

/// The values of one or several runs as the bytes of a safetensors file: f32, `[n, c, h, w]`, under
/// the names of their nodes. A run's prefix, if not empty, stands in front of its names with a slash
/// between. The metadata entry `stages` tells in JSON which node is which stage's output.
///
/// # Errors
/// If two runs have the same prefix.
pub fn to_safetensors<S: AsRef<str>>(runs: &[(S, Features)]) -> Result<Vec<u8>> {
    let mut stages = BTreeMap::new();
    let mut values: BTreeMap<String, (&[usize], Vec<u8>)> = BTreeMap::new();
    for (prefix, features) in runs {
        for map in features {
            stages.extend(map.about.stages.iter().map(|stage| (stage.as_str(), map.node())));
            let name = match prefix.as_ref() {
                "" => map.node().to_owned(),
                prefix => format!("{prefix}/{}", map.node()),
            };
            let bytes = map.tensor.data().iter().flat_map(|v| v.to_le_bytes()).collect();
            if values.insert(name.clone(), (map.tensor.shape(), bytes)).is_some() {
                return Err(Error::argument(format!("two values are called {name:?}; give runs different prefixes")));
            }
        }
    }
    let mut views = Vec::with_capacity(values.len());
    for (name, (shape, bytes)) in &values {
        views.push((name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).map_err(Error::argument)?));
    }
    let metadata = HashMap::from([("stages".to_owned(), serde_json::to_string(&stages).map_err(Error::argument)?)]);
    serialize(views, Some(metadata)).map_err(Error::argument)
}
