//! Mean of integers over whole maps.

use super::factors::{self, SATURATES};
use super::{ARITH, FACTORS, pool};
use crate::error::Result;
use crate::graph::NodeId;
use crate::int8::program::Pool;
use crate::kernels::{Kernel, Lowering, X, Y, source};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    name: "int8/global_pool",
    arguments: &[&X, &FACTORS, &Y],
    sources: &[&ARITH, &source!("int8/global_pool.wgsl")],
    constants: &["BATCH", "PIXELS", "X_PLANE", "STEEP"],
    workgroup: 64,
    tiling: None,
    open: &[],
    fixed: SATURATES,
};

pub(super) fn lower(op: &Pool, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let source = cx.get(id).inputs[0];
    let layout = cx.layout(id).clone();
    let x = cx.operand_as(source, &layout)?;
    let y = cx.new_output(id)?;
    let factors = pool::factor(op, cx);
    let constants = [
        ("BATCH", cx.batch()),
        ("PIXELS", cx.shape(source).pixels()),
        ("X_PLANE", x.first_plane),
        ("STEEP", factors::steep([&op.requant])),
    ];
    // One workgroup per plane and sample.
    let grid = [KERNEL.workgroup as usize * y.planes, cx.batch(), 1];
    cx.push(&KERNEL, &constants, vec![x.binding(), factors, y.binding()], grid, 0)
}
