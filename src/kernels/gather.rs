//! Copies channels to other places: for the few values whose layout has to change.

use super::lowering::Piece;
use super::{Binding, Element, Kernel, Lowering, TABLE, X, Y, int8, source};
use crate::error::Result;

pub(super) static KERNEL: Kernel = Kernel {
    name: "gather",
    arguments: &[&X, &TABLE, &Y],
    sources: &[&source!("gather.wgsl")],
    constants: &["PIXELS", "X_PLANE", "Y_PLANE"],
    workgroup: 64,
    tiling: None,
    open: &["PIXELS", "X_PLANE", "Y_PLANE"],
    fixed: &[],
};

/// Fills the planes of `into`, which holds floats or, as `from`, integers of 8 bits: physical channel `c` gets the physical channel `source[c]` of
/// `from`, or zero.
pub(super) fn push(
    cx: &mut Lowering<'_>,
    from: Piece,
    pixels: usize,
    source: &[Option<usize>],
    into: Piece,
) -> Result<()> {
    let table = source.iter().map(|c| c.map_or(Ok(u32::MAX), |c| cx.constant(c))).collect::<Result<Vec<u32>>>()?;
    let table = cx.table(table);
    let constants = [("PIXELS", pixels), ("X_PLANE", from.first_plane), ("Y_PLANE", into.first_plane)];
    let bindings = vec![Binding::Tensor(from.tensor), table, Binding::Tensor(into.tensor)];
    let kernel = match cx.tensor_format(from.tensor).element {
        Element::I8 => &int8::gather::KERNEL,
        Element::I32 => return Err(cx.error("the layout of sums would have to change, which no kernel does")),
        _ => &KERNEL,
    };
    cx.push(kernel, &constants, bindings, [pixels, source.len() / 4, 1], 0)
}
