//! Every operator with weights as matrix products from one value's channels to another's.

use crate::graph::{Graph, NodeId, ParamId};
use crate::ops::{Depthwise, Op};

/// A value inside the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The value of a node.
    Value(NodeId),
    /// What is between `wide` and `tall` of a `ChunkConv`.
    Between(NodeId),
}

/// A weight with the channels that it reads and makes. Its tensor has a row per output channel, and
/// in it `taps` values for each of `columns` input channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub node: NodeId,
    pub weight: ParamId,
    pub bias: Option<ParamId>,
    pub from: Place,
    from_start: usize,
    pub to: Place,
    to_start: usize,
    pub rows: usize,
    pub columns: usize,
    pub taps: usize,
    rows_per_group: usize,
}

impl Part {
    /// The parts of a node; empty for operators without weights, and for batch norms.
    pub(super) fn of(graph: &Graph, id: NodeId) -> Vec<Part> {
        let node = graph.node(id);
        let Some(&x) = node.inputs.first() else { return Vec::new() };
        let dense = |weight: ParamId, bias, groups: usize| {
            let shape = graph.params().shape(weight);
            let (rows, columns) = (shape[0], shape[1]);
            let taps = shape[2..].iter().product();
            let (from, to) = (Place::Value(x), Place::Value(id));
            let rows_per_group = rows / groups;
            Part { node: id, weight, bias, from, from_start: 0, to, to_start: 0, rows, columns, taps, rows_per_group }
        };
        let depthwise = |part: Depthwise| {
            let channels = graph.params().shape(part.weight)[0];
            dense(part.weight, Some(part.bias), channels)
        };
        match &node.op {
            Op::Conv2d(conv) => vec![dense(conv.weight, conv.bias, conv.groups)],
            Op::Linear(linear) => vec![dense(linear.weight, linear.bias, 1)],
            Op::ChunkConv(mixer) => {
                let chunk = node.shape.channels / 4;
                let at = |part, start| Part { from_start: start, to_start: start, ..depthwise(part) };
                let wide = Part { to: Place::Between(id), to_start: 0, ..at(mixer.wide, 3 * chunk) };
                let tall = Part { from: Place::Between(id), from_start: 0, ..at(mixer.tall, 3 * chunk) };
                vec![at(mixer.small, chunk), at(mixer.medium, 2 * chunk), wide, tall]
            }
            Op::CopyConv(mixer) => {
                let half = node.shape.channels / 2;
                vec![depthwise(mixer.small), Part { to_start: half, ..depthwise(mixer.medium) }]
            }
            _ => Vec::new(),
        }
    }

    /// The channel of [`Part::from`] that a row's column reads.
    pub(super) fn input(&self, row: usize, column: usize) -> usize {
        self.from_start + row / self.rows_per_group * self.columns + column
    }

    /// The channel of [`Part::to`] that a row makes.
    pub(super) fn output(&self, row: usize) -> usize {
        self.to_start + row
    }

    /// Whether every output reads one input channel alone.
    pub(super) fn is_depthwise(&self) -> bool {
        self.columns == 1 && self.rows_per_group * self.columns < self.rows
    }

    /// The row of an index into the weight.
    pub(super) fn row_of(&self, at: usize) -> usize {
        at / (self.columns * self.taps)
    }

    /// The column of an index into the weight.
    pub(super) fn column_of(&self, at: usize) -> usize {
        at / self.taps % self.columns
    }
}
