//! Where a value forks into parallel linear branches that are summed again: the blocks of networks in
//! training form.

use crate::graph::{Graph, NodeId};
use crate::ops::{Activation, Op};

/// A sum of linear maps of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fork {
    /// The sum.
    pub sum: NodeId,
    /// The value that every branch starts from.
    pub origin: NodeId,
    /// The branches, in the order in which they are summed.
    pub arms: Vec<Arm>,
    /// The batch norm that follows the sum, perhaps behind a squeeze-and-excitation gate.
    pub post: Option<NodeId>,
}

/// One branch of a fork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arm {
    /// Its last node, whose value is summed; the fork's origin for a plain identity.
    pub end: NodeId,
    /// Its kernels in the order in which they are applied: `3×3`, `1×7→7×1`, or `identity`.
    pub path: String,
    /// Its batch norms, the last first.
    pub norms: Vec<NodeId>,
}

/// The forks of a graph, in topological order of their sums.
pub(crate) fn forks(graph: &Graph) -> Vec<Fork> {
    let walk = Walk::new(graph);
    graph.ids().filter_map(|id| walk.fork(id)).collect()
}

/// A graph with its readings.
struct Walk<'a> {
    graph: &'a Graph,
    uses: Vec<usize>,
    readers: Vec<Vec<NodeId>>,
}

impl<'a> Walk<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut readers = vec![Vec::new(); graph.nodes().len()];
        for id in graph.ids() {
            graph.node(id).inputs.iter().for_each(|input| readers[input.index()].push(id));
        }
        Walk { graph, uses: graph.uses(), readers }
    }

    /// The fork that ends in this node, if it is a sum whose operands are all linear maps of one value.
    fn fork(&self, sum: NodeId) -> Option<Fork> {
        let node = self.graph.node(sum);
        if !matches!(node.op, Op::Add(_)) {
            return None;
        }
        let found: Vec<(NodeId, Arm)> = node.inputs.iter().map(|input| self.arm(*input)).collect();
        let origin = found.first()?.0;
        if found.iter().any(|(other, _)| *other != origin) {
            return None;
        }
        let arms = found.into_iter().map(|(_, arm)| arm).collect();
        Some(Fork { sum, origin, arms, post: self.norm_after(sum) })
    }

    /// What lies between a value and the fork that it comes from.
    fn arm(&self, end: NodeId) -> (NodeId, Arm) {
        let (mut path, mut norms, mut id) = (Vec::new(), Vec::new(), end);
        while self.uses[id.index()] == 1 {
            let node = self.graph.node(id);
            match (&node.op, node.inputs.as_slice()) {
                (Op::Conv2d(conv), [x]) if conv.activation == Activation::None => {
                    let [kernel, dilation] = [conv.kernel(self.graph.params()), conv.dilation];
                    let dilated = if dilation == [1, 1] { String::new() } else { format!(" dilated {}", dilation[0]) };
                    path.push(format!("{}×{}{dilated}", kernel[0], kernel[1]));
                    id = *x;
                }
                (Op::AvgPool(pool), [x]) => {
                    path.push(format!("{0}×{0} mean", pool.kernel));
                    id = *x;
                }
                (Op::BatchNorm(norm), [x]) if norm.activation == Activation::None => {
                    norms.push(id);
                    id = *x;
                }
                _ => break,
            }
        }
        path.reverse();
        let path = if path.is_empty() { "identity".to_owned() } else { path.join("→") };
        (id, Arm { end, path, norms })
    }

    /// The batch norm that follows, perhaps behind a squeeze-and-excitation gate.
    fn norm_after(&self, id: NodeId) -> Option<NodeId> {
        let gates = |reader: &&NodeId| {
            let node = self.graph.node(**reader);
            matches!(node.op, Op::Gate(_)) && node.inputs.first() == Some(&id)
        };
        let readers = &self.readers[id.index()];
        let gated = readers.iter().filter(gates).flat_map(|gate| &self.readers[gate.index()]);
        let is_norm = |reader: &&NodeId| matches!(self.graph.node(**reader).op, Op::BatchNorm(_));
        readers.iter().chain(gated).find(is_norm).copied()
    }
}
