//! Floats onto a grid of integers.

use super::FACTORS;
use crate::error::Result;
use crate::graph::NodeId;
use crate::int8::arith::ToGrid;
use crate::int8::program::{Node, Type};
use crate::kernels::{Kernel, Lowering, X, Y, source};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    name: "int8/quantize",
    arguments: &[&X, &FACTORS, &Y],
    sources: &[&source!("int8/quantize.wgsl")],
    constants: &["PIXELS", "X_PLANE"],
    workgroup: 64,
    tiling: None,
    open: &[],
    fixed: &[],
};

pub(super) fn lower(node: &Node, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let Type::I8 { scale } = node.ty else { return Err(cx.error("its value has no scale")) };
    let layout = cx.layout(id).clone();
    let x = cx.operand_as(cx.get(id).inputs[0], &layout)?;
    let y = cx.new_output(id)?;
    let ToGrid { inverse, limit } = ToGrid::new(scale);
    let factors = cx.table(vec![inverse.to_bits(), limit.to_bits(), 0, 0]);
    let pixels = cx.pixels(id);
    let constants = [("PIXELS", pixels), ("X_PLANE", x.first_plane)];
    cx.push(&KERNEL, &constants, vec![x.binding(), factors, y.binding()], [pixels, y.planes, 1], 0)
}
