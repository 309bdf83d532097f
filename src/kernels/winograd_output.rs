//! Winograd's F(2×2, 3×3), third step: products transformed back, and the epilogue.

use super::{ACTIVATION, ACTIVATIONS, BIAS, EPILOGUE, Kernel, RESIDUAL, X, Y, source};

pub(super) static KERNEL: Kernel = Kernel {
    name: "winograd_output",
    arguments: &[&X, &BIAS, &RESIDUAL, &Y],
    sources: &[&ACTIVATION, &EPILOGUE, &source!("winograd_output.wgsl")],
    constants: &["BATCH", "OUT_H", "OUT_W", "RESIDUAL_PLANE", "HAS_RESIDUAL", "ACTIVATION"],
    workgroup: 32,
    tiling: None,
    open: &[],
    fixed: ACTIVATIONS,
};
