use super::*;

/// Sees every value of a run and may change it: for measuring ranges, and for computing as if
/// values were rounded to a grid.
pub trait Visitor {
    /// A node's value, the input's too, before anybody reads it.
    fn made(&mut self, _node: NodeId, _value: &mut Tensor) {}

    /// What `reader` gets for the value of one of its inputs; `None` for the value itself.
    fn read(&mut self, _reader: NodeId, _input: NodeId, _value: &Tensor) -> Option<Tensor> {
        None
    }

    /// The value between the convolutions `wide` and `tall` of a [`ChunkConv`], `[n, c/4, h, w]`.
    fn between(&mut self, _node: NodeId, _value: &mut Tensor) {}
}

impl CpuExecutor {
    /// The output's value, computed node by node in order, each value shown to the visitor.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_visited(&self, input: &Tensor, visitor: &mut dyn Visitor) -> Result<Tensor> {
        let graph = &*self.graph;
        check_input(graph, input)?;
        let mut input = input.clone();
        visitor.made(graph.input(), &mut input);
        let mut values = Values::new(graph, &[graph.output()], &input);
        drop(input);
        for id in graph.ids().skip(1).filter(|id| values.is_needed(*id)).collect::<Vec<_>>() {
            let node = graph.node(id);
            let held = values.inputs(graph, id)?;
            let instead: Vec<Option<Tensor>> =
                node.inputs.iter().zip(&held).map(|(input, value)| visitor.read(id, *input, value)).collect();
            let inputs: Vec<&Tensor> =
                instead.iter().zip(held).map(|(instead, held)| instead.as_ref().unwrap_or(held)).collect();
            let mut value = match &node.op {
                Op::ChunkConv(op) => {
                    op.run_between(inputs[0], node.shape, graph.params(), &mut |value| visitor.between(id, value))
                }
                op => kernel(op).run(&inputs, node.shape, graph.params()),
            };
            visitor.made(id, &mut value);
            values.put(graph, id, value);
        }
        values.take(graph, graph.output())
    }
}

/// The value of an operator from those of its inputs, outside of any run. `between` sees the value
/// between the convolutions `wide` and `tall` of a [`ChunkConv`].
pub(crate) fn compute_alone(
    op: &Op,
    inputs: &[&Tensor],
    shape: Shape,
    params: &Params,
    between: &mut dyn FnMut(&mut Tensor),
) -> Tensor {
    match (op, inputs) {
        (Op::ChunkConv(op), [x, ..]) => op.run_between(x, shape, params, between),
        _ => kernel(op).run(inputs, shape, params),
    }
}
