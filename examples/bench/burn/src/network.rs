//! A fused graph as calls of burn's tensor functions, in the order in which a burn user would write them.

use burn::tensor::ops::{AvgPoolOptions, ConvOptions};
use burn::tensor::{Device, Tensor, TensorData, activation, module};
use foveate::graph::{Graph, Node, NodeId, ParamId};
use foveate::ops::{Activation, Depthwise, Op};

use crate::serve::Outcome;

/// Computes a node's value from its inputs; holds its weights.
type Layer = Box<dyn Fn(Vec<Tensor<4>>) -> Tensor<4>>;

/// A network on a device.
pub struct Network {
    device: Device,
    /// For each node but the input: what it reads, whether that is read for the last time, and how it is computed.
    layers: Vec<(Vec<(usize, bool)>, Layer)>,
    output: usize,
}

impl Network {
    /// Uploads the weights.
    pub fn new(graph: &Graph, device: &Device) -> Outcome<Self> {
        let weights = Weights { graph, device };
        let mut layers = Vec::new();
        for (index, node) in graph.nodes().iter().enumerate().skip(1) {
            let later = &graph.nodes()[index + 1..];
            let last = |(place, id): (usize, &NodeId)| {
                let again = node.inputs[place + 1..].contains(id) || later.iter().any(|node| node.inputs.contains(id));
                (id.index(), !again && *id != graph.output())
            };
            layers.push((node.inputs.iter().enumerate().map(last).collect(), weights.layer(node)?));
        }
        Ok(Network { device: device.clone(), layers, output: graph.output().index() })
    }

    /// From values in memory to logits in memory.
    pub fn run(&self, input: &[f32], shape: [usize; 4]) -> Outcome<Vec<f32>> {
        let input = Tensor::from_data(TensorData::new(input.to_vec(), shape), &self.device);
        let mut values = vec![Some(input)];
        for (inputs, layer) in &self.layers {
            // A value that nobody else reads is given away: burn then computes in its place where it can.
            let read = |&(id, last): &(usize, bool)| if last { values[id].take() } else { values[id].clone() };
            let inputs =
                inputs.iter().map(read).collect::<Option<Vec<_>>>().ok_or("a node reads a value that is not there")?;
            values.push(Some(layer(inputs)));
        }
        let output = values[self.output].take().ok_or("the network has no output")?;
        Ok(output.try_into_data()?.try_into_vec()?)
    }
}

struct Weights<'a> {
    graph: &'a Graph,
    device: &'a Device,
}

impl Weights<'_> {
    fn tensor<const D: usize>(&self, id: ParamId) -> Tensor<D> {
        let tensor = self.graph.params().tensor(id);
        Tensor::from_data(TensorData::new(tensor.data().to_vec(), tensor.shape().to_vec()), self.device)
    }

    /// `[1, channels, 1, 1]`.
    fn per_channel(&self, id: ParamId) -> Tensor<4> {
        let values: Tensor<1> = self.tensor(id);
        let channels = values.dims()[0];
        values.reshape([1, channels, 1, 1])
    }

    fn depthwise(&self, part: Depthwise, stride: usize) -> impl Fn(Tensor<4>) -> Tensor<4> + use<> {
        let (weight, bias) = (self.tensor::<4>(part.weight), self.tensor::<1>(part.bias));
        let [channels, _, height, width] = weight.dims();
        let options = ConvOptions::new([stride; 2], [height / 2, width / 2], [1, 1], channels);
        move |x| module::conv2d(x, weight.clone(), Some(bias.clone()), options.clone())
    }

    fn layer(&self, node: &Node) -> Outcome<Layer> {
        Ok(match &node.op {
            Op::Input(_) => return Err(format!("{} is a second input", node.name).into()),
            Op::Conv2d(op) => {
                let (weight, bias) = (self.tensor::<4>(op.weight), op.bias.map(|bias| self.tensor::<1>(bias)));
                let options = ConvOptions::new(op.stride, op.padding, op.dilation, op.groups);
                let activation = op.activation;
                on_first(move |x, rest| {
                    let y = module::conv2d(x, weight.clone(), bias.clone(), options.clone());
                    activate(rest.into_iter().fold(y, |y, residual| y + residual), activation)
                })
            }
            Op::ChunkConv(op) => {
                let [small, medium, wide, tall] = op.parts().map(|(_, part)| self.depthwise(part, 1));
                on_first(move |x, _| {
                    let chunk = x.dims()[1] / 4;
                    let [a, b, c, d] = [0, 1, 2, 3].map(|i| x.clone().narrow(1, i * chunk, chunk));
                    Tensor::cat(vec![a, small(b), medium(c), tall(wide(d))], 1)
                })
            }
            Op::CopyConv(op) => {
                let [small, medium] = [op.small, op.medium].map(|part| self.depthwise(part, 2));
                on_first(move |x, _| Tensor::cat(vec![small(x.clone()), medium(x)], 1))
            }
            Op::Linear(op) => {
                let (weight, bias) = (self.tensor::<2>(op.weight).transpose(), op.bias.map(|b| self.tensor::<1>(b)));
                let activation = op.activation;
                on_first(move |x, _| {
                    let y = module::linear(x.flatten::<2>(1, 3), weight.clone(), bias.clone());
                    let [samples, features] = y.dims();
                    activate(y, activation).reshape([samples, features, 1, 1])
                })
            }
            Op::BatchNorm(op) => {
                let scale = self.per_channel(op.gamma) / (self.per_channel(op.variance) + op.eps).sqrt();
                let shift = self.per_channel(op.beta) - self.per_channel(op.mean) * scale.clone();
                let activation = op.activation;
                on_first(move |x, _| activate(x * scale.clone() + shift.clone(), activation))
            }
            Op::AvgPool(op) => {
                let options = AvgPoolOptions::new([op.kernel; 2])
                    .with_stride([op.stride; 2])
                    .with_padding([op.padding; 2])
                    .with_count_include_pad(true);
                on_first(move |x, _| module::avg_pool2d(x, options.clone()))
            }
            Op::GlobalAvgPool(_) => on_first(|x, _| module::adaptive_avg_pool2d(x, [1, 1])),
            Op::Activate(op) => {
                let activation = op.0;
                on_first(move |x, _| activate(x, activation))
            }
            Op::Add(op) => {
                let activation = op.activation;
                on_first(move |x, rest| activate(rest.into_iter().fold(x, |sum, x| sum + x), activation))
            }
            Op::Gate(op) => {
                let activation = op.activation;
                on_first(move |x, rest| activate(rest.into_iter().fold(x, |product, gate| product * gate), activation))
            }
            Op::Scale(op) => {
                let factor = op.factor;
                on_first(move |x, _| x * factor)
            }
            Op::Slice(op) => {
                let (start, channels) = (op.start, op.channels);
                on_first(move |x, _| x.narrow(1, start, channels))
            }
            Op::Concat(_) => Box::new(|inputs| Tensor::cat(inputs, 1)),
        })
    }
}

/// A layer of one input, and perhaps others that are of the same kind among themselves.
fn on_first(layer: impl Fn(Tensor<4>, Vec<Tensor<4>>) -> Tensor<4> + 'static) -> Layer {
    Box::new(move |mut inputs| {
        let first = inputs.remove(0);
        layer(first, inputs)
    })
}

fn activate<const D: usize>(x: Tensor<D>, activation: Activation) -> Tensor<D> {
    match activation {
        Activation::None => x,
        Activation::Relu => activation::relu(x),
        Activation::Gelu => activation::gelu(x),
        Activation::Sigmoid => activation::sigmoid(x),
    }
}
