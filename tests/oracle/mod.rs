//! The oracle: every operator as a naive loop in f64, written from its definition and sharing no
//! code with the executors, shapes included. Slow, and meant to be obviously right.
// Each test crate that includes this module uses a part of it.
#![allow(dead_code)]

mod convolution;
mod pointwise;

use foveate::graph::{Graph, Params};
use foveate::ops::*;
use foveate::{ParamId, Tensor};

/// A value `[n, c, h, w]` in f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    pub shape: [usize; 4],
    pub data: Vec<f64>,
}

impl Value {
    /// The value of that shape whose element at `[n, c, y, x]` is `f([n, c, y, x])`.
    pub fn from_fn(shape: [usize; 4], f: impl Fn([usize; 4]) -> f64) -> Self {
        let [n, c, h, w] = shape;
        let index = |i: usize| [i / (c * h * w), i / (h * w) % c, i / w % h, i % w];
        Value { shape, data: (0..n * c * h * w).map(|i| f(index(i))).collect() }
    }

    /// The element at `[n, c, y, x]`.
    pub fn at(&self, [n, c, y, x]: [usize; 4]) -> f64 {
        let [_, channels, height, width] = self.shape;
        assert!(c < channels && y < height && x < width, "[{n}, {c}, {y}, {x}] is not in {:?}", self.shape);
        self.data[((n * channels + c) * height + y) * width + x]
    }

    /// The element at a signed position; zero outside, as zero padding has it.
    fn padded(&self, n: usize, c: usize, y: isize, x: isize) -> f64 {
        let inside = |position: isize, len: usize| usize::try_from(position).ok().filter(|p| *p < len);
        match (inside(y, self.shape[2]), inside(x, self.shape[3])) {
            (Some(y), Some(x)) => self.at([n, c, y, x]),
            _ => 0.0,
        }
    }
}

impl From<&Tensor> for Value {
    fn from(tensor: &Tensor) -> Self {
        let shape = tensor.shape().try_into().expect("values have four dimensions");
        Value { shape, data: tensor.data().iter().map(|v| f64::from(*v)).collect() }
    }
}

/// An operator's definition.
trait Exact {
    fn exact(&self, inputs: &[&Value], params: &Params) -> Value;
}

macro_rules! define_exact {
    ($($op:ident),*) => {
        /// The operator applied to `inputs`.
        pub fn apply(op: &Op, inputs: &[&Value], params: &Params) -> Value {
            match op { $(Op::$op(op) => op.exact(inputs, params)),* }
        }
    };
}
foveate::with_each_op!(define_exact);

/// The values of all nodes, for an input `[n, c, h, w]`.
pub fn run(graph: &Graph, input: &Tensor) -> Vec<Value> {
    let mut values = vec![Value::from(input)];
    for node in &graph.nodes()[1..] {
        let inputs: Vec<&Value> = node.inputs.iter().map(|id| &values[id.index()]).collect();
        let value = apply(&node.op, &inputs, graph.params());
        let shape = [node.shape.channels, node.shape.height, node.shape.width];
        assert_eq!(value.shape[1..], shape, "{}: the inferred shape is wrong", node.name);
        values.push(value);
    }
    values
}

/// The value of the output.
pub fn output(graph: &Graph, input: &Tensor) -> Value {
    run(graph, input).swap_remove(graph.output().index())
}

/// `‖found − exact‖ / ‖exact‖`; NaN if anything found is NaN, the plain distance from zero.
pub fn relative_l2(found: &Tensor, exact: &Value) -> f64 {
    assert_eq!(found.shape(), exact.shape, "shapes differ");
    let square = |v: f64| v * v;
    let distance: f64 = found.data().iter().zip(&exact.data).map(|(f, e)| square(f64::from(*f) - e)).sum();
    let norm: f64 = exact.data.iter().map(|e| square(*e)).sum();
    if norm > 0.0 { (distance / norm).sqrt() } else { distance.sqrt() }
}

/// A parameter's values.
fn values(params: &Params, id: ParamId) -> Vec<f64> {
    params.tensor(id).data().iter().map(|v| f64::from(*v)).collect()
}

fn activated(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        // Φ(x) = erfc(−x/√2)/2
        Activation::Gelu => x * 0.5 * libm::erfc(-x / 2f64.sqrt()),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
    }
}
