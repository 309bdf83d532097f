use super::*;

/// The values that are alive during a run. A value is dropped after its last reading.
pub(super) struct Values {
    values: Vec<Option<Tensor>>,
    /// Readings still to come; 0 for nodes that nobody needs.
    reads: Vec<usize>,
}

impl Values {
    /// The state before the run: only the input has a value. `roots` are read once each at the
    /// end; nodes that none of them depends on are not needed.
    pub(super) fn new(graph: &Graph, roots: &[NodeId], input: &Tensor) -> Self {
        let mut reads = vec![0; graph.nodes().len()];
        roots.iter().for_each(|id| reads[id.index()] += 1);
        // Inputs come before their readers, so one backward walk reaches everything.
        for id in graph.ids().rev() {
            if reads[id.index()] > 0 {
                graph.node(id).inputs.iter().for_each(|input| reads[input.index()] += 1);
            }
        }
        let mut values = vec![None; reads.len()];
        values[graph.input().index()] = Some(input.clone());
        Values { values, reads }
    }

    pub(super) fn is_needed(&self, id: NodeId) -> bool {
        self.reads[id.index()] > 0
    }

    /// The values that a node reads.
    pub(super) fn inputs(&self, graph: &Graph, id: NodeId) -> Result<Vec<&Tensor>> {
        let value = |input: &NodeId| self.values[input.index()].as_ref().ok_or_else(|| missing(graph, *input));
        graph.node(id).inputs.iter().map(value).collect()
    }

    /// Stores a node's value, and drops those that it was the last to read.
    pub(super) fn put(&mut self, graph: &Graph, id: NodeId, value: Tensor) {
        self.values[id.index()] = Some(value);
        graph.node(id).inputs.iter().for_each(|input| self.release(*input));
    }

    /// One of the roots' values.
    pub(super) fn take(&mut self, graph: &Graph, id: NodeId) -> Result<Tensor> {
        let value =
            if self.reads[id.index()] > 1 { self.values[id.index()].clone() } else { self.values[id.index()].take() };
        self.release(id);
        value.ok_or_else(|| missing(graph, id))
    }

    /// Counts one reading of a value, and drops it if that was the last.
    pub(super) fn release(&mut self, id: NodeId) {
        let reads = &mut self.reads[id.index()];
        *reads = reads.saturating_sub(1);
        if *reads == 0 {
            self.values[id.index()] = None;
        }
    }
}

fn missing(graph: &Graph, id: NodeId) -> Error {
    let node = graph.node(id);
    Error::Graph { node: node.name.clone(), op: node.op.name(), reason: "its value is not there to be read".into() }
}
