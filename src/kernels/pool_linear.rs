//! Global average pool and the fully connected layer behind it in one dispatch: the head of every
//! network here.
//!
//! Whether they become one step is decided here, while planning; the graph keeps both. A pool whose
//! only reader is the layer is left to it ([`Lowering::defer`]), so its value exists nowhere: one that
//! is to be read back is never deferred.

use super::{ACTIVATION, ACTIVATIONS, BIAS, Kernel, Lowering, W, X, Y, linear, source, tile};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::{Linear, Op};

pub(super) static KERNEL: Kernel = Kernel {
    name: "pool_linear",
    arguments: &[&X, &W, &BIAS, &Y],
    sources: &[&ACTIVATION, &source!("pool_linear.wgsl")],
    constants: &["BATCH", "PIXELS", "IN_PLANES", "OUT_PLANES", "X_PLANE", "ACTIVATION", "TILE_PLANES", "SPLIT"],
    workgroup: WORKGROUP as u32,
    tiling: None,
    open: &[],
    fixed: ACTIVATIONS,
};

/// Invocations of a workgroup: as many as WebGPU grants.
const WORKGROUP: usize = 256;

/// Output planes of a workgroup: a thousand classes are 32 workgroups.
const TILE_PLANES: usize = 8;

/// vec4s of pooled values, in parts: with the sums of the second layer they fill most of the 16 KiB
/// that WebGPU grants.
const MAX_POOLED: usize = 704;

/// Parts that the pixels of a plane are summed up in, at most.
const MAX_SPLIT: usize = 8;

/// vec4s of a map that a workgroup may read: 256 KiB take a few microseconds.
const MAX_MAP: usize = 1 << 14;

/// vec4s of the map that all workgroups read together: 8 MiB, from the cache. Each reads all of its
/// sample's; beyond this, above all with batches, pooling once is worth a dispatch of its own.
const MAX_READ: usize = 1 << 19;

/// The sizes that decide how a pool and a layer are computed together, or whether.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    batch: usize,
    /// Of one sample's map.
    pixels: usize,
    /// Planes of the input and of the output.
    input: usize,
    output: usize,
}

impl Sizes {
    fn new(pool: NodeId, linear: NodeId, cx: &Lowering<'_>) -> Self {
        let source = cx.get(pool).inputs[0];
        Sizes {
            batch: cx.batch(),
            pixels: cx.shape(source).pixels(),
            input: cx.layout(source).planes(),
            output: cx.layout(linear).planes(),
        }
    }

    /// Parts of the sum over a plane's pixels; `None` where two dispatches are better.
    fn split(&self) -> Option<usize> {
        let read = [self.batch, self.pixels, self.input, self.output.div_ceil(TILE_PLANES)];
        let read = read.into_iter().try_fold(1usize, usize::checked_mul)?;
        let map = self.pixels.checked_mul(self.input)?;
        if read > MAX_READ || map > MAX_MAP || !(1..=MAX_POOLED).contains(&self.input) {
            return None;
        }
        let most = (MAX_POOLED / self.input).min(self.pixels).min(MAX_SPLIT);
        Some(1 << most.checked_ilog2()?)
    }
}

/// Whether a pool is to be computed together with the layer that reads it.
pub(super) fn begins(pool: NodeId, cx: &Lowering<'_>) -> bool {
    let Some(reader) = cx.only_reader(pool) else { return false };
    let linear = matches!(cx.get(reader).op, Op::Linear(_));
    // Software drivers go through workgroup memory invocation by invocation: there pooling once wins.
    linear && !cx.target().software && Sizes::new(pool, reader, cx).split().is_some()
}

/// Lowers a layer together with the pool in front of it, which was left to it.
pub(super) fn lower(layer: &Linear, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    let pool = cx.get(id).inputs[0];
    let sizes = Sizes::new(pool, id, cx);
    let Some(split) = sizes.split() else {
        return Err(cx.error("it was to be computed together with its input, which no kernel does"));
    };
    let x = cx.operand(cx.get(pool).inputs[0])?;
    let y = cx.new_output(id)?;
    let [weights, bias] = linear::weights(layer, &x.layout, &y.layout, cx)?;
    let macs = cx.params().tensor(layer.weight).len() as u64;
    let constants = [
        ("BATCH", sizes.batch),
        ("PIXELS", sizes.pixels),
        ("IN_PLANES", x.planes),
        ("OUT_PLANES", y.planes),
        ("X_PLANE", x.first_plane),
        ("ACTIVATION", tile::activation(layer.activation)),
        ("TILE_PLANES", TILE_PLANES),
        ("SPLIT", split),
    ];
    let grid = [WORKGROUP * y.planes.div_ceil(TILE_PLANES), sizes.batch, 1];
    cx.push(&KERNEL, &constants, vec![x.binding(), weights, bias, y.binding()], grid, macs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_fit_what_every_device_grants() {
        let mut fitting = 0;
        for input in [1, 3, 96, 192, 256, 320, 500, 640, 704, 705] {
            for pixels in [1, 2, 49, 70] {
                let sizes = Sizes { batch: 1, pixels, input, output: 25 };
                let Some(split) = sizes.split() else { continue };
                fitting += 1;
                assert!(split.is_power_of_two() && split <= pixels, "{sizes:?}");
                assert!((split * input + WORKGROUP) * 16 <= 16 << 10, "{sizes:?}");
            }
        }
        assert!(fitting > 25, "{fitting}");
    }

    #[test]
    fn large_maps_and_batches_are_pooled_once() {
        let one = Sizes { batch: 1, pixels: 49, input: 320, output: 250 };
        assert!(one.split().is_some(), "RepVGG-A0");
        assert!(Sizes { batch: 8, ..one }.split().is_none());
        assert!(Sizes { pixels: 50 * 50, output: 1, ..one }.split().is_none());
        assert!(Sizes { input: 705, output: 1, ..one }.split().is_none(), "more than workgroup memory holds");
    }
}
