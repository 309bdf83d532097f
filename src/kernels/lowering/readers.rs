//! Who reads what.

use std::collections::HashSet;

use crate::graph::{Graph, NodeId};

/// Of each value the node that reads it, where exactly one does, once.
pub(super) fn only_readers(graph: &Graph) -> Vec<Option<NodeId>> {
    let mut readers = vec![None; graph.nodes().len()];
    let mut reads = vec![0usize; graph.nodes().len()];
    for id in graph.ids() {
        for input in &graph.node(id).inputs {
            readers[input.index()] = Some(id);
            reads[input.index()] += 1;
        }
    }
    readers.into_iter().zip(reads).map(|(reader, reads)| reader.filter(|_| reads == 1)).collect()
}

/// Whether any weights belong to several nodes.
pub(super) fn shares_params(graph: &Graph) -> bool {
    let mut seen = HashSet::new();
    graph.nodes().iter().flat_map(|node| node.op.params()).any(|(_, id)| !seen.insert(id.0))
}
