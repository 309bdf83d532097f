//! RepNeXt's whole token mixer of stride 1 in one dispatch, in integers.

use super::depthwise::pack;
use super::factors::{self, Factors, SATURATES};
use super::{ARITH, ENDING, FACTORS};
use crate::error::Result;
use crate::graph::NodeId;
use crate::int8::program::{Depthwise, Mixer, Part};
use crate::int8::table::Finish;
use crate::kernels::{
    Element, Kernel, Layout, Lowering, Placement, RESIDUAL, Sizes, Tiling, W, X, Y, source, tile, tiling,
};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    name: "int8/token_mixer",
    arguments: &[&X, &W, &FACTORS, &RESIDUAL, &Y],
    sources: &[&ARITH, &ENDING, &source!("int8/token_mixer.wgsl")],
    constants: &[
        "BATCH",
        "IN_H",
        "IN_W",
        "CHUNK_PLANES",
        "X_PLANE",
        "SMALL",
        "MEDIUM",
        "LONG",
        "RESIDUAL_PLANE",
        "HAS_RESIDUAL",
        "STEEP",
        "SUMS",
    ],
    workgroup: 64,
    tiling: Some(&TILING),
    open: &[],
    fixed: SATURATES,
};

static TILING: Tiling = Tiling {
    constants: &["TILE_PIXELS", "TILE_ROWS", "SPAN"],
    candidates: |sizes| tiling::candidates(sizes.get("IN_W"), 1, 1, |pixels| Some(row(sizes, pixels)?.span)),
    place: |sizes, tile| {
        let row = row(sizes, tile.pixels).filter(|_| tile.planes == 1)?;
        let [batch, height, width] = ["BATCH", "IN_H", "IN_W"].map(|name| sizes.get(name));
        // The long pair goes down columns, as far as the square kernels go along rows.
        let tile_rows = tile.pixels.min(height);
        let rows = batch * height * width.div_ceil(tile.pixels);
        let columns = batch * width * height.div_ceil(tile_rows);
        let threads = [rows.max(columns), 4 * sizes.get("CHUNK_PLANES"), 1];
        Some(Placement { constants: vec![row.pixels, tile_rows, row.span], threads })
    },
};

fn row(sizes: &Sizes<'_>, pixels: usize) -> Option<tile::Row> {
    tile::row(pixels, 1, sizes.get("SMALL").max(sizes.get("MEDIUM")), 1).filter(|row| row.step == 1)
}

/// The convolutions of a mixer that the kernel computes: small, medium, wide, tall.
struct Chunks<'a>([&'a Depthwise; 4]);

impl<'a> Chunks<'a> {
    /// `None` for any other mixer: of stride 2, or with other parts.
    fn of(mixer: &'a Mixer) -> Option<Self> {
        let [identity, small, medium, long] = &mixer.parts[..] else { return None };
        let wide = long.first.as_ref()?;
        let chunk = identity.conv.channels();
        let in_order = |(i, part): (usize, &Part)| part.source == i * chunk && part.conv.channels() == chunk;
        let square = |part: &Part| part.first.is_none() && part.conv.kernel[0] == part.conv.kernel[1];
        let plain = identity.conv.kernel == [1, 1] && identity.conv.weight.iter().all(|w| *w == 1);
        let [height, width] = [long.conv.kernel, wide.kernel];
        let pair = height == [width[1], 1] && width[0] == 1;
        let fits = mixer.stride == 1
            && plain
            && pair
            && [identity, small, medium].into_iter().all(square)
            && mixer.parts.iter().enumerate().all(in_order);
        fits.then_some(Chunks([&small.conv, &medium.conv, wide, &long.conv]))
    }
}

/// Lowers a mixer; `false` if it is not one of these.
pub(super) fn lower(mixer: &Mixer, id: NodeId, cx: &mut Lowering<'_>) -> Result<bool> {
    let Some(Chunks([small, medium, wide, tall])) = Chunks::of(mixer) else { return Ok(false) };
    let (shape, layout, chunk) = (cx.shape(id), cx.layout(id).clone(), wide.channels());
    let own = Layout::new([chunk]);
    let planes = own.planes();
    // Every chunk fills planes of its own, in x as in y.
    if (0..4).any(|i| layout.slice(i * chunk, chunk) != Some((i * planes, own.clone()))) {
        return Ok(false);
    }
    let x = cx.operand_as(cx.get(id).inputs[0], &layout)?;
    let y = cx.new_output(id)?;
    let words: Vec<u32> = [small, medium, wide, tall]
        .iter()
        .flat_map(|conv| pack(&conv.weight, conv.kernel[0] * conv.kernel[1], &own))
        .collect();
    let weights = cx.integer_weights(Element::I8, words);
    let saturate = Finish::Clamp { low: -127 };
    let convs = mixer.parts.iter().map(|part| &part.conv).chain([wide]);
    let factors = convs.clone().fold(Factors::new(&saturate), |factors, conv| {
        let [multiplier, shift] = factors::apart(&conv.requant, chunk);
        factors.planes(&own, &[conv.bias.clone(), multiplier, shift])
    });
    let factors = factors.bind(&saturate, cx);
    let constants = [
        ("BATCH", cx.batch()),
        ("IN_H", shape.height),
        ("IN_W", shape.width),
        ("CHUNK_PLANES", planes),
        ("X_PLANE", x.first_plane),
        ("SMALL", small.kernel[0]),
        ("MEDIUM", medium.kernel[0]),
        ("LONG", wide.kernel[1]),
        ("RESIDUAL_PLANE", 0),
        ("HAS_RESIDUAL", 0),
        ("STEEP", factors::steep(convs.flat_map(|conv| &conv.requant))),
        ("SUMS", usize::from(tall.requant.is_empty())),
    ];
    let macs = [small, medium, wide, tall].map(|conv| conv.weight.len() as u64).iter().sum::<u64>();
    let bindings = vec![x.binding(), weights, factors, x.binding(), y.binding()];
    cx.push_tiled(&KERNEL, &constants, bindings, macs * shape.pixels() as u64)?;
    Ok(true)
}
