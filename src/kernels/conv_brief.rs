//! The direct convolution in little text, for drivers that compile for long: one tap at a time.

use super::{Kernel, Placement, Tiling, conv, source, tiling};

pub(super) static KERNEL: Kernel = Kernel {
    name: "conv_brief",
    sources: &[&super::ACTIVATION, &super::EPILOGUE, &super::BLOCKS, &source!("conv_brief.wgsl")],
    constants: CONSTANTS,
    tiling: Some(&TILING),
    open: CONSTANTS.split_at(CONSTANTS.len() - 2).0,
    ..conv::KERNEL
};

/// Those of the other kernel but for the subgroup. All but the last two are sizes, of which no code depends.
pub(super) const CONSTANTS: &[&str] = conv::CONSTANTS.split_at(conv::CONSTANTS.len() - 1).0;

static TILING: Tiling = Tiling {
    constants: &["TILE_PIXELS", "TILE_PLANES"],
    candidates: |sizes| tiling::candidates(sizes.get("OUT_W"), sizes.get("GROUP_OUT_PLANES"), 8, Some),
    place: |sizes, tile| {
        if tile.pixels == 0 || tile.planes == 0 || !sizes.get("GROUP_OUT_PLANES").is_multiple_of(tile.planes) {
            return None;
        }
        let tiles = sizes.get("BATCH") * sizes.get("OUT_H") * sizes.get("OUT_W").div_ceil(tile.pixels);
        let threads = [tiles, sizes.get("OUT_PLANES") / tile.planes, 1];
        Some(Placement { constants: vec![tile.pixels, tile.planes], threads })
    },
};
