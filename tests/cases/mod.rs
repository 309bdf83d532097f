//! Small graphs that between them try every operator: sizes that are odd or not multiples of
//! four, H ≠ W, batches, groups, strides, dilations, paddings, residuals, all activations, 1×1
//! maps. Executors are tested by walking [`all`] and comparing with the oracle.
// Each test crate that includes this module uses a part of it.
#![allow(dead_code)]

pub mod convolutions;
mod head;
mod mixers;
pub mod mlp;
mod networks;
mod pointwise;
pub mod quantized;

use foveate::kernels::Target;
use foveate::ops::*;
use foveate::{Graph, NodeId, ParamId, Result, Shape, Tensor};
use rand::SeedableRng;
use rand_distr::{Distribution, Normal, Uniform};
use rand_pcg::Pcg64Mcg;

/// A graph and an input `[n, c, h, w]` for it.
#[derive(Clone)]
pub struct Case {
    /// Begins with the name of the operator that it is about.
    pub name: String,
    pub graph: Graph,
    pub input: Tensor,
}

impl Case {
    /// The same with weights of eight bits: the oracle computes with what they stand for.
    pub fn quantised(&self) -> Case {
        let mut graph = self.graph.clone();
        foveate::passes::quantize_weights(&mut graph).expect("finite weights");
        Case { name: self.name.clone(), graph, input: self.input.clone() }
    }

    /// Whether a layer's weights are of eight bits.
    pub fn is_quantised(&self) -> bool {
        self.graph.params().iter().any(|(_, param)| param.scales.is_some())
    }
}

/// What plans may be made for: every kind of memory, with and without a GPU's workgroup memory, once with
/// loops written out and sizes in memory.
pub fn targets() -> [Target; 4] {
    let (gpu, software) = (Target::default(), Target::software());
    [
        gpu.clone(),
        software.clone(),
        Target { software: false, ..software },
        Target { software: true, unrolled: true, brief: true, ..gpu },
    ]
}

/// The two kinds of memory with 16-bit floats.
pub fn f16_targets() -> [Target; 2] {
    [Target::default(), Target::software()].map(|target| Target { f16: true, ..target })
}

/// All cases, always the same.
pub fn all() -> Vec<Case> {
    [convolutions::cases(), head::cases(), mixers::cases(), mlp::cases(), pointwise::cases(), networks::cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// Builds a case node by node, with seeded weights.
pub struct Builder {
    name: String,
    graph: Graph,
    rng: Pcg64Mcg,
}

impl Builder {
    /// A graph with only its input. The seed comes from the name.
    pub fn new(name: impl Into<String>, channels: usize, height: usize, width: usize) -> Self {
        let name = name.into();
        let seed = name.bytes().fold(7u64, |seed, b| seed.wrapping_mul(1_000_003) ^ u64::from(b));
        let graph = Graph::new(name.clone(), Shape::new(channels, height, width));
        Builder { name, graph, rng: Pcg64Mcg::seed_from_u64(seed) }
    }

    pub fn input(&self) -> NodeId {
        self.graph.input()
    }

    /// Appends a node.
    pub fn add(&mut self, op: impl Into<Op>, inputs: &[NodeId]) -> NodeId {
        self.try_add(op, inputs).expect("the case's operator fits its inputs")
    }

    pub fn try_add(&mut self, op: impl Into<Op>, inputs: &[NodeId]) -> Result<NodeId> {
        let name = format!("node{}", self.graph.nodes().len());
        self.graph.add(name, op, inputs)
    }

    pub fn shape(&self, id: NodeId) -> Shape {
        self.graph.node(id).shape
    }

    /// A normally distributed tensor.
    pub fn normal(&mut self, shape: &[usize], spread: f32) -> Tensor {
        let normal = Normal::new(0.0, spread).expect("a positive spread");
        let data = (0..shape.iter().product()).map(|_| normal.sample(&mut self.rng)).collect();
        Tensor::new(shape, data).expect("as many values as the shape has")
    }

    /// Weights whose products with values of order one are of order one; the first dimension is
    /// the output's.
    pub fn weight(&mut self, shape: &[usize]) -> ParamId {
        let fan_in: usize = shape[1..].iter().product();
        let tensor = self.normal(shape, (fan_in as f32).powf(-0.5));
        self.param(tensor)
    }

    pub fn bias(&mut self, channels: usize) -> ParamId {
        let tensor = self.normal(&[channels], 0.5);
        self.param(tensor)
    }

    /// Values between `low` and `high`.
    pub fn uniform(&mut self, channels: usize, low: f32, high: f32) -> ParamId {
        let uniform = Uniform::new(low, high).expect("a range");
        let data = (0..channels).map(|_| uniform.sample(&mut self.rng)).collect();
        self.param(Tensor::new([channels], data).expect("one value per channel"))
    }

    pub fn param(&mut self, tensor: Tensor) -> ParamId {
        let name = format!("param{}", self.graph.params().len());
        self.graph.param(name, tensor)
    }

    /// A depthwise convolution's weights for [`ChunkConv`] and [`CopyConv`].
    pub fn depthwise(&mut self, channels: usize, kernel: [usize; 2]) -> Depthwise {
        Depthwise { weight: self.weight(&[channels, 1, kernel[0], kernel[1]]), bias: self.bias(channels) }
    }

    pub fn batch_norm(&mut self, channels: usize, eps: f32, activation: Activation) -> BatchNorm {
        let (gamma, beta) = (self.uniform(channels, 0.6, 1.4), self.bias(channels));
        let (mean, variance) = (self.bias(channels), self.uniform(channels, 0.3, 2.0));
        BatchNorm { gamma, beta, mean, variance, eps, activation }
    }

    pub fn linear(&mut self, features: usize, out: usize, bias: bool, activation: Activation) -> Linear {
        let bias = bias.then(|| self.bias(out));
        Linear { weight: self.weight(&[out, features]), bias, activation }
    }

    /// The case with its output and an input of `batch` samples.
    pub fn finish(mut self, output: NodeId, batch: usize) -> Case {
        self.graph.set_output(output);
        let Shape { channels, height, width } = self.graph.input_shape();
        let input = self.normal(&[batch, channels, height, width], 1.5);
        Case { name: self.name, graph: self.graph, input }
    }
}
