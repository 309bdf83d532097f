//! A network layer by layer.

use serde::Serialize;

use super::block_of;
use crate::graph::{Graph, NodeId, Shape};
use crate::ops::{Activation, Op, Window};

/// A network in one of its forms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FormInfo {
    /// Learned parameters, as papers count them: all but running statistics.
    pub parameters: u64,
    /// Multiply-accumulates for one sample at the network's input size.
    pub macs: u64,
    /// Its layers in the order in which they run, the input left out.
    pub layers: Vec<LayerInfo>,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerInfo {
    /// Its name, in the official implementation's terms.
    pub name: String,
    /// The block that it belongs to (see [`block_of`]).
    pub block: String,
    /// The operator (see [`Op::NAMES`]).
    pub operator: &'static str,
    /// The layers whose values it reads, by name.
    pub inputs: Vec<String>,
    /// Shape of what it makes of one sample.
    pub output: Shape,
    /// Kernel sizes, strides and groups.
    pub windows: Vec<Window>,
    /// What is applied last.
    pub activation: Activation,
    /// Learned parameters.
    pub parameters: u64,
    /// Multiply-accumulates for one sample.
    pub macs: u64,
    /// Attributes in words.
    pub attributes: String,
}

impl FormInfo {
    /// Describes every layer.
    pub fn of(graph: &Graph) -> FormInfo {
        let layers = graph.ids().filter(|id| *id != graph.input()).map(|id| layer(graph, id)).collect();
        FormInfo { parameters: graph.parameter_count(), macs: graph.macs(), layers }
    }
}

fn layer(graph: &Graph, id: NodeId) -> LayerInfo {
    let node = graph.node(id);
    let inputs: Vec<_> = node.inputs.iter().map(|input| graph.node(*input)).collect();
    let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape).collect();
    LayerInfo {
        name: node.name.clone(),
        block: block_of(&node.name).to_owned(),
        operator: node.op.name(),
        inputs: inputs.iter().map(|input| input.name.clone()).collect(),
        output: node.shape,
        windows: node.op.windows(&shapes, graph.params()),
        activation: activation(&node.op),
        parameters: graph.node_parameters(id),
        macs: graph.node_macs(id),
        attributes: node.op.attributes(graph.params()).trim_start_matches(", ").to_owned(),
    }
}

fn activation(op: &Op) -> Activation {
    match op {
        Op::Activate(activate) => activate.0,
        other => other.clone().activation_mut().copied().unwrap_or_default(),
    }
}
