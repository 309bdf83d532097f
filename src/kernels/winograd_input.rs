//! Winograd's F(2×2, 3×3), first step: patches of the map, transformed.

use super::{Kernel, X, Y, source};

pub(super) static KERNEL: Kernel = Kernel {
    name: "winograd_input",
    arguments: &[&X, &Y],
    sources: &[&source!("winograd_input.wgsl")],
    constants: &["BATCH", "IN_H", "IN_W", "OUT_H", "OUT_W", "PADDING_Y", "PADDING_X", "X_PLANE"],
    workgroup: 32,
    tiling: None,
    open: &[],
    fixed: &[],
};
