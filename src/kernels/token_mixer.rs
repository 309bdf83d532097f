//! RepNeXt's whole token mixer in one dispatch.
//!
//! The identity chunk is not computed and not copied: the value is a view of the input's first
//! chunk followed by a tensor of the other three.

use super::depthwise::{DEPTHWISE_ROW, pack};
use super::lowering::{Piece, per_channel, words};
use super::{Kernel, Lower, Lowering, W, X, Y, source, tile};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::{ChunkConv, Depthwise};

pub(super) static KERNEL: Kernel = Kernel {
    name: "token_mixer",
    arguments: &[&X, &W, &Y],
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
        "TILE_PIXELS",
        "TILE_ROWS",
        "STEP_X",
        "SPAN",
    ],
    workgroup: 64,
    fixed: &[],
};

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
        let values = |part: &Depthwise| {
            let bias = per_channel(&chunk_layout, params.tensor(part.bias).data());
            pack(params.tensor(part.weight), &chunk_layout).into_iter().chain(bias).collect::<Vec<f32>>()
        };
        let weights = cx.weights(words(self.parts().iter().flat_map(|(_, part)| values(part))));
        let [small, medium, long] = [self.small, self.medium, self.wide].map(|part| part.kernel(params)[1]);
        let row = cx.row_tile(shape.width, 1, small.max(medium), 1)?;
        let tile_rows = tile::row_pixels(shape.height);
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
            ("TILE_PIXELS", row.pixels),
            ("TILE_ROWS", tile_rows),
            ("STEP_X", row.step),
            ("SPAN", row.span),
        ];
        let rows = cx.batch() * shape.height * shape.width.div_ceil(row.pixels);
        let columns = cx.batch() * shape.width * shape.height.div_ceil(tile_rows);
        let bindings = vec![x.binding(), weights, super::Binding::Tensor(y.tensor)];
        let macs = crate::ops::Operator::macs(self, &[shape], shape, params);
        cx.push(&KERNEL, &constants, bindings, [rows.max(columns), 3 * chunk_planes, 1], macs)
    }
}
