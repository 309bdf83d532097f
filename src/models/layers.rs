//! The layers that the families are made of, as graph nodes with parameters of the right names.

use super::source::{ParamSource, Role};
use crate::error::Result;
use crate::graph::{Graph, NodeId, ParamId, Shape};
use crate::ops::{Activate, Activation, Add, BatchNorm, Conv2d, Gate, GlobalAvgPool, Linear};

/// PyTorch's default ε of batch norms; a state dict does not hold it.
const BATCH_NORM_EPS: f32 = 1e-5;

/// A graph in the making.
pub(super) struct Layers<'a> {
    pub graph: Graph,
    source: &'a mut dyn ParamSource,
}

/// What a convolution's keys do not say. Pairs are (vertical, horizontal).
#[derive(Clone, Copy)]
pub(super) struct Conv {
    channels: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    groups: usize,
    bias: bool,
}

impl Conv {
    /// `channels` outputs, stride 1, padding that keeps the size, one group, no bias.
    pub fn new(channels: usize, kernel: [usize; 2]) -> Self {
        let padding = kernel.map(|k| k / 2);
        Conv { channels, kernel, stride: [1; 2], padding, dilation: [1; 2], groups: 1, bias: false }
    }

    pub fn stride(self, stride: [usize; 2]) -> Self {
        Conv { stride, ..self }
    }

    pub fn groups(self, groups: usize) -> Self {
        Conv { groups, ..self }
    }

    pub fn dilation(self, dilation: usize, padding: usize) -> Self {
        Conv { dilation: [dilation; 2], padding: [padding; 2], ..self }
    }

    pub fn bias(self, bias: bool) -> Self {
        Conv { bias, ..self }
    }
}

impl<'a> Layers<'a> {
    pub fn new(name: &str, input: Shape, source: &'a mut dyn ParamSource) -> Self {
        Layers { graph: Graph::new(name, input), source }
    }

    pub fn channels(&self, x: NodeId) -> usize {
        self.graph.node(x).shape.channels
    }

    fn param(&mut self, name: String, role: Role, shape: &[usize]) -> Result<ParamId> {
        let tensor = self.source.tensor(&name, role, shape)?;
        Ok(self.graph.param(name, tensor))
    }

    /// A convolution without activation.
    pub fn conv(&mut self, name: &str, x: NodeId, conv: Conv) -> Result<NodeId> {
        let per_group = self.channels(x) / conv.groups.max(1);
        let [kh, kw] = conv.kernel;
        let weight = self.param(format!("{name}.weight"), Role::Weight, &[conv.channels, per_group, kh, kw])?;
        let bias = conv.bias.then(|| self.param(format!("{name}.bias"), Role::Bias, &[conv.channels])).transpose()?;
        let Conv { stride, padding, dilation, groups, .. } = conv;
        let op = Conv2d { weight, bias, stride, padding, dilation, groups, activation: Activation::None };
        self.graph.add(name, op, &[x])
    }

    pub fn batch_norm(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        let channels = [self.channels(x)];
        let op = BatchNorm {
            gamma: self.param(format!("{name}.weight"), Role::Gamma, &channels)?,
            beta: self.param(format!("{name}.bias"), Role::Beta, &channels)?,
            mean: self.param(format!("{name}.running_mean"), Role::Mean, &channels)?,
            variance: self.param(format!("{name}.running_var"), Role::Variance, &channels)?,
            eps: BATCH_NORM_EPS,
            activation: Activation::None,
        };
        self.graph.add(name, op, &[x])
    }

    /// A convolution without bias, then a batch norm unless `norm` is `None`. Both names are given
    /// by their last part.
    pub fn conv_norm(&mut self, branch: &str, x: NodeId, conv: Conv, norm: Option<&str>) -> Result<NodeId> {
        let y = self.conv(&format!("{branch}.conv"), x, conv)?;
        norm.map_or(Ok(y), |norm| self.batch_norm(&format!("{branch}.{norm}"), y))
    }

    pub fn activate(&mut self, name: &str, x: NodeId, activation: Activation) -> Result<NodeId> {
        self.graph.add(name, Activate(activation), &[x])
    }

    /// The sum of branches; a single branch is its own sum.
    pub fn sum(&mut self, name: &str, branches: &[NodeId]) -> Result<NodeId> {
        match branches {
            [only] => Ok(*only),
            _ => self.graph.add(name, Add::default(), branches),
        }
    }

    pub fn linear(&mut self, name: &str, x: NodeId, classes: usize) -> Result<NodeId> {
        let shape = [classes, self.channels(x)];
        let weight = self.param(format!("{name}.weight"), Role::Weight, &shape)?;
        let bias = Some(self.param(format!("{name}.bias"), Role::Bias, &[classes])?);
        self.graph.add(name, Linear { weight, bias, activation: Activation::None }, &[x])
    }

    pub fn pool(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        self.graph.add(name, GlobalAvgPool, &[x])
    }

    /// Squeeze-and-excitation: `x · sigmoid(W₂ relu(W₁ mean(x)))`. `names` are those of the two
    /// layers, `squeezed` is the width between them. The official code has 1×1 convolutions there;
    /// on a pooled vector they are linear layers.
    pub fn squeeze_excite(&mut self, names: [String; 2], x: NodeId, squeezed: usize) -> Result<NodeId> {
        let [down, up] = names;
        let module = down.rsplit_once('.').map_or("se", |(module, _)| module).to_owned();
        let pooled = self.pool(&format!("{module}.pool"), x)?;
        let hidden = self.pointwise(&down, pooled, squeezed, Role::Weight, Activation::Relu)?;
        let gate = self.pointwise(&up, hidden, self.channels(x), Role::Gate, Activation::Sigmoid)?;
        self.graph.add(format!("{module}.gate"), Gate { activation: Activation::None }, &[x, gate])
    }

    /// A 1×1 convolution of a vector, as a linear layer.
    fn pointwise(
        &mut self,
        name: &str,
        x: NodeId,
        channels: usize,
        role: Role,
        activation: Activation,
    ) -> Result<NodeId> {
        let (weight_name, inputs) = (format!("{name}.weight"), self.channels(x));
        let weight = self.source.tensor(&weight_name, role, &[channels, inputs, 1, 1])?;
        let weight = self.graph.param(weight_name, weight.reshape([channels, inputs])?);
        let bias = Some(self.param(format!("{name}.bias"), Role::Bias, &[channels])?);
        self.graph.add(name, Linear { weight, bias, activation }, &[x])
    }

    /// The finished graph.
    pub fn finish(mut self, output: NodeId) -> Graph {
        self.graph.set_output(output);
        self.graph
    }
}
