//! One factor and one summand per channel, then an activation: batch norms that no convolution
//! could take in, and activations and factors that stand alone.

use super::lowering::{per_channel, words};
use super::{ACTIVATION, ACTIVATIONS, Kernel, Lower, Lowering, W, X, Y, source, tile};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::{Activate, Activation, BatchNorm, Scale};

pub(super) static KERNEL: Kernel = Kernel {
    name: "affine",
    arguments: &[&X, &W, &Y],
    sources: &[&ACTIVATION, &source!("affine.wgsl")],
    constants: &["PIXELS", "X_PLANE", "ACTIVATION"],
    workgroup: 64,
    tiling: None,
    open: &[],
    fixed: ACTIVATIONS,
};

impl Lower for BatchNorm {
    fn lower(&self, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
        let affine = self.affine(cx.params()).into_iter().map(|(scale, shift)| (scale as f32, shift as f32)).collect();
        lower(id, cx, affine, self.activation)
    }
}

impl Lower for Activate {
    fn lower(&self, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
        let channels = cx.shape(id).channels;
        lower(id, cx, vec![(1.0, 0.0); channels], self.0)
    }
}

impl Lower for Scale {
    fn lower(&self, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
        let channels = cx.shape(id).channels;
        lower(id, cx, vec![(self.factor, 0.0); channels], Activation::None)
    }
}

fn lower(id: NodeId, cx: &mut Lowering<'_>, affine: Vec<(f32, f32)>, activation: Activation) -> Result<()> {
    let layout = cx.layout(id).clone();
    let x = cx.operand_as(cx.get(id).inputs[0], &layout)?;
    let y = cx.new_output(id)?;
    let (scale, shift): (Vec<f32>, Vec<f32>) = affine.into_iter().unzip();
    let (scale, shift) = (per_channel(&layout, &scale), per_channel(&layout, &shift));
    // Scale and shift of a plane lie side by side.
    let planes = scale.chunks(4).zip(shift.chunks(4));
    let weights = cx.weights(words(planes.flat_map(|(a, b)| a.iter().chain(b).copied())));
    let pixels = cx.pixels(id);
    let constants = [("PIXELS", pixels), ("X_PLANE", x.first_plane), ("ACTIVATION", tile::activation(activation))];
    cx.push(&KERNEL, &constants, vec![x.binding(), weights, y.binding()], [pixels, y.planes, 1], 0)
}
