//! Rules on graphs of no family: readers, taps, padding, nested sums, other sources, cost.

use super::build::*;
use foveate::Shape;
use foveate::ops::*;
use foveate::passes::{fuse, fuse_epilogues, reparameterise};
use foveate::proof::{prove, prove_at, same_top1};

#[test]
fn a_norm_moves_into_the_convolution_after_it_only_without_padding() {
    for (kernel, padding, exact) in [([3, 3], [0, 0], true), ([1, 1], [0, 0], true), ([3, 3], [1, 1], false)] {
        let mut b = Build::new(input(4));
        let x = b.act("relu", b.graph.input(), Activation::Relu);
        let x = b.norm("norm", x);
        let y = b.conv("conv", x, Conv { padding, ..conv(6, kernel, 1, 2) });
        let (fused, report) = fuse_proved_or_equal(&b.output(y));
        assert_eq!(ops(&fused).contains(&"batch_norm"), !exact, "{fused}");
        assert_eq!(report.refused.is_empty(), exact, "{report}");
        assert_eq!(fused.nodes().last().unwrap().name, "conv");
        if !exact {
            assert!(report.refused[0].what.contains("zero padding"), "{report}");
        }
    }
}

/// As `fuse_proved`, but the graph may come back bit-equal.
fn fuse_proved_or_equal(graph: &foveate::Graph) -> (foveate::Graph, foveate::passes::Report) {
    let (fused, report) = fuse(graph).unwrap();
    let proof = prove_at(graph, &fused, graph.input_shape(), 3).unwrap();
    assert!(proof.max_rel < 1e-5 && proof.same_top1, "{proof}\n{fused}");
    (fused, report)
}

#[test]
fn a_factor_moves_even_before_padding() {
    let mut b = Build::new(input(4));
    let x = b.act("relu", b.graph.input(), Activation::Relu);
    let x = b.graph.add("scale", Scale { factor: 1.7 }, &[x]).unwrap();
    let y = b.conv("conv", x, conv(6, [3, 3], 1, 1));
    let (fused, _) = fuse_proved(&b.output(y));
    assert_eq!(ops(&fused), ["activate", "conv2d"]);
}

#[test]
fn a_value_with_other_readers_or_a_tap_is_not_changed() {
    for tapped in [false, true] {
        let mut b = Build::new(input(4));
        let x = b.conv("conv", b.graph.input(), conv(4, [3, 3], 1, 1));
        let y = b.norm("norm", x);
        let y = b.act("relu", y, Activation::Relu);
        let other = b.act("other", x, Activation::Sigmoid);
        let out = if tapped { y } else { b.graph.add("cat", Concat, &[y, other]).unwrap() };
        if tapped {
            b.graph.tap("conv", x);
        }
        let (fused, report) = fuse_proved_or_equal(&b.output(out));
        assert!(ops(&fused).contains(&"batch_norm"), "{fused}");
        assert!(report.refused[0].what.contains("other readers"), "{report}");
    }
}

#[test]
fn operands_of_another_source_stay_in_the_sum() {
    let mut b = Build::new(input(4));
    let x = b.graph.input();
    let r = b.act("r", x, Activation::Sigmoid);
    let a = b.conv_norm("a", x, conv(4, [3, 3], 1, 1));
    let inner = b.sum("inner", &[a, r]);
    let c = b.conv_norm("c", x, conv(4, [1, 1], 1, 1));
    let sum = b.sum("outer", &[inner, c, x]);
    let y = b.act("y", sum, Activation::Relu);
    let graph = b.output(y);
    let (alone, _) = reparameterise(&graph).unwrap();
    assert_eq!(ops(&alone), ["activate", "conv2d", "add", "activate"]);
    let (fused, _) = fuse_proved(&graph);
    assert_eq!(ops(&fused), ["activate", "conv2d"], "{fused}");
    let conv = &fused.nodes()[2];
    assert!(matches!(&conv.op, Op::Conv2d(op) if op.activation == Activation::Relu) && conv.inputs.len() == 2);
}

#[test]
fn convolutions_of_different_strides_or_prohibitive_cost_stay_apart() {
    // A depthwise 7×7 inside a dense 7×7 would cost 40 times as much.
    let mut b = Build::new(Shape::new(64, 8, 9));
    let x = b.graph.input();
    let depthwise = b.conv("dw", x, conv(64, [7, 7], 1, 64));
    let pointwise = b.conv("pw", x, conv(64, [1, 1], 1, 1));
    let y = b.sum("y", &[depthwise, pointwise]);
    let (fused, report) = reparameterise(&b.output(y)).unwrap();
    assert_eq!(ops(&fused), ["conv2d", "conv2d", "add"]);
    assert!(report.refused.iter().any(|n| n.what.contains("cost")), "{report}");

    // Maps of one pixel have the same size at any stride.
    let mut b = Build::new(Shape::new(4, 1, 1));
    let x = b.graph.input();
    let operands = [1, 2].map(|s| b.conv(&format!("s{s}"), x, conv(4, [3, 3], s, 1)));
    let y = b.sum("y", &operands);
    assert_eq!(ops(&reparameterise(&b.output(y)).unwrap().0).len(), 3);
}

#[test]
fn a_bias_free_pair_is_composed_only_inside_a_sum() {
    let pair = |b: &mut Build, x| {
        let wide = b.conv("wide", x, conv(4, [1, 5], 1, 4));
        b.conv("tall", wide, conv(4, [5, 1], 1, 4))
    };
    let mut b = Build::new(input(4));
    let y = pair(&mut b, foveate::NodeId(0));
    let (alone, report) = reparameterise(&b.output(y)).unwrap();
    assert_eq!(ops(&alone), ["conv2d", "conv2d"]);
    assert!(report.folded.is_empty() && report.refused.is_empty(), "exact, but dearer as one: {report}");

    let mut b = Build::new(input(4));
    let y = pair(&mut b, foveate::NodeId(0));
    let square = b.conv("square", b.graph.input(), conv(4, [5, 5], 1, 4));
    let y = b.sum("y", &[y, square]);
    let (fused, _) = fuse_proved(&b.output(y));
    assert_eq!(ops(&fused), ["conv2d"]);
}

#[test]
fn a_chain_of_folds_rounds_once() {
    // Ten norms in a row: folding in f32 each time would be off by several ulps.
    let mut b = Build::new(input(4));
    let mut x = b.conv("conv", b.graph.input(), conv(4, [3, 3], 1, 1));
    for i in 0..10 {
        x = b.norm(&format!("norm{i}"), x);
    }
    let graph = b.output(x);
    let (fused, _) = fuse_proved(&graph);
    let (conv, params) = only_conv(&fused);
    let Op::Conv2d(original) = &graph.nodes()[1].op else { panic!("{graph}") };
    for out in 0..4 {
        let scale: f64 = graph
            .nodes()
            .iter()
            .filter_map(|n| if let Op::BatchNorm(bn) = &n.op { Some(bn.affine(graph.params())[out].0) } else { None })
            .product();
        for tap in out * 36..(out + 1) * 36 {
            let exact = f64::from(graph.params().tensor(original.weight).data()[tap]) * scale;
            let found = f64::from(params.tensor(conv.weight).data()[tap]);
            // Half an ulp of f32, and the rounding of ten f64 products.
            assert!((found - exact).abs() <= exact.abs() * (2f64.powi(-24) + 1e-14), "{found} is not {exact}");
        }
    }
}

#[test]
fn epilogues_take_activations_and_residuals() {
    let mut b = Build::new(input(4));
    let x = b.graph.input();
    let c = b.conv("c", x, conv(4, [3, 3], 1, 1));
    let d = b.conv("d", x, conv(4, [3, 3], 1, 1));
    let sum = b.sum("sum", &[c, x, d]);
    let y = b.act("y", sum, Activation::Gelu);
    let graph = b.output(y);
    let (fused, _) = fuse_epilogues(&graph).unwrap();
    let proof = prove_at(&graph, &fused, graph.input_shape(), 1).unwrap();
    assert!(proof.max_rel < 1e-6, "{proof}");
    assert_eq!(ops(&fused), ["conv2d", "conv2d"], "{fused}");

    let mut b = Build::new(input(4));
    let x = b.graph.input();
    let twice = b.sum("twice", &[x, x]);
    b.graph.tap("twice", twice);
    let y = b.act("y", twice, Activation::Relu);
    let graph = b.output(y);
    let (fused, _) = fuse_epilogues(&graph).unwrap();
    assert_eq!(ops(&fused), ["add", "activate"], "a tapped sum keeps its value");
}

#[test]
fn proofs_say_where_and_how_much() {
    let mut b = Build::new(Shape::new(3, 200, 200));
    let x = b.conv("a", b.graph.input(), conv(4, [3, 3], 2, 1));
    b.graph.tap("stage0", x);
    let x = b.conv("b", x, conv(4, [5, 5], 4, 1));
    let pooled = b.graph.add("pool", GlobalAvgPool, &[x]).unwrap();
    let y = b.linear("y", pooled, 3);
    let graph = b.output(y);
    let same = prove(&graph, &graph, 9).unwrap();
    assert_eq!((same.max_abs, same.max_rel, same.same_top1, same.seed), (0.0, 0.0, true, 9));
    // Two rows and three columns before the pooling.
    assert_eq!(same.input, Shape::new(3, 9, 17));
    let mut wrong = graph.clone();
    let Op::Conv2d(conv) = wrong.node(wrong.find("a").unwrap()).op.clone() else { panic!("{wrong}") };
    let mut weight = wrong.params().tensor(conv.weight).clone();
    weight.data_mut()[0] += 0.5;
    wrong.set_param(conv.weight, weight.clone()).unwrap();
    let proof = prove(&graph, &wrong, 9).unwrap();
    assert!(proof.max_rel > 0.1, "{proof}");
    let text = proof.to_string();
    assert!(text.contains("max |train − deploy| = ") && text.contains("3×9×17 input"), "{text}");
    weight.data_mut()[0] = f32::NAN;
    wrong.set_param(conv.weight, weight).unwrap();
    assert_eq!(prove(&graph, &wrong, 9).unwrap().max_rel, f64::INFINITY);
    assert_eq!(same_top1(&graph, &graph, 0..5).unwrap(), 5);
    let mut turned = graph.clone();
    let Op::Linear(linear) = turned.node(turned.find("y").unwrap()).op.clone() else { panic!("{turned}") };
    let mut weight = turned.params().tensor(linear.weight).clone();
    weight.data_mut().iter_mut().for_each(|v| *v = -*v);
    turned.set_param(linear.weight, weight).unwrap();
    assert!(same_top1(&graph, &turned, 0..20).unwrap() < 20);
    let other = graph.with_input(Shape::new(3, 100, 200)).unwrap();
    assert!(same_top1(&graph, &other, 0..1).is_err());
    assert!(prove(&graph, &other, 9).unwrap_err().to_string().contains("3×100×200"));
}

/// A file may hold such a chain: no recursion as deep as it is long, no walking it anew at each node.
#[test]
fn a_chain_of_many_sums_is_no_burden() {
    let mut graph = foveate::Graph::new("chain", Shape::new(2, 3, 4));
    let y = graph.add("y", Activate(Activation::Relu), &[graph.input()]).unwrap();
    let mut sum = graph.input();
    for i in 0..20_000 {
        sum = graph.add(format!("sum{i}"), Add::default(), &[sum, y]).unwrap();
    }
    graph.set_output(sum);
    let small_stack = std::thread::Builder::new().stack_size(1 << 20);
    let nodes = small_stack.spawn(move || fuse(&graph).unwrap().0.nodes().len()).unwrap().join().unwrap();
    assert_eq!(nodes, 20_002);
}

#[test]
fn pools_and_factors_that_nothing_pays_for_stay() {
    // A million channels from nowhere: their kernels would take gigabytes.
    let mut graph = foveate::Graph::new("wide", Shape::new(1 << 20, 1, 1));
    let pool = |kernel: usize| AvgPool { kernel, stride: 1, padding: kernel / 2 };
    let a = graph.add("a", pool(15), &[graph.input()]).unwrap();
    let b = graph.add("b", pool(13), &[graph.input()]).unwrap();
    let c = graph.add("c", Scale { factor: 2.0 }, &[graph.input()]).unwrap();
    let sum = graph.add("sum", Add::default(), &[a, b, c]).unwrap();
    graph.set_output(sum);
    assert_eq!(ops(&reparameterise(&graph).unwrap().0), ["avg_pool", "avg_pool", "scale", "add"]);
    // With a convolution beside it the pool of YOLOv6 does become a kernel.
    let mut b = Build::new(input(4));
    let x = b.graph.input();
    let conv = b.conv("conv", x, conv(4, [3, 3], 1, 1));
    let pool = b.graph.add("pool", pool(3), &[x]).unwrap();
    let sum = b.sum("sum", &[conv, pool]);
    assert_eq!(ops(&fuse_proved(&b.output(sum)).0), ["conv2d"]);
}

#[test]
fn chains_of_dilated_windows_do_not_become_one_kernel() {
    let mut b = Build::new(Shape::new(1, 401, 401));
    let x = b.graph.input();
    let weight = b.graph.param("w", foveate::Tensor::full([1, 1, 2, 2], 0.25));
    let mut y = x;
    for n in 0..20 {
        let conv = Conv2d { dilation: [8, 8], ..Conv2d::new(weight, None) };
        y = b.graph.add(format!("conv{n}"), conv, &[y]).unwrap();
    }
    let z = b.graph.add("one", Conv2d { dilation: [160, 160], ..Conv2d::new(weight, None) }, &[x]).unwrap();
    let sum = b.sum("sum", &[y, z]);
    let (fused, _) = reparameterise(&b.output(sum)).unwrap();
    let largest = fused.params().iter().map(|(_, p)| p.tensor.len()).max().unwrap();
    assert!(largest <= 4096, "{largest} weights of chains of four each");
}
