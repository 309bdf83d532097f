//! Crop, resize and normalise from RGBA8 in one kernel.
//!
//! Everything that depends on the picture is data, not a constant: pictures of any size run
//! through one pipeline.

use super::{Binding, Format, Kernel, PICTURE, Step, TABLES, TensorId, Y, source};
use crate::error::Result;
use crate::preprocess::{Preprocess, Taps};

pub(super) static KERNEL: Kernel = Kernel {
    name: "preprocess",
    arguments: &[&PICTURE, &TABLES, &Y],
    sources: &[&source!("preprocess.wgsl")],
    constants: &["OUT_H", "OUT_W"],
    workgroup: 64,
    tiling: None,
    fixed: HEADER,
};

/// Words of the tables' header, in order; the shader finds them by these names.
const HEADER: &[(&str, u32)] = &[
    ("WIDTH", 0),
    ("HEIGHT", 1),
    ("SAMPLE", 2),
    ("TAPS_X", 3),
    ("TAPS_Y", 4),
    ("MEAN", 5),
    ("INVERSE_STD", 8),
    ("HEADER_WORDS", 11),
];

/// The dispatch that fills sample `sample` of the network's input; the sample's number is part of
/// the tables ([`preprocess_tables`]).
pub fn preprocess_step(input: TensorId, crop: [u32; 2]) -> Step {
    let constants = crop.to_vec();
    let bindings = vec![Binding::Picture, Binding::Tables, Binding::Tensor(input)];
    let formats = vec![Format::HOST; bindings.len()];
    let grid = [(crop[0] * crop[1]).div_ceil(KERNEL.workgroup), 1, 1];
    Step { node: "input".into(), kernel: &KERNEL, constants, tile: None, bindings, formats, grid, macs: 0 }
}

/// What the shader has to know of a picture of that size: header, then for each axis the first
/// tap of every output, then its weights.
///
/// # Errors
/// If the preprocessing cannot be applied to such a picture.
pub fn preprocess_tables(spec: &Preprocess, width: u32, height: u32, sample: u32) -> Result<Vec<u32>> {
    let tables = spec.tables(width, height)?;
    let (horizontal, vertical) = (&tables.horizontal, &tables.vertical);
    let mut words = vec![width, height, sample, horizontal.width(), vertical.width()];
    words.extend(spec.mean.map(f32::to_bits));
    words.extend(spec.std.map(|s| (1.0 / s).to_bits()));
    debug_assert_eq!(words.len(), HEADER[HEADER.len() - 1].1 as usize);
    let axis = |taps: &Taps| -> Vec<u32> {
        taps.first().iter().copied().chain(taps.weights().iter().map(|w| w.to_bits())).collect()
    };
    words.extend(axis(horizontal));
    words.extend(axis(vertical));
    Ok(words)
}
