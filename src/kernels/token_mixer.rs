//! RepNeXt's whole token mixer in one dispatch.
//!
//! The identity chunk is not computed and not copied: the value is a view of the input's first
//! chunk followed by a tensor of the other three.

use super::depthwise::{DEPTHWISE_ROW, pack};
use super::lowering::Piece;
use super::weights::Layer;
use super::{BIAS, Kernel, Lower, Lowering, Placement, Sizes, Tiling, W, X, Y, source, tile, tiling};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::{ChunkConv, Depthwise};
use crate::tensor::Tensor;

pub(super) static KERNEL: Kernel = Kernel {
    name: "token_mixer",
    arguments: &[&X, &W, &BIAS, &Y],
    sources: &[&DEPTHWISE_ROW, &source!("token_mixer.wgsl")],
    constants: &[
        "BATCH",
        "IN_H",
        "IN_W",
        "STRIDE_X",
        "DILATION_Y",
        "DILATION_X",
        "CHUNK_PLANES",
        "X_PLANE",
        "SMALL",
        "MEDIUM",
        "LONG",
    ],
    workgroup: 64,
    tiling: Some(&TILING),
    open: &["BATCH", "IN_H", "IN_W", "CHUNK_PLANES", "X_PLANE"],
    fixed: &[],
};

static TILING: Tiling = Tiling {
    constants: &["TILE_PIXELS", "TILE_ROWS", "STEP_X", "SPAN"],
    candidates: |sizes| tiling::candidates(sizes.get("IN_W"), 1, 1, |pixels| Some(row(sizes, pixels)?.span)),
    place: |sizes, tile| {
        let row = row(sizes, tile.pixels).filter(|_| tile.planes == 1)?;
        let [batch, height, width] = ["BATCH", "IN_H", "IN_W"].map(|name| sizes.get(name));
        // The long pair goes down columns, as far as the square kernels go along rows.
        let tile_rows = tile.pixels.min(height);
        let rows = batch * height * width.div_ceil(tile.pixels);
        let columns = batch * width * height.div_ceil(tile_rows);
        let threads = [rows.max(columns), 3 * sizes.get("CHUNK_PLANES"), 1];
        Some(Placement { constants: vec![row.pixels, tile_rows, row.step, row.span], threads })
    },
};

fn row(sizes: &Sizes<'_>, pixels: usize) -> Option<tile::Row> {
    tile::row(pixels, 1, sizes.get("SMALL").max(sizes.get("MEDIUM")), 1)
}

impl Lower for ChunkConv {
    fn lower(&self, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
        let node = cx.get(id);
        let shape = node.shape;
        let layout = cx.layout(id).clone();
        let x = cx.operand_as(node.inputs[0], &layout)?;
        let chunk = shape.channels / 4;
        let Some((chunk_planes, chunk_layout)) = layout.slice(chunk, chunk) else {
            return Err(cx.error(format!("chunks of {chunk} channels are not whole planes in the layout {layout}")));
        };
        let y = cx.allocate(id, 3 * chunk_planes)?;
        let identity = Piece { tensor: x.tensor, first_plane: x.first_plane, planes: chunk_planes };
        cx.define(id, vec![identity, y]);
        let params = cx.params();
        let order = |weight: &Tensor| Ok(pack(weight, &chunk_layout));
        let layer = |part: Depthwise| Layer {
            weight: part.weight,
            bias: Some(part.bias),
            outputs: &chunk_layout,
            pack: &order,
        };
        let [weights, bias] = cx.layers(&self.parts().map(|(_, part)| layer(part)))?;
        let [small, medium, long] = [self.small, self.medium, self.wide].map(|part| part.kernel(params)[1]);
        let constants = [
            ("BATCH", cx.batch()),
            ("IN_H", shape.height),
            ("IN_W", shape.width),
            ("STRIDE_X", 1),
            ("DILATION_Y", 1),
            ("DILATION_X", 1),
            ("CHUNK_PLANES", chunk_planes),
            ("X_PLANE", x.first_plane),
            ("SMALL", small),
            ("MEDIUM", medium),
            ("LONG", long),
        ];
        let bindings = vec![x.binding(), weights, bias, super::Binding::Tensor(y.tensor)];
        let macs = crate::ops::Operator::macs(self, &[shape], shape, params);
        cx.push_tiled(&KERNEL, &constants, bindings, macs)
    }
}
