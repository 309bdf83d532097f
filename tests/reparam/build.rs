//! Graphs by hand, with seeded random weights.

use foveate::graph::{Graph, NodeId, Params, Shape};
use foveate::ops::*;
use foveate::passes::{Report, fuse};
use foveate::proof::prove_at;
use foveate::{ParamId, Tensor};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

/// A graph under construction.
pub struct Build {
    pub graph: Graph,
    rng: Pcg64,
}

/// A convolution to build: `[out, in/groups, kh, kw]`, centred unless said otherwise.
#[derive(Clone, Copy)]
pub struct Conv {
    pub out: usize,
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: usize,
    pub groups: usize,
    pub bias: bool,
}

pub fn conv(out: usize, kernel: [usize; 2], stride: usize, groups: usize) -> Conv {
    Conv { out, kernel, stride: [stride; 2], padding: kernel.map(|k| k / 2), dilation: 1, groups, bias: false }
}

impl Conv {
    pub fn biased(self) -> Conv {
        Conv { bias: true, ..self }
    }
}

impl Build {
    pub fn new(input: Shape) -> Self {
        Build { graph: Graph::new("test", input), rng: Pcg64::seed_from_u64(5) }
    }

    fn param(&mut self, name: &str, shape: &[usize], mean: f32, spread: f32) -> ParamId {
        let len = shape.iter().product();
        let values: Vec<f32> = (0..len)
            .map(|_| {
                let z: f32 = StandardNormal.sample(&mut self.rng);
                mean + spread * z
            })
            .collect();
        self.graph.param(name, Tensor::new(shape, values).unwrap())
    }

    pub fn channels(&self, x: NodeId) -> usize {
        self.graph.node(x).shape.channels
    }

    pub fn conv(&mut self, name: &str, x: NodeId, conv: Conv) -> NodeId {
        let per_group = self.channels(x) / conv.groups;
        let [kh, kw] = conv.kernel;
        let spread = 1.0 / ((per_group * kh * kw) as f32).sqrt();
        let weight = self.param(&format!("{name}.weight"), &[conv.out, per_group, kh, kw], 0.0, spread);
        let bias = conv.bias.then(|| self.param(&format!("{name}.bias"), &[conv.out], 0.3, 0.5));
        let (stride, padding, dilation) = (conv.stride, conv.padding, [conv.dilation; 2]);
        let activation = Activation::None;
        let op = Conv2d { weight, bias, stride, padding, dilation, groups: conv.groups, activation };
        self.graph.add(name, op, &[x]).unwrap()
    }

    /// γ around 1, β and μ well away from zero.
    pub fn norm(&mut self, name: &str, x: NodeId) -> NodeId {
        let c = [self.channels(x)];
        let gamma = self.param(&format!("{name}.weight"), &c, 1.0, 0.2);
        let beta = self.param(&format!("{name}.bias"), &c, 0.2, 0.4);
        let mean = self.param(&format!("{name}.running_mean"), &c, -0.1, 0.4);
        let variance = Tensor::new(c, (0..c[0]).map(|i| 0.5 + (i % 7) as f32 / 5.0).collect::<Vec<_>>()).unwrap();
        let variance = self.graph.param(format!("{name}.running_var"), variance);
        let op = BatchNorm { gamma, beta, mean, variance, eps: 1e-5, activation: Activation::None };
        self.graph.add(name, op, &[x]).unwrap()
    }

    /// `<name>.conv` then `<name>.bn`.
    pub fn conv_norm(&mut self, name: &str, x: NodeId, spec: Conv) -> NodeId {
        let y = self.conv(&format!("{name}.conv"), x, spec);
        self.norm(&format!("{name}.bn"), y)
    }

    pub fn linear(&mut self, name: &str, x: NodeId, out: usize) -> NodeId {
        let features = self.channels(x);
        let weight = self.param(&format!("{name}.weight"), &[out, features], 0.0, 1.0 / (features as f32).sqrt());
        let bias = Some(self.param(&format!("{name}.bias"), &[out], 0.0, 0.5));
        self.graph.add(name, Linear { weight, bias, activation: Activation::None }, &[x]).unwrap()
    }

    pub fn sum(&mut self, name: &str, operands: &[NodeId]) -> NodeId {
        self.graph.add(name, Add::default(), operands).unwrap()
    }

    pub fn act(&mut self, name: &str, x: NodeId, activation: Activation) -> NodeId {
        self.graph.add(name, Activate(activation), &[x]).unwrap()
    }

    /// Squeeze-and-excitation of `x` with a bottleneck of two channels.
    pub fn squeeze_excite(&mut self, name: &str, x: NodeId) -> NodeId {
        let pooled = self.graph.add(format!("{name}.pool"), GlobalAvgPool, &[x]).unwrap();
        let down = self.conv(&format!("{name}.down"), pooled, conv(2, [1, 1], 1, 1).biased());
        let down = self.act(&format!("{name}.relu"), down, Activation::Relu);
        let channels = self.channels(x);
        let up = self.conv(&format!("{name}.up"), down, conv(channels, [1, 1], 1, 1).biased());
        let up = self.act(&format!("{name}.sigmoid"), up, Activation::Sigmoid);
        self.graph.add(name, Gate { activation: Activation::None }, &[x, up]).unwrap()
    }

    pub fn output(mut self, id: NodeId) -> Graph {
        self.graph.set_output(id);
        self.graph
    }
}

/// Names of the operators after the input.
pub fn ops(graph: &Graph) -> Vec<&'static str> {
    graph.nodes()[1..].iter().map(|n| n.op.name()).collect()
}

/// The only convolution of a graph, with its weight.
pub fn only_conv(graph: &Graph) -> (&Conv2d, &Params) {
    let convs: Vec<&Conv2d> =
        graph.nodes().iter().filter_map(|n| if let Op::Conv2d(c) = &n.op { Some(c) } else { None }).collect();
    assert_eq!(convs.len(), 1, "{graph}");
    (convs[0], graph.params())
}

/// Fuses, and proves it at the graph's own size within 1e-5.
pub fn fuse_proved(graph: &Graph) -> (Graph, Report) {
    let (fused, report) = fuse(graph).unwrap();
    let proof = prove_at(graph, &fused, graph.input_shape(), 3).unwrap();
    assert!(proof.max_rel <= 1e-5 && proof.max_abs > 0.0 && proof.same_top1, "{proof}\n{graph}\n{fused}");
    let names: std::collections::BTreeSet<&str> = fused.nodes().iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names.len(), fused.nodes().len(), "node names are unique: {fused}");
    let params: std::collections::BTreeSet<&str> = fused.params().iter().map(|(_, p)| p.name.as_str()).collect();
    assert_eq!(params.len(), fused.params().len(), "parameter names are unique");
    let (again, more) = fuse(&fused).unwrap();
    assert!(more.folded.is_empty() && again == fused, "fusing twice changes nothing: {more:?}");
    (fused, report)
}

/// A map with height ≠ width.
pub fn input(channels: usize) -> Shape {
    Shape::new(channels, 13, 18)
}
