use super::*;

/// A global average pool which only a fully connected layer reads.
struct HeadSpec {
    batch: usize,
    /// Channels, height and width of the map.
    input: [usize; 3],
    out: usize,
    activation: Activation,
    bias: bool,
}

fn classes(batch: usize, input: [usize; 3], out: usize) -> HeadSpec {
    HeadSpec { batch, input, out, activation: Activation::None, bias: true }
}

impl HeadSpec {
    fn case(&self) -> Case {
        let HeadSpec { batch, input: [c, h, w], out, activation, bias } = *self;
        let flag = if bias { " bias" } else { "" };
        let name = format!("head n{batch} {c}x{h}x{w} to {out} {}{flag}", activation.name());
        let mut b = Builder::new(name, c, h, w);
        let input = b.input();
        let logits = layer(&mut b, input, out, bias, activation);
        b.finish(logits, batch)
    }
}

/// Pool and layer.
fn layer(b: &mut Builder, x: NodeId, out: usize, bias: bool, activation: Activation) -> NodeId {
    let pooled = b.add(GlobalAvgPool, &[x]);
    let linear = b.linear(b.shape(x).channels, out, bias, activation);
    b.add(linear, &[pooled])
}

fn conv(b: &mut Builder, inputs: &[NodeId], out: usize) -> NodeId {
    let (weight, bias) = (b.weight(&[out, b.shape(inputs[0]).channels, 1, 1]), b.bias(out));
    b.add(Conv2d { activation: Activation::Relu, ..Conv2d::new(weight, Some(bias)) }, inputs)
}

pub(super) fn cases() -> Vec<Case> {
    let mut specs = vec![
        classes(1, [384, 7, 7], 1000),
        classes(2, [30, 9, 5], 10),
        classes(3, [7, 3, 11], 37),
        classes(1, [5, 1, 1], 3),
        classes(2, [131, 1, 2], 66),
        classes(1, [3, 31, 33], 5),
        // Each number of parts of a sum.
        classes(1, [1280, 3, 2], 35),
        classes(1, [2810, 2, 2], 4),
        classes(1, [700, 2, 2], 9),
        // Larger than is pooled by every workgroup: a map, and more channels than it holds.
        classes(1, [12, 75, 77], 10),
        classes(1, [2823, 1, 1], 5),
    ];
    for (i, activation) in Activation::ALL.into_iter().enumerate() {
        specs.push(HeadSpec { activation, bias: i % 2 == 0, ..classes(1 + i % 3, [6 + i, 4, 3 + i], 12 - i) });
    }
    let mut cases: Vec<Case> = specs.iter().map(HeadSpec::case).collect();
    cases.extend([14, 10, 8].map(after_mixer));
    cases.extend([in_pieces(), several_readers()]);
    cases
}

/// The map lies in chunks of that many channels, each padded to whole planes.
fn after_mixer(chunk: usize) -> Case {
    let mut b = Builder::new(format!("head in a chain: behind a mixer with chunks of {chunk}"), 3, 6, 5);
    let input = b.input();
    let x = conv(&mut b, &[input], 4 * chunk);
    let [small, medium, wide, tall] = [[3, 3], [7, 7], [1, 11], [11, 1]].map(|kernel| b.depthwise(chunk, kernel));
    let mixed = b.add(ChunkConv { small, medium, wide, tall }, &[x]);
    let logits = layer(&mut b, mixed, 11, true, Activation::None);
    b.finish(logits, 2)
}

/// The map is a concatenation, and a slice that begins within a plane.
fn in_pieces() -> Case {
    let mut b = Builder::new("head in a chain: maps in pieces", 6, 5, 4);
    let input = b.input();
    let x = conv(&mut b, &[input], 9);
    let both = b.add(Concat, &[x, input]);
    let one = layer(&mut b, both, 8, true, Activation::Sigmoid);
    let slice = b.add(Slice { start: 3, channels: 5 }, &[x]);
    let other = layer(&mut b, slice, 8, false, Activation::None);
    let sum = b.add(Add::default(), &[one, other]);
    b.finish(sum, 3)
}

/// A pooled value that two layers read has to exist.
fn several_readers() -> Case {
    let mut b = Builder::new("head in a chain: two layers read one pool", 6, 4, 5);
    let input = b.input();
    let x = conv(&mut b, &[input], 13);
    let pooled = b.add(GlobalAvgPool, &[x]);
    let [one, two] = [Activation::None, Activation::Relu].map(|activation| {
        let linear = b.linear(13, 7, true, activation);
        b.add(linear, &[pooled])
    });
    let both = b.add(Concat, &[one, two]);
    let last = layer(&mut b, both, 5, true, Activation::None);
    b.finish(last, 2)
}
