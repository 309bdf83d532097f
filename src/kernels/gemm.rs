//! Dense convolutions as matrix products with operands in workgroup memory (implicit GEMM), the sums
//! split within the workgroup where the map is small. For GPUs.

use super::lowering::Piece;
use super::weights::Layer;
use super::workgroup::{self, Product, Terms};
use super::{
    ACTIVATION, ACTIVATIONS, BIAS, Binding, EPILOGUE, Kernel, Lowering, RESIDUAL, Sizes, Target, Tiling, W, X, X2, Y,
    conv, pointwise, source, tile,
};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::Conv2d;
use crate::tensor::Tensor;

pub(super) static KERNEL: Kernel = Kernel {
    name: "gemm",
    arguments: &[&X, &W, &BIAS, &X2, &RESIDUAL, &Y],
    sources: &[&ACTIVATION, &EPILOGUE, &source!("gemm.wgsl")],
    constants: &[
        "BATCH",
        "IN_H",
        "IN_W",
        "OUT_H",
        "OUT_W",
        "K_H",
        "K_W",
        "STRIDE_Y",
        "STRIDE_X",
        "PADDING_Y",
        "PADDING_X",
        "DILATION_Y",
        "DILATION_X",
        "IN_PLANES",
        "IN_PLANES_2",
        "X_PLANE",
        "X2_PLANE",
        "RESIDUAL_PLANE",
        "OUT_PLANES",
        "HAS_RESIDUAL",
        "ACTIVATION",
    ],
    workgroup: workgroup::PART as u32,
    tiling: Some(&TILING),
    open: &[],
    fixed: ACTIVATIONS,
};

/// vec4s: one of the input, and a plane's weights for each of its channels.
static TERMS: Terms = Terms { pixel: 16, plane: 4 * 16, most: 8 };

static TILING: Tiling = Tiling {
    constants: workgroup::CONSTANTS,
    candidates: |sizes| product(sizes).candidates(),
    place: |sizes, tile| product(sizes).place(tile),
};

fn product(sizes: &Sizes<'_>) -> Product {
    let pixels = sizes.get("BATCH") * sizes.get("OUT_H") * sizes.get("OUT_W");
    Product { terms: &TERMS, pixels, planes: sizes.get("OUT_PLANES"), groups: 1 }
}

/// Whether to take it where nothing was tuned. An estimate; no GPU has been measured. The direct kernels
/// read (pixels + 4 · planes) vec4s through the cache for pixels × planes multiplications, with tiles of
/// some 4 × 2; here a workgroup's tile of 32 × 16 counts, which is an eighth of the reads. That pays where
/// sums are long enough for the barriers not to matter and the map fills a tile. A processor that plays
/// GPU gains nothing from workgroup memory.
pub(super) fn pays(depth: usize, outputs: usize, target: &Target) -> bool {
    !target.software && depth >= workgroup::MIN_DEPTH && outputs >= workgroup::MIN_OUTPUTS
}

pub(super) fn lower(conv: &Conv2d, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let node = cx.get(id);
    let [first, second]: [Piece; 2] = pointwise::two_pieces(node.inputs[0], cx)?;
    let residual = node.inputs.get(1).map(|r| cx.operand(*r)).transpose()?;
    let y = cx.new_output(id)?;
    let (input, output) = (cx.shape(node.inputs[0]), node.shape);
    let inputs = cx.layout(node.inputs[0]).clone();
    let order = |weight: &Tensor| Ok(conv::pack(weight, 1, &inputs, &y.layout));
    let layer = Layer { weight: conv.weight, bias: conv.bias, outputs: &y.layout, pack: &order };
    let [weights, bias] = cx.layers(&[layer])?;
    let [kh, kw] = conv.kernel(cx.params());
    let constants = [
        ("BATCH", cx.batch()),
        ("IN_H", input.height),
        ("IN_W", input.width),
        ("OUT_H", output.height),
        ("OUT_W", output.width),
        ("K_H", kh),
        ("K_W", kw),
        ("STRIDE_Y", conv.stride[0]),
        ("STRIDE_X", conv.stride[1]),
        ("PADDING_Y", conv.padding[0]),
        ("PADDING_X", conv.padding[1]),
        ("DILATION_Y", conv.dilation[0]),
        ("DILATION_X", conv.dilation[1]),
        ("IN_PLANES", first.planes),
        ("IN_PLANES_2", second.planes),
        ("X_PLANE", first.first_plane),
        ("X2_PLANE", second.first_plane),
        ("RESIDUAL_PLANE", residual.as_ref().map_or(0, |r| r.first_plane)),
        ("OUT_PLANES", y.planes),
        ("HAS_RESIDUAL", usize::from(residual.is_some())),
        ("ACTIVATION", tile::activation(conv.activation)),
    ];
    let residual = residual.map_or(Binding::Tensor(first.tensor), |r| r.binding());
    let [first, second] = [first, second].map(|piece| Binding::Tensor(piece.tensor));
    let bindings = vec![first, weights, bias, second, residual, y.binding()];
    let macs = cx.params().tensor(conv.weight).len() as u64 * output.pixels() as u64;
    cx.push_tiled(&KERNEL, &constants, bindings, macs)
}
