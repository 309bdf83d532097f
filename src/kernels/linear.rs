//! Fully connected layer: several invocations share the input planes of an output.

use super::conv::pack;
use super::weights::Layer;
use super::{
    ACTIVATION, ACTIVATIONS, BIAS, Binding, Kernel, Layout, Lower, Lowering, W, X, Y, pool_linear, source, tile,
};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::Linear;
use crate::tensor::Tensor;

pub(super) static KERNEL: Kernel = Kernel {
    name: "linear",
    arguments: &[&X, &W, &BIAS, &Y],
    sources: &[&ACTIVATION, &source!("linear.wgsl")],
    constants: &["BATCH", "IN_PLANES", "OUT_PLANES", "X_PLANE", "ACTIVATION", "LANES"],
    workgroup: 64,
    tiling: None,
    open: &[],
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
        let [weights, bias] = weights(self, &x.layout, &y.layout, cx)?;
        let constants = [
            ("BATCH", cx.batch()),
            ("IN_PLANES", x.planes),
            ("OUT_PLANES", y.planes),
            ("X_PLANE", x.first_plane),
            ("ACTIVATION", tile::activation(self.activation)),
            ("LANES", lanes(&KERNEL, cx)),
        ];
        let grid = [lanes(&KERNEL, cx) * y.planes, cx.batch(), 1];
        let macs = cx.params().tensor(self.weight).len() as u64;
        cx.push(&KERNEL, &constants, vec![x.binding(), weights, bias, y.binding()], grid, macs)
    }
}

/// Invocations that share the sum of an output: a whole workgroup, or one alone where sharing takes longer to compile.
pub(super) fn lanes(kernel: &Kernel, cx: &Lowering<'_>) -> usize {
    if cx.target().brief { 1 } else { kernel.workgroup as usize }
}

/// The layer's weights, `[out plane][in plane][in lane]` of vec4 over the out plane's four channels, and
/// its bias, as a step binds them.
pub(super) fn weights(linear: &Linear, x: &Layout, y: &Layout, cx: &mut Lowering<'_>) -> Result<[Binding; 2]> {
    let (out, features) = (y.channels(), x.channels());
    let order = |weight: &Tensor| Ok(pack(&weight.clone().reshape([out, features, 1, 1])?, 1, x, y));
    cx.layers(&[Layer { weight: linear.weight, bias: linear.bias, outputs: y, pack: &order }])
}
