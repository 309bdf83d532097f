//! RepNeXt's blocks, downsampling and heads with all training branches.

use super::build::*;
use foveate::graph::{Graph, NodeId};
use foveate::ops::*;
use foveate::passes::{fuse, fuse_token_mixers, reparameterise, single_branch};
use foveate::proof::{prove, prove_at, prove_layers};
use foveate::{Error, Shape};

fn dw(b: &mut Build, name: &str, x: NodeId, kernel: [usize; 2], stride: [usize; 2], bias: bool) -> NodeId {
    let channels = b.channels(x);
    b.conv(name, x, Conv { stride, bias, ..conv(channels, kernel, 1, channels) })
}

fn small(b: &mut Build, name: &str, x: NodeId, s: usize) -> NodeId {
    let channels = b.channels(x);
    let c33 = dw(b, &format!("{name}.conv_3_3"), x, [3, 3], [s, s], true);
    let wide = dw(b, &format!("{name}.conv_3_w"), x, [1, 3], [1, s], s == 1);
    let tall = dw(b, &format!("{name}.conv_3_h"), if s == 1 { x } else { wide }, [3, 1], [s, 1], s == 1);
    let sparse = Conv { padding: [1, 1], dilation: 2, bias: true, ..conv(channels, [2, 2], s, channels) };
    let c22 = b.conv(&format!("{name}.conv_2_2"), x, sparse);
    let all = if s == 1 { vec![c33, tall, wide, c22] } else { vec![c33, tall, c22] };
    b.sum(&format!("{name}.sum"), &all)
}

fn medium(b: &mut Build, name: &str, x: NodeId, s: usize) -> NodeId {
    let mut all = vec![
        dw(b, &format!("{name}.conv_7_7"), x, [7, 7], [s, s], true),
        dw(b, &format!("{name}.conv_5_3"), x, [5, 3], [s, s], true),
        dw(b, &format!("{name}.conv_3_5"), x, [3, 5], [s, s], true),
    ];
    for k in [7, 5] {
        let wide = dw(b, &format!("{name}.conv_{k}_w"), x, [1, k], [1, s], false);
        all.push(dw(b, &format!("{name}.conv_{k}_h"), wide, [k, 1], [s, 1], false));
    }
    b.sum(&format!("{name}.sum"), &all)
}

fn chunk_conv(b: &mut Build, name: &str, x: NodeId, wide_bias: bool) -> NodeId {
    let quarter = b.channels(x) / 4;
    let chunk: Vec<NodeId> = (0..4)
        .map(|i| {
            let slice = Slice { start: i * quarter, channels: quarter };
            b.graph.add(format!("{name}.chunk.{i}"), slice, &[x]).unwrap()
        })
        .collect();
    let s = small(b, &format!("{name}.conv_s"), chunk[1], 1);
    let m = medium(b, &format!("{name}.conv_m"), chunk[2], 1);
    let wide = dw(b, &format!("{name}.conv_l.0"), chunk[3], [1, 11], [1, 1], wide_bias);
    let tall = dw(b, &format!("{name}.conv_l.1"), wide, [11, 1], [1, 1], true);
    b.graph.add(format!("{name}.cat"), Concat, &[chunk[0], s, m, tall]).unwrap()
}

fn copy_conv(b: &mut Build, name: &str, x: NodeId) -> NodeId {
    let s = small(b, &format!("{name}.conv_s"), x, 2);
    let m = medium(b, &format!("{name}.conv_m"), x, 2);
    b.graph.add(format!("{name}.cat"), Concat, &[s, m]).unwrap()
}

fn mlp(b: &mut Build, name: &str, x: NodeId) -> NodeId {
    let channels = b.channels(x);
    let y = b.conv_norm(&format!("{name}.0"), x, conv(2 * channels, [1, 1], 1, 1));
    let y = b.act(&format!("{name}.1"), y, Activation::Gelu);
    b.conv_norm(&format!("{name}.2"), y, conv(channels, [1, 1], 1, 1))
}

/// x + mlp(norm(chunk(x))).
fn block(b: &mut Build, name: &str, x: NodeId, wide_bias: bool) -> NodeId {
    let mixed = chunk_conv(b, &format!("{name}.token_mixer"), x, wide_bias);
    let y = b.norm(&format!("{name}.norm"), mixed);
    let y = mlp(b, &format!("{name}.channel_mixer"), y);
    b.sum(&format!("{name}.sum"), &[x, y])
}

/// y + mlp(y) with y = norm(copy(x)).
fn downsample(b: &mut Build, name: &str, x: NodeId) -> NodeId {
    let mixed = copy_conv(b, &format!("{name}.token_mixer"), x);
    let x = b.norm(&format!("{name}.norm"), mixed);
    let y = mlp(b, &format!("{name}.channel_mixer"), x);
    b.sum(&format!("{name}.sum"), &[x, y])
}

/// The mean of two heads, each a norm and a fully connected layer.
fn heads(b: &mut Build, x: NodeId) -> NodeId {
    let x = b.graph.add("pool", GlobalAvgPool, &[x]).unwrap();
    let both = ["head.head", "head.head_dist"].map(|name| {
        let y = b.norm(&format!("{name}.norm"), x);
        b.linear(&format!("{name}.linear"), y, 5)
    });
    let sum = b.sum("head.sum", &both);
    b.graph.add("head.mean", Scale { factor: 0.5 }, &[sum]).unwrap()
}

fn network(wide_bias: bool) -> Graph {
    let mut b = Build::new(Shape::new(3, 53, 66));
    let x = b.conv_norm("stem.stem.0", b.graph.input(), conv(8, [3, 3], 2, 1).biased());
    let x = b.act("stem.stem.1", x, Activation::Gelu);
    let x = b.conv_norm("stem.stem.2", x, conv(8, [3, 3], 1, 1));
    let x = block(&mut b, "stages.0.blocks.0", x, wide_bias);
    b.graph.tap("stage0", x);
    let x = downsample(&mut b, "stages.1.downsample", x);
    let x = block(&mut b, "stages.1.blocks.0", x, wide_bias);
    b.graph.tap("stage1", x);
    let y = heads(&mut b, x);
    b.output(y)
}

#[test]
fn a_network_becomes_its_deploy_form() {
    let graph = network(true);
    let (fused, report) = fuse_proved(&graph);
    let expected = [
        ("stem.stem.0", "conv2d"),
        ("stem.stem.2", "conv2d"),
        ("stages.0.blocks.0.token_mixer", "chunk_conv"),
        ("stages.0.blocks.0.channel_mixer.0", "conv2d"),
        ("stages.0.blocks.0.channel_mixer.2", "conv2d"),
        ("stages.1.downsample.token_mixer", "copy_conv"),
        ("stages.1.downsample.channel_mixer.0", "conv2d"),
        ("stages.1.downsample.channel_mixer.2", "conv2d"),
        ("stages.1.blocks.0.token_mixer", "chunk_conv"),
        ("stages.1.blocks.0.channel_mixer.0", "conv2d"),
        ("stages.1.blocks.0.channel_mixer.2", "conv2d"),
        ("pool", "global_avg_pool"),
        ("head", "linear"),
    ];
    let found: Vec<_> = fused.nodes()[1..].iter().map(|n| (n.name.as_str(), n.op.name())).collect();
    assert_eq!(found, expected, "{fused}\n{report}");
    assert!(report.refused.is_empty(), "{report}");
    assert_eq!(fused.taps().iter().map(|t| t.0.as_str()).collect::<Vec<_>>(), ["stage0", "stage1"]);
    let names: Vec<&str> = fused.params().iter().map(|(_, p)| p.name.as_str()).collect();
    for name in ["stages.0.blocks.0.token_mixer.conv_s.weight", "head.weight", "stages.1.blocks.0.channel_mixer.0.bias"]
    {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    // Residuals are in the epilogue of the last convolution of each mixer.
    let residuals = fused.nodes().iter().filter(|n| n.op.name() == "conv2d" && n.inputs.len() == 2).count();
    assert_eq!(residuals, 3);
    let proof = prove(&graph, &fused, 1).unwrap();
    assert!(proof.max_rel < 1e-5 && proof.same_top1 && proof.input.height != proof.input.width, "{proof}");
}

#[test]
fn every_dropped_branch_shows_in_the_proof() {
    let (whole, name) = (network(true), "stages.1.blocks.0.token_mixer.conv_m.sum");
    let sum = whole.find(name).unwrap();
    let branches = whole.node(sum).inputs.clone();
    assert_eq!(branches.len(), 5);
    for branch in &branches {
        let mut dropped = whole.clone();
        let rest: Vec<NodeId> = branches.iter().copied().filter(|b| b != branch).collect();
        dropped.replace(sum, Add::default(), &rest).unwrap();
        let fused = fuse(&dropped).unwrap().0;
        let proof = prove(&whole, &fused, 1).unwrap();
        assert!(proof.max_rel > 1e-3, "without {}: {proof}", whole.node(*branch).name);
        let drop_and_fuse = |graph: &Graph| {
            let mut dropped = graph.clone();
            dropped.replace(sum, Add::default(), &rest)?;
            Ok(fuse(&dropped)?.0)
        };
        let proof = prove_layers(&whole, drop_and_fuse, 1).unwrap();
        assert!(proof.max_rel > 1e-3 && proof.layer_by_layer, "without {}: {proof}", whole.node(*branch).name);
    }
    let proof = prove_layers(&whole, |graph| Ok(fuse(graph)?.0), 1).unwrap();
    assert!(proof.max_rel > 0.0 && proof.max_rel < 1e-5 && proof.same_top1, "{proof}");
}

#[test]
fn the_biased_long_pair_is_kept_and_named() {
    let graph = network(true);
    let (fused, report) = reparameterise(&graph).unwrap();
    let pairs: Vec<_> = report.refused.iter().filter(|n| n.node.ends_with("conv_l.1")).collect();
    assert_eq!(pairs.len(), 2, "{report}");
    assert!(pairs.iter().all(|n| n.what.contains("zero padding applies after the first one's bias")), "{report}");
    assert_eq!(report.refused.len(), 2, "{report}");
    assert!(fused.find("stages.0.blocks.0.token_mixer.conv_l.0").is_some());
}

#[test]
fn a_tapped_token_mixer_keeps_its_value() {
    let mut graph = network(true);
    for name in ["stages.0.blocks.0.token_mixer.cat", "stages.1.downsample.token_mixer.cat", "stages.1.blocks.0.norm"] {
        graph.tap(name, graph.find(name).unwrap());
    }
    let (fused, _) = fuse(&graph).unwrap();
    assert_eq!(fused.taps().len(), 5);
    let proof = prove_at(&graph, &fused, graph.input_shape(), 3).unwrap();
    assert!(proof.max_rel < 1e-5, "{proof}\n{fused}");
    // Its norm cannot move where the value is tapped.
    assert_eq!(ops(&fused).iter().filter(|op| **op == "batch_norm").count(), 2, "{fused}");
}

#[test]
fn single_branch_form_is_exact_without_the_wide_bias() {
    let graph = network(false);
    let (fused, _) = fuse_proved(&graph);
    let single = single_branch(&fused).unwrap();
    let proof = prove_at(&graph, &single, graph.input_shape(), 3).unwrap();
    assert!(proof.max_rel < 1e-5 && proof.max_abs > 0.0, "{proof}");
    assert!(!ops(&single).contains(&"chunk_conv"), "{single}");
    let mut seen = [0, 0];
    for node in single.nodes() {
        match &node.op {
            Op::Conv2d(conv) if conv.is_depthwise(single.params()) => {
                assert_eq!((conv.kernel(single.params()), conv.padding), ([11, 11], [5, 5]));
                seen[0] += 1;
            }
            Op::CopyConv(op) => {
                assert_eq!([op.small, op.medium].map(|p| p.kernel(single.params())), [[7, 7], [7, 7]]);
                seen[1] += 1;
            }
            _ => {}
        }
    }
    assert_eq!(seen, [2, 1]);
}

#[test]
fn single_branch_form_is_refused_with_the_wide_bias() {
    let (fused, _) = fuse(&network(true)).unwrap();
    let error = single_branch(&fused).unwrap_err();
    assert!(matches!(error, Error::Inexact { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("stages.0.blocks.0.token_mixer") && text.contains("bias"), "{text}");
}

#[test]
fn token_mixers_of_other_kernels_are_left_alone() {
    let mut b = Build::new(input(8));
    let x = b.graph.input();
    let s = dw(&mut b, "s", x, [5, 5], [2, 2], true);
    let m = dw(&mut b, "m", x, [7, 7], [2, 2], true);
    let cat = b.graph.add("cat", Concat, &[s, m]).unwrap();
    let graph = b.output(cat);
    let (after, report) = fuse_token_mixers(&graph).unwrap();
    assert!(after == graph && report.folded.is_empty());
}
