//! Convolutions of integers as matrix products with operands in workgroup memory (implicit GEMM), the sums split
//! within the workgroup where the map is small. For GPUs.

use super::conv::Operands;
use super::factors::FINISHES;
use super::{ARITH, ENDING, FACTORS, PRODUCTS, conv};
use crate::int8::program::Conv;
use crate::kernels::workgroup::{self, Product, Terms};
use crate::kernels::{Kernel, Lowering, RESIDUAL, Sizes, Tiling, W, X, Y, source};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    name: "int8/gemm",
    arguments: &[&X, &W, &FACTORS, &RESIDUAL, &Y],
    sources: &[&ARITH, &ENDING, &PRODUCTS, &source!("int8/gemm.wgsl")],
    constants: conv::CONSTANTS,
    workgroup: workgroup::PART as u32,
    tiling: Some(&TILING),
    open: &[],
    fixed: FINISHES,
};

/// Bytes: a word of the input, and a word of a plane's weights for each of its channels.
static TERMS: Terms = Terms { pixel: 4, plane: 4 * 4, most: 16 };

static TILING: Tiling = Tiling {
    constants: workgroup::CONSTANTS,
    candidates: |sizes| product(sizes).candidates(),
    place: |sizes, tile| product(sizes).place(tile),
};

fn product(sizes: &Sizes<'_>) -> Product {
    let pixels = sizes.get("BATCH") * sizes.get("OUT_H") * sizes.get("OUT_W");
    let planes = sizes.get("GROUP_OUT_PLANES");
    Product { terms: &TERMS, pixels, planes, groups: sizes.get("OUT_PLANES") / planes }
}

/// Whether to take it: as with floats, an estimate. Sums have to be long enough for the barriers not to matter, and
/// maps to fill a tile; a processor that plays GPU gains nothing from workgroup memory.
pub(super) fn pays(conv: &Conv, operands: &Operands, cx: &Lowering<'_>) -> bool {
    let depth = conv.shape[2] * conv.shape[3] * operands.x.planes / operands.groups;
    !cx.target().software && depth >= workgroup::MIN_DEPTH && operands.pixels() >= workgroup::MIN_OUTPUTS
}
