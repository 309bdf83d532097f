//! Reading safetensors files: every number checked, every refusal with the name of the tensor.

use std::collections::BTreeMap;

use ::safetensors::tensor::TensorInfo;
use ::safetensors::{Dtype, SafeTensors};
use half::{bf16, f16};
use sha2::{Digest, Sha256};

use super::diagnose::diagnose;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// The named tensors of a file, all as f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// The file's metadata, text by name.
    pub metadata: BTreeMap<String, String>,
    /// SHA-256 of the whole file, in lower-case hexadecimals.
    pub sha256: String,
    /// Tensors that inference has no use for and that were left out: batch norms' step counters.
    pub dropped: Vec<String>,
}

impl Checkpoint {
    /// Reads a safetensors file from memory. `origin` names it in messages. Takes no more memory
    /// than twice the file.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the file is damaged or truncated, or holds a dtype other than f32,
    /// f16, bf16 and f64, an empty tensor, or a value that is not finite.
    pub fn read(bytes: &[u8], origin: &str) -> Result<Self> {
        let fail = |reason: String| Error::Checkpoint { origin: origin.to_owned(), reason };
        let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| fail(diagnose(bytes, &error)))?;
        let data = bytes.get(8 + header..).unwrap_or_default();
        let mut tensors = BTreeMap::new();
        let mut dropped = Vec::new();
        // In order of names, so that the same file always gives the same message.
        for (name, info) in metadata.tensors().into_iter().collect::<BTreeMap<_, _>>() {
            if name.ends_with("num_batches_tracked") {
                dropped.push(name);
                continue;
            }
            let raw = data.get(info.data_offsets.0..info.data_offsets.1);
            let raw = raw.ok_or_else(|| fail(format!("tensor {name:?} lies outside the file")))?;
            let tensor = tensor(raw, info).map_err(|reason| fail(format!("tensor {name:?} {reason}")))?;
            tensors.insert(name, tensor);
        }
        if tensors.is_empty() {
            return Err(fail("holds no tensors".into()));
        }
        let metadata = metadata.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(Checkpoint { tensors, metadata, sha256: sha256(bytes), dropped })
    }
}

fn tensor(raw: &[u8], info: &TensorInfo) -> Result<Tensor, String> {
    let data: Vec<f32> = match info.dtype {
        Dtype::F32 => numbers(raw, f32::from_le_bytes),
        Dtype::F16 => numbers(raw, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => numbers(raw, |b| bf16::from_le_bytes(b).to_f32()),
        Dtype::F64 => numbers(raw, |b| f64::from_le_bytes(b) as f32),
        other => return Err(format!("has dtype {other}; weights are read from F32, F16, BF16 and F64")),
    };
    if data.is_empty() {
        return Err(format!("is empty (shape {:?})", info.shape));
    }
    if let Some(at) = data.iter().position(|v| !v.is_finite()) {
        return Err(format!("holds {} at index {at} of {}; weights have to be finite", data[at], data.len()));
    }
    Tensor::new(info.shape.clone(), data).map_err(|error| error.to_string())
}

fn numbers<const N: usize>(raw: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    raw.as_chunks().0.iter().map(|bytes| number(*bytes)).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
