//! What is wrong with a file that the safetensors crate refused: at which tensor, by how much.

use ::safetensors::{Dtype, SafeTensorError};
use serde_json::Value;

use crate::order;

/// The first fault found by reading the header again, leniently; the crate's own word otherwise.
pub(super) fn diagnose(bytes: &[u8], error: &SafeTensorError) -> String {
    if bytes.is_empty() {
        return "is an empty file: copy or download it again".into();
    }
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return format!("is {} bytes long, too short for a safetensors file", bytes.len());
    };
    let length = u64::from_le_bytes(*length);
    let Some(header) = usize::try_from(length).ok().and_then(|n| rest.get(..n)) else {
        return format!(
            "the header claims {length} bytes, but {} follow: the file is truncated or not a safetensors file",
            rest.len()
        );
    };
    match serde_json::from_slice::<Value>(header) {
        Ok(Value::Object(entries)) => {
            let tensors = entries.iter().filter(|(name, _)| *name != "__metadata__");
            tensor_fault(tensors, rest.len() - header.len())
                .unwrap_or_else(|| format!("the header is damaged: {error}"))
        }
        Ok(_) => "the header is not a JSON object: not a safetensors file".into(),
        Err(json) => format!("the header is not valid JSON ({json}): the file is damaged or not a safetensors file"),
    }
}

/// The first tensor, in order of position, that does not fit its place or the file.
fn tensor_fault<'a>(tensors: impl Iterator<Item = (&'a String, &'a Value)>, available: usize) -> Option<String> {
    let mut spans = Vec::new();
    for (name, info) in tensors {
        match span(info) {
            Some((start, end)) => spans.push((start, end, name, info)),
            None => return Some(format!("tensor {name:?} has no valid data_offsets in the header")),
        }
    }
    order::sort_by_key(&mut spans, |(start, end, name, _)| (*start, *end, *name));
    let mut expected = 0;
    let mut previous = None;
    for (start, end, name, info) in spans {
        if end < start || end > available as u64 {
            return Some(format!(
                "tensor {name:?} is at bytes {start} to {end}, but the file holds {available} bytes of data: it is \
                 truncated or its header lies"
            ));
        }
        if start < expected {
            return Some(format!("tensors {:?} and {name:?} overlap at byte {start}", previous.unwrap_or(name)));
        }
        if start > expected {
            return Some(format!("{} bytes before tensor {name:?} belong to no tensor", start - expected));
        }
        if size(info) != Some(end - start) {
            let (dtype, shape) = (&info["dtype"], &info["shape"]);
            return Some(format!("tensor {name:?} is {dtype} of shape {shape}, which is not {} bytes", end - start));
        }
        (expected, previous) = (end, Some(name));
    }
    (expected < available as u64)
        .then(|| format!("{} bytes at the end belong to no tensor", available as u64 - expected))
}

fn span(info: &Value) -> Option<(u64, u64)> {
    match info.get("data_offsets")?.as_array()?.as_slice() {
        [start, end] => Some((start.as_u64()?, end.as_u64()?)),
        _ => None,
    }
}

/// Bytes that dtype and shape ask for.
fn size(info: &Value) -> Option<u64> {
    let dtype: Dtype = serde_json::from_value(info.get("dtype")?.clone()).ok()?;
    let shape = info.get("shape")?.as_array()?;
    let count = shape.iter().try_fold(1u64, |n, d| n.checked_mul(d.as_u64()?))?;
    Some(count.checked_mul(dtype.bitsize() as u64)? / 8)
}
