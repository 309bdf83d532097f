//! Two 1×1 convolutions in one dispatch: RepNeXt's MLP.
//!
//! Whether two convolutions become one step is decided here, while planning; the graph keeps both.
//! A first layer whose only reader is the second is left to it ([`Lowering::defer`]), so its value
//! exists nowhere: one that is to be read back is never deferred.
//!
//! This kernel holds the hidden layer in workgroup memory; software drivers have [`mlp_direct`].

use super::mlp_direct::DirectTile;
use super::weights::Layer;
use super::{
    ACTIVATION, ACTIVATIONS, BIAS, Binding, EPILOGUE, Kernel, Layout, Lowering, RESIDUAL, Target, W, X, X2, Y,
    mlp_direct, pointwise, source, tile,
};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::{Conv2d, Op};
use crate::tensor::Tensor;

pub(super) static KERNEL: Kernel = Kernel {
    name: "mlp",
    arguments: &[&X, &W, &BIAS, &X2, &RESIDUAL, &Y],
    sources: &[&ACTIVATION, &EPILOGUE, &source!("mlp.wgsl")],
    constants: &[
        "PIXELS",
        "IN_PLANES",
        "IN_PLANES_2",
        "HIDDEN_PLANES",
        "OUT_PLANES",
        "X_PLANE",
        "X2_PLANE",
        "RESIDUAL_PLANE",
        "HAS_RESIDUAL",
        "HIDDEN_ACTIVATION",
        "ACTIVATION",
        "TILE_PIXELS",
        "PIXEL_GROUPS",
        "SPLIT_1",
        "SPLIT_2",
        "SHARED",
    ],
    workgroup: WORKGROUP as u32,
    tiling: None,
    open: &[],
    fixed: ACTIVATIONS,
};

/// Invocations of a workgroup: as many as WebGPU grants.
const WORKGROUP: usize = 256;

/// vec4s of workgroup memory: the 16 KiB that WebGPU grants.
const MAX_SHARED: usize = 1024;

/// Workgroups that WebGPU grants to one side of a grid.
const MAX_GRID: usize = 65535;

/// Tiles, the largest first: pixels of one invocation, and how many such groups a workgroup has.
const TILES: [(usize, usize); 5] = [(8, 8), (8, 4), (8, 2), (8, 1), (4, 1)];

/// Workgroups that keep a large GPU busy; smaller tiles than that takes would only read the weights
/// more often.
const BUSY: usize = 96;

/// Pixels of a map on which the time of a dispatch is mostly that of starting it.
const SMALL_MAP: usize = 4096;

/// Bytes of weights, of both layers, that a workgroup may read on a small map. Each workgroup reads
/// all of them, at 64 bytes a clock or so: beyond this it takes longer than two dispatches that
/// share the weights out among all workgroups.
const MAX_WEIGHTS: usize = 1 << 20;

/// Bytes of weights per pixel that a workgroup may read on a large map.
const MAX_WEIGHTS_PER_PIXEL: usize = 16 << 10;

/// The sizes that decide how two layers are computed together, or whether.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Of a plane, batch included.
    pub pixels: usize,
    /// Planes of the input, of the hidden layer and of the output.
    pub input: usize,
    pub hidden: usize,
    pub output: usize,
}

/// How a workgroup divides its pixels and sums.
#[derive(Clone, Copy, Debug, PartialEq)]
struct SharedTile {
    /// Pixels of an invocation.
    pixels: usize,
    /// How often that makes the workgroup's tile.
    groups: usize,
    /// Parts of a sum in each layer, powers of two.
    split: [usize; 2],
    /// vec4s of workgroup memory.
    shared: usize,
}

/// A kernel for two layers and its tile.
enum Way {
    Shared(SharedTile),
    Direct(DirectTile),
}

impl Way {
    fn kernel(&self) -> &'static Kernel {
        match self {
            Way::Shared(_) => &KERNEL,
            Way::Direct(_) => &mlp_direct::KERNEL,
        }
    }
}

impl Sizes {
    /// The ways to compute both layers in one dispatch.
    fn ways(&self, target: &Target) -> Vec<Way> {
        let shared = self.tiling().map(Way::Shared);
        shared.into_iter().chain(mlp_direct::tile(self, target).map(Way::Direct)).collect()
    }

    /// What to do where nothing was tuned.
    fn default_way(&self, target: &Target) -> &'static str {
        let direct = mlp_direct::tile(self, target).is_some();
        match target.software {
            true if direct => mlp_direct::KERNEL.name,
            false if self.pays() => KERNEL.name,
            _ => pointwise::KERNEL.name,
        }
    }

    /// Whether the kernel with workgroup memory is better than two dispatches, by an estimate.
    fn pays(&self) -> bool {
        let Some(tile) = self.tiling() else { return false };
        let tile = tile.pixels * tile.groups;
        self.weights() <= if self.pixels <= SMALL_MAP { MAX_WEIGHTS } else { tile * MAX_WEIGHTS_PER_PIXEL }
    }

    /// Bytes of the weights of both layers.
    fn weights(&self) -> usize {
        (self.input + self.output).saturating_mul(self.hidden).saturating_mul(64)
    }

    /// The tile of the kernel with workgroup memory; `None` where none fits a workgroup.
    fn tiling(&self) -> Option<SharedTile> {
        let fitting: Vec<SharedTile> = TILES.iter().filter_map(|&(pixels, groups)| self.tile(pixels, groups)).collect();
        let busy = |tiling: &&SharedTile| self.workgroups(tiling) >= BUSY;
        let tiling = *fitting.iter().find(busy).or(fitting.last())?;
        (self.workgroups(&tiling) <= MAX_GRID).then_some(tiling)
    }

    fn workgroups(&self, tiling: &SharedTile) -> usize {
        self.pixels.div_ceil(tiling.pixels * tiling.groups)
    }

    fn tile(&self, pixels: usize, groups: usize) -> Option<SharedTile> {
        let items = [groups * self.hidden, groups * self.output];
        if items.iter().any(|items| *items > WORKGROUP) {
            return None;
        }
        // No more parts than planes to add up.
        let parts = |items: usize, planes: usize| 1 << (WORKGROUP / items).min(planes).ilog2();
        let split = [parts(items[0], self.input), parts(items[1], self.hidden)];
        let joined = (0..2).map(|layer| split[layer] / 2 * items[layer] * pixels).max().unwrap_or(0);
        let shared = joined.max(pixels * groups * self.input.max(self.hidden));
        (shared <= MAX_SHARED).then_some(SharedTile { pixels, groups, split, shared })
    }
}

/// The layout of hidden values: their channels one by one, whatever that of the node would be.
fn hidden_layout(channels: usize) -> Layout {
    Layout::new([channels])
}

/// The sizes of two layers, of which `first` is one that has no residual.
fn sizes(first: NodeId, second: NodeId, cx: &Lowering<'_>) -> Sizes {
    Sizes {
        pixels: cx.pixels(second),
        input: cx.layout(cx.get(first).inputs[0]).planes(),
        hidden: hidden_layout(cx.shape(first).channels).planes(),
        output: cx.layout(second).planes(),
    }
}

/// Whether a 1×1 convolution is to be computed together with the one that reads it.
pub(super) fn begins(conv: &Conv2d, id: NodeId, cx: &mut Lowering<'_>) -> bool {
    let Some(reader) = cx.only_reader(id) else { return false };
    let Op::Conv2d(second) = &cx.get(reader).op else { return false };
    let layers = pointwise::takes(conv, cx.params()) && pointwise::takes(second, cx.params());
    let chained = cx.get(id).inputs.len() == 1 && cx.get(reader).inputs[0] == id;
    layers && chained && way(id, reader, cx).is_some()
}

/// How two layers are computed together; `None` for two dispatches.
fn way(first: NodeId, second: NodeId, cx: &mut Lowering<'_>) -> Option<Way> {
    let sizes = sizes(first, second, cx);
    let ways = sizes.ways(cx.target());
    let options: Vec<_> = ways.iter().map(|way| way.kernel()).chain([&pointwise::KERNEL]).map(|k| k.name).collect();
    let Sizes { pixels, input, hidden, output } = sizes;
    let key = [("PIXELS", pixels), ("IN_PLANES", input), ("HIDDEN_PLANES", hidden), ("OUT_PLANES", output)];
    let taken = cx.decide("mlp", &key, &[first, second], &options, sizes.default_way(cx.target()));
    ways.into_iter().find(|way| way.kernel().name == taken)
}

/// Lowers the second of two layers, together with the first, which was left to it.
pub(super) fn lower(conv: &Conv2d, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let node = cx.get(id);
    let hidden_id = node.inputs[0];
    let first = cx.get(hidden_id);
    let sizes = sizes(hidden_id, id, cx);
    let (Op::Conv2d(first_conv), Some(way)) = (&first.op, way(hidden_id, id, cx)) else {
        return Err(cx.error("it was to be computed together with its input, which no kernel does"));
    };
    let input = first.inputs[0];
    let [x, x2] = pointwise::two_pieces(input, cx)?;
    let residual = node.inputs.get(1).map(|r| cx.operand(*r)).transpose()?;
    let y = cx.new_output(id)?;
    let hidden = hidden_layout(cx.shape(hidden_id).channels);
    let inputs = cx.layout(input).clone();
    let orders =
        (|weight: &Tensor| Ok(pack(weight, &inputs, &hidden)), |weight: &Tensor| Ok(pack(weight, &hidden, &y.layout)));
    let [weights, bias] = cx.layers(&[
        Layer { weight: first_conv.weight, bias: first_conv.bias, outputs: &hidden, pack: &orders.0 },
        Layer { weight: conv.weight, bias: conv.bias, outputs: &y.layout, pack: &orders.1 },
    ])?;
    let products: u64 = [first_conv, conv].iter().map(|layer| cx.params().tensor(layer.weight).len() as u64).sum();
    let macs = products * node.shape.pixels() as u64;
    let mut constants = vec![
        ("PIXELS", sizes.pixels),
        ("IN_PLANES", x.planes),
        ("IN_PLANES_2", x2.planes),
        ("HIDDEN_PLANES", sizes.hidden),
        ("OUT_PLANES", sizes.output),
        ("X_PLANE", x.first_plane),
        ("X2_PLANE", x2.first_plane),
        ("RESIDUAL_PLANE", residual.as_ref().map_or(0, |r| r.first_plane)),
        ("HAS_RESIDUAL", usize::from(residual.is_some())),
        ("HIDDEN_ACTIVATION", tile::activation(first_conv.activation)),
        ("ACTIVATION", tile::activation(conv.activation)),
    ];
    let residual = residual.map_or(Binding::Tensor(x.tensor), |r| r.binding());
    let [x, x2] = [x, x2].map(|piece| Binding::Tensor(piece.tensor));
    let bindings = vec![x, weights, bias, x2, residual, y.binding()];
    let (kernel, threads) = match way {
        Way::Shared(tiling) => {
            constants.extend([
                ("TILE_PIXELS", tiling.pixels),
                ("PIXEL_GROUPS", tiling.groups),
                ("SPLIT_1", tiling.split[0]),
                ("SPLIT_2", tiling.split[1]),
                ("SHARED", tiling.shared),
            ]);
            (&KERNEL, sizes.workgroups(&tiling) * WORKGROUP)
        }
        Way::Direct(tile) => {
            constants.extend([
                ("TILE_PIXELS", tile.pixels),
                ("TILE_HIDDEN", tile.hidden),
                ("TILE_PLANES", tile.planes),
                ("SUBGROUP", cx.target().subgroup as usize),
            ]);
            (&mlp_direct::KERNEL, sizes.pixels.div_ceil(tile.pixels))
        }
    };
    cx.push(kernel, &constants, bindings, [threads, 1, 1], macs)
}

/// Weights `[out, in, 1, 1]` as `[in plane][in lane][out plane]` of vec4 over the output plane's
/// four channels.
fn pack(weight: &Tensor, x: &Layout, y: &Layout) -> Vec<f32> {
    let inputs = x.channels();
    let outputs = y.physical();
    let value = |o: Option<usize>, i: Option<usize>| Some(weight.data()[o? * inputs + i?]);
    let rows = x.physical().into_iter().flat_map(|i| outputs.iter().map(move |o| (*o, i)));
    rows.map(|(o, i)| value(o, i).unwrap_or(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(pixels: usize, input: usize, hidden: usize) -> Sizes {
        Sizes { pixels, input, hidden, output: input }
    }

    #[test]
    fn tiles_fit_what_every_device_grants() {
        let mut fitting = 0;
        for pixels in [1, 49, 196, 784, 3136, 12544, 200_704, 50_000_000] {
            for (input, hidden) in [(1, 1), (3, 5), (12, 24), (24, 48), (48, 96), (14, 200), (200, 14), (256, 256)] {
                let Some(tiling) = sizes(pixels, input, hidden).tiling() else { continue };
                fitting += 1;
                let items = tiling.groups * hidden.max(input);
                assert!(items <= WORKGROUP && tiling.shared <= MAX_SHARED, "{tiling:?}");
                assert!(tiling.split[0] * tiling.groups * hidden <= WORKGROUP, "{tiling:?}");
                assert!(tiling.split.iter().all(|parts| parts.is_power_of_two()), "{tiling:?}");
                assert!(pixels.div_ceil(tiling.pixels * tiling.groups) <= MAX_GRID, "{tiling:?}");
            }
        }
        assert!(fitting > 20, "{fitting}");
    }

    #[test]
    fn heavy_layers_stay_two_dispatches() {
        assert!(sizes(196, 48, 96).pays(), "M1's third stage");
        assert!(!sizes(49, 96, 192).pays(), "2.4 MB of weights");
        assert!(!sizes(64 * 196, 48, 96).pays(), "many pixels, of which few fit a workgroup");
        assert!(sizes(64 * 3136, 12, 24).pays());
        assert!(sizes(49, 24, 257).tiling().is_none(), "more planes than a workgroup has invocations");
    }
}
