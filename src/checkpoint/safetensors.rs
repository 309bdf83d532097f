//! Reading safetensors files: every number checked, every refusal with the name of the tensor.

use std::collections::BTreeMap;

use ::safetensors::tensor::TensorInfo;
use ::safetensors::{Dtype, SafeTensors};

use super::diagnose::diagnose;
use super::duplicates;
use super::facts::{Ignored, Why};
use super::model_file;
use super::weights::{self, Format};
use crate::tensor::Tensor;

/// What is in a file.
pub(super) struct Read {
    pub tensors: BTreeMap<String, Tensor>,
    /// What their numbers were in the file.
    pub formats: BTreeMap<String, Format>,
    pub metadata: BTreeMap<String, String>,
    /// Tensors that were left out.
    pub dropped: Vec<Ignored>,
}

/// Reads a file.
///
/// # Errors
/// What is wrong, to follow the file's name.
pub(super) fn read(bytes: &[u8]) -> Result<Read, String> {
    if let Some(twice) = header(bytes).and_then(duplicates::find) {
        return Err(twice);
    }
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| diagnose(bytes, &error))?;
    let data = bytes.get(8 + header..).unwrap_or_default();
    let text: BTreeMap<String, String> =
        metadata.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    let ours = model_file::is_model_file(&text);
    let mut tensors = BTreeMap::new();
    let (mut formats, mut dropped) = (BTreeMap::new(), Vec::new());
    // In order of names, so that the same file always gives the same message.
    for (name, info) in metadata.tensors().into_iter().collect::<BTreeMap<_, _>>() {
        if name.ends_with("num_batches_tracked") {
            dropped.push(Ignored { name, why: Why::StepCounter });
            continue;
        }
        let raw = data.get(info.data_offsets.0..info.data_offsets.1);
        let raw = raw.ok_or_else(|| format!("tensor {name:?} lies outside the file"))?;
        let read = || -> Result<_, String> {
            let format = format(info, ours)?;
            Ok((format, weights::tensor(info.shape.clone(), weights::numbers(raw, format, false))?))
        };
        let (format, tensor) = read().map_err(|reason| format!("tensor {name:?} {reason}"))?;
        formats.insert(name.clone(), format);
        tensors.insert(name, tensor);
    }
    Ok(Read { tensors, formats, metadata: text, dropped })
}

/// The bytes of the header, if they are all there.
fn header(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

/// Integers are weights in this project's `own` files only: without scales they mean nothing.
fn format(info: &TensorInfo, own: bool) -> Result<Format, String> {
    match info.dtype {
        Dtype::I8 if own => Ok(Format::I8),
        Dtype::F32 => Ok(Format::F32),
        Dtype::F16 => Ok(Format::F16),
        Dtype::BF16 => Ok(Format::BF16),
        Dtype::F64 => Ok(Format::F64),
        other => Err(format!("has dtype {other}; weights are read from F32, F16, BF16 and F64")),
    }
}
