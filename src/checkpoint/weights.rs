//! Raw numbers of a file to tensors of f32, whatever the kind of file.

use std::fmt;

use half::{bf16, f16};
use serde::Serialize;

use crate::tensor::Tensor;

/// Number formats that weights are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// 16-bit floats of IEEE 754.
    F16,
    /// The upper half of 32-bit floats.
    BF16,
    /// 64-bit floats.
    F64,
    /// 8-bit integers, in this crate's own quantised model files.
    I8,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::F32 => "f32",
            Format::F16 => "f16",
            Format::BF16 => "bf16",
            Format::F64 => "f64",
            Format::I8 => "i8",
        })
    }
}

/// The numbers of a row-major array.
pub(super) fn numbers(raw: &[u8], format: Format, big_endian: bool) -> Vec<f32> {
    match (format, big_endian) {
        (Format::F32, false) => each(raw, f32::from_le_bytes),
        (Format::F32, true) => each(raw, f32::from_be_bytes),
        (Format::F16, false) => each(raw, |b| f16::from_le_bytes(b).to_f32()),
        (Format::F16, true) => each(raw, |b| f16::from_be_bytes(b).to_f32()),
        (Format::BF16, false) => each(raw, |b| bf16::from_le_bytes(b).to_f32()),
        (Format::BF16, true) => each(raw, |b| bf16::from_be_bytes(b).to_f32()),
        (Format::F64, false) => each(raw, |b| f64::from_le_bytes(b) as f32),
        (Format::I8, _) => each(raw, |b| f32::from(i8::from_le_bytes(b))),
        (Format::F64, true) => each(raw, |b| f64::from_be_bytes(b) as f32),
    }
}

fn each<const N: usize>(raw: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    raw.as_chunks().0.iter().map(|bytes| number(*bytes)).collect()
}

/// A tensor of weights: there have to be some, and finite ones.
///
/// # Errors
/// What is wrong, to follow the tensor's name.
pub(super) fn tensor(shape: Vec<usize>, data: Vec<f32>) -> Result<Tensor, String> {
    if data.is_empty() {
        return Err(format!("is empty (shape {shape:?})"));
    }
    if let Some((at, value)) = data.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        return Err(format!("holds {value} at index {at} of {}; weights have to be finite", data.len()));
    }
    Tensor::new(shape, data).map_err(|error| error.to_string())
}
