//! Full-size networks with random weights.

use foveate::cpu::settle_batch_norms;
use foveate::graph::Graph;
use foveate::models::random;
use foveate::passes::{fuse, single_branch};
use foveate::proof::prove;
use foveate::{Error, Shape, Tensor};

/// A network with random weights and running statistics of a forward pass on a smallish input.
fn settled(name: &str) -> Graph {
    let graph = random(name, 0).unwrap();
    let (full, small) = (graph.input_shape(), Shape::new(3, 96, 128));
    let mut graph = graph.with_input(small).unwrap();
    let len = 2 * small.len();
    let values = (0..len).map(|i| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) * 1.7).collect();
    settle_batch_norms(&mut graph, &Tensor::new([2, 3, 96, 128], values).unwrap()).unwrap();
    graph.with_input(full).unwrap()
}

fn check(name: &str, ops: &[(&str, usize)]) -> Graph {
    let graph = settled(name);
    let (fused, report) = fuse(&graph).unwrap();
    assert!(report.refused.is_empty(), "{name}: {report}");
    let proof = prove(&graph, &fused, 0).unwrap();
    assert!(proof.max_rel <= 1e-4 && proof.max_abs > 0.0 && proof.same_top1, "{name}: {proof}");
    assert_ne!(proof.input.height, proof.input.width);
    for (op, count) in ops {
        assert_eq!(fused.nodes().iter().filter(|n| n.op.name() == *op).count(), *count, "{name}: {op}");
    }
    let total: usize = ops.iter().map(|(_, count)| count).sum();
    assert_eq!(fused.nodes().len(), total + 1, "{name}: {fused}");
    // Rewriting a second time finds nothing.
    let (again, more) = fuse(&fused).unwrap();
    assert!(more.folded.is_empty() && again == fused, "{name}: {:?}", more.folded.first());
    fused
}

#[test]
fn repvgg_a0() {
    check("repvgg-a0", &[("conv2d", 22), ("global_avg_pool", 1), ("linear", 1)]);
}

#[test]
fn qarepvgg_a0() {
    check("qarepvgg-a0", &[("conv2d", 22), ("global_avg_pool", 1), ("linear", 1)]);
}

#[test]
fn mobileone_s0() {
    check("mobileone-s0", &[("conv2d", 43), ("global_avg_pool", 1), ("linear", 1)]);
}

#[test]
fn repnext_m0() {
    // 2 + 2 + 9 + 1 blocks, 3 downsamplings, each with two 1×1 convolutions; two in the stem.
    let ops = [("conv2d", 36), ("chunk_conv", 14), ("copy_conv", 3), ("global_avg_pool", 1), ("linear", 1)];
    check("repnext-m0", &ops);
}

#[test]
fn repnext_m0e() {
    let ops = [("conv2d", 53), ("global_avg_pool", 1), ("linear", 1)];
    let fused = check("repnext-m0e", &ops);
    assert!(fused.find("stages.0.blocks.0.token_mixer.conv").is_some(), "{fused}");
}

#[test]
fn an_ordinary_repnext_does_not_reach_the_single_branch_form() {
    let (fused, _) = fuse(&random("repnext-m0", 0).unwrap()).unwrap();
    assert!(matches!(single_branch(&fused), Err(Error::Inexact { .. })));
}
