//! Integer kernels: the nodes of a [`Program`](crate::int8::Program), bit for bit as the CPU computes them.
//!
//! One file per kernel, as for floats, beside `shaders/int8/`. Values of 8 bits lie four channels to a word, planes
//! as those of floats; `shaders/int8/arith.wgsl` has every rounding of [`arith`](crate::int8::arith). Float nodes
//! between them are lowered by the kernels of floats.

pub(super) mod activate;
pub(super) mod add;
pub(super) mod affine;
pub(super) mod conv;
pub(super) mod conv_float;
pub(super) mod depthwise;
pub(super) mod dequantize;
mod factors;
pub(super) mod gate;
pub(super) mod gather;
pub(super) mod gemm;
pub(super) mod global_pool;
pub(super) mod linear;
mod mixer;
pub(super) mod pool;
pub(super) mod quantize;
pub(super) mod token_mixer;

use super::argument::FACTORS;
use super::{Lower, Lowering, Source, source};
use crate::error::Result;
use crate::graph::NodeId;
use crate::int8::program::{IntOp, Node};
use crate::ops;

/// Rounding, rescaling, tables.
static ARITH: Source = source!("int8/arith.wgsl");
/// `products(w, x)`: dot products of bytes.
pub(super) static PRODUCTS: Source = source!("int8/products.wgsl");
/// `ended(plane, pixel, sum)`: residual, rescaling, activation.
static ENDING: Source = source!("int8/ending.wgsl");

/// Turns a node that is not float into steps.
pub(super) fn lower(node: &Node, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    match &node.op {
        IntOp::Input => Ok(()),
        IntOp::Float(_) => Err(cx.error("it computes in floats")),
        IntOp::Quantize => quantize::lower(node, id, cx),
        IntOp::Dequantize => dequantize::lower(id, cx),
        IntOp::Conv(op) if depthwise::takes(op) => depthwise::lower(op, id, cx),
        IntOp::Conv(op) => conv::lower(op, id, cx),
        IntOp::Mixer(op) => mixer::lower(op, id, cx),
        IntOp::Pool(op) => pool::lower(op, id, cx),
        IntOp::Add(op) => add::lower(op, id, cx),
        IntOp::Gate(op) => gate::lower(op, id, cx),
        IntOp::Affine(op) => affine::lower(op, id, cx),
        IntOp::Activate(table) => activate::lower(table, id, cx),
        // On whole planes these are views, whatever they are views of.
        IntOp::Slice { start } => ops::Slice { start: *start, channels: node.shape.channels }.lower(id, cx),
        IntOp::Concat => ops::Concat.lower(id, cx),
    }
}
