//! Winograd's second step: a matrix product over all patches for each component.

use super::{BLOCKS, Kernel, Placement, Tiling, W, X, Y, source, tiling};

pub(super) static KERNEL: Kernel = Kernel {
    name: "winograd_matmul",
    arguments: &[&X, &W, &Y],
    sources: &[&BLOCKS, &source!("winograd_matmul.wgsl")],
    constants: &["COMPONENTS", "PIXELS", "IN_PLANES", "OUT_PLANES", "SUBGROUP"],
    workgroup: 64,
    tiling: Some(&TILING),
    open: &[],
    fixed: &[],
};

static TILING: Tiling = Tiling {
    constants: &["TILE_PIXELS", "TILE_PLANES"],
    candidates: tiling::matrix,
    place: |sizes, tile| {
        let [x, y] = tiling::matrix_grid(sizes, tile)?;
        Some(Placement { constants: vec![tile.pixels, tile.planes], threads: [x, y, sizes.get("COMPONENTS")] })
    },
};
