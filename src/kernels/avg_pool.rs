//! Mean over a square window of each channel.

use super::{Kernel, Lower, Lowering, X, Y, source};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::AvgPool;

pub(super) static KERNEL: Kernel = Kernel {
    name: "avg_pool",
    arguments: &[&X, &Y],
    sources: &[&source!("avg_pool.wgsl")],
    constants: &["BATCH", "IN_H", "IN_W", "OUT_H", "OUT_W", "KERNEL", "STRIDE", "PADDING", "X_PLANE"],
    workgroup: 64,
    tiling: None,
    open: &[],
    fixed: &[],
};

impl Lower for AvgPool {
    fn lower(&self, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
        let node = cx.get(id);
        let layout = cx.layout(id).clone();
        let x = cx.operand_as(node.inputs[0], &layout)?;
        let y = cx.new_output(id)?;
        let (input, output) = (cx.shape(node.inputs[0]), node.shape);
        let constants = [
            ("BATCH", cx.batch()),
            ("IN_H", input.height),
            ("IN_W", input.width),
            ("OUT_H", output.height),
            ("OUT_W", output.width),
            ("KERNEL", self.kernel),
            ("STRIDE", self.stride),
            ("PADDING", self.padding),
            ("X_PLANE", x.first_plane),
        ];
        cx.push(&KERNEL, &constants, vec![x.binding(), y.binding()], [cx.pixels(id), y.planes, 1], 0)
    }
}
