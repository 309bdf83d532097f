//! Two 1×1 convolutions in one dispatch without workgroup memory, for software drivers.
//!
//! Measured on lavapipe (Mesa 22.3) against two dispatches: RepNeXt-M0's MLPs take 0.66 of the time at
//! 56², 0.70 at 28². Its third stage would gain 6 % and cost a second of compiling.

use super::mlp::Sizes;
use super::{ACTIVATION, ACTIVATIONS, BIAS, BLOCKS, EPILOGUE, Kernel, RESIDUAL, Target, W, X, X2, Y, source, tile};

pub(super) static KERNEL: Kernel = Kernel {
    name: "mlp_direct",
    arguments: &[&X, &W, &BIAS, &X2, &RESIDUAL, &Y],
    sources: &[&ACTIVATION, &EPILOGUE, &BLOCKS, &source!("mlp_direct.wgsl")],
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
        "TILE_HIDDEN",
        "TILE_PLANES",
        "SUBGROUP",
    ],
    // Drivers hand out workgroups to threads; small ones share out small maps evenly.
    workgroup: 8,
    tiling: None,
    open: &[],
    fixed: ACTIVATIONS,
};

/// Pixels of an invocation, the best first. With fewer, two dispatches are as fast.
const TILE_PIXELS: [usize; 3] = [14, 8, 7];

/// The same where subgroups share their weights: with half as many pixels it is as fast (RepNeXt-M1 at
/// 56²: 3.85 ms of processor time instead of 3.97) and compiles in a third of the time.
const TILE_PIXELS_SHARING: [usize; 2] = [7, 8];

/// Tiles that give every core something to do.
const MIN_TILES: usize = 56;

/// Output planes: as many iterations as Mesa unrolls, should no group of several divide them.
const MAX_PLANES: usize = 32;

/// What an invocation computes at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct DirectTile {
    pub pixels: usize,
    /// Planes of the hidden layer.
    pub hidden: usize,
    /// Planes of the output in a group.
    pub planes: usize,
}

/// The tile for two layers; `None` where two dispatches are better. Loops over the sums
/// ([`Target::mlp_sums`]) are unrolled: with 340 Mesa compiles for half a second, with 560 for minutes.
pub(super) fn tile(sizes: &Sizes, target: &Target) -> Option<DirectTile> {
    let fits = |pixels: &usize| pixels * sizes.output <= target.mlp_sums && sizes.pixels.div_ceil(*pixels) >= MIN_TILES;
    let pixels = if target.subgroup > 0 { &TILE_PIXELS_SHARING[..] } else { &TILE_PIXELS };
    let pixels = pixels.iter().copied().find(fits).filter(|_| sizes.output <= MAX_PLANES)?;
    Some(DirectTile { pixels, hidden: tile::planes(sizes.hidden, 4), planes: tile::planes(sizes.output, 4) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_maps_of_few_channels_are_fused() {
        let tile = |pixels, planes| {
            tile(&Sizes { pixels, input: planes, hidden: 2 * planes, output: planes }, &Target::software())
        };
        assert_eq!(tile(3136, 12), Some(DirectTile { pixels: 14, hidden: 4, planes: 4 }));
        assert_eq!(tile(784, 24), Some(DirectTile { pixels: 14, hidden: 4, planes: 4 }));
        assert_eq!(tile(784, 32), Some(DirectTile { pixels: 8, hidden: 4, planes: 4 }));
        assert_eq!(tile(450, 7), Some(DirectTile { pixels: 8, hidden: 2, planes: 1 }));
        assert_eq!(tile(196, 40), None);
        assert_eq!(tile(196, 12), None);
    }
}
