//! Integers and sums to floats.

use super::FACTORS;
use crate::error::Result;
use crate::graph::NodeId;
use crate::int8::program::Type;
use crate::kernels::lowering::{Piece, per_channel, words};
use crate::kernels::{Binding, Kernel, Lowering, X, Y, source};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    name: "int8/dequantize",
    arguments: &[&X, &FACTORS, &Y],
    sources: &[&source!("int8/dequantize.wgsl")],
    constants: &["PIXELS", "X_PLANE"],
    workgroup: 64,
    tiling: None,
    open: &[],
    fixed: &[],
};

pub(super) fn lower(id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let y = cx.new_output(id)?;
    let into = Piece { tensor: y.tensor, first_plane: 0, planes: y.planes };
    push(cx.get(id).inputs[0], into, cx)
}

/// Fills a tensor of floats with an integer value, under its own layout.
pub(in crate::kernels) fn push(value: NodeId, into: Piece, cx: &mut Lowering<'_>) -> Result<()> {
    let x = cx.operand(value)?;
    let factors = match cx.integer_type(value) {
        Some(Type::I8 { scale }) => vec![*scale; x.layout.channels()],
        Some(Type::I32 { units }) => units.clone(),
        _ => return Err(cx.error("its input is of floats already")),
    };
    let factors = cx.table(words(per_channel(&x.layout, &factors)));
    let pixels = cx.pixels(value);
    let constants = [("PIXELS", pixels), ("X_PLANE", x.first_plane)];
    let bindings = vec![x.binding(), factors, Binding::Tensor(into.tensor)];
    cx.push(&KERNEL, &constants, bindings, [pixels, x.planes, 1], 0)
}
