//! The prepared kernels of the CPU executor against the oracle, where they differ inside: blocks of
//! sixteen channels that are not full, tiles of one to three blocks, segments of 7, 4 and 1 pixels that
//! overlap, several runs of products, frames of zeros, pieces for several threads.

mod cases;
mod oracle;

use cases::convolutions::ConvSpec;
use cases::{Builder, Case};
use foveate::Tensor;
use foveate::cpu::CpuExecutor;
use foveate::ops::*;

/// Relative L2 distance allowed; the design allows 1e-5.
const BOUND: f64 = 1e-6;

fn check(case: &Case) {
    let executor = CpuExecutor::new(case.graph.clone()).unwrap();
    let exact = oracle::output(&case.graph, &case.input);
    let error = oracle::relative_l2(&executor.run(&case.input).unwrap(), &exact);
    assert!(error <= BOUND, "{}: relative error {error:e}", case.name);
}

/// The kernels that compute the case's nodes.
fn kernels(case: &Case) -> Vec<&'static str> {
    let executor = CpuExecutor::new(case.graph.clone()).unwrap();
    let (_, steps) = executor.run_timed(&case.input).unwrap();
    steps.iter().map(|step| step.kernel).collect()
}

/// A convolution of something that is not the network's input, which would be a stem's.
fn inner(spec: &ConvSpec) -> Case {
    let [c, h, w] = spec.input;
    let mut b = Builder::new(format!("{spec:?}"), c, h, w);
    let x = b.add(Activate(Activation::Sigmoid), &[b.input()]);
    let weight = b.weight(&[spec.out, c / spec.groups, spec.kernel[0], spec.kernel[1]]);
    let bias = spec.bias.then(|| b.bias(spec.out));
    let ConvSpec { stride, padding, dilation, groups, activation, .. } = *spec;
    let plain = Conv2d { weight, bias, stride, padding, dilation, groups, activation: Activation::None };
    let mut inputs = vec![x];
    if spec.residual {
        inputs.push(b.add(plain.clone(), &[x]));
    }
    let conv = b.add(Conv2d { activation, ..plain }, &inputs);
    // Another reader of the result, which wants a frame around it.
    let around = b.weight(&[spec.out, 1, 3, 3]);
    let around = Conv2d::new(around, None).padding([1, 1]).groups(spec.out);
    let out = if spec.out > 1 { b.add(around, &[conv]) } else { conv };
    b.finish(out, spec.batch)
}

#[test]
fn every_tile_and_segment_is_right() {
    let mut count = 0;
    // One to eight blocks of output channels: tiles of 1, 2, 3, 2+2, 3+2, 3+3, …; the last one not full.
    for (i, out) in [8, 16, 31, 48, 64, 77, 96, 120].into_iter().enumerate() {
        // Widths below, at and above each length of a segment.
        for width in [1, 3, 4, 5, 7, 8, 9, 14, 15] {
            let kernel = if i % 2 == 0 { [3, 3] } else { [1, 1] };
            let activation = Activation::ALL[(i + width) % 4];
            let spec = ConvSpec { residual: i % 3 == 0, activation, ..ConvSpec::new(1, [19, 5, width], out, kernel) };
            check(&inner(&spec));
            count += 1;
        }
    }
    assert_eq!(count, 72);
}

#[test]
fn strides_batches_and_groups_are_right() {
    for batch in 1..=3 {
        for (kernel, stride) in [([3, 3], 2), ([1, 1], 2), ([5, 3], 1), ([2, 2], 2), ([7, 7], 1)] {
            let spec = ConvSpec { stride: [stride; 2], ..ConvSpec::new(batch, [20, 9, 15], 40, kernel) };
            check(&inner(&spec));
        }
        let grouped = ConvSpec { groups: 2, ..ConvSpec::new(batch, [64, 7, 9], 96, [3, 3]) };
        let case = inner(&grouped);
        assert_eq!(kernels(&case), ["activation", "direct", "depthwise"]);
        check(&case);
        let odd = inner(&ConvSpec { groups: 2, ..ConvSpec::new(batch, [24, 7, 9], 40, [3, 3]) });
        assert_eq!(kernels(&odd), ["activation", "general", "depthwise"]);
        check(&odd);
    }
}

#[test]
fn long_sums_and_large_maps_are_right() {
    // Several runs of products, several batches of segments, pieces by pixels.
    check(&inner(&ConvSpec::new(1, [100, 33, 37], 70, [3, 3])));
    check(&inner(&ConvSpec::new(2, [300, 15, 14], 90, [1, 1])));
    // Weights that are cut by output channels.
    check(&inner(&ConvSpec { residual: true, ..ConvSpec::new(1, [530, 7, 7], 530, [1, 1]) }));
    check(&inner(&ConvSpec { stride: [2, 2], ..ConvSpec::new(1, [140, 14, 14], 330, [3, 3]) }));
}

#[test]
fn winograd_is_right_on_even_and_odd_maps() {
    for (batch, [c, h, w], out) in [
        (1, [32, 14, 14], 48),
        (2, [35, 13, 15], 70),
        (1, [48, 12, 13], 33),
        (3, [64, 17, 12], 64),
        (1, [200, 15, 14], 40),
        (1, [40, 2, 90], 40),
    ] {
        for (residual, activation) in [(false, Activation::Relu), (true, Activation::None)] {
            let case = inner(&ConvSpec { residual, activation, ..ConvSpec::new(batch, [c, h, w], out, [3, 3]) });
            assert!(kernels(&case).contains(&"winograd"), "{}", case.name);
            check(&case);
        }
    }
}

/// DESIGN 7 allows 1e-5 per operator. A plain f32 sum of 23040 products of one sign would be off by more than
/// the bound here.
#[test]
fn sums_of_twenty_thousand_products_keep_their_digits() {
    let mut b = Builder::new("2560 channels of one sign", 2560, 3, 4);
    let x = b.add(Activate(Activation::Sigmoid), &[b.input()]);
    let mut weight = b.normal(&[16, 2560, 3, 3], 1.0);
    weight.data_mut().iter_mut().for_each(|w| *w = w.abs());
    let weight = b.param(weight);
    let conv = b.add(Conv2d::new(weight, None).padding([1, 1]), &[x]);
    let case = b.finish(conv, 1);
    let executor = CpuExecutor::new(case.graph.clone()).unwrap();
    let error = oracle::relative_l2(&executor.run(&case.input).unwrap(), &oracle::output(&case.graph, &case.input));
    assert!(error <= 3e-7, "relative error {error:e}");
}

#[test]
fn stems_are_right() {
    let conv = |input, out, kernel| ConvSpec::new(2, input, out, kernel);
    let two = [2, 2];
    let stems = [
        ConvSpec { stride: two, activation: Activation::Gelu, ..conv([3, 33, 29], 24, [3, 3]) },
        ConvSpec { stride: two, ..conv([3, 16, 14], 48, [3, 3]) },
        conv([1, 9, 30], 20, [5, 5]),
        conv([4, 8, 7], 9, [2, 4]),
        conv([2, 6, 5], 33, [1, 1]),
        ConvSpec { dilation: [2, 3], padding: [3, 1], stride: [1, 3], ..conv([3, 14, 19], 16, [3, 3]) },
        ConvSpec { padding: [0, 0], ..conv([3, 5, 4], 8, [3, 3]) },
    ];
    for spec in stems {
        let case = spec.case().unwrap();
        assert_eq!(kernels(&case), ["unfolded"], "{}", case.name);
        check(&case);
    }
    // Too many taps for a stem.
    let case = conv([3, 20, 18], 16, [7, 7]).case().unwrap();
    assert_eq!(kernels(&case), ["direct"]);
    check(&case);
}

#[test]
fn depthwise_convolutions_are_right() {
    for (channels, kernel, stride) in [
        (48, [3, 3], 1),
        (40, [3, 3], 2),
        (17, [7, 7], 1),
        (33, [7, 7], 2),
        (16, [11, 11], 1),
        (20, [1, 11], 1),
        (5, [11, 1], 2),
    ] {
        for [height, width] in [[14, 14], [9, 5], [7, 1], [1, 16], [12, 30]] {
            let spec = ConvSpec::new(2, [channels, height, width], channels, kernel);
            let spec = ConvSpec { groups: channels, stride: [stride; 2], activation: Activation::Relu, ..spec };
            let case = ConvSpec { residual: channels % 2 == 0, ..spec }.case().unwrap();
            assert!(kernels(&case).iter().all(|kernel| *kernel == "depthwise"));
            check(&case);
        }
    }
}

/// RepNeXt's blocks: chunks of 3 to 16 channels, which share blocks of sixteen with their neighbours.
#[test]
fn token_mixers_are_right() {
    for (chunk, height, width) in [(3, 7, 7), (10, 9, 14), (12, 14, 5), (16, 6, 28), (20, 3, 4), (8, 1, 1)] {
        let channels = 4 * chunk;
        let mut b = Builder::new(format!("mixers of {chunk} channels, {height}×{width}"), channels, height, width);
        let mut part = |kernel| b.depthwise(chunk, kernel);
        let (small, medium, wide, tall) = (part([3, 3]), part([7, 7]), part([1, 11]), part([11, 1]));
        let mixed = b.add(ChunkConv { small, medium, wide, tall }, &[b.input()]);
        let weight = b.weight(&[2 * channels, channels, 1, 1]);
        let hidden = b.add(Conv2d { activation: Activation::Gelu, ..Conv2d::new(weight, None) }, &[mixed]);
        let (weight, bias) = (b.weight(&[channels, 2 * channels, 1, 1]), b.bias(channels));
        let block = b.add(Conv2d::new(weight, Some(bias)), &[hidden, mixed]);
        let (small, medium) = (b.depthwise(channels, [3, 3]), b.depthwise(channels, [7, 7]));
        let down = b.add(CopyConv { small, medium }, &[block]);
        let mean = b.add(GlobalAvgPool, &[down]);
        let head = b.linear(2 * channels, 37, true, Activation::None);
        let logits = b.add(head, &[mean]);
        let case = b.finish(logits, 3);
        let expected = ["token mixer", "pointwise", "pointwise", "token mixer", "mean", "pointwise"];
        assert_eq!(kernels(&case), expected);
        check(&case);
        let mixer_only = Case { graph: with_output(case.graph, down), ..case };
        check(&mixer_only);
    }
}

fn with_output(mut graph: foveate::Graph, output: foveate::NodeId) -> foveate::Graph {
    graph.set_output(output);
    graph
}

#[test]
fn runs_do_not_disturb_each_other() {
    let case = inner(&ConvSpec::new(5, [30, 13, 11], 40, [3, 3]));
    let executor = CpuExecutor::new(case.graph.clone()).unwrap();
    let first = executor.run(&case.input).unwrap();
    // One sample after the other, in the memory that the runs before left; several runs at the same time.
    let len = case.input.len() / 5;
    let sample = |i: usize| {
        let image = case.input.data()[i * len..(i + 1) * len].to_vec();
        executor.run(&Tensor::new([1, 30, 13, 11], image).unwrap()).unwrap().into_data()
    };
    assert_eq!((0..5).flat_map(sample).collect::<Vec<_>>(), first.data());
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| executor.run(&case.input).unwrap())).collect();
        assert!(runs.into_iter().all(|run| run.join().unwrap() == first));
    });
}
