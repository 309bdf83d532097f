//! Fully connected layer: one workgroup per output plane and sample, its invocations share the
//! input planes.

use super::conv::pack;
use super::weights::Layer;
use super::{ACTIVATION, ACTIVATIONS, BIAS, Kernel, Lower, Lowering, W, X, Y, source, tile};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::Linear;
use crate::tensor::Tensor;

pub(super) static KERNEL: Kernel = Kernel {
    name: "linear",
    arguments: &[&X, &W, &BIAS, &Y],
    sources: &[&ACTIVATION, &source!("linear.wgsl")],
    constants: &["BATCH", "IN_PLANES", "X_PLANE", "ACTIVATION"],
    workgroup: 64,
    tiling: None,
    fixed: ACTIVATIONS,
};

impl Lower for Linear {
    fn lower(&self, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
        let node = cx.get(id);
        let x = cx.operand(node.inputs[0])?;
        let y = cx.new_output(id)?;
        let (out, features) = (node.shape.channels, cx.shape(node.inputs[0]).channels);
        let order =
            |weight: &Tensor| Ok(pack(&weight.clone().reshape([out, features, 1, 1])?, 1, &x.layout, &y.layout));
        let layer = Layer { weight: self.weight, bias: self.bias, outputs: &y.layout, pack: &order };
        let [weights, bias] = cx.layers(&[layer])?;
        let constants = [
            ("BATCH", cx.batch()),
            ("IN_PLANES", x.planes),
            ("X_PLANE", x.first_plane),
            ("ACTIVATION", tile::activation(self.activation)),
        ];
        let grid = [KERNEL.workgroup as usize * y.planes, cx.batch(), 1];
        let macs = (out * features) as u64;
        cx.push(&KERNEL, &constants, vec![x.binding(), weights, bias, y.binding()], grid, macs)
    }
}
