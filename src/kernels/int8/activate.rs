//! An activation of integers, looked up.

use super::factors::Factors;
use super::{ARITH, FACTORS};
use crate::error::Result;
use crate::graph::NodeId;
use crate::int8::table::{Finish, Table};
use crate::kernels::{Kernel, Lowering, X, Y, source};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    name: "int8/activate",
    arguments: &[&X, &FACTORS, &Y],
    sources: &[&ARITH, &source!("int8/activate.wgsl")],
    constants: &["PIXELS", "X_PLANE"],
    workgroup: 64,
    tiling: None,
    open: &[],
    fixed: &[("RELU", 1), ("LOOKUP", 2), ("FINISH", 2), ("STEEP", 0)],
};

pub(super) fn lower(table: &Table, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let layout = cx.layout(id).clone();
    let x = cx.operand_as(cx.get(id).inputs[0], &layout)?;
    let y = cx.new_output(id)?;
    let finish = Finish::Table(Box::new(table.clone()));
    let factors = Factors::new(&finish).bind(&finish, cx);
    let pixels = cx.pixels(id);
    let constants = [("PIXELS", pixels), ("X_PLANE", x.first_plane)];
    cx.push(&KERNEL, &constants, vec![x.binding(), factors, y.binding()], [pixels, y.planes, 1], 0)
}
