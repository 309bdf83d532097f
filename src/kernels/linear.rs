//! Fully connected layer: one workgroup per output plane and sample, its invocations share the
//! input planes.

use super::conv::pack;
use super::lowering::words;
use super::{ACTIVATION, ACTIVATIONS, Kernel, Lower, Lowering, W, X, Y, pool_linear, source, tile};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::Linear;

pub(super) static KERNEL: Kernel = Kernel {
    name: "linear",
    arguments: &[&X, &W, &Y],
    sources: &[&ACTIVATION, &source!("linear.wgsl")],
    constants: &["BATCH", "IN_PLANES", "OUT_PLANES", "X_PLANE", "ACTIVATION"],
    workgroup: 64,
    tiling: None,
    fixed: ACTIVATIONS,
};

impl Lower for Linear {
    fn lower(&self, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
        let node = cx.get(id);
        if cx.is_deferred(node.inputs[0]) {
            return pool_linear::lower(self, id, cx);
        }
        let x = cx.operand(node.inputs[0])?;
        let y = cx.new_output(id)?;
        let weight = cx.params().tensor(self.weight);
        let (out, features) = (node.shape.channels, cx.shape(node.inputs[0]).channels);
        let mut values = pack(&weight.clone().reshape([out, features, 1, 1])?, 1, &x.layout, &y.layout);
        values.extend(cx.bias(self.bias, &y.layout));
        let weights = cx.weights(words(values));
        let constants = [
            ("BATCH", cx.batch()),
            ("IN_PLANES", x.planes),
            ("OUT_PLANES", y.planes),
            ("X_PLANE", x.first_plane),
            ("ACTIVATION", tile::activation(self.activation)),
        ];
        let grid = [KERNEL.workgroup as usize * y.planes, cx.batch(), 1];
        cx.push(&KERNEL, &constants, vec![x.binding(), weights, y.binding()], grid, weight.len() as u64)
    }
}
