//! Which channels of which values can be scaled freely, and which only together.
//!
//! Dividing a channel of a value by a positive number changes nothing if whoever makes it divides
//! its weights' row and bias, and whoever reads it multiplies its weights' column (Nagel et al.,
//! “Data-free quantization through weight equalization and bias correction”, 4.1). A ReLU lets
//! positive factors through, GELU and sigmoid do not. Operators without weights hand a channel's
//! factor on, so that their values are tied.

use super::parts::Place;
use crate::graph::{Graph, NodeId};
use crate::ops::{Activation, Op};

/// Channels of values as variables, those that must have one factor in one class.
pub(super) struct Ties {
    /// First variable of each node's value, then of what is between `wide` and `tall`.
    starts: Vec<usize>,
    between: Vec<usize>,
    parents: Vec<usize>,
    fixed: Vec<bool>,
}

impl Ties {
    pub(super) fn of(graph: &Graph) -> Self {
        let mut count = 0;
        let mut take = |channels: usize| {
            count += channels;
            count - channels
        };
        let starts: Vec<usize> = graph.nodes().iter().map(|node| take(node.shape.channels)).collect();
        let inner = |op: &Op, channels: usize| if matches!(op, Op::ChunkConv(_)) { channels / 4 } else { 0 };
        let between = graph.nodes().iter().map(|node| take(inner(&node.op, node.shape.channels))).collect();
        let mut ties = Ties { starts, between, parents: (0..count).collect(), fixed: vec![false; count] };
        ties.fix(graph, graph.input());
        ties.fix(graph, graph.output());
        graph.ids().skip(1).for_each(|id| ties.add(graph, id));
        ties
    }

    /// The variable of a channel.
    pub(super) fn variable(&self, place: Place, channel: usize) -> usize {
        channel
            + match place {
                Place::Value(id) => self.starts[id.index()],
                Place::Between(id) => self.between[id.index()],
            }
    }

    fn of_value(&self, value: NodeId, channel: usize) -> usize {
        self.variable(Place::Value(value), channel)
    }

    /// Number of variables.
    pub(super) fn len(&self) -> usize {
        self.parents.len()
    }

    /// The class of a variable, as one of its members; `None` if its factor is 1.
    pub(super) fn class(&self, variable: usize) -> Option<usize> {
        let root = self.root(variable);
        (!self.fixed[root]).then_some(root)
    }

    fn root(&self, mut variable: usize) -> usize {
        while self.parents[variable] != variable {
            variable = self.parents[variable];
        }
        variable
    }

    fn tie(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let (first, other) = (a.min(b), a.max(b));
        self.fixed[first] |= self.fixed[other];
        self.parents[other] = first;
    }

    fn fix(&mut self, graph: &Graph, value: NodeId) {
        for channel in 0..graph.node(value).shape.channels {
            let root = self.root(self.of_value(value, channel));
            self.fixed[root] = true;
        }
    }

    fn tie_values(&mut self, graph: &Graph, a: NodeId, b: NodeId) {
        for channel in 0..graph.node(b).shape.channels {
            self.tie(self.of_value(a, channel), self.of_value(b, channel));
        }
    }

    fn add(&mut self, graph: &Graph, id: NodeId) {
        let node = graph.node(id);
        let inputs = &node.inputs;
        let mut op = node.op.clone();
        let activation = match op {
            Op::Activate(ref activate) => activate.0,
            ref mut op => op.activation_mut().copied().unwrap_or_default(),
        };
        match &node.op {
            // A residual is added before the activation: one factor for both.
            Op::Conv2d(_) => inputs.iter().skip(1).for_each(|residual| self.tie_values(graph, *residual, id)),
            Op::Linear(_) | Op::BatchNorm(_) | Op::CopyConv(_) | Op::Input(_) => {}
            Op::ChunkConv(_) => {
                for channel in 0..node.shape.channels / 4 {
                    self.tie(self.of_value(inputs[0], channel), self.of_value(id, channel));
                }
            }
            Op::Slice(slice) => {
                for channel in 0..slice.channels {
                    self.tie(self.of_value(inputs[0], slice.start + channel), self.of_value(id, channel));
                }
            }
            Op::Concat(_) => {
                let mut start = 0;
                for input in inputs {
                    let channels = graph.node(*input).shape.channels;
                    for channel in 0..channels {
                        self.tie(self.of_value(*input, channel), self.of_value(id, start + channel));
                    }
                    start += channels;
                }
            }
            Op::Gate(_) => {
                self.tie_values(graph, inputs[0], id);
                self.fix(graph, inputs[1]);
            }
            Op::Activate(_) | Op::Add(_) | Op::Scale(_) | Op::AvgPool(_) | Op::GlobalAvgPool(_) => {
                inputs.iter().for_each(|input| self.tie_values(graph, *input, id));
            }
        }
        if !matches!(activation, Activation::None | Activation::Relu) {
            // Ties come before, so that what is tied to it is fixed too.
            self.fix(graph, id);
        }
    }
}
