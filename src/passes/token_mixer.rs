//! RepNeXt's token mixers: slices, depthwise convolutions and a concat into one operator.

use std::collections::BTreeSet;

use super::names::{common_prefix, unique};
use super::report::{Note, Report};
use crate::error::Result;
use crate::graph::{Graph, NodeId, ParamId};
use crate::ops::{Activation, ChunkConv, Conv2d, CopyConv, Depthwise, Op};
use crate::tensor::Tensor;

/// Turns `concat(slice₀(x), dw3×3(slice₁(x)), dw7×7(slice₂(x)), dw11×1(dw1×11(slice₃(x))))` into
/// [`ChunkConv`] and `concat(dw3×3(x), dw7×7(x))` of stride 2 into [`CopyConv`].
///
/// To be run after [`reparameterise`](super::reparameterise), which leaves one convolution per
/// branch. A convolution that something else reads as well stays there beside.
///
/// # Errors
/// [`Error::Graph`](crate::Error::Graph) if the graph is not consistent.
pub fn fuse_token_mixers(graph: &Graph) -> Result<(Graph, Report)> {
    let mut graph = graph.clone();
    let mut report = Report::default();
    let mut names: BTreeSet<String> = graph.nodes().iter().map(|n| n.name.clone()).collect();
    for id in graph.ids() {
        if !matches!(graph.node(id).op, Op::Concat(_)) {
            continue;
        }
        let Some(mixer) = chunk_conv(&graph, id).or_else(|| copy_conv(&graph, id)) else { continue };
        let Some(op) = mixer.op(&mut graph) else { continue };
        graph.replace(id, op, &[mixer.source])?;
        let old = graph.node(id).name.clone();
        let absorbed = mixer.convs.iter().map(|conv| graph.node(*conv).name.as_str()).chain([old.as_str()]);
        if let Some(prefix) = common_prefix(absorbed).filter(|prefix| *prefix != old) {
            let name = unique(prefix, &mut names);
            graph.rename(id, name);
        }
        let what = format!("{} depthwise convolutions and a concat as one operator", mixer.convs.len());
        report.folded.push(Note { node: graph.node(id).name.clone(), what });
    }
    graph.sweep();
    Ok((graph, report))
}

struct Mixer {
    source: NodeId,
    /// In the order of the operator's parts: two for [`CopyConv`], four for [`ChunkConv`].
    convs: Vec<NodeId>,
}

impl Mixer {
    fn op(&self, graph: &mut Graph) -> Option<Op> {
        let parts: Vec<Depthwise> = self.convs.iter().filter_map(|id| depthwise(graph, *id)).collect();
        match parts[..] {
            [small, medium, wide, tall] => Some(ChunkConv { small, medium, wide, tall }.into()),
            [small, medium] => Some(CopyConv { small, medium }.into()),
            _ => None,
        }
    }
}

/// The weights of a convolution, with a bias of zeros if it has none.
fn depthwise(graph: &mut Graph, id: NodeId) -> Option<Depthwise> {
    let Op::Conv2d(conv) = graph.node(id).op.clone() else { return None };
    let bias: ParamId = conv.bias.unwrap_or_else(|| {
        let (name, channels) = (format!("{}.bias", graph.node(id).name), graph.node(id).shape.channels);
        graph.param(name, Tensor::zeros([channels]))
    });
    Some(Depthwise { weight: conv.weight, bias })
}

fn chunk_conv(graph: &Graph, id: NodeId) -> Option<Mixer> {
    let &[identity, small, medium, tall] = &graph.node(id).inputs[..] else { return None };
    let source = *graph.node(identity).inputs.first()?;
    let quarter = graph.node(id).shape.channels / 4;
    let is_chunk = |id: NodeId, index: usize| {
        let slice = matches!(&graph.node(id).op, Op::Slice(s) if s.start == index * quarter && s.channels == quarter);
        slice && graph.node(id).inputs == [source]
    };
    let read = |conv: NodeId, kernel: [usize; 2]| depthwise_input(graph, conv, kernel, 1);
    let wide = read(tall, [11, 1])?;
    let chunks = [(identity, 0), (read(small, [3, 3])?, 1), (read(medium, [7, 7])?, 2), (read(wide, [1, 11])?, 3)];
    let fits =
        graph.node(source).shape == graph.node(id).shape && chunks.iter().all(|(id, index)| is_chunk(*id, *index));
    fits.then(|| Mixer { source, convs: vec![small, medium, wide, tall] })
}

fn copy_conv(graph: &Graph, id: NodeId) -> Option<Mixer> {
    let &[small, medium] = &graph.node(id).inputs[..] else { return None };
    let source = depthwise_input(graph, medium, [7, 7], CopyConv::STRIDE)?;
    let read = |kernel| depthwise_input(graph, small, kernel, CopyConv::STRIDE);
    // 7×7 in both halves is the single-branch form.
    let same = read([3, 3]).or_else(|| read([7, 7])) == Some(source);
    same.then(|| Mixer { source, convs: vec![small, medium] })
}

/// What a depthwise convolution of that kernel and stride, centred, plain, reads.
fn depthwise_input(graph: &Graph, id: NodeId, kernel: [usize; 2], stride: usize) -> Option<NodeId> {
    let node = graph.node(id);
    let (Op::Conv2d(conv), &[source]) = (&node.op, &node.inputs[..]) else { return None };
    let channels = graph.node(source).shape.channels;
    let plain = Conv2d::new(conv.weight, conv.bias).stride(stride).groups(channels).padding(kernel.map(|k| k / 2));
    let depthwise = graph.params().shape(conv.weight) == [channels, 1, kernel[0], kernel[1]];
    (*conv == plain && conv.activation == Activation::None && depthwise).then_some(source)
}
