//! Integer nodes computed from their definitions, with i128 and exact rationals: no code of the crate.

use foveate::graph::Shape;
use foveate::int8::arith::{Enlarge, Requant};
use foveate::int8::program::{Depthwise, IntOp, Node, Output, Program, Type};
use foveate::int8::reference::Data;
use foveate::int8::table::Finish;

/// The nearest integer to `value / 2^shift`, half to even.
pub fn round(value: i128, shift: u32) -> i128 {
    let one = 1i128 << shift;
    let (whole, twice) = (value.div_euclid(one), 2 * value.rem_euclid(one));
    if twice > one || (twice == one && whole % 2 != 0) { whole + 1 } else { whole }
}

fn rescaled(requant: Requant, sum: i128) -> i128 {
    round(sum * i128::from(requant.multiplier), requant.shift)
}

fn finished(finish: &Finish, value: i128) -> i128 {
    match finish {
        Finish::Clamp { low } => value.max(i128::from(*low)).min(127),
        Finish::Table(table) => table.entries[(value + i128::from(table.offset)).clamp(0, 255) as usize].into(),
    }
}

fn enlarged(enlarge: Enlarge, operand: i128) -> i128 {
    round(operand * i128::from(enlarge.multiplier) * (1 << enlarge.left), enlarge.right)
}

/// One sample of integers.
pub struct Value {
    pub shape: Shape,
    pub data: Vec<i128>,
}

impl Value {
    pub fn at(&self, c: usize, y: i64, x: i64) -> i128 {
        let (height, width) = (self.shape.height as i64, self.shape.width as i64);
        let inside = (0..height).contains(&y) && (0..width).contains(&x);
        if inside { self.data[(c * self.shape.height + y as usize) * self.shape.width + x as usize] } else { 0 }
    }
}

fn each(shape: Shape, value: impl Fn(usize, i64, i64) -> i128) -> Vec<i128> {
    let pixel = |c: usize, i: usize| value(c, (i / shape.width) as i64, (i % shape.width) as i64);
    (0..shape.channels).flat_map(|c| (0..shape.pixels()).map(move |i| (c, i))).map(|(c, i)| pixel(c, i)).collect()
}

fn depthwise(op: &Depthwise, x: &Value, first: usize, stride: i64, shape: Shape) -> Vec<i128> {
    let [kh, kw] = op.kernel.map(|k| k as i64);
    let shape = Shape { channels: op.bias.len(), ..shape };
    each(shape, |c, y, column| {
        let mut sum = i128::from(op.bias[c]);
        for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
            let w = op.weight[c * (kh * kw) as usize + (ky * kw + kx) as usize];
            sum += i128::from(w) * x.at(first + c, y * stride + ky - kh / 2, column * stride + kx - kw / 2);
        }
        assert!(i32::try_from(sum).is_ok(), "a sum of 32 bits overflows");
        sum
    })
}

/// What an integer node makes of its inputs; nothing for one that deals in floats.
pub fn compute(node: &Node, inputs: &[Value]) -> Option<Vec<i128>> {
    let shape = node.shape;
    Some(match &node.op {
        IntOp::Conv(op) => {
            let [out, per_group, kh, kw] = op.shape;
            let sum = |o: usize, y: i64, column: i64| {
                let first = o * op.groups / out * per_group;
                let mut sum = i128::from(op.bias[o]);
                for c in 0..per_group {
                    for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                        let row = y * op.stride[0] as i64 + (ky * op.dilation[0]) as i64 - op.padding[0] as i64;
                        let column = column * op.stride[1] as i64 + (kx * op.dilation[1]) as i64 - op.padding[1] as i64;
                        let w = op.weight[((o * per_group + c) * kh + ky) * kw + kx];
                        sum += i128::from(w) * inputs[0].at(first + c, row, column);
                    }
                }
                if let Some(residual) = &op.residual {
                    sum += enlarged(residual[o], inputs[1].at(o, y, column));
                }
                assert!(i32::try_from(sum).is_ok(), "{}: a sum of 32 bits overflows", node.name);
                sum
            };
            match &op.output {
                Output::Sums => each(shape, sum),
                Output::Rescaled { requant, finish } => {
                    each(shape, |o, y, x| finished(finish, rescaled(requant[o], sum(o, y, x))))
                }
            }
        }
        IntOp::Mixer(op) => {
            let mut all = Vec::new();
            for part in &op.parts {
                let saturated = |requant: &[Requant], sums: Vec<i128>, pixels: usize| -> Vec<i128> {
                    let one = |(i, sum): (usize, i128)| rescaled(requant[i / pixels], sum).clamp(-127, 127);
                    sums.into_iter().enumerate().map(one).collect()
                };
                let x = &inputs[0];
                let sums = match &part.first {
                    Some(first) => {
                        let sums = depthwise(first, x, part.source, 1, x.shape);
                        let shape = Shape { channels: first.bias.len(), ..x.shape };
                        let data = saturated(&first.requant, sums, shape.pixels());
                        depthwise(&part.conv, &Value { shape, data }, 0, op.stride as i64, node.shape)
                    }
                    None => depthwise(&part.conv, x, part.source, op.stride as i64, node.shape),
                };
                let sums = if part.conv.requant.is_empty() {
                    sums
                } else {
                    saturated(&part.conv.requant, sums, shape.pixels())
                };
                all.extend(sums);
            }
            all
        }
        IntOp::Pool(op) => each(shape, |c, y, x| {
            let (stride, padding) = (op.stride as i64, op.padding as i64);
            let window = (0..op.kernel[0] as i64).flat_map(|ky| (0..op.kernel[1] as i64).map(move |kx| (ky, kx)));
            let sum =
                window.map(|(ky, kx)| inputs[0].at(c, y * stride + ky - padding, x * stride + kx - padding)).sum();
            rescaled(op.requant, sum).clamp(-127, 127)
        }),
        IntOp::Add(op) => each(shape, |c, y, x| {
            let terms = inputs.iter().zip(&op.blend.multipliers).map(|(v, m)| v.at(c, y, x) * i128::from(*m));
            finished(&op.finish, round(terms.sum(), op.blend.shift))
        }),
        IntOp::Gate(op) => each(shape, |c, y, x| {
            finished(&op.finish, rescaled(op.requant, inputs[0].at(c, y, x) * inputs[1].at(c, 0, 0)))
        }),
        IntOp::Affine(op) => each(shape, |c, y, x| {
            let product = inputs[0].at(c, y, x) * i128::from(op.multiplier[c]) + i128::from(op.offset[c]);
            finished(&op.finish, round(product, op.shift[c]))
        }),
        IntOp::Activate(table) => inputs[0].data.iter().map(|q| table.entries[(q + 128) as usize].into()).collect(),
        IntOp::Slice { start } => each(shape, |c, y, x| inputs[0].at(start + c, y, x)),
        IntOp::Concat => inputs.iter().flat_map(|x| x.data.iter().copied()).collect(),
        IntOp::Input | IntOp::Quantize | IntOp::Dequantize | IntOp::Float(_) => return None,
    })
}

/// The integers that a value holds; nothing for floats.
pub fn integers(data: &Data) -> Option<Vec<i128>> {
    match data {
        Data::I8(values) => Some(values.iter().map(|v| i128::from(*v)).collect()),
        Data::I32(values) => Some(values.iter().map(|v| i128::from(*v)).collect()),
        Data::F32(_) => None,
    }
}

/// Holds every integer value of a run to its definition, from the values of its own inputs; returns how many.
pub fn check(program: &Program, values: &[Data], what: &str) -> usize {
    let mut checked = 0;
    for (node, data) in program.nodes.iter().zip(values) {
        let at = || format!("{what}: {} ({})", node.name, node.op.name());
        let input = |i: usize| Some(Value { shape: program.nodes[i].shape, data: integers(&values[i])? });
        let inputs: Option<Vec<Value>> = node.inputs.iter().map(|id| input(id.0)).collect();
        let found = integers(data);
        if let Some(expected) = inputs.and_then(|inputs| compute(node, &inputs)) {
            let found = found.unwrap_or_else(|| panic!("{}: integers were expected", at()));
            let wrong = found.iter().zip(&expected).position(|(a, b)| a != b);
            assert!(
                found.len() == expected.len() && wrong.is_none(),
                "{}: at {wrong:?} of {}: {:?}, expected {:?}",
                at(),
                expected.len(),
                wrong.map(|i| found[i]),
                wrong.map(|i| expected[i])
            );
            checked += 1;
        } else if let (IntOp::Quantize, Type::I8 { scale }) = (&node.op, &node.ty) {
            let Data::F32(x) = &values[node.inputs[0].0] else { panic!("{}: floats were expected", at()) };
            let inverse = 1.0 / scale;
            let expected = x.iter().map(|v| i128::from((v * inverse).round_ties_even().clamp(-127.0, 127.0) as i32));
            assert!(found.unwrap().into_iter().eq(expected), "{}", at());
            checked += 1;
        }
    }
    checked
}
