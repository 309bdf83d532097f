//! Checkpoints taken apart, changed, and put together again.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use foveate::checkpoint::Ignored;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// Dtype, shape and bytes of a tensor.
pub type Raw = (Dtype, Vec<usize>, Vec<u8>);

pub fn data(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

/// Names of what was left out.
pub fn names(ignored: &[Ignored]) -> Vec<&str> {
    ignored.iter().map(|ignored| ignored.name.as_str()).collect()
}

pub fn bytes(path: &str) -> Vec<u8> {
    std::fs::read(data(path)).unwrap()
}

/// The tensors and metadata of a file.
pub fn open(bytes: &[u8]) -> (BTreeMap<String, Raw>, HashMap<String, String>) {
    let tensors = SafeTensors::deserialize(bytes).unwrap().tensors();
    let tensors =
        tensors.into_iter().map(|(name, t)| (name, (t.dtype(), t.shape().to_vec(), t.data().to_vec()))).collect();
    let metadata = SafeTensors::read_metadata(bytes).unwrap().1.metadata().clone();
    (tensors, metadata.unwrap_or_default())
}

pub fn close(tensors: &BTreeMap<String, Raw>, metadata: HashMap<String, String>) -> Vec<u8> {
    let views = tensors.iter().map(|(n, (dtype, shape, b))| (n, TensorView::new(*dtype, shape.clone(), b).unwrap()));
    safetensors::serialize(views, Some(metadata)).unwrap()
}

/// A file with its tensors changed.
pub fn edited(bytes: &[u8], edit: impl FnOnce(&mut BTreeMap<String, Raw>)) -> Vec<u8> {
    let (mut tensors, metadata) = open(bytes);
    edit(&mut tensors);
    close(&tensors, metadata)
}

/// A file with its metadata changed.
pub fn remarked(bytes: &[u8], edit: impl FnOnce(&mut HashMap<String, String>)) -> Vec<u8> {
    let (tensors, mut metadata) = open(bytes);
    edit(&mut metadata);
    close(&tensors, metadata)
}

/// A file with another header, which may be a lie.
pub fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

pub fn floats(shape: &[usize], values: &[f32]) -> Raw {
    (Dtype::F32, shape.to_vec(), values.iter().flat_map(|v| v.to_le_bytes()).collect())
}
