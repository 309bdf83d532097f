//! A quantised network as integer operations: what the CPU and every GPU compute, bit for bit.
//!
//! A [`Program`] is made by [`lower`](super::lower()) from a fused graph and its
//! [`Quantization`](crate::quant::Quantization). Its nodes are in topological order; every node makes one value, whose
//! [`Type`] says what is held. Arithmetic is that of [`arith`](super::arith) and [`table`](super::table);
//! [`reference`](super::reference) computes any node in plain loops.

use std::fmt;

use super::arith::{Blend, Enlarge, Requant};
use super::table::{Finish, Table};
use crate::graph::{self, Graph, NodeId, Params, Shape};
use crate::ops::{Input, Op};

/// A value of a program, and the node that makes it: an index into [`Program::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub usize);

/// What a value is held in.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Floats: the network's input, and what float nodes read and make.
    F32,
    /// Integers from −127 to 127; each stands for itself times the scale.
    I8 {
        /// Of all channels.
        scale: f32,
    },
    /// Sums, of 32 bits, that only float nodes or nobody reads.
    I32 {
        /// What one stands for, per channel.
        units: Vec<f32>,
    },
}

/// A network of integer operations, floats at its borders and where nodes were kept float.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Name of the network.
    pub name: String,
    /// In topological order; node 0 is the input, of floats.
    pub nodes: Vec<Node>,
    /// The weights of float nodes.
    pub params: Params,
    /// The network's output: sums, or floats.
    pub output: ValueId,
    /// For each node of the graph, the value that stands for its own; none for what nobody needs.
    pub values: Vec<Option<ValueId>>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The graph's node that it belongs to.
    pub origin: NodeId,
    /// Name of that node.
    pub name: String,
    /// What is computed.
    pub op: IntOp,
    /// The values that it reads, all of earlier nodes.
    pub inputs: Vec<ValueId>,
    /// Shape of its value, per sample.
    pub shape: Shape,
    /// What its value is held in.
    pub ty: Type,
}

/// What a node computes. Unless said otherwise, inputs and output are `i8`.
#[derive(Clone, Debug, PartialEq)]
pub enum IntOp {
    /// The network's input, of floats.
    Input,
    /// Floats to `i8`: times the scale's inverse, rounded half to even and saturated
    /// ([`ToGrid`](super::arith::ToGrid)).
    Quantize,
    /// `i8` or sums to floats: times the scale or the channel's unit.
    Dequantize,
    /// An operator on floats, with parameters in [`Program::params`].
    Float(Op),
    /// Convolution or linear layer.
    Conv(Conv),
    /// RepNeXt's token mixers: depthwise convolutions of channel ranges, side by side.
    Mixer(Mixer),
    /// Mean over windows, or over everything.
    Pool(Pool),
    /// Sum of values.
    Add(Add),
    /// Each channel of the first input times its value in the second (C×1×1).
    Gate(Gate),
    /// A factor and a shift per channel.
    Affine(Affine),
    /// A table of the grid's integers ([`Table::of_grid`]).
    Activate(Box<Table>),
    /// Channels from this one on, as many as the output has.
    Slice {
        /// First channel.
        start: usize,
    },
    /// The inputs' channels one after another.
    Concat,
}

/// `output(Σ x · w + bias + residual)`: the sum in i32, then either held as it is or rescaled.
///
/// `|Σ x · w| + |bias| + |residual|` stays below 2^31 for any `x`: that is checked for each channel when the
/// program is made, so nothing overflows, in any order of summation.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// `[out, in / groups, kh, kw]`, −127 to 127. A linear layer is a 1×1 convolution.
    pub weight: Vec<i8>,
    /// The weight's shape.
    pub shape: [usize; 4],
    /// In the sums' units; one per output channel.
    pub bias: Vec<i32>,
    /// Step between windows, (vertical, horizontal).
    pub stride: [usize; 2],
    /// Zeros on both sides.
    pub padding: [usize; 2],
    /// Distance between a window's taps.
    pub dilation: [usize; 2],
    /// Output channels of group g see only input channels of group g.
    pub groups: usize,
    /// How the second input, if there is one, gets into the sums' units; one per output channel.
    pub residual: Option<Vec<Enlarge>>,
    /// What becomes of the sums.
    pub output: Output,
}

/// What becomes of sums.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// They are the value ([`Type::I32`]).
    Sums,
    /// Rescaled, one factor per output channel, and finished.
    Rescaled {
        /// To the output's grid, or to the table's steps.
        requant: Vec<Requant>,
        /// Activation and saturation.
        finish: Finish,
    },
}

/// Depthwise convolutions side by side: part i makes the output channels after those of part i − 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixer {
    /// Step between windows, in both directions: 1 or 2. Padding is `(k − 1) / 2`.
    pub stride: usize,
    /// In the order of the output's channels.
    pub parts: Vec<Part>,
}

/// One convolution of a [`Mixer`], or two.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Input channel that makes its first output channel; the next makes the next.
    pub source: usize,
    /// Comes first, where there are two (1×k before k×1): its `i8` outputs, with zeros around them, are what
    /// the other reads.
    pub first: Option<Depthwise>,
    /// Makes the output. The identity chunk is a 1×1 convolution with weights of one.
    pub conv: Depthwise,
}

/// A convolution that gives each channel a kernel of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Depthwise {
    /// Kernel size, odd.
    pub kernel: [usize; 2],
    /// `[channels, kh, kw]`, −127 to 127.
    pub weight: Vec<i8>,
    /// In the sums' units; one per channel.
    pub bias: Vec<i32>,
    /// To the grid of the output, saturated to ±127; empty where sums are the output.
    pub requant: Vec<Requant>,
}

impl Depthwise {
    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.bias.len()
    }
}

/// `round(Σ window · factor)`: the divisor is in the factor.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Rows and columns of the window.
    pub kernel: [usize; 2],
    /// Step between windows.
    pub stride: usize,
    /// Zeros around the map.
    pub padding: usize,
    /// Of the window's sum.
    pub requant: Requant,
}

/// `finish(round(Σ xᵢ · multiplierᵢ / 2^shift))`.
#[derive(Clone, Debug, PartialEq)]
pub struct Add {
    /// To the output's grid, or to the table's steps.
    pub blend: Blend,
    /// Activation and saturation.
    pub finish: Finish,
}

/// `finish(round(x · gate · factor))`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// Of the product.
    pub requant: Requant,
    /// Activation and saturation.
    pub finish: Finish,
}

/// `finish(round((x · multiplier[c] + offset[c]) / 2^shift[c]))`.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// 22 bits and a sign.
    pub multiplier: Vec<i32>,
    /// Below 2^30 in magnitude.
    pub offset: Vec<i32>,
    /// 0 to 30.
    pub shift: Vec<u32>,
    /// Activation and saturation.
    pub finish: Finish,
}

impl IntOp {
    /// Name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            IntOp::Input => "input",
            IntOp::Quantize => "quantize",
            IntOp::Dequantize => "dequantize",
            IntOp::Float(op) => op.name(),
            IntOp::Conv(conv) if conv.groups > 1 && conv.shape[1] == 1 => "depthwise",
            IntOp::Conv(_) => "conv",
            IntOp::Mixer(_) => "mixer",
            IntOp::Pool(_) => "pool",
            IntOp::Add(_) => "add",
            IntOp::Gate(_) => "gate",
            IntOp::Affine(_) => "affine",
            IntOp::Activate(_) => "activate",
            IntOp::Slice { .. } => "slice",
            IntOp::Concat => "concat",
        }
    }
}

impl Program {
    /// One node.
    pub fn node(&self, id: ValueId) -> &Node {
        &self.nodes[id.0]
    }

    /// How many times each value is read; the output once more.
    pub fn reads(&self) -> Vec<usize> {
        let mut reads = vec![0; self.nodes.len()];
        self.nodes.iter().flat_map(|node| &node.inputs).for_each(|id| reads[id.0] += 1);
        reads[self.output.0] += 1;
        reads
    }

    /// The values as nodes of a graph, of the same numbers: those of floats with their operators, all others as
    /// inputs, since no operator of floats makes them. Planning looks at shapes and readers through it.
    pub(crate) fn outline(&self) -> Graph {
        let id = |value: ValueId| NodeId(value.0 as u32);
        let node = |node: &Node| graph::Node {
            name: node.name.clone(),
            op: if let IntOp::Float(op) = &node.op { op.clone() } else { Input.into() },
            inputs: node.inputs.iter().map(|input| id(*input)).collect(),
            shape: node.shape,
        };
        Graph::outline(&self.name, self.nodes.iter().map(node).collect(), self.params.clone(), id(self.output))
    }

    /// Number of nodes that compute in floats, without the conversions at the borders.
    pub fn float_nodes(&self) -> usize {
        self.nodes.iter().filter(|node| matches!(node.op, IntOp::Float(_))).count()
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::F32 => f.write_str("f32"),
            Type::I8 { scale } => write!(f, "i8 × {scale:.4e}"),
            Type::I32 { units } => {
                let least = units.iter().copied().fold(f32::INFINITY, f32::min);
                let most = units.iter().copied().fold(0.0, f32::max);
                write!(f, "i32 × {least:.4e}…{most:.4e}")
            }
        }
    }
}

impl fmt::Display for Program {
    /// The table of types and scales: a line per value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} values", self.name, self.nodes.len())?;
        for (i, node) in self.nodes.iter().enumerate() {
            let inputs: Vec<String> = node.inputs.iter().map(|id| format!("%{}", id.0)).collect();
            let output = if self.output.0 == i { " → output" } else { "" };
            let (op, name, inputs) = (node.op.name(), &node.name, inputs.join(", "));
            writeln!(f, "%{i} = {op}({inputs}) {} {} \"{name}\"{output}", node.shape, node.ty)?;
        }
        Ok(())
    }
}
