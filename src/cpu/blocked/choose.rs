//! Which kernel computes a node: the table of the fast path.

use super::conv::{Conv, Spec};
use super::depthwise::{DepthwiseConv, Kernels};
use super::kernel::Kernel;
use super::layout::{LANES, Map};
use super::mixer::{Mixer, Part};
use super::pointwise::{Form, Pointwise};
use super::pool::Pool;
use super::stem::Stem;
use super::winograd::Winograd;
use crate::graph::{Graph, Node, NodeId, Params, Shape};
use crate::ops::*;

/// Widest frame of zeros that values get.
const MAX_HALO: usize = 5;

/// A way to compute a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// [`Stem`]: reads the network's input as it came.
    Stem,
    /// [`Conv`]: dense, or groups of whole blocks.
    Dense,
    /// [`Winograd`]: 3×3 of stride 1.
    Winograd,
    /// [`DepthwiseConv`].
    Depthwise,
    /// [`Mixer`] of a `chunk_conv` or `copy_conv`.
    Mixer,
    /// [`Pool`].
    Pool,
    /// [`Conv`] of a map of one pixel.
    Linear,
    /// [`Pointwise`].
    Pointwise,
    /// The operator's general implementation, between conversions of the layout.
    Plain,
}

impl Choice {
    /// The kernel for a node.
    pub(super) fn of(graph: &Graph, id: NodeId) -> Self {
        let node = graph.node(id);
        match &node.op {
            Op::Conv2d(conv) => Self::of_conv(conv, node, graph),
            Op::ChunkConv(_) | Op::CopyConv(_) => Choice::Mixer,
            Op::GlobalAvgPool(_) => Choice::Pool,
            Op::Linear(_) => Choice::Linear,
            Op::Activate(_) | Op::BatchNorm(_) | Op::Scale(_) | Op::Gate(_) => Choice::Pointwise,
            Op::Add(_) if node.inputs.len() == 2 => Choice::Pointwise,
            _ => Choice::Plain,
        }
    }

    fn of_conv(conv: &Conv2d, node: &Node, graph: &Graph) -> Self {
        let params = graph.params();
        let shape = params.shape(conv.weight);
        let out = shape[0];
        if node.inputs == [graph.input()] && Stem::fits(conv, shape[1], conv.kernel(params)) {
            return Choice::Stem;
        }
        let regular = matches!(conv.stride, [1, 1] | [2, 2]) && conv.dilation == [1, 1];
        if !regular || conv.padding.iter().any(|p| *p > MAX_HALO) {
            return Choice::Plain;
        }
        if conv.is_depthwise(params) {
            return Choice::Depthwise;
        }
        let (io, pixels) = ([shape[1], out], node.shape.pixels());
        if conv.groups == 1 && Winograd::fits(conv.kernel(params), conv.stride[0], conv.padding, io, pixels) {
            return Choice::Winograd;
        }
        let whole_blocks = |channels: usize| (channels / conv.groups).is_multiple_of(LANES);
        // A block of output channels that is nearly empty costs as much as a full one.
        let dense = conv.groups == 1 && out >= LANES / 2;
        if dense || whole_blocks(out) && shape[1].is_multiple_of(LANES) { Choice::Dense } else { Choice::Plain }
    }

    /// The frame of zeros that the kernel reads around its first input.
    pub(super) fn halo(self, op: &Op, output: Shape) -> usize {
        match (self, op) {
            (Choice::Winograd, _) => Winograd::halo(output.height, output.width),
            (Choice::Dense | Choice::Depthwise, Op::Conv2d(conv)) => conv.padding[0].max(conv.padding[1]),
            _ => 0,
        }
    }

    /// The kernel, for values that lie as `inputs` and `output` say; nothing for [`Choice::Plain`].
    pub(super) fn kernel(
        self,
        graph: &Graph,
        id: NodeId,
        inputs: &[Map],
        output: Map,
        threads: usize,
    ) -> Option<Box<dyn Kernel>> {
        let (node, params) = (graph.node(id), graph.params());
        let input = *inputs.first()?;
        let second = inputs.get(1).copied();
        Some(match (self, &node.op) {
            (Choice::Stem, Op::Conv2d(conv)) => {
                Box::new(Stem::new(conv, &spec(conv, params), graph.input_shape(), output, threads))
            }
            (Choice::Dense, Op::Conv2d(conv)) => {
                Box::new(Conv::new(&spec(conv, params), input, output, second, threads))
            }
            (Choice::Winograd, Op::Conv2d(conv)) => {
                Box::new(Winograd::new(&spec(conv, params), input, output, second, threads))
            }
            (Choice::Depthwise, Op::Conv2d(conv)) => {
                let Spec { weight, bias, kernel, stride, padding, activation, .. } = spec(conv, params);
                let kernels = Kernels::new(kernel, weight, bias, output.channels);
                let maps = [input, output];
                Box::new(DepthwiseConv::new(kernels, stride, padding, activation, maps, second, threads))
            }
            (Choice::Linear, Op::Linear(linear)) => {
                let spec = Spec {
                    weight: params.tensor(linear.weight).data(),
                    bias: linear.bias.map(|id| params.tensor(id).data()),
                    kernel: [1, 1],
                    stride: 1,
                    padding: [0, 0],
                    groups: 1,
                    activation: linear.activation,
                };
                Box::new(Conv::new(&spec, input, output, None, threads))
            }
            (Choice::Mixer, op) => mixer(op, params, input, output, threads)?,
            (Choice::Pool, _) => Box::new(Pool::new(input, output, threads)),
            (Choice::Pointwise, op) => {
                let (form, activation) = form(op, params, input.channels, second)?;
                Box::new(Pointwise::new(form, activation, input, output, threads))
            }
            _ => return None,
        })
    }
}

fn spec<'a>(conv: &Conv2d, params: &'a Params) -> Spec<'a> {
    Spec {
        weight: params.tensor(conv.weight).data(),
        bias: conv.bias.map(|id| params.tensor(id).data()),
        kernel: conv.kernel(params),
        stride: conv.stride[0],
        padding: conv.padding,
        groups: conv.groups,
        activation: conv.activation,
    }
}

fn form(op: &Op, params: &Params, channels: usize, second: Option<Map>) -> Option<(Form, Activation)> {
    Some(match op {
        Op::Activate(activate) => (Form::Plain, activate.0),
        Op::Add(add) => (Form::Sum(second?), add.activation),
        Op::Gate(gate) => (Form::Gate(second?), gate.activation),
        Op::BatchNorm(norm) => (Form::affine(&norm.affine(params)), norm.activation),
        Op::Scale(scale) => (Form::affine(&vec![(f64::from(scale.factor), 0.0); channels]), Activation::None),
        _ => return None,
    })
}

/// One channel's taps and bias.
fn channel(part: Depthwise, params: &Params, channel: usize) -> (&[f32], f32) {
    let taps = part.kernel(params).iter().product::<usize>();
    let weight = &params.tensor(part.weight).data()[channel * taps..(channel + 1) * taps];
    (weight, params.tensor(part.bias).data()[channel])
}

fn mixer(op: &Op, params: &Params, input: Map, output: Map, threads: usize) -> Option<Box<dyn Kernel>> {
    let square = |part: Depthwise, c: usize| {
        let (taps, bias) = channel(part, params, c);
        Part::Square(taps, bias)
    };
    let (parts, stride): (Vec<(usize, Part)>, usize) = match op {
        Op::ChunkConv(mixer) => {
            let chunk = output.channels / 4;
            let part = |c: usize| match c / chunk {
                0 => Part::Identity,
                1 => square(mixer.small, c % chunk),
                2 => square(mixer.medium, c % chunk),
                _ => {
                    let ((wide, wide_bias), (tall, tall_bias)) =
                        (channel(mixer.wide, params, c % chunk), channel(mixer.tall, params, c % chunk));
                    Part::Pair { wide, wide_bias, tall, tall_bias }
                }
            };
            ((0..output.channels).map(|c| (c, part(c))).collect(), 1)
        }
        Op::CopyConv(mixer) => {
            let half = output.channels / 2;
            let part = |c: usize| (c % half, square(if c < half { mixer.small } else { mixer.medium }, c % half));
            ((0..output.channels).map(part).collect(), CopyConv::STRIDE)
        }
        _ => return None,
    };
    Some(Box::new(Mixer::new(&parts, stride, input, output, threads)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;

    /// The choice for a convolution of a value that is not the network's input.
    fn choice(input: [usize; 3], weight: [usize; 4], change: impl Fn(Conv2d) -> Conv2d) -> Choice {
        let [channels, height, width] = input;
        let mut graph = Graph::new("test", Shape::new(channels, height, width));
        let x = graph.add("x", Activate(Activation::Relu), &[graph.input()]).unwrap();
        let weight = graph.param("weight", Tensor::zeros(weight));
        let conv = graph.add("conv", change(Conv2d::new(weight, None)), &[x]).unwrap();
        assert_eq!(Choice::of(&graph, x), Choice::Pointwise);
        Choice::of(&graph, conv)
    }

    #[test]
    fn convolutions_get_the_kernel_that_suits_them() {
        let same = |conv: Conv2d| conv.padding([1, 1]);
        assert_eq!(choice([64, 28, 28], [64, 64, 3, 3], same), Choice::Winograd);
        // Few pixels, few channels, huge weights, a stride, groups: not Winograd.
        assert_eq!(choice([64, 7, 7], [64, 64, 3, 3], same), Choice::Dense);
        assert_eq!(choice([16, 28, 28], [64, 16, 3, 3], same), Choice::Dense);
        assert_eq!(choice([640, 14, 14], [640, 640, 3, 3], same), Choice::Dense);
        assert_eq!(choice([64, 28, 28], [64, 64, 3, 3], |conv| conv.padding([1, 1]).stride(2)), Choice::Dense);
        assert_eq!(choice([64, 28, 28], [64, 16, 3, 3], |conv| conv.padding([1, 1]).groups(4)), Choice::Dense);
        assert_eq!(choice([64, 28, 28], [128, 64, 1, 1], |conv| conv), Choice::Dense);
        assert_eq!(choice([40, 9, 9], [40, 1, 7, 7], |conv| conv.groups(40)), Choice::Depthwise);
        // What no kernel takes: other strides, dilation, wide padding, odd groups, few outputs.
        let [dilated, stride] = [[2, 2], [2, 1]];
        assert_eq!(choice([64, 9, 9], [64, 64, 3, 3], |conv| Conv2d { dilation: dilated, ..conv }), Choice::Plain);
        assert_eq!(choice([64, 9, 9], [64, 64, 3, 3], |conv| Conv2d { stride, ..conv }), Choice::Plain);
        assert_eq!(choice([64, 9, 9], [64, 64, 3, 3], |conv| conv.padding([6, 1])), Choice::Plain);
        assert_eq!(choice([40, 9, 9], [40, 20, 3, 3], |conv| conv.groups(2)), Choice::Plain);
        assert_eq!(choice([64, 9, 9], [3, 64, 3, 3], |conv| conv), Choice::Plain);
    }

    #[test]
    fn a_convolution_of_the_input_is_a_stem() {
        for (kernel, expected) in [(3, Choice::Stem), (7, Choice::Dense)] {
            let mut graph = Graph::new("test", Shape::new(3, 20, 20));
            let weight = graph.param("weight", Tensor::zeros([16, 3, kernel, kernel]));
            let conv = graph.add("conv", Conv2d::new(weight, None), &[graph.input()]).unwrap();
            assert_eq!(Choice::of(&graph, conv), expected);
        }
    }
}
