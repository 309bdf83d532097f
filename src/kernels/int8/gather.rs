//! Copies channels of integers to other places.

use crate::kernels::{Kernel, TABLE, X, Y, source};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    name: "int8/gather",
    arguments: &[&X, &TABLE, &Y],
    sources: &[&source!("int8/gather.wgsl")],
    constants: &["PIXELS", "X_PLANE", "Y_PLANE"],
    workgroup: 64,
    tiling: None,
    open: &[],
    fixed: &[],
};
