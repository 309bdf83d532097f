//! A factor and an offset per channel, in integers.

use super::factors::{self, Factors};
use super::{ARITH, FACTORS};
use crate::error::Result;
use crate::graph::NodeId;
use crate::int8::program::Affine;
use crate::kernels::{Kernel, Lowering, X, Y, source};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    name: "int8/affine",
    arguments: &[&X, &FACTORS, &Y],
    sources: &[&ARITH, &source!("int8/affine.wgsl")],
    constants: &["PIXELS", "PLANES", "X_PLANE", "FINISH"],
    workgroup: 64,
    tiling: None,
    open: &[],
    fixed: &[("RELU", 1), ("LOOKUP", 2), ("STEEP", 0)],
};

pub(super) fn lower(affine: &Affine, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let layout = cx.layout(id).clone();
    let x = cx.operand_as(cx.get(id).inputs[0], &layout)?;
    let y = cx.new_output(id)?;
    let shift = affine.shift.iter().map(|shift| *shift as i32).collect();
    let kinds = [affine.multiplier.clone(), affine.offset.clone(), shift];
    let factors = Factors::new(&affine.finish).planes(&layout, &kinds).bind(&affine.finish, cx);
    let pixels = cx.pixels(id);
    let constants = [
        ("PIXELS", pixels),
        ("PLANES", y.planes),
        ("X_PLANE", x.first_plane),
        ("FINISH", factors::finish(&affine.finish)),
    ];
    cx.push(&KERNEL, &constants, vec![x.binding(), factors, y.binding()], [pixels, y.planes, 1], 0)
}
