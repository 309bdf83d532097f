//! Scaling channels: the exact rewrite behind equalisation.

use super::parts::{Part, Place};
use super::ties::Ties;
use crate::error::Result;
use crate::graph::{Graph, NodeId, ParamId};
use crate::ops::Op;
use crate::tensor::Tensor;

/// A factor for every variable of the ties: the value' is the value divided by it.
pub(super) struct Factors<'a> {
    pub ties: &'a Ties,
    pub by_class: &'a [f64],
}

impl Factors<'_> {
    /// Of a channel.
    pub(super) fn at(&self, place: Place, channel: usize) -> f64 {
        let class = self.ties.class(self.ties.variable(place, channel));
        class.map_or(1.0, |class| self.by_class[class])
    }

    /// Divides every value's channels by their factors, by changing weights alone. The parameters of
    /// different nodes must be different ones.
    pub(super) fn apply(&self, graph: &mut Graph) -> Result<()> {
        for id in graph.ids().skip(1) {
            self.apply_node(graph, id)?;
        }
        Ok(())
    }

    fn apply_node(&self, graph: &mut Graph, id: NodeId) -> Result<()> {
        for part in Part::of(graph, id) {
            let into = |row, column| self.at(part.from, part.input(row, column));
            let out = |row| self.at(part.to, part.output(row));
            scale(graph, part.weight, |at| {
                let row = part.row_of(at);
                into(row, part.column_of(at)) / out(row)
            })?;
            part.bias.map_or(Ok(()), |bias| scale(graph, bias, |row| 1.0 / out(row)))?;
        }
        let node = graph.node(id);
        if let (Op::BatchNorm(norm), Some(&x)) = (node.op.clone(), node.inputs.first()) {
            let (into, out) = (|c| self.at(Place::Value(x), c), |c| self.at(Place::Value(id), c));
            scale(graph, norm.gamma, |c| into(c) / out(c))?;
            scale(graph, norm.beta, |c| 1.0 / out(c))?;
            scale(graph, norm.mean, |c| 1.0 / into(c))?;
        }
        // All others hand factors on.
        Ok(())
    }
}

/// Multiplies every value of a parameter by a factor of its index.
fn scale(graph: &mut Graph, id: ParamId, factor: impl Fn(usize) -> f64) -> Result<()> {
    let tensor = graph.params().tensor(id);
    let values = tensor.data().iter().enumerate();
    let data = values.map(|(at, value)| (f64::from(*value) * factor(at)) as f32).collect();
    let tensor = Tensor::new(tensor.shape(), data)?;
    graph.set_param(id, tensor)
}
