//! RepNeXt's fused token mixers in the paper's single-branch form (M·E): one large depthwise
//! kernel.

use super::reparam::LinearConv;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::ops::{ChunkConv, Conv2d, CopyConv, Depthwise, Op};
use crate::tensor::Tensor;

/// Kernel size of a block's token mixer in this form.
const BLOCK: [usize; 2] = [11, 11];
/// Kernel size of a downsampling token mixer in this form.
const DOWNSAMPLE: [usize; 2] = [7, 7];

/// Turns every [`ChunkConv`] into one depthwise 11×11 convolution (the identity is a Dirac kernel,
/// the smaller kernels sit in its middle, 1×11 then 11×1 is an outer product) and makes both
/// kernels of every [`CopyConv`] 7×7. More arithmetic, fewer kinds of kernels.
///
/// # Errors
/// [`Error::Inexact`] if the 1×11 convolution of a chunk has a bias: the zero padding of the 11×1
/// one applies after it, so that no single kernel is equal at the borders.
pub fn single_branch(graph: &Graph) -> Result<Graph> {
    let mut graph = graph.clone();
    for id in graph.ids() {
        match graph.node(id).op.clone() {
            Op::ChunkConv(op) => one_kernel(&mut graph, id, &op)?,
            Op::CopyConv(op) => equal_kernels(&mut graph, id, &op)?,
            _ => {}
        }
    }
    graph.sweep();
    Ok(graph)
}

fn one_kernel(graph: &mut Graph, id: NodeId, op: &ChunkConv) -> Result<()> {
    let node = graph.node(id);
    let (name, inputs, channels) = (node.name.clone(), node.inputs.clone(), node.shape.channels);
    let [small, medium, wide, tall] = op.parts().map(|(_, part)| map(graph, part));
    let long = wide?.compose(&tall?).map_err(|error| match error {
        Error::Inexact { rewrite, reason } => Error::Inexact { rewrite, reason: format!("{name}: {reason}") },
        error => error,
    })?;
    let (mut kernel, mut bias) = (Vec::new(), Vec::new());
    for part in [LinearConv::dirac(channels / 4), small?, medium?, long] {
        let part = part.embed(BLOCK)?;
        kernel.extend_from_slice(part.kernel());
        bias.extend_from_slice(part.bias());
    }
    let Depthwise { weight, bias } = depthwise(graph, &name, BLOCK, &kernel, &bias)?;
    let conv = Conv2d::new(weight, Some(bias)).groups(channels).padding(BLOCK.map(|k| k / 2));
    graph.replace(id, conv, &inputs)
}

fn equal_kernels(graph: &mut Graph, id: NodeId, op: &CopyConv) -> Result<()> {
    let (name, inputs) = (graph.node(id).name.clone(), graph.node(id).inputs.clone());
    let mut grow = |part: Depthwise, role: &str| -> Result<Depthwise> {
        if part.kernel(graph.params()) == DOWNSAMPLE {
            return Ok(part);
        }
        let large = map(graph, part)?.embed(DOWNSAMPLE)?;
        depthwise(graph, &format!("{name}.{role}"), DOWNSAMPLE, large.kernel(), large.bias())
    };
    let op = CopyConv { small: grow(op.small, "small")?, medium: grow(op.medium, "medium")? };
    graph.replace(id, op, &inputs)
}

/// A part's map at stride 1: embedding is the same at any stride.
fn map(graph: &Graph, part: Depthwise) -> Result<LinearConv> {
    let channels = graph.params().shape(part.bias).iter().product();
    let padding = part.kernel(graph.params()).map(|k| k / 2);
    LinearConv::conv2d(&Conv2d::new(part.weight, Some(part.bias)).groups(channels).padding(padding), graph.params())
}

fn depthwise(graph: &mut Graph, name: &str, size: [usize; 2], kernel: &[f64], bias: &[f64]) -> Result<Depthwise> {
    let round = |values: &[f64]| values.iter().map(|v| *v as f32).collect();
    let weight = Tensor::new([bias.len(), 1, size[0], size[1]], round(kernel))?;
    let bias = Tensor::new([bias.len()], round(bias))?;
    let weight = graph.param(format!("{name}.weight"), weight);
    Ok(Depthwise { weight, bias: graph.param(format!("{name}.bias"), bias) })
}
