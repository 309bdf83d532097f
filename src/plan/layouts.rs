//! Chooses where each value's channels lie, so that splits and concatenations are free.
//!
//! Every value starts as one segment. Operators that split channels ask for a cut at the split;
//! operators that work channel by channel want their input and output alike. Cuts are propagated
//! until nothing changes; a cut on a whole plane of four costs nothing.

use std::collections::BTreeSet;

use crate::graph::{Graph, NodeId};
use crate::kernels::Layout;
use crate::ops::Op;

type Cuts = BTreeSet<usize>;

/// One layout per node.
pub(super) fn assign(graph: &Graph) -> Vec<Layout> {
    let mut cuts: Vec<Cuts> = vec![Cuts::new(); graph.nodes().len()];
    while graph.ids().skip(1).fold(false, |changed, id| relate(graph, id, &mut cuts) | changed) {}
    graph.ids().map(|id| layout(&cuts[id.index()], graph.node(id).shape.channels)).collect()
}

fn layout(cuts: &Cuts, channels: usize) -> Layout {
    let ends = cuts.iter().copied().chain([channels]);
    let mut start = 0;
    Layout::new(ends.map(|end| end - std::mem::replace(&mut start, end)))
}

/// Adds the cuts that one node asks for; says whether there were new ones.
fn relate(graph: &Graph, id: NodeId, cuts: &mut [Cuts]) -> bool {
    let node = graph.node(id);
    let mut wanted: Vec<(NodeId, Cuts)> = Vec::new();
    let mut alike = |a: NodeId, b: NodeId| {
        let both: Cuts = cuts[a.index()].union(&cuts[b.index()]).copied().collect();
        wanted.extend([(a, both.clone()), (b, both)]);
    };
    match &node.op {
        Op::Add(_)
        | Op::BatchNorm(_)
        | Op::Activate(_)
        | Op::Scale(_)
        | Op::Gate(_)
        | Op::AvgPool(_)
        | Op::GlobalAvgPool(_) => {
            node.inputs.iter().for_each(|input| alike(*input, id));
        }
        Op::Conv2d(conv) => {
            node.inputs.iter().skip(1).for_each(|residual| alike(*residual, id));
            if conv.is_depthwise(graph.params()) {
                alike(node.inputs[0], id);
            }
        }
        Op::ChunkConv(_) => {
            alike(node.inputs[0], id);
            let chunk = node.shape.channels / 4;
            wanted.push((id, (1..4).map(|i| i * chunk).collect()));
        }
        Op::CopyConv(_) => {
            // Both halves read the same input, so they have to be alike.
            let half = node.shape.channels / 2;
            let folded: Cuts = cuts[id.index()].iter().map(|cut| cut % half).filter(|cut| *cut > 0).collect();
            let halves = folded.iter().flat_map(|cut| [*cut, cut + half]).chain([half]);
            wanted.push((id, halves.collect()));
        }
        Op::Slice(slice) => {
            let (input, end) = (node.inputs[0], slice.start + slice.channels);
            let inner = slice.start + 1..end;
            let own = cuts[input.index()].range(inner).map(|cut| cut - slice.start).collect();
            let outer = [slice.start, end].into_iter().chain(cuts[id.index()].iter().map(|cut| cut + slice.start));
            wanted.extend([(id, own), (input, outer.collect())]);
        }
        Op::Concat(_) => {
            let mut start = 0;
            let mut all = Cuts::new();
            for &input in &node.inputs {
                let channels = graph.node(input).shape.channels;
                all.extend(cuts[input.index()].iter().map(|cut| cut + start).chain([start]));
                let own = cuts[id.index()].range(start + 1..start + channels).map(|cut| cut - start).collect();
                wanted.push((input, own));
                start += channels;
            }
            wanted.push((id, all));
        }
        Op::Input(_) | Op::Linear(_) => {}
    }
    let mut changed = false;
    for (id, add) in wanted {
        let channels = graph.node(id).shape.channels;
        for cut in add.into_iter().filter(|cut| (1..channels).contains(cut)) {
            // The input comes from outside, in one segment; who wants it cut gathers it.
            changed |= id != graph.input() && cuts[id.index()].insert(cut);
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Shape;
    use crate::ops::{Activate, Activation, Add, Concat, Slice};

    #[test]
    fn residual_chains_agree_on_the_cuts_of_a_split() {
        let mut graph = Graph::new("test", Shape::new(12, 5, 3));
        let a = graph.add("a", Activate(Activation::Relu), &[graph.input()]).unwrap();
        let left = graph.add("left", Slice { start: 0, channels: 6 }, &[a]).unwrap();
        let right = graph.add("right", Slice { start: 6, channels: 6 }, &[a]).unwrap();
        let both = graph.add("both", Concat, &[left, right]).unwrap();
        let sum = graph.add("sum", Add::default(), &[a, both]).unwrap();
        graph.set_output(sum);
        let layouts = assign(&graph);
        assert_eq!(layouts[0], Layout::new([12]));
        for id in [a, both, sum] {
            assert_eq!(layouts[id.index()], Layout::new([6, 6]));
        }
    }
}
