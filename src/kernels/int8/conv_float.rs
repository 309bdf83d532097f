//! Convolutions of integers whose products are taken in floats, exactly: for processors that play GPU.

use super::conv::{self, Operands};
use super::{ARITH, ENDING};
use crate::int8::program::Conv;
use crate::kernels::{Kernel, Lowering, source};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    name: "int8/conv_float",
    sources: &[&ARITH, &ENDING, &source!("int8/conv_float.wgsl")],
    fixed: &[("RELU", 1), ("LOOKUP", 2), ("PRODUCTS", PRODUCTS)],
    ..conv::KERNEL
};

/// Products of bytes whose sum a float holds exactly: `PRODUCTS · 127² ≤ 2^24`.
const PRODUCTS: u32 = 1040;

/// Whether to take it: software drivers have no dot products of bytes, and unpack eight bytes for each.
pub(super) fn pays(conv: &Conv, _operands: &Operands, cx: &Lowering<'_>) -> bool {
    cx.target().software && conv.shape[3] * 4 <= PRODUCTS as usize
}
