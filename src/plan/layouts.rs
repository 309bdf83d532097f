//! Chooses where each value's channels lie, so that splits and concatenations are free.
//!
//! Every value starts as one segment. Operators that split channels ask for a cut at the split;
//! operators that work channel by channel want their input and output alike. Each cut is passed on
//! once to every value that it concerns; a cut on a whole plane of four costs nothing.

mod integer;

use std::collections::BTreeSet;

use crate::graph::{Graph, NodeId};
use crate::int8::Program;
use crate::kernels::Layout;
use crate::ops::Op;

type Cuts = BTreeSet<usize>;

/// One layout per node. `program` is what the graph is the outline of, if it is one.
pub(super) fn assign(graph: &Graph, program: Option<&Program>) -> Vec<Layout> {
    let mut spread = Spread::new(graph);
    match program {
        Some(program) => graph.ids().skip(1).for_each(|id| spread.relate_in(program, id)),
        None => graph.ids().skip(1).for_each(|id| spread.relate(id)),
    }
    let cuts = spread.run();
    graph.ids().map(|id| layout(&cuts[id.index()], graph.node(id).shape.channels)).collect()
}

fn layout(cuts: &Cuts, channels: usize) -> Layout {
    let ends = cuts.iter().copied().chain([channels]);
    let mut start = 0;
    Layout::new(ends.map(|end| end - std::mem::replace(&mut start, end)))
}

/// Channels of one value that are, one by one, channels of another: a cut among these is a cut
/// among those.
#[derive(Clone, Copy)]
struct Link {
    /// First channel here.
    first: usize,
    channels: usize,
    other: NodeId,
    /// First channel there.
    there: usize,
}

/// Cuts on their way to all that they concern.
struct Spread<'g> {
    graph: &'g Graph,
    /// Per node, its links with the values that it reads and with its readers.
    links: Vec<Vec<Link>>,
    cuts: Vec<Cuts>,
    /// Cuts that were made but not passed on.
    ahead: Vec<(NodeId, usize)>,
}

impl<'g> Spread<'g> {
    fn new(graph: &'g Graph) -> Self {
        let count = graph.nodes().len();
        let (links, cuts) = (vec![Vec::new(); count], vec![Cuts::new(); count]);
        Spread { graph, links, cuts, ahead: Vec::new() }
    }

    fn run(mut self) -> Vec<Cuts> {
        while let Some((id, cut)) = self.ahead.pop() {
            for at in 0..self.links[id.index()].len() {
                let Link { first, channels, other, there } = self.links[id.index()][at];
                if first < cut && cut < first + channels {
                    self.cut(other, cut - first + there);
                }
            }
            if let Op::CopyConv(_) = self.graph.node(id).op {
                // Both halves read the same input, so they have to be alike.
                let half = self.graph.node(id).shape.channels / 2;
                self.cut(id, cut % half);
                self.cut(id, cut % half + half);
            }
        }
        self.cuts
    }

    /// Makes a cut, unless it is there or is none.
    fn cut(&mut self, id: NodeId, cut: usize) {
        // The input comes from outside, in one segment; who wants it cut gathers it.
        let inside = id != self.graph.input() && (1..self.graph.node(id).shape.channels).contains(&cut);
        if inside && self.cuts[id.index()].insert(cut) {
            self.ahead.push((id, cut));
        }
    }

    /// `channels` of a node from `there` on are those of its input from `first` on.
    fn link(&mut self, input: NodeId, first: usize, id: NodeId, there: usize, channels: usize) {
        self.links[input.index()].push(Link { first, channels, other: id, there });
        self.links[id.index()].push(Link { first: there, channels, other: input, there: first });
    }

    /// The whole of a node and its input are alike.
    fn alike(&mut self, input: NodeId, id: NodeId) {
        self.link(input, 0, id, 0, self.graph.node(id).shape.channels);
    }

    /// The links of a node with its inputs, and the cuts that it asks for.
    fn relate(&mut self, id: NodeId) {
        let graph = self.graph;
        let node = graph.node(id);
        match &node.op {
            Op::Add(_)
            | Op::BatchNorm(_)
            | Op::Activate(_)
            | Op::Scale(_)
            | Op::Gate(_)
            | Op::AvgPool(_)
            | Op::GlobalAvgPool(_) => {
                node.inputs.iter().for_each(|input| self.alike(*input, id));
            }
            Op::Conv2d(conv) => {
                node.inputs.iter().skip(1).for_each(|residual| self.alike(*residual, id));
                if conv.is_depthwise(graph.params()) {
                    self.alike(node.inputs[0], id);
                }
            }
            Op::ChunkConv(_) => {
                self.alike(node.inputs[0], id);
                let chunk = node.shape.channels / 4;
                (1..4).for_each(|i| self.cut(id, i * chunk));
            }
            Op::CopyConv(_) => self.cut(id, node.shape.channels / 2),
            Op::Slice(slice) => {
                self.link(node.inputs[0], slice.start, id, 0, slice.channels);
                self.cut(node.inputs[0], slice.start);
                self.cut(node.inputs[0], slice.start + slice.channels);
            }
            Op::Concat(_) => {
                let mut start = 0;
                for &input in &node.inputs {
                    let channels = graph.node(input).shape.channels;
                    self.link(input, 0, id, start, channels);
                    self.cut(id, start);
                    start += channels;
                }
            }
            Op::Input(_) | Op::Linear(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
