//! Sum of two values, then an activation; longer sums are chains of these.

use super::{ACTIVATION, ACTIVATIONS, Kernel, Lower, Lowering, X, X2, Y, source, tile};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::{Activation, Add};

pub(super) static KERNEL: Kernel = Kernel {
    name: "add",
    arguments: &[&X, &X2, &Y],
    sources: &[&ACTIVATION, &source!("add.wgsl")],
    constants: &["PIXELS", "X_PLANE", "X2_PLANE", "ACTIVATION"],
    workgroup: 64,
    tiling: None,
    open: &["PIXELS", "X_PLANE", "X2_PLANE"],
    fixed: ACTIVATIONS,
};

impl Lower for Add {
    fn lower(&self, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
        let layout = cx.layout(id).clone();
        let inputs = &cx.get(id).inputs;
        let mut sum = cx.operand_as(inputs[0], &layout)?;
        for (i, &input) in inputs.iter().enumerate().skip(1) {
            let x2 = cx.operand_as(input, &layout)?;
            let y = cx.new_output(id)?;
            let activation = if i + 1 == inputs.len() { self.activation } else { Activation::None };
            let pixels = cx.pixels(id);
            let constants = [
                ("PIXELS", pixels),
                ("X_PLANE", sum.first_plane),
                ("X2_PLANE", x2.first_plane),
                ("ACTIVATION", tile::activation(activation)),
            ];
            cx.push(&KERNEL, &constants, vec![sum.binding(), x2.binding(), y.binding()], [pixels, y.planes, 1], 0)?;
            sum = y;
        }
        Ok(())
    }
}
