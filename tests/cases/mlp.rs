use super::*;

/// Two 1×1 convolutions, the first of which only the second reads.
struct MlpSpec {
    batch: usize,
    /// Channels, height and width of the input.
    input: [usize; 3],
    hidden: usize,
    out: usize,
    /// After the first and after the second layer.
    activations: [Activation; 2],
    bias: bool,
    residual: bool,
}

/// RepNeXt's: GELU, biases, the input as residual.
fn repnext(batch: usize, input: [usize; 3], hidden: usize) -> MlpSpec {
    let activations = [Activation::Gelu, Activation::None];
    MlpSpec { batch, input, hidden, out: input[0], activations, bias: true, residual: true }
}

impl MlpSpec {
    fn case(&self) -> Case {
        let MlpSpec { batch, input: [c, h, w], hidden, out, activations, bias, residual } = *self;
        let [first, second] = activations.map(|activation| activation.name());
        let flags = [(bias, " bias"), (residual, " residual")].map(|(on, text)| if on { text } else { "" }).concat();
        let name = format!("mlp n{batch} {c}x{h}x{w} to {hidden} {first} to {out} {second}{flags}");
        let mut b = Builder::new(name, c, h, w);
        let input = b.input();
        let mut inputs = vec![layer(&mut b, &[input], hidden, bias, activations[0])];
        if residual {
            inputs.push(if c == out { input } else { layer(&mut b, &[input], out, true, Activation::None) });
        }
        let last = layer(&mut b, &inputs, out, bias, activations[1]);
        b.finish(last, batch)
    }
}

fn layer(b: &mut Builder, inputs: &[NodeId], out: usize, bias: bool, activation: Activation) -> NodeId {
    let channels = b.shape(inputs[0]).channels;
    let weight = b.weight(&[out, channels, 1, 1]);
    let bias = bias.then(|| b.bias(out));
    b.add(Conv2d { activation, ..Conv2d::new(weight, bias) }, inputs)
}

pub(super) fn cases() -> Vec<Case> {
    let mut specs = vec![
        repnext(1, [48, 14, 13], 96),
        repnext(2, [40, 9, 7], 80),
        repnext(3, [6, 5, 3], 13),
        repnext(1, [9, 1, 1], 17),
        repnext(1, [96, 7, 7], 192),
        repnext(1, [20, 29, 31], 36),
        // Large enough for each of the larger tiles.
        repnext(2, [7, 57, 59], 18),
        repnext(1, [12, 61, 53], 30),
        repnext(1, [24, 39, 41], 48),
        repnext(3, [28, 17, 23], 60),
        MlpSpec { out: 30, residual: false, bias: false, ..repnext(1, [9, 24, 25], 14) },
        // More planes than a small tile divides into parts, in each of the three places.
        MlpSpec { out: 5, ..repnext(2, [130, 3, 4], 33) },
        MlpSpec { out: 270, residual: false, ..repnext(1, [10, 5, 4], 21) },
        repnext(1, [11, 6, 5], 290),
    ];
    for (i, first) in Activation::ALL.into_iter().enumerate() {
        for (j, second) in Activation::ALL.into_iter().enumerate() {
            let sizes = repnext(1 + (i + j) % 3, [5 + i, 6, 3 + 2 * j], 11 + j);
            specs.push(MlpSpec {
                activations: [first, second],
                bias: (i + j) % 3 > 0,
                residual: j % 2 == 0,
                out: 4 + 3 * i,
                ..sizes
            });
        }
    }
    let mut cases: Vec<Case> = specs.iter().map(MlpSpec::case).collect();
    cases.extend([(14, 9, 8), (10, 21, 20), (8, 5, 6)].map(after_mixer));
    cases.extend([in_pieces(), three_layers(), hidden_read_twice()]);
    cases
}

/// A block: token mixer with chunks of that many channels, MLP on its two pieces, residual.
fn after_mixer((chunk, height, width): (usize, usize, usize)) -> Case {
    let mut b = Builder::new(format!("mlp in a chain: behind a mixer with chunks of {chunk}"), 3, height, width);
    let input = b.input();
    let x = layer(&mut b, &[input], 4 * chunk, true, Activation::Relu);
    let x = b.add(Scale { factor: 0.5 }, &[x]);
    let [small, medium, wide, tall] = [[3, 3], [7, 7], [1, 11], [11, 1]].map(|kernel| b.depthwise(chunk, kernel));
    let mixed = b.add(ChunkConv { small, medium, wide, tall }, &[x]);
    let hidden = layer(&mut b, &[mixed], 8 * chunk, true, Activation::Gelu);
    let out = layer(&mut b, &[hidden, x], 4 * chunk, true, Activation::None);
    b.finish(out, 2)
}

/// An input in three pieces, and in two that are slices of other values.
fn in_pieces() -> Case {
    let mut b = Builder::new("mlp in a chain: input in pieces", 6, 5, 7);
    let input = b.input();
    let x = layer(&mut b, &[input], 10, true, Activation::Relu);
    let half = b.add(Scale { factor: 0.5 }, &[x]);
    let three = b.add(Concat, &[x, input, half]);
    let hidden = layer(&mut b, &[three], 19, true, Activation::Relu);
    let out = layer(&mut b, &[hidden, x], 10, true, Activation::Gelu);
    let (left, right) = (Slice { start: 3, channels: 5 }, Slice { start: 4, channels: 6 });
    let (left, right) = (b.add(left, &[out]), b.add(right, &[x]));
    let two = b.add(Concat, &[left, right]);
    let hidden = layer(&mut b, &[two], 9, true, Activation::Sigmoid);
    let out = layer(&mut b, &[hidden], 14, false, Activation::Relu);
    b.finish(out, 3)
}

/// The second layer is no first layer of another pair; the fourth ends one.
fn three_layers() -> Case {
    let mut b = Builder::new("mlp in a chain: layers one behind the other", 5, 6, 5);
    let widths = [(9, Activation::Relu), (6, Activation::None), (14, Activation::Gelu), (7, Activation::None)];
    let mut x = b.input();
    for (width, activation) in widths {
        x = layer(&mut b, &[x], width, true, activation);
    }
    let last = layer(&mut b, &[x], 3, true, Activation::None);
    b.finish(last, 2)
}

/// What is read twice has to exist: as input and residual, and by two layers.
fn hidden_read_twice() -> Case {
    let mut b = Builder::new("mlp in a chain: first layers with several readers", 6, 4, 5);
    let input = b.input();
    let x = layer(&mut b, &[input], 8, true, Activation::Gelu);
    let square = layer(&mut b, &[x, x], 8, true, Activation::Relu);
    let (one, two) =
        (layer(&mut b, &[square], 5, true, Activation::None), layer(&mut b, &[square], 5, true, Activation::Gelu));
    let out = layer(&mut b, &[one, two], 5, true, Activation::None);
    b.finish(out, 2)
}
