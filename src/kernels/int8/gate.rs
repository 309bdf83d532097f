//! Every channel times its gate, in integers.

use super::factors::{self, FINISHES, Factors};
use super::{ARITH, FACTORS};
use crate::error::Result;
use crate::graph::NodeId;
use crate::int8::program::Gate;
use crate::kernels::{Kernel, Lowering, X, X2, Y, source};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    name: "int8/gate",
    arguments: &[&X, &X2, &FACTORS, &Y],
    sources: &[&ARITH, &source!("int8/gate.wgsl")],
    constants: &["BATCH", "PIXELS", "X_PLANE", "GATE_PLANE", "FINISH", "STEEP"],
    workgroup: 64,
    tiling: None,
    open: &[],
    fixed: FINISHES,
};

pub(super) fn lower(gate: &Gate, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let node = cx.get(id);
    let layout = cx.layout(id).clone();
    let x = cx.operand_as(node.inputs[0], &layout)?;
    let gates = cx.operand_as(node.inputs[1], &layout)?;
    let y = cx.new_output(id)?;
    let common = [gate.requant.multiplier, gate.requant.shift as i32, 0, 0];
    let factors = Factors::new(&gate.finish).common(common).bind(&gate.finish, cx);
    let pixels = node.shape.pixels();
    let constants = [
        ("BATCH", cx.batch()),
        ("PIXELS", pixels),
        ("X_PLANE", x.first_plane),
        ("GATE_PLANE", gates.first_plane),
        ("FINISH", factors::finish(&gate.finish)),
        ("STEEP", factors::steep([&gate.requant])),
    ];
    let bindings = vec![x.binding(), gates.binding(), factors, y.binding()];
    cx.push(&KERNEL, &constants, bindings, [pixels * cx.batch(), y.planes, 1], 0)
}
