//! Sums of values with scales of their own; longer sums are chains of two.

use super::factors::{self, Factors};
use super::{ARITH, FACTORS};
use crate::error::Result;
use crate::graph::NodeId;
use crate::int8::program::Add;
use crate::kernels::{Binding, Kernel, Lowering, X, X2, Y, source};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    name: "int8/add",
    arguments: &[&X, &X2, &FACTORS, &Y],
    sources: &[&ARITH, &source!("int8/add.wgsl")],
    constants: &["PIXELS", "X_PLANE", "X2_PLANE", "FINISH", "SUMS"],
    workgroup: 64,
    tiling: None,
    open: &[],
    fixed: &[("RELU", 1), ("LOOKUP", 2), ("STEEP", 0)],
};

pub(super) fn lower(add: &Add, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let layout = cx.layout(id).clone();
    let inputs = &cx.get(id).inputs;
    let operands = inputs.iter().map(|input| cx.operand_as(*input, &layout)).collect::<Result<Vec<_>>>()?;
    let Some((first, others)) = operands.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Err(cx.error("it has fewer than two inputs"));
    };
    let (pixels, planes) = (cx.pixels(id), layout.planes());
    let (mut sum, mut plane, mut multiplier) = (first.binding(), first.first_plane, add.blend.multipliers[0]);
    for (i, x2) in others.iter().enumerate() {
        let last = i + 1 == others.len();
        let y = if last { cx.new_output(id)?.binding() } else { Binding::Tensor(cx.sums(planes, pixels)?) };
        let blend = [multiplier, add.blend.multipliers[i + 1], add.blend.shift as i32, 0];
        let factors = Factors::new(&add.finish).common(blend).bind(&add.finish, cx);
        let constants = [
            ("PIXELS", pixels),
            ("X_PLANE", plane),
            ("X2_PLANE", x2.first_plane),
            ("FINISH", factors::finish(&add.finish)),
            ("SUMS", usize::from(!last)),
        ];
        cx.push(&KERNEL, &constants, vec![sum, x2.binding(), factors, y], [pixels, planes, 1], 0)?;
        (sum, plane, multiplier) = (y, 0, 1);
    }
    Ok(())
}
