use super::*;

/// Short chains, in which one operator's output layout is the next one's input layout.
pub(super) fn cases() -> Vec<Case> {
    vec![
        repnext_block(),
        squeeze_excite(false),
        squeeze_excite(true),
        training_block(),
        reused_values(),
        pooled_pieces(),
    ]
}

fn conv(b: &mut Builder, inputs: &[NodeId], out: usize, kernel: usize, activation: Activation) -> NodeId {
    let channels = b.shape(inputs[0]).channels;
    let (weight, bias) = (b.weight(&[out, channels, kernel, kernel]), b.bias(out));
    let conv = Conv2d { activation, ..Conv2d::new(weight, Some(bias)) }.padding([kernel / 2; 2]);
    b.add(conv, inputs)
}

/// Stem, downsampling mixer, a block with chunks of ten channels, head.
fn repnext_block() -> Case {
    let mut b = Builder::new("chunk_conv in a chain: stem, copy_conv, mixer, MLP, head", 3, 13, 18);
    let input = b.input();
    let stem = conv(&mut b, &[input], 20, 3, Activation::Gelu);
    let (small, medium) = (b.depthwise(20, [3, 3]), b.depthwise(20, [7, 7]));
    let down = b.add(CopyConv { small, medium }, &[stem]);
    let [small, medium, wide, tall] = [[3, 3], [7, 7], [1, 11], [11, 1]].map(|kernel| b.depthwise(10, kernel));
    let mixed = b.add(ChunkConv { small, medium, wide, tall }, &[down]);
    let hidden = conv(&mut b, &[mixed], 30, 1, Activation::Gelu);
    let block = conv(&mut b, &[hidden, down], 40, 1, Activation::None);
    let pooled = b.add(GlobalAvgPool, &[block]);
    let head = b.linear(40, 11, true, Activation::None);
    let logits = b.add(head, &[pooled]);
    b.finish(logits, 2)
}

/// Gated at the end, or between layers.
fn squeeze_excite(inside: bool) -> Case {
    let name = if inside { "gate in a chain: between layers" } else { "gate in a chain: squeeze and excitation" };
    let mut b = Builder::new(name, 5, 8, 6);
    let input = b.input();
    let x = conv(&mut b, &[input], 14, 3, Activation::None);
    let pooled = b.add(GlobalAvgPool, &[x]);
    let down = b.linear(14, 3, true, Activation::Relu);
    let down = b.add(down, &[pooled]);
    let up = b.linear(3, 14, true, Activation::Sigmoid);
    let up = b.add(up, &[down]);
    let gated = b.add(Gate { activation: Activation::Relu }, &[x, up]);
    if inside {
        let again = b.add(Gate { activation: Activation::Gelu }, &[gated, up]);
        let last = conv(&mut b, &[again], 6, 1, Activation::None);
        return b.finish(last, 3);
    }
    b.finish(gated, 3)
}

/// RepVGG's three branches before fusion.
fn training_block() -> Case {
    let mut b = Builder::new("add in a chain: training form of a RepVGG block", 6, 7, 9);
    let x = b.input();
    let branch = |b: &mut Builder, kernel: usize| {
        let weight = b.weight(&[6, 6, kernel, kernel]);
        let conv = b.add(Conv2d::new(weight, None).padding([kernel / 2; 2]), &[x]);
        let norm = b.batch_norm(6, 1e-5, Activation::None);
        b.add(norm, &[conv])
    };
    let (dense, pointwise) = (branch(&mut b, 3), branch(&mut b, 1));
    let norm = b.batch_norm(6, 1e-5, Activation::None);
    let identity = b.add(norm, &[x]);
    let sum = b.add(Add { activation: Activation::Relu }, &[dense, pointwise, identity]);
    b.finish(sum, 2)
}

/// Values with several readers, and slices that cut across the parts of a concatenation.
fn reused_values() -> Case {
    let mut b = Builder::new("concat in a chain: values with several readers", 6, 5, 6);
    let input = b.input();
    let x = conv(&mut b, &[input], 7, 3, Activation::Relu);
    let half = b.add(Scale { factor: 0.5 }, &[x]);
    let both = b.add(Concat, &[x, input, half]);
    let cut = b.add(Slice { start: 5, channels: 9 }, &[both]);
    let other = conv(&mut b, &[both], 9, 1, Activation::None);
    let sum = b.add(Add::default(), &[cut, other, cut]);
    let out = conv(&mut b, &[sum, cut], 9, 3, Activation::Sigmoid);
    b.finish(out, 2)
}

/// Pools behind a concatenation and before a slice, whose cuts they pass on.
fn pooled_pieces() -> Case {
    let mut b = Builder::new("avg_pool in a chain: between concat and slice", 6, 7, 8);
    let input = b.input();
    let x = conv(&mut b, &[input], 7, 3, Activation::Relu);
    let both = b.add(Concat, &[x, input]);
    let pooled = b.add(AvgPool { kernel: 3, stride: 2, padding: 1 }, &[both]);
    let cut = b.add(Slice { start: 5, channels: 6 }, &[pooled]);
    let out = conv(&mut b, &[cut], 5, 3, Activation::None);
    b.finish(out, 3)
}
