use super::*;

/// Everything but convolutions.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for activation in Activation::ALL {
        cases.extend([activate(activation), batch_norm(activation), gate(activation), linear(activation)]);
        cases.push(add(2 + cases.len() % 4, activation));
    }
    cases.extend(avg_pools());
    cases.extend([[2, 5, 7], [6, 1, 1], [8, 14, 14], [3, 40, 37]].map(global_avg_pool));
    cases.extend([(2, 1, 3), (0, 4, 9), (3, 6, 9), (4, 4, 8), (0, 5, 5)].map(slice));
    cases.extend([&[3usize, 4][..], &[4, 4, 8], &[1, 2, 3, 5], &[6]].map(concat));
    cases.extend([0.5, -1.75, 0.0].map(scale));
    cases.extend([(3, 40, 10, true), (2, 5, 7, false), (1, 129, 1000, true)].map(linear_size));
    cases
}

fn activate(activation: Activation) -> Case {
    let mut b = Builder::new(format!("activate {}", activation.name()), 5, 6, 7);
    let out = b.add(Activate(activation), &[b.input()]);
    b.finish(out, 2)
}

fn batch_norm(activation: Activation) -> Case {
    let mut b = Builder::new(format!("batch_norm {}", activation.name()), 7, 5, 3);
    let norm = b.batch_norm(7, if activation == Activation::Relu { 1e-3 } else { 1e-5 }, activation);
    let out = b.add(norm, &[b.input()]);
    b.finish(out, 3)
}

/// The summands are the input and scaled copies of it.
fn add(count: usize, activation: Activation) -> Case {
    let mut b = Builder::new(format!("add of {count} {}", activation.name()), 6, 7, 5);
    let mut inputs = vec![b.input()];
    for i in 1..count {
        let part = b.batch_norm(6, 1e-5, Activation::None);
        inputs.push(b.add(part, &[inputs[i - 1]]));
    }
    let out = b.add(Add { activation }, &inputs);
    b.finish(out, 2)
}

/// The gates are the sigmoids of the channels' means.
fn gate(activation: Activation) -> Case {
    let mut b = Builder::new(format!("gate {}", activation.name()), 7, 4, 5);
    let pooled = b.add(GlobalAvgPool, &[b.input()]);
    let gates = b.add(Activate(Activation::Sigmoid), &[pooled]);
    let out = b.add(Gate { activation }, &[b.input(), gates]);
    b.finish(out, 3)
}

fn linear(activation: Activation) -> Case {
    let mut b = Builder::new(format!("linear {}", activation.name()), 13, 1, 1);
    let linear = b.linear(13, 6, true, activation);
    let out = b.add(linear, &[b.input()]);
    b.finish(out, 2)
}

fn linear_size((batch, features, out, bias): (usize, usize, usize, bool)) -> Case {
    let mut b = Builder::new(format!("linear n{batch} {features} to {out} bias {bias}"), features, 1, 1);
    let linear = b.linear(features, out, bias, Activation::None);
    let out = b.add(linear, &[b.input()]);
    b.finish(out, batch)
}

fn avg_pools() -> impl Iterator<Item = Case> {
    let pool = |kernel, stride, padding| AvgPool { kernel, stride, padding };
    let cases = [
        (2, [6, 7, 9], pool(3, 1, 1)),
        (3, [5, 8, 13], pool(3, 2, 1)),
        (1, [8, 14, 12], pool(2, 2, 0)),
        (2, [3, 11, 10], pool(5, 3, 2)),
        (1, [10, 6, 5], pool(1, 2, 0)),
        // Windows larger than the map, and windows that see nothing of it
        (2, [5, 1, 1], pool(3, 1, 1)),
        (1, [4, 3, 2], pool(7, 2, 4)),
        (2, [3, 4, 5], pool(2, 1, 3)),
    ];
    cases.into_iter().map(|(batch, shape, pool)| avg_pool(batch, shape, pool))
}

fn avg_pool(batch: usize, [c, h, w]: [usize; 3], pool: AvgPool) -> Case {
    let AvgPool { kernel, stride, padding } = pool;
    let name = format!("avg_pool {kernel}x{kernel} n{batch} {c}x{h}x{w} stride {stride} pad {padding}");
    let mut b = Builder::new(name, c, h, w);
    let out = b.add(pool, &[b.input()]);
    b.finish(out, batch)
}

fn global_avg_pool([c, h, w]: [usize; 3]) -> Case {
    let mut b = Builder::new(format!("global_avg_pool {c}x{h}x{w}"), c, h, w);
    let out = b.add(GlobalAvgPool, &[b.input()]);
    b.finish(out, 2)
}

fn slice((start, channels, of): (usize, usize, usize)) -> Case {
    let mut b = Builder::new(format!("slice {start}+{channels} of {of}"), of, 3, 5);
    let out = b.add(Slice { start, channels }, &[b.input()]);
    b.finish(out, 2)
}

/// The parts are slices of the input, the last ones first.
fn concat(parts: &[usize]) -> Case {
    let total = parts.iter().sum();
    let mut b = Builder::new(format!("concat {parts:?}"), total, 5, 4);
    let mut end = total;
    let mut inputs = Vec::new();
    for channels in parts {
        end -= channels;
        inputs.push(b.add(Slice { start: end, channels: *channels }, &[b.input()]));
    }
    let out = b.add(Concat, &inputs);
    b.finish(out, 2)
}

fn scale(factor: f32) -> Case {
    let mut b = Builder::new(format!("scale {factor}"), 5, 3, 7);
    let out = b.add(Scale { factor }, &[b.input()]);
    b.finish(out, 2)
}
