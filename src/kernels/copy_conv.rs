//! RepNeXt's downsampling token mixer: two depthwise convolutions of stride 2 in one dispatch.

use super::depthwise::{DEPTHWISE_ROW, pack};
use super::weights::Layer;
use super::{BIAS, Kernel, Lower, Lowering, Placement, Sizes, Tiling, W, X, Y, source, tile, tiling};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::{CopyConv, Depthwise, Operator};
use crate::tensor::Tensor;

pub(super) static KERNEL: Kernel = Kernel {
    name: "copy_conv",
    arguments: &[&X, &W, &BIAS, &Y],
    sources: &[&DEPTHWISE_ROW, &source!("copy_conv.wgsl")],
    constants: &[
        "BATCH",
        "IN_H",
        "IN_W",
        "OUT_H",
        "OUT_W",
        "STRIDE_Y",
        "STRIDE_X",
        "DILATION_Y",
        "DILATION_X",
        "HALF_PLANES",
        "X_PLANE",
        "SMALL",
        "MEDIUM",
    ],
    workgroup: 64,
    tiling: Some(&TILING),
    open: &["BATCH", "IN_H", "IN_W", "OUT_H", "OUT_W", "HALF_PLANES", "X_PLANE"],
    fixed: &[],
};

static TILING: Tiling = Tiling {
    constants: &["TILE_PIXELS", "STEP_X", "SPAN"],
    candidates: |sizes| tiling::candidates(sizes.get("OUT_W"), 1, 1, |pixels| Some(row(sizes, pixels)?.span)),
    place: |sizes, tile| {
        let row = row(sizes, tile.pixels).filter(|_| tile.planes == 1)?;
        let tiles = sizes.get("BATCH") * sizes.get("OUT_H") * sizes.get("OUT_W").div_ceil(tile.pixels);
        let threads = [tiles, 2 * sizes.get("HALF_PLANES"), 1];
        Some(Placement { constants: vec![row.pixels, row.step, row.span], threads })
    },
};

fn row(sizes: &Sizes<'_>, pixels: usize) -> Option<tile::Row> {
    tile::row(pixels, sizes.get("STRIDE_X"), sizes.get("SMALL").max(sizes.get("MEDIUM")), sizes.get("DILATION_X"))
}

impl Lower for CopyConv {
    fn lower(&self, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
        let node = cx.get(id);
        let (input, output) = (cx.shape(node.inputs[0]), node.shape);
        let y = cx.new_output(id)?;
        let halves = [0, input.channels].map(|start| y.layout.slice(start, input.channels));
        let [Some((_, half)), Some((half_planes, second))] = halves else {
            return Err(cx.error(format!("its halves are not whole planes in the layout {}", y.layout)));
        };
        if half != second {
            return Err(cx.error(format!("its halves differ in the layout {}", y.layout)));
        }
        let x = cx.operand_as(node.inputs[0], &half)?;
        let params = cx.params();
        let order = |weight: &Tensor| Ok(pack(weight, &half));
        let layer =
            |part: Depthwise| Layer { weight: part.weight, bias: Some(part.bias), outputs: &half, pack: &order };
        let [weights, bias] = cx.layers(&[self.small, self.medium].map(layer))?;
        let [small, medium] = [self.small, self.medium].map(|part| part.kernel(params)[0]);
        let constants = [
            ("BATCH", cx.batch()),
            ("IN_H", input.height),
            ("IN_W", input.width),
            ("OUT_H", output.height),
            ("OUT_W", output.width),
            ("STRIDE_Y", Self::STRIDE),
            ("STRIDE_X", Self::STRIDE),
            ("DILATION_Y", 1),
            ("DILATION_X", 1),
            ("HALF_PLANES", half_planes),
            ("X_PLANE", x.first_plane),
            ("SMALL", small),
            ("MEDIUM", medium),
        ];
        let macs = self.macs(&[input], output, params);
        cx.push_tiled(&KERNEL, &constants, vec![x.binding(), weights, bias, y.binding()], macs)
    }
}
