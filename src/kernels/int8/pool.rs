//! Means of integers over windows; those over whole maps have a kernel of their own.

use super::factors::{self, Factors, SATURATES};
use super::{ARITH, FACTORS, global_pool};
use crate::error::Result;
use crate::graph::NodeId;
use crate::int8::program::Pool;
use crate::int8::table::Finish;
use crate::kernels::{Binding, Kernel, Lowering, X, Y, source};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    name: "int8/pool",
    arguments: &[&X, &FACTORS, &Y],
    sources: &[&ARITH, &source!("int8/pool.wgsl")],
    constants: &["BATCH", "IN_H", "IN_W", "OUT_H", "OUT_W", "K_H", "K_W", "STRIDE", "PADDING", "X_PLANE", "STEEP"],
    workgroup: 64,
    tiling: None,
    open: &[],
    fixed: SATURATES,
};

pub(super) fn lower(pool: &Pool, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let node = cx.get(id);
    let input = cx.shape(node.inputs[0]);
    if pool.kernel == [input.height, input.width] && pool.padding == 0 {
        return global_pool::lower(pool, id, cx);
    }
    let layout = cx.layout(id).clone();
    let x = cx.operand_as(node.inputs[0], &layout)?;
    let y = cx.new_output(id)?;
    let factors = factor(pool, cx);
    let constants = [
        ("BATCH", cx.batch()),
        ("IN_H", input.height),
        ("IN_W", input.width),
        ("OUT_H", node.shape.height),
        ("OUT_W", node.shape.width),
        ("K_H", pool.kernel[0]),
        ("K_W", pool.kernel[1]),
        ("STRIDE", pool.stride),
        ("PADDING", pool.padding),
        ("X_PLANE", x.first_plane),
        ("STEEP", factors::steep([&pool.requant])),
    ];
    cx.push(&KERNEL, &constants, vec![x.binding(), factors, y.binding()], [cx.pixels(id), y.planes, 1], 0)
}

/// The factor of the sums.
pub(super) fn factor(pool: &Pool, cx: &mut Lowering<'_>) -> Binding {
    let saturate = Finish::Clamp { low: -127 };
    let common = [pool.requant.multiplier, pool.requant.shift as i32, 0, 0];
    Factors::new(&saturate).common(common).bind(&saturate, cx)
}
