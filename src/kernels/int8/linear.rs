//! Fully connected layers of integers, and 1×1 convolutions of few pixels.

use super::conv::{Ending, Operands};
use super::factors::FINISHES;
use super::{ARITH, ENDING, FACTORS, PRODUCTS};
use crate::error::Result;
use crate::int8::program::Conv;
use crate::kernels::{Kernel, Lowering, RESIDUAL, W, X, Y, source};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    name: "int8/linear",
    arguments: &[&X, &W, &FACTORS, &RESIDUAL, &Y],
    sources: &[&ARITH, &ENDING, &PRODUCTS, &source!("int8/linear.wgsl")],
    constants: &[
        "PIXELS",
        "IN_PLANES",
        "OUT_PLANES",
        "X_PLANE",
        "RESIDUAL_PLANE",
        "HAS_RESIDUAL",
        "FINISH",
        "STEEP",
        "SUMS",
    ],
    workgroup: 64,
    tiling: None,
    open: &[],
    fixed: FINISHES,
};

/// Pixels, batch included, that are too few for an invocation to have a sum of its own.
const MOST_PIXELS: usize = 16;

/// Whether to take it.
pub(super) fn pays(operands: &Operands, cx: &Lowering<'_>) -> bool {
    !cx.target().software && operands.is_matrix && operands.groups == 1 && operands.pixels() <= MOST_PIXELS
}

pub(super) fn push(conv: &Conv, operands: &Operands, cx: &mut Lowering<'_>) -> Result<()> {
    let Ending { finish, steep, sums } = Ending::new(&conv.output);
    let pixels = operands.pixels();
    let constants = [
        ("PIXELS", pixels),
        ("IN_PLANES", operands.x.planes),
        ("OUT_PLANES", operands.y.planes),
        ("X_PLANE", operands.x.first_plane),
        ("RESIDUAL_PLANE", operands.residual.as_ref().map_or(0, |r| r.first_plane)),
        ("HAS_RESIDUAL", usize::from(operands.residual.is_some())),
        ("FINISH", finish),
        ("STEEP", steep),
        ("SUMS", sums),
    ];
    let grid = [KERNEL.workgroup as usize * operands.y.planes, pixels, 1];
    cx.push(&KERNEL, &constants, operands.bindings.clone(), grid, operands.macs)
}
