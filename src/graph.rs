//! The network as a graph in static single assignment form: every node makes one value.
//!
//! Nodes are kept in topological order. Shapes are those of one sample (`channels × height ×
//! width`); the batch is chosen when the graph is run or planned. Rewrites change a node in
//! place ([`Graph::replace`]), so a value that somebody else names keeps its [`NodeId`];
//! [`Graph::sweep`] then drops what nobody reads any more.

mod parts;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::{Input, Op};
use crate::quant::grid;
use crate::tensor::Tensor;

/// A node, and the value it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

/// A weight tensor in the graph's parameter table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ParamId(pub u32);

impl NodeId {
    /// Position in [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Shape of one sample of a value. Vectors (pooled features, logits) are `channels × 1 × 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// Number of channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// `channels × height × width`.
    pub const fn new(channels: usize, height: usize, width: usize) -> Self {
        Shape { channels, height, width }
    }

    /// Number of pixels, `height · width`; the largest there is of a shape that nothing can have.
    pub fn pixels(self) -> usize {
        self.height.saturating_mul(self.width)
    }

    /// Number of values, `channels · height · width`; the largest there is of a shape that nothing can have.
    pub fn len(self) -> usize {
        self.channels.saturating_mul(self.pixels())
    }

    /// The most values that one sample of a value may have: 4 GiB of f32.
    pub const MAX_LEN: usize = 1 << 30;

    /// Whether a dimension is zero.
    pub fn is_empty(self) -> bool {
        self.channels == 0 || self.height == 0 || self.width == 0
    }

    /// Says what is wrong with a shape that is empty or larger than [`Shape::MAX_LEN`]. Sums and
    /// products of dimensions cannot overflow after that.
    fn check(self) -> Result<(), String> {
        if self.is_empty() {
            return Err(format!("would be empty ({self}); the input is too small"));
        }
        let len = self.channels.checked_mul(self.height).and_then(|n| n.checked_mul(self.width));
        match len {
            Some(len) if len <= Self::MAX_LEN => Ok(()),
            _ => Err(format!("would have more than {} values ({self})", Self::MAX_LEN)),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}×{}", self.channels, self.height, self.width)
    }
}

/// A named weight tensor. Graphs share tensors, so a copy of a graph costs no weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Name, as in the model file.
    pub name: String,
    /// The values.
    pub tensor: Arc<Tensor>,
    /// For quantised weights the scale of each output channel ([`Graph::set_scales`]). Executors may store
    /// the integers then.
    pub scales: Option<Arc<[f32]>>,
}

/// The weight tensors of a graph, by [`ParamId`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params(Vec<Param>);

impl Params {
    /// The tensor of a parameter.
    pub fn tensor(&self, id: ParamId) -> &Tensor {
        &self.0[id.0 as usize].tensor
    }

    /// Shape of a parameter's tensor.
    pub fn shape(&self, id: ParamId) -> &[usize] {
        self.tensor(id).shape()
    }

    /// The parameter with its name.
    pub fn get(&self, id: ParamId) -> &Param {
        &self.0[id.0 as usize]
    }

    /// Whether the id names a parameter of this table; ids from a file have to be checked.
    pub fn contains(&self, id: ParamId) -> bool {
        (id.0 as usize) < self.0.len()
    }

    /// All parameters in order.
    pub fn iter(&self) -> impl Iterator<Item = (ParamId, &Param)> {
        self.0.iter().enumerate().map(|(i, p)| (ParamId(i as u32), p))
    }

    /// Number of parameters (tensors, not values).
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One operator applied to earlier values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Name, unique within the graph, in the checkpoint's own terms (`stage1.0.rbr_dense.conv`).
    pub name: String,
    /// What is computed.
    pub op: Op,
    /// The values it reads, all earlier in the graph.
    pub inputs: Vec<NodeId>,
    /// Shape of the value it makes, per sample.
    pub shape: Shape,
}

/// A network: nodes in topological order, their weights, the output and the named stage outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Name of the network, e.g. `repvgg-a0`.
    pub name: String,
    nodes: Vec<Node>,
    params: Params,
    output: NodeId,
    taps: Vec<(String, NodeId)>,
}

impl Graph {
    /// A graph that so far has only its input, which is node 0.
    pub fn new(name: impl Into<String>, input: Shape) -> Self {
        let node = Node { name: "input".into(), op: Input.into(), inputs: vec![], shape: input };
        Graph { name: name.into(), nodes: vec![node], params: Params::default(), output: NodeId(0), taps: vec![] }
    }

    /// The input node.
    pub fn input(&self) -> NodeId {
        NodeId(0)
    }

    /// Shape of one input sample.
    pub fn input_shape(&self) -> Shape {
        self.nodes[0].shape
    }

    /// The node whose value is the network's output.
    pub fn output(&self) -> NodeId {
        self.output
    }

    /// Declares the network's output.
    pub fn set_output(&mut self, id: NodeId) {
        self.output = id;
    }

    /// Named intermediate values that rewrites must keep: the stage outputs.
    pub fn taps(&self) -> &[(String, NodeId)] {
        &self.taps
    }

    /// Names an intermediate value, so that rewrites keep it.
    pub fn tap(&mut self, name: impl Into<String>, id: NodeId) {
        self.taps.push((name.into(), id));
    }

    /// All nodes in topological order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One node.
    ///
    /// # Panics
    /// If the id is that of a larger graph's node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// All node ids in topological order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// The node of that name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|n| n.name == name).map(|i| NodeId(i as u32))
    }

    /// The weight tensors.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Adds a weight tensor.
    pub fn param(&mut self, name: impl Into<String>, tensor: impl Into<Arc<Tensor>>) -> ParamId {
        self.params.0.push(Param { name: name.into(), tensor: tensor.into(), scales: None });
        ParamId(self.params.0.len() as u32 - 1)
    }

    /// Puts another tensor of the same shape in a parameter's place, which is not quantised then.
    ///
    /// # Errors
    /// If the shapes differ, or the parameter is another graph's.
    pub fn set_param(&mut self, id: ParamId, tensor: impl Into<Arc<Tensor>>) -> Result<()> {
        let tensor = tensor.into();
        let param = self.param_mut(id)?;
        if param.tensor.shape() != tensor.shape() {
            let (old, new) = (param.tensor.shape(), tensor.shape());
            return Err(Error::argument(format!("parameter {}: shape {old:?} cannot become {new:?}", param.name)));
        }
        (param.tensor, param.scales) = (tensor, None);
        Ok(())
    }

    fn param_mut(&mut self, id: ParamId) -> Result<&mut Param> {
        let unknown = || Error::argument(format!("{}: there is no parameter {}", self.name, id.0));
        self.params.0.get_mut(id.0 as usize).ok_or_else(unknown)
    }

    /// Declares a parameter quantised: each value is an integer from −127 to 127 times a scale, one for
    /// every output channel (the tensor's first dimension) or a single one for all.
    ///
    /// # Errors
    /// If there are fewer or more scales, one is not a normal positive number, or a value is not on its
    /// grid: the f32 product of such an integer with its scale; or if the parameter is another graph's.
    pub fn set_scales(&mut self, id: ParamId, scales: &[f32]) -> Result<()> {
        let Param { name, tensor, .. } = self.param_mut(id)?;
        let fail = |reason: String| Err(Error::argument(format!("the quantised parameter {name}: {reason}")));
        let channels = tensor.shape().first().copied().unwrap_or(0);
        if channels == 0 || (scales.len() != channels && scales.len() != 1) {
            return fail(format!("{} scales for {channels} output channels", scales.len()));
        }
        if let Some(scale) = scales.iter().find(|scale| !(scale.is_normal() && **scale > 0.0)) {
            return fail(format!("{scale} is not a scale"));
        }
        let scales: Arc<[f32]> = if scales.len() == 1 { vec![scales[0]; channels].into() } else { scales.into() };
        let off = |(row, scale): (&[f32], &f32)| {
            let off = |value: &f32| !grid::all_lie_on(&[*value], *scale);
            let all = grid::all_lie_on(row, *scale);
            let first = if all { None } else { row.iter().copied().find(off) };
            first.map(|v| format!("{v} is no multiple of {scale} from −127 to 127"))
        };
        if let Some(reason) = tensor.data().chunks((tensor.len() / channels).max(1)).zip(scales.iter()).find_map(off) {
            return fail(reason);
        }
        self.params.0[id.0 as usize].scales = Some(scales);
        Ok(())
    }

    /// Appends a node and infers its shape.
    ///
    /// # Errors
    /// [`Error::Graph`] if the operator cannot take these inputs or parameters.
    pub fn add(&mut self, name: impl Into<String>, op: impl Into<Op>, inputs: &[NodeId]) -> Result<NodeId> {
        let (name, op) = (name.into(), op.into());
        let shape = self.infer(&name, &op, inputs, self.nodes.len())?;
        self.nodes.push(Node { name, op, inputs: inputs.to_vec(), shape });
        Ok(NodeId(self.nodes.len() as u32 - 1))
    }

    /// Gives a node another operator and other (earlier) inputs. Its value must stay the same;
    /// that is for the caller to prove, the shape is checked here.
    ///
    /// # Errors
    /// [`Error::Graph`] if the operator cannot take these inputs, or if the shape would change;
    /// [`Error::Argument`] if the node is another graph's.
    pub fn replace(&mut self, id: NodeId, op: impl Into<Op>, inputs: &[NodeId]) -> Result<()> {
        let op = op.into();
        let node = self.nodes.get(id.index());
        let node = node.ok_or_else(|| Error::argument(format!("{}: there is no node {}", self.name, id.0)))?;
        let shape = self.infer(&node.name, &op, inputs, id.index())?;
        let node = &mut self.nodes[id.index()];
        if shape != node.shape {
            let reason = format!("a rewrite would change its shape from {} to {shape}", node.shape);
            return Err(Error::Graph { node: node.name.clone(), op: op.name(), reason });
        }
        (node.op, node.inputs) = (op, inputs.to_vec());
        Ok(())
    }

    /// Gives a node another name.
    ///
    /// # Panics
    /// As [`Graph::node`].
    pub fn rename(&mut self, id: NodeId, name: impl Into<String>) {
        self.nodes[id.index()].name = name.into();
    }

    fn infer(&self, name: &str, op: &Op, inputs: &[NodeId], position: usize) -> Result<Shape> {
        let fail = |reason: String| Error::Graph { node: name.to_owned(), op: op.name(), reason };
        if let Some(late) = inputs.iter().find(|i| i.index() >= position) {
            return Err(fail(format!("reads node {} which does not come before it", late.0)));
        }
        if let Some((what, _)) = op.params().into_iter().find(|(_, p)| !self.params.contains(*p)) {
            return Err(fail(format!("its {what} is not in the parameter table")));
        }
        let shapes: Vec<Shape> = inputs.iter().map(|i| self.nodes[i.index()].shape).collect();
        // Of other nodes it was checked before.
        shapes.iter().try_for_each(|shape| shape.check()).map_err(|reason| fail(format!("its input {reason}")))?;
        let shape = op.infer(&shapes, &self.params).map_err(fail)?;
        shape.check().map_err(|reason| fail(format!("its output {reason}")))?;
        Ok(shape)
    }

    /// The same network for another input size; shapes are inferred anew.
    ///
    /// # Errors
    /// [`Error::Graph`] where an operator cannot take the new size.
    pub fn with_input(&self, input: Shape) -> Result<Graph> {
        input.check().map_err(|reason| Error::argument(format!("the input {reason}")))?;
        let mut graph = self.clone();
        graph.nodes[0].shape = input;
        for i in 1..graph.nodes.len() {
            let node = &graph.nodes[i];
            let shape = graph.infer(&node.name, &node.op, &node.inputs, i)?;
            graph.nodes[i].shape = shape;
        }
        Ok(graph)
    }

    /// How often each value is read; being the output or a tap counts as a reading.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.nodes.len()];
        let readers = self.nodes.iter().flat_map(|n| &n.inputs);
        for id in readers.chain([&self.output]).chain(self.taps.iter().map(|(_, id)| id)) {
            uses[id.index()] += 1;
        }
        uses
    }

    /// Drops nodes that neither the output nor a tap depends on, and parameters that no node reads.
    pub fn sweep(&mut self) {
        let mut live = vec![false; self.nodes.len()];
        live[0] = true;
        live[self.output.index()] = true;
        self.taps.iter().for_each(|(_, id)| live[id.index()] = true);
        // Inputs come before their readers, so one backward walk reaches everything.
        for i in (0..self.nodes.len()).rev() {
            if live[i] {
                self.nodes[i].inputs.iter().for_each(|id| live[id.index()] = true);
            }
        }
        let mut renumbered = Vec::with_capacity(live.len());
        let mut next = 0u32;
        for &keep in &live {
            renumbered.push(NodeId(next));
            next += u32::from(keep);
        }
        let mut keep = live.iter();
        self.nodes.retain(|_| *keep.next().unwrap_or(&false));
        for id in self.nodes.iter_mut().flat_map(|n| &mut n.inputs) {
            *id = renumbered[id.index()];
        }
        self.output = renumbered[self.output.index()];
        self.taps.iter_mut().for_each(|(_, id)| *id = renumbered[id.index()]);
        self.sweep_params();
    }

    fn sweep_params(&mut self) {
        let mut renumbered = BTreeMap::new();
        let mut kept = Vec::new();
        for node in &mut self.nodes {
            node.op.remap(&mut |id| {
                *renumbered.entry(id).or_insert_with(|| {
                    kept.push(self.params.0[id.0 as usize].clone());
                    ParamId(kept.len() as u32 - 1)
                })
            });
        }
        self.params = Params(kept);
    }

    /// Number of learned values: every parameter's, but for the running statistics of batch
    /// norms, as papers count them.
    pub fn parameter_count(&self) -> u64 {
        self.ids().map(|id| self.node_parameters(id)).sum()
    }

    /// Bytes of all parameters: four to a value, one where it is held in 8 bits.
    pub fn weight_bytes(&self) -> u64 {
        self.params
            .iter()
            .map(|(_, param)| if param.scales.is_some() { 1 } else { 4 } * param.tensor.len() as u64)
            .sum()
    }

    /// Number of learned values of one node.
    pub fn node_parameters(&self, id: NodeId) -> u64 {
        let params = self.node(id).op.params();
        let learned = params.into_iter().filter(|(what, _)| !what.starts_with("running_"));
        learned.map(|(_, p)| self.params.tensor(p).len() as u64).sum()
    }

    /// Multiply-accumulates of one node for one sample.
    pub fn node_macs(&self, id: NodeId) -> u64 {
        let node = self.node(id);
        let inputs: Vec<Shape> = node.inputs.iter().map(|i| self.node(*i).shape).collect();
        node.op.macs(&inputs, node.shape, &self.params)
    }

    /// Multiply-accumulates of the network for one sample.
    pub fn macs(&self) -> u64 {
        self.ids().fold(0, |sum, id| sum.saturating_add(self.node_macs(id)))
    }
}

impl fmt::Display for Graph {
    /// The text dump: a line per node.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} nodes, {} parameters, {} MACs",
            self.name,
            self.nodes.len(),
            self.parameter_count(),
            self.macs()
        )?;
        for id in self.ids() {
            let node = self.node(id);
            let inputs: Vec<String> = node.inputs.iter().map(|i| format!("%{}", i.0)).collect();
            let taps: String = self.taps.iter().filter(|t| t.1 == id).map(|t| format!(" → {}", t.0)).collect();
            let output = if id == self.output { " → output" } else { "" };
            let (op, attributes) = (node.op.name(), node.op.attributes(&self.params));
            writeln!(
                f,
                "%{} = {op}({}{attributes}) {} \"{}\"{taps}{output}",
                id.0,
                inputs.join(", "),
                node.shape,
                node.name
            )?;
        }
        Ok(())
    }
}
