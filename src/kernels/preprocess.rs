//! Crop, resize and normalise from RGBA8 in one kernel.
//!
//! Everything that depends on the picture is data, not a constant: pictures of any size run
//! through one pipeline.

use super::{Binding, Kernel, Step, TensorId, read, source, write};
use crate::error::Result;
use crate::preprocess::{Preprocess, Taps};

pub(super) static KERNEL: Kernel = Kernel {
    name: "preprocess",
    sources: &[&source!("preprocess.wgsl")],
    bindings: &[read("picture"), read("tables"), write("y")],
    constants: &["BATCH", "OUT_H", "OUT_W"],
    workgroup: 64,
};

/// Words before the tap tables; the shader's `HEADER`.
const HEADER: usize = 16;

/// The dispatch that fills sample `sample` of the network's input; the sample's number is part of
/// the tables ([`preprocess_tables`]).
pub fn preprocess_step(input: TensorId, crop: [u32; 2], batch: usize) -> Step {
    let constants = vec![batch as u32, crop[0], crop[1]];
    let bindings = vec![Binding::Picture, Binding::Tables, Binding::Tensor(input)];
    let grid = [(crop[0] * crop[1]).div_ceil(KERNEL.workgroup), 1, 1];
    Step { node: "input".into(), kernel: &KERNEL, constants, bindings, grid, macs: 0 }
}

/// What the shader has to know of a picture of that size: header, then for each axis the first
/// tap of every output, then its weights.
///
/// # Errors
/// If the preprocessing cannot be applied to such a picture.
pub fn preprocess_tables(spec: &Preprocess, width: u32, height: u32, sample: u32) -> Result<Vec<u32>> {
    let tables = spec.tables(width, height)?;
    let (horizontal, vertical) = (&tables.horizontal, &tables.vertical);
    let mut words = vec![width, height, sample, horizontal.width(), vertical.width(), 0, 0, 0];
    words.extend(spec.mean.map(f32::to_bits));
    words.push(0);
    words.extend(spec.std.map(|s| (1.0 / s).to_bits()));
    words.push(0);
    debug_assert_eq!(words.len(), HEADER);
    let axis = |taps: &Taps| -> Vec<u32> {
        taps.first().iter().copied().chain(taps.weights().iter().map(|w| w.to_bits())).collect()
    };
    words.extend(axis(horizontal));
    words.extend(axis(vertical));
    Ok(words)
}
