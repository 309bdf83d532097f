//! Every integer operation in plain loops: the definition that fast kernels are held to.

use super::arith::{Requant, shift_round};
use super::program::{Add, Affine, Conv, Depthwise, Gate, IntOp, Mixer, Node, Output, Part, Pool};
use crate::graph::Shape;

/// One sample of a value, `[c, h, w]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Floats.
    F32(Vec<f32>),
    /// Integers of a grid.
    I8(Vec<i8>),
    /// Sums.
    I32(Vec<i32>),
}

impl Data {
    /// The integers of a grid; none of another type.
    pub fn as_i8(&self) -> &[i8] {
        if let Data::I8(values) = self { values } else { &[] }
    }
}

/// Integers of a grid with their shape.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    /// Per sample.
    pub shape: Shape,
    /// `[c, h, w]`.
    pub values: &'a [i8],
}

impl Map<'_> {
    /// A pixel, or zero beyond the edges.
    fn at(&self, c: usize, y: isize, x: isize) -> i32 {
        let Shape { height, width, .. } = self.shape;
        match (usize::try_from(y), usize::try_from(x)) {
            (Ok(y), Ok(x)) if y < height && x < width => self.values[(c * height + y) * width + x].into(),
            _ => 0,
        }
    }
}

/// Computes an integer node from its inputs' integers. `None` for [`IntOp::Input`], [`IntOp::Quantize`],
/// [`IntOp::Dequantize`] and [`IntOp::Float`], which deal in floats, and where an input is missing.
pub fn compute(node: &Node, inputs: &[Map]) -> Option<Data> {
    let x = inputs.first()?;
    Some(match &node.op {
        IntOp::Conv(op) => conv(op, *x, inputs.get(1).copied(), node.shape),
        IntOp::Mixer(op) => mixer(op, *x, node.shape),
        IntOp::Pool(op) => Data::I8(pool(op, *x, node.shape)),
        IntOp::Add(op) => Data::I8(add(op, inputs)),
        IntOp::Gate(op) => Data::I8(gate(op, *x, *inputs.get(1)?)),
        IntOp::Affine(op) => Data::I8(affine(op, *x)),
        IntOp::Activate(table) => Data::I8(x.values.iter().map(|q| table.at(i32::from(*q))).collect()),
        IntOp::Slice { start } => {
            let pixels = x.shape.pixels();
            Data::I8(x.values[start * pixels..(start + node.shape.channels) * pixels].to_vec())
        }
        IntOp::Concat => Data::I8(inputs.iter().flat_map(|x| x.values).copied().collect()),
        IntOp::Input | IntOp::Quantize | IntOp::Dequantize | IntOp::Float(_) => return None,
    })
}

/// Calls `value(channel, y, x)` in the order in which values lie.
fn fill<T>(shape: Shape, mut value: impl FnMut(usize, usize, usize) -> T) -> Vec<T> {
    let mut values = Vec::with_capacity(shape.len());
    for c in 0..shape.channels {
        for y in 0..shape.height {
            (0..shape.width).for_each(|x| values.push(value(c, y, x)));
        }
    }
    values
}

fn conv(op: &Conv, x: Map, residual: Option<Map>, shape: Shape) -> Data {
    let [out, per_group, kh, kw] = op.shape;
    let sum = |o: usize, y: usize, column: usize| {
        let first = o / (out / op.groups) * per_group;
        let mut sum = op.bias[o];
        for (i, w) in op.weight[o * per_group * kh * kw..][..per_group * kh * kw].iter().enumerate() {
            let (c, ky, kx) = (i / (kh * kw), i / kw % kh, i % kw);
            let row = (y * op.stride[0] + ky * op.dilation[0]) as isize - op.padding[0] as isize;
            let column = (column * op.stride[1] + kx * op.dilation[1]) as isize - op.padding[1] as isize;
            sum = sum.wrapping_add(i32::from(*w) * x.at(first + c, row, column));
        }
        let residual = op
            .residual
            .as_ref()
            .zip(residual)
            .map_or(0, |(enlarge, residual)| enlarge[o].apply(residual.at(o, y as isize, column as isize) as i8));
        sum.wrapping_add(residual)
    };
    match &op.output {
        Output::Sums => Data::I32(fill(shape, sum)),
        Output::Rescaled { requant, finish } => Data::I8(fill(shape, |o, y, x| finish.of(requant[o], sum(o, y, x)))),
    }
}

fn mixer(op: &Mixer, x: Map, shape: Shape) -> Data {
    let (mut rescaled, mut sums) = (Vec::new(), Vec::new());
    for Part { source, first, conv } in &op.parts {
        let between: Vec<i8>;
        let mut part = Map {
            shape: Shape { channels: conv.channels(), ..x.shape },
            values: &x.values[source * x.shape.pixels()..][..conv.channels() * x.shape.pixels()],
        };
        if let Some(first) = first {
            between = rescale(&first.requant, depthwise(first, part, 1, part.shape), part.shape);
            part.values = &between;
        }
        let shape = Shape { channels: conv.channels(), ..shape };
        let own = depthwise(conv, part, op.stride, shape);
        match conv.requant.is_empty() {
            true => sums.extend(own),
            false => rescaled.extend(rescale(&conv.requant, own, shape)),
        }
    }
    if sums.is_empty() { Data::I8(rescaled) } else { Data::I32(sums) }
}

fn rescale(requant: &[Requant], sums: Vec<i32>, shape: Shape) -> Vec<i8> {
    let channel = |(i, sum): (usize, i32)| requant[i / shape.pixels()].apply(sum).clamp(-127, 127) as i8;
    sums.into_iter().enumerate().map(channel).collect()
}

fn depthwise(op: &Depthwise, x: Map, stride: usize, shape: Shape) -> Vec<i32> {
    let [kh, kw] = op.kernel;
    fill(shape, |c, y, column| {
        let weights = &op.weight[c * kh * kw..][..kh * kw];
        weights.iter().enumerate().fold(op.bias[c], |sum, (i, w)| {
            let row = (y * stride + i / kw) as isize - (kh / 2) as isize;
            let column = (column * stride + i % kw) as isize - (kw / 2) as isize;
            sum.wrapping_add(i32::from(*w) * x.at(c, row, column))
        })
    })
}

fn pool(op: &Pool, x: Map, shape: Shape) -> Vec<i8> {
    fill(shape, |c, y, column| {
        let mut sum = 0;
        for ky in 0..op.kernel[0] {
            for kx in 0..op.kernel[1] {
                let row = (y * op.stride + ky) as isize - op.padding as isize;
                sum += x.at(c, row, (column * op.stride + kx) as isize - op.padding as isize);
            }
        }
        op.requant.apply(sum).clamp(-127, 127) as i8
    })
}

fn add(op: &Add, inputs: &[Map]) -> Vec<i8> {
    let len = inputs.first().map_or(0, |x| x.values.len());
    let sum = |i: usize| -> i32 {
        inputs.iter().zip(&op.blend.multipliers).map(|(x, multiplier)| i32::from(x.values[i]) * multiplier).sum()
    };
    (0..len).map(|i| op.finish.apply(shift_round(sum(i), op.blend.shift))).collect()
}

fn gate(op: &Gate, x: Map, gate: Map) -> Vec<i8> {
    fill(x.shape, |c, y, column| {
        let product = x.at(c, y as isize, column as isize) * i32::from(gate.values[c]);
        op.finish.of(op.requant, product)
    })
}

fn affine(op: &Affine, x: Map) -> Vec<i8> {
    fill(x.shape, |c, y, column| {
        let product = x.at(c, y as isize, column as isize) * op.multiplier[c] + op.offset[c];
        op.finish.apply(shift_round(product, op.shift[c]))
    })
}
