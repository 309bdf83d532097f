//! Mean over all pixels of each channel.

use super::{Kernel, Lower, Lowering, X, Y, linear, pool_linear, source};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::GlobalAvgPool;

pub(super) static KERNEL: Kernel = Kernel {
    name: "global_avg_pool",
    arguments: &[&X, &Y],
    sources: &[&source!("global_avg_pool.wgsl")],
    constants: &["BATCH", "PIXELS", "PLANES", "X_PLANE", "LANES"],
    workgroup: 64,
    tiling: None,
    open: &[],
    fixed: &[],
};

impl Lower for GlobalAvgPool {
    fn lower(&self, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
        if pool_linear::begins(id, cx) {
            cx.defer(id);
            return Ok(());
        }
        let source = cx.get(id).inputs[0];
        let layout = cx.layout(id).clone();
        let x = cx.operand_as(source, &layout)?;
        let y = cx.new_output(id)?;
        let lanes = linear::lanes(&KERNEL, cx);
        let constants = [
            ("BATCH", cx.batch()),
            ("PIXELS", cx.shape(source).pixels()),
            ("PLANES", y.planes),
            ("X_PLANE", x.first_plane),
            ("LANES", lanes),
        ];
        let grid = [lanes * y.planes, cx.batch(), 1];
        cx.push(&KERNEL, &constants, vec![x.binding(), y.binding()], grid, 0)
    }
}
