//! Every channel times its gate: the last step of squeeze-and-excitation.

use super::{ACTIVATION, ACTIVATIONS, Kernel, Lower, Lowering, X, X2, Y, source, tile};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::Gate;

pub(super) static KERNEL: Kernel = Kernel {
    name: "gate",
    arguments: &[&X, &X2, &Y],
    sources: &[&ACTIVATION, &source!("gate.wgsl")],
    constants: &["BATCH", "PIXELS", "X_PLANE", "GATE_PLANE", "ACTIVATION"],
    workgroup: 64,
    tiling: None,
    open: &[],
    fixed: ACTIVATIONS,
};

impl Lower for Gate {
    fn lower(&self, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
        let node = cx.get(id);
        let layout = cx.layout(id).clone();
        let x = cx.operand_as(node.inputs[0], &layout)?;
        let gates = cx.operand_as(node.inputs[1], &layout)?;
        let y = cx.new_output(id)?;
        let pixels = node.shape.pixels();
        let constants = [
            ("BATCH", cx.batch()),
            ("PIXELS", pixels),
            ("X_PLANE", x.first_plane),
            ("GATE_PLANE", gates.first_plane),
            ("ACTIVATION", tile::activation(self.activation)),
        ];
        let bindings = vec![x.binding(), gates.binding(), y.binding()];
        cx.push(&KERNEL, &constants, bindings, [pixels * cx.batch(), y.planes, 1], 0)
    }
}
