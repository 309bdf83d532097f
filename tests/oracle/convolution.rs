use super::*;

/// Stride, padding and dilation, (vertical, horizontal) each.
struct Steps {
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
}

/// Cross-correlation with zero padding, where output channel `o` reads input channels
/// `first(o)..first(o) + weight.shape[1]`.
fn correlate(x: &Value, weight: &Value, bias: &[f64], steps: &Steps, first: impl Fn(usize) -> usize) -> Value {
    let [out, depth, kh, kw] = weight.shape;
    let Steps { stride, padding, dilation } = steps;
    let len = |axis: usize, kernel: usize| {
        (x.shape[2 + axis] + 2 * padding[axis] - dilation[axis] * (kernel - 1) - 1) / stride[axis] + 1
    };
    let at = |axis: usize, output: usize, tap: usize| {
        (output * stride[axis] + tap * dilation[axis]) as isize - padding[axis] as isize
    };
    Value::from_fn([x.shape[0], out, len(0, kh), len(1, kw)], |[n, o, oy, ox]| {
        let mut sum = bias[o];
        for c in 0..depth {
            for i in 0..kh {
                for j in 0..kw {
                    sum += weight.at([o, c, i, j]) * x.padded(n, first(o) + c, at(0, oy, i), at(1, ox, j));
                }
            }
        }
        sum
    })
}

impl Exact for Conv2d {
    fn exact(&self, inputs: &[&Value], params: &Params) -> Value {
        let (x, weight) = (inputs[0], Value::from(params.tensor(self.weight)));
        let [out, depth, ..] = weight.shape;
        assert_eq!(depth * self.groups, x.shape[1]);
        let bias = self.bias.map_or(vec![0.0; out], |id| values(params, id));
        let steps = Steps { stride: self.stride, padding: self.padding, dilation: self.dilation };
        let per_group = out / self.groups;
        let sum = correlate(x, &weight, &bias, &steps, |o| o / per_group * depth);
        Value::from_fn(sum.shape, |i| activated(self.activation, sum.at(i) + inputs.get(1).map_or(0.0, |r| r.at(i))))
    }
}

/// The channels from `start` on.
fn channels(x: &Value, start: usize, count: usize) -> Value {
    let [n, _, h, w] = x.shape;
    Value::from_fn([n, count, h, w], |[n, c, y, x_]| x.at([n, start + c, y, x_]))
}

/// All channels of the parts, one part after the other.
pub(super) fn concatenate(parts: &[&Value]) -> Value {
    let [n, _, h, w] = parts[0].shape;
    let count = parts.iter().map(|p| p.shape[1]).sum();
    Value::from_fn([n, count, h, w], |[n, c, y, x]| {
        let mut c = c;
        let mut parts = parts.iter();
        let mut part = parts.next().expect("there is a part");
        while c >= part.shape[1] {
            c -= part.shape[1];
            part = parts.next().expect("the parts have that channel");
        }
        part.at([n, c, y, x])
    })
}

/// A depthwise convolution with padding (k − 1)/2.
fn depthwise(x: &Value, part: Depthwise, stride: usize, params: &Params) -> Value {
    let weight = Value::from(params.tensor(part.weight));
    let padding = [(weight.shape[2] - 1) / 2, (weight.shape[3] - 1) / 2];
    let steps = Steps { stride: [stride; 2], padding, dilation: [1, 1] };
    correlate(x, &weight, &values(params, part.bias), &steps, |o| o)
}

impl Exact for ChunkConv {
    fn exact(&self, inputs: &[&Value], params: &Params) -> Value {
        let x = inputs[0];
        let chunk = x.shape[1] / 4;
        let part = |i: usize| channels(x, i * chunk, chunk);
        let wide = depthwise(&part(3), self.wide, 1, params);
        let mixed = [
            part(0),
            depthwise(&part(1), self.small, 1, params),
            depthwise(&part(2), self.medium, 1, params),
            depthwise(&wide, self.tall, 1, params),
        ];
        concatenate(&mixed.each_ref())
    }
}

impl Exact for CopyConv {
    fn exact(&self, inputs: &[&Value], params: &Params) -> Value {
        let halves = [self.small, self.medium].map(|part| depthwise(inputs[0], part, 2, params));
        concatenate(&halves.each_ref())
    }
}

impl Exact for Concat {
    fn exact(&self, inputs: &[&Value], _params: &Params) -> Value {
        concatenate(inputs)
    }
}

impl Exact for Slice {
    fn exact(&self, inputs: &[&Value], _params: &Params) -> Value {
        channels(inputs[0], self.start, self.channels)
    }
}
