//! RepVGG and QARepVGG blocks in every form of the papers.

use super::build::*;
use foveate::graph::{Graph, Shape};
use foveate::ops::{Activation, AvgPool, Op};
use foveate::proof::{proof_input, prove_at};

/// Which branches carry a batch norm, and whether one follows the sum.
#[derive(Clone, Copy, Debug)]
struct Form {
    name: &'static str,
    dense: bool,
    pointwise: bool,
    identity: bool,
    post: bool,
}

const fn form(name: &'static str, norms: [bool; 4]) -> Form {
    Form { name, dense: norms[0], pointwise: norms[1], identity: norms[2], post: norms[3] }
}

/// QARepVGG's Table 5; S0 and S1 differ in training only.
const FORMS: [Form; 7] = [
    form("S0, S1 (RepVGG)", [true, true, true, false]),
    form("S2", [true, true, false, false]),
    form("S3", [true, false, false, false]),
    form("S4", [true, false, false, true]),
    form("all norms and one after", [true, true, true, true]),
    form("plain identity and one after", [true, true, false, true]),
    form("only one after", [false, false, false, true]),
];

fn block(form: Form, out: usize, stride: usize, groups: usize, se: bool, dropped: bool) -> Graph {
    let mut b = Build::new(input(8));
    let x = b.graph.input();
    let dense = b.conv("stage1.0.rbr_dense.conv", x, conv(out, [3, 3], stride, groups));
    let mut branches = vec![if form.dense { b.norm("stage1.0.rbr_dense.bn", dense) } else { dense }];
    let pointwise = b.conv("stage1.0.rbr_1x1.conv", x, conv(out, [1, 1], stride, groups));
    branches.push(if form.pointwise { b.norm("stage1.0.rbr_1x1.bn", pointwise) } else { pointwise });
    if out == 8 && stride == 1 {
        branches.push(if form.identity { b.norm("stage1.0.rbr_identity", x) } else { x });
    }
    if dropped {
        branches.pop();
    }
    let mut y = if let [branch] = branches[..] { branch } else { b.sum("stage1.0.sum", &branches) };
    if se {
        y = b.squeeze_excite("stage1.0.se", y);
    }
    if form.post {
        y = b.norm("stage1.0.bn", y);
    }
    let y = b.act("stage1.0.relu", y, Activation::Relu);
    b.output(y)
}

#[test]
fn every_form_becomes_one_convolution() {
    for form in FORMS {
        for (out, stride) in [(8, 1), (8, 2), (12, 1), (12, 2)] {
            for groups in [1, 2, 4] {
                let graph = block(form, out, stride, groups, false, false);
                let (fused, report) = fuse_proved(&graph);
                assert_eq!(ops(&fused), ["conv2d"], "{form:?}: {fused}");
                let (conv, params) = only_conv(&fused);
                assert_eq!(params.shape(conv.weight), [out, 8 / groups, 3, 3], "{form:?}");
                assert_eq!((conv.groups, conv.stride, conv.padding), (groups, [stride; 2], [1, 1]));
                assert_eq!(conv.activation, Activation::Relu);
                assert_eq!(fused.nodes()[1].name, "stage1.0");
                let names: Vec<&str> = params.iter().map(|(_, p)| p.name.as_str()).collect();
                assert_eq!(names, ["stage1.0.weight", "stage1.0.bias"]);
                assert!(report.refused.is_empty() && !report.folded.is_empty(), "{report}");
            }
        }
    }
}

/// Σ[BN(conv3×3), conv1×1, average pool with or without BN, identity].
/// With `post` a norm follows, as in YOLOv6's second QARepVGG block, whose pool has none.
fn pooled_block(pool: AvgPool, norm: bool, post: bool, dropped: bool) -> Graph {
    let stride = pool.stride;
    let mut b = Build::new(Shape::new(8, 13, 17));
    let x = b.graph.input();
    let dense = b.conv_norm("stage1.0.rbr_dense", x, conv(8, [3, 3], stride, 1));
    let pointwise = b.conv("stage1.0.rbr_1x1", x, conv(8, [1, 1], stride, 1));
    let mut branches = vec![dense, pointwise];
    if stride == 1 {
        branches.push(x);
    }
    if !dropped {
        let pooled = b.graph.add("stage1.0.rbr_avg.pool", pool, &[x]).unwrap();
        branches.push(if norm { b.norm("stage1.0.rbr_avg.bn", pooled) } else { pooled });
    }
    let mut y = b.sum("stage1.0.sum", &branches);
    if post {
        y = b.norm("stage1.0.bn", y);
    }
    let y = b.act("stage1.0.relu", y, Activation::Relu);
    b.output(y)
}

#[test]
fn an_average_pool_is_a_branch_like_any_other() {
    for (stride, norm, post) in [(1, true, false), (2, true, false), (1, false, true), (2, false, true)] {
        let pool = AvgPool { kernel: 3, stride, padding: 1 };
        let graph = pooled_block(pool.clone(), norm, post, false);
        let (fused, report) = fuse_proved(&graph);
        assert_eq!(ops(&fused), ["conv2d"], "{fused}");
        let (conv, params) = only_conv(&fused);
        assert_eq!(params.shape(conv.weight), [8, 8, 3, 3]);
        assert_eq!((conv.groups, conv.stride, conv.padding), (1, [stride; 2], [1, 1]));
        assert_eq!(fused.nodes()[1].name, "stage1.0");
        assert!(report.refused.is_empty(), "{report}");
        let (without, _) = foveate::passes::fuse(&pooled_block(pool, norm, post, true)).unwrap();
        let proof = prove_at(&graph, &without, graph.input_shape(), 3).unwrap();
        assert!(proof.max_rel > 0.05, "{proof}");
    }
}

#[test]
fn an_average_pool_that_looks_elsewhere_or_is_large_stays_in_the_sum() {
    // Of the same size at stride 2, but half a pixel away.
    let elsewhere = AvgPool { kernel: 2, stride: 2, padding: 1 };
    let large = AvgPool { kernel: 17, stride: 1, padding: 8 };
    for pool in [elsewhere, large.clone()] {
        let graph = pooled_block(pool, false, false, false);
        let (fused, _) = fuse_proved(&graph);
        assert_eq!(ops(&fused), ["avg_pool", "conv2d"], "{fused}");
    }
    let graph = pooled_block(large, false, false, false);
    assert_eq!(proof_input(&graph, &graph).unwrap(), Shape::new(8, 9, 10), "every row of the window meets the map");
}

#[test]
fn the_proof_fails_when_a_branch_is_dropped() {
    for form in FORMS {
        for (out, stride) in [(8, 1), (12, 2)] {
            let whole = block(form, out, stride, 1, false, false);
            let (fused, _) = foveate::passes::fuse(&block(form, out, stride, 1, false, true)).unwrap();
            let proof = prove_at(&whole, &fused, whole.input_shape(), 3).unwrap();
            assert!(proof.max_rel > 0.05, "{form:?}: {proof}");
            assert_eq!(proof.worst, "output");
        }
    }
}

/// Infinity minus infinity is nothing to compare.
#[test]
fn infinite_activations_prove_nothing() {
    use foveate::ops::{BatchNorm, Conv2d};
    let mut graph = foveate::Graph::new("huge", foveate::Shape::new(2, 6, 5));
    let weight = graph.param("w", foveate::Tensor::full([2, 2, 1, 1], 3e38));
    let conv = graph.add("conv", Conv2d::new(weight, None), &[graph.input()]).unwrap();
    let [gamma, beta, mean, variance] =
        [1e-38, 0.0, 0.0, 1.0].map(|value| graph.param("p", foveate::Tensor::full([2], value)));
    let norm = BatchNorm { gamma, beta, mean, variance, eps: 1e-5, activation: Default::default() };
    let norm = graph.add("bn", norm, &[conv]).unwrap();
    graph.set_output(norm);
    let (fused, _) = foveate::passes::fuse(&graph).unwrap();
    let proof = prove_at(&graph, &fused, graph.input_shape(), 3).unwrap();
    assert!(proof.max_rel.is_infinite(), "{proof}");
}

#[test]
fn a_norm_behind_squeeze_excite_stays_an_affine_map() {
    for form in FORMS.into_iter().filter(|f| f.post) {
        let (fused, report) = fuse_proved(&block(form, 8, 1, 1, true, false));
        let expected = ["conv2d", "global_avg_pool", "conv2d", "conv2d", "gate", "batch_norm"];
        assert_eq!(ops(&fused), expected, "{}", form.name);
        let norm = fused.find("stage1.0.bn").expect("the norm keeps its name");
        assert!(matches!(&fused.node(norm).op, Op::BatchNorm(norm) if norm.activation == Activation::Relu));
        assert_eq!(report.refused.len(), 1, "{report}");
        assert_eq!(report.refused[0].node, "stage1.0.bn");
        assert!(report.refused[0].what.contains("squeeze-excite gate stage1.0.se"), "{report}");
    }
}

#[test]
fn squeeze_excite_without_a_norm_after_it_ends_in_the_gate() {
    let (fused, report) = fuse_proved(&block(FORMS[0], 8, 1, 1, true, false));
    assert_eq!(ops(&fused), ["conv2d", "global_avg_pool", "conv2d", "conv2d", "gate"]);
    assert!(matches!(&fused.nodes()[5].op, Op::Gate(gate) if gate.activation == Activation::Relu));
    assert!(report.refused.is_empty());
    assert_eq!(fused.nodes()[1].name, "stage1.0");
}
