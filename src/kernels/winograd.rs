//! Winograd's F(2×2, 3×3) for dense 3×3 convolutions of stride 1: 16 multiplications for four outputs
//! instead of 36.
//!
//! Three dispatches: the map's patches are transformed ([`winograd_input`]), multiplied by transformed
//! weights ([`winograd_matmul`]), and what comes out is transformed back ([`winograd_output`]). One
//! dispatch would have to keep 16 sums for every patch and plane, too many to use a weight for more than
//! one or two patches; or transform a patch again for every few planes of output.

use super::lowering::words;
use super::{Binding, Layout, Lowering, Target, tile, winograd_input, winograd_matmul, winograd_output};
use crate::error::Result;
use crate::graph::{NodeId, Params};
use crate::ops::Conv2d;
use crate::tensor::Tensor;

/// The way's name in decisions.
pub(super) const NAME: &str = "winograd";

/// Outputs of a patch, along each axis.
const OUT: usize = 2;

/// Values of a transformed patch.
const COMPONENTS: usize = 16;

/// Weights of a row of three taps, transformed: `G` of the patch that they are multiplied with.
const G: [[f64; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

/// Planes of input and output from which it is taken on software drivers: with fewer, transforming costs
/// about what it saves. On lavapipe (Mesa 22.3) RepVGG-A0's layers, of 12 planes and more, take half the
/// processor time of the direct kernel.
const MIN_PLANES: usize = 4;

/// Whether it computes a convolution at all. Weights of 8 bits are no bytes any more once transformed.
pub(super) fn takes(conv: &Conv2d, params: &Params) -> bool {
    let plain = conv.stride == [1, 1] && conv.dilation == [1, 1] && conv.groups == 1;
    plain && conv.kernel(params) == [3, 3] && params.get(conv.weight).scales.is_none()
}

/// Whether it is taken where nothing was tuned: on software drivers, whose time goes by the number of
/// loads and multiplications, if subgroups share the loads of weights; without, drivers take three times as
/// long for the product. On GPUs it is unmeasured, and three dispatches cost more than one.
pub(super) fn pays(planes: [usize; 2], target: &Target) -> bool {
    target.winograd && planes.iter().all(|planes| *planes >= MIN_PLANES)
}

pub(super) fn lower(conv: &Conv2d, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let node = cx.get(id);
    let x = cx.operand(node.inputs[0])?;
    let residual = node.inputs.get(1).map(|r| cx.operand(*r)).transpose()?;
    let (input, output) = (cx.shape(node.inputs[0]), node.shape);
    let out_layout = cx.layout(id).clone();
    let patches = cx.batch() * output.height.div_ceil(OUT) * output.width.div_ceil(OUT);

    let patched = cx.scratch(COMPONENTS * x.planes, patches)?;
    let constants = [
        ("BATCH", cx.batch()),
        ("IN_H", input.height),
        ("IN_W", input.width),
        ("OUT_H", output.height),
        ("OUT_W", output.width),
        ("PADDING_Y", conv.padding[0]),
        ("PADDING_X", conv.padding[1]),
        ("X_PLANE", x.first_plane),
    ];
    let bindings = vec![x.binding(), Binding::Tensor(patched)];
    cx.push(&winograd_input::KERNEL, &constants, bindings, [patches, x.planes, 1], 0)?;

    let weight = cx.params().tensor(conv.weight);
    let weights = pack(weight, &x.layout, &out_layout);
    let weights = cx.weights(words(weights));
    let products = cx.scratch(COMPONENTS * out_layout.planes(), patches)?;
    let constants = [
        ("COMPONENTS", COMPONENTS),
        ("PIXELS", patches),
        ("IN_PLANES", x.planes),
        ("OUT_PLANES", out_layout.planes()),
        ("SUBGROUP", cx.target().subgroup as usize),
    ];
    let bindings = vec![Binding::Tensor(patched), weights, Binding::Tensor(products)];
    let macs = weight.len() as u64 * output.pixels() as u64;
    cx.push_tiled(&winograd_matmul::KERNEL, &constants, bindings, macs)?;

    let bias = words(cx.bias(conv.bias, &out_layout));
    let bias = cx.table(bias);
    let y = cx.new_output(id)?;
    let constants = [
        ("BATCH", cx.batch()),
        ("OUT_H", output.height),
        ("OUT_W", output.width),
        ("RESIDUAL_PLANE", residual.as_ref().map_or(0, |r| r.first_plane)),
        ("HAS_RESIDUAL", usize::from(residual.is_some())),
        ("ACTIVATION", tile::activation(conv.activation)),
    ];
    let residual = residual.map_or(Binding::Tensor(products), |r| r.binding());
    let bindings = vec![Binding::Tensor(products), bias, residual, y.binding()];
    cx.push(&winograd_output::KERNEL, &constants, bindings, [patches, y.planes, 1], 0)
}

/// Weights `[out, in, 3, 3]`, transformed in f64, as `[component][out plane][in plane][in lane]` of vec4
/// over the output plane's four channels.
fn pack(weight: &Tensor, x: &Layout, y: &Layout) -> Vec<f32> {
    let inputs = x.channels();
    let transformed: Vec<[f64; COMPONENTS]> = weight.data().chunks_exact(9).map(transform).collect();
    let (ins, outs) = (x.physical(), y.physical());
    let value = |component: usize, o: Option<usize>, i: Option<usize>| {
        Some(transformed.get(o? * inputs + i?)?[component] as f32)
    };
    let mut packed = Vec::with_capacity(COMPONENTS * ins.len() * outs.len());
    for component in 0..COMPONENTS {
        for lanes in outs.chunks(4) {
            for i in &ins {
                packed.extend(lanes.iter().map(|o| value(component, *o, *i).unwrap_or(0.0)));
            }
        }
    }
    packed
}

/// `G w Gᵀ`, row by row.
fn transform(taps: &[f32]) -> [f64; COMPONENTS] {
    let mut out = [0.0; COMPONENTS];
    for (at, value) in out.iter_mut().enumerate() {
        let (row, column) = (G[at / 4], G[at % 4]);
        *value = (0..9).map(|tap| row[tap / 3] * column[tap % 3] * f64::from(taps[tap])).sum();
    }
    out
}
