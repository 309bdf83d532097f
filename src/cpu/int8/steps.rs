//! Which kernel computes a node.

use super::conv::Conv;
use super::depthwise::DepthwiseConv;
use super::isa::Isa;
use super::kernel::Kernel;
use super::mixer::Mixer;
use super::small::{Elementwise, GlobalPool};
use crate::cpu::blocked::layout::Map;
use crate::int8::program::{IntOp, Node, Program, Type};

/// Whether all kernels are there. The browser package's module for GPUs, where the CPU is only what the GPU is tested
/// against while loading, has those of dense convolutions alone.
const ALL: bool = !cfg!(foveate_module = "gpu");

/// Whether a node has a kernel of its own; all others are computed in plain loops.
pub(super) fn has_kernel(program: &Program, node: &Node) -> bool {
    if !ALL {
        return matches!(&node.op, IntOp::Conv(conv) if !DepthwiseConv::fits(conv) && Conv::fits(conv));
    }
    let reads_image = || node.inputs.first().is_some_and(|id| matches!(program.node(*id).op, IntOp::Input));
    match &node.op {
        IntOp::Quantize => reads_image(),
        IntOp::Conv(conv) => DepthwiseConv::fits(conv) || Conv::fits(conv),
        IntOp::Mixer(mixer) => Mixer::fits(mixer),
        IntOp::Add(_) => node.inputs.len() == 2,
        IntOp::Pool(pool) => node.inputs.first().is_some_and(|id| {
            let shape = program.node(*id).shape;
            pool.kernel == [shape.height, shape.width] && GlobalPool::fits(pool, &Map::new(shape, 0))
        }),
        IntOp::Gate(_) | IntOp::Affine(_) | IntOp::Activate(_) => true,
        IntOp::Input | IntOp::Dequantize | IntOp::Float(_) | IntOp::Slice { .. } | IntOp::Concat => false,
    }
}

/// The frame of zeros that a node's kernel reads around its first input.
pub(super) fn halo(program: &Program, node: &Node) -> usize {
    match &node.op {
        IntOp::Conv(conv) if has_kernel(program, node) => conv.padding[0].max(conv.padding[1]),
        IntOp::Mixer(mixer) if ALL && has_kernel(program, node) => Mixer::halo(mixer),
        _ => 0,
    }
}

/// The kernel of a node that [has one](has_kernel), for values that lie as `inputs` and `output` say.
pub(super) fn kernel(node: &Node, isa: Isa, inputs: &[Map], output: Map, threads: usize) -> Option<Box<dyn Kernel>> {
    let input = *inputs.first()?;
    let second = inputs.get(1).copied();
    Some(match &node.op {
        IntOp::Conv(op) if !ALL => Box::new(Conv::new(op, isa, input, output, second, threads)),
        _ if !ALL => return None,
        IntOp::Quantize => {
            let Type::I8 { scale } = node.ty else { return None };
            Box::new(Elementwise::quantize(scale, input, output, threads))
        }
        IntOp::Conv(op) if DepthwiseConv::fits(op) => {
            Box::new(DepthwiseConv::new(op, isa, [input, output], second, threads))
        }
        IntOp::Conv(op) => Box::new(Conv::new(op, isa, input, output, second, threads)),
        IntOp::Mixer(op) => Box::new(Mixer::new(op, isa, input, output, threads)),
        IntOp::Pool(op) => Box::new(GlobalPool::new(op, input, output, threads)),
        IntOp::Add(op) => Box::new(Elementwise::add(op, [input, second?], output, threads)?),
        IntOp::Gate(op) => Box::new(Elementwise::gate(op, [input, second?], output, threads)),
        IntOp::Affine(op) => Box::new(Elementwise::affine(op, input, output, threads)),
        IntOp::Activate(table) => Box::new(Elementwise::activate(table, input, output, threads)),
        _ => return None,
    })
}
