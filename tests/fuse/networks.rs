//! Full-size networks with random weights.

use foveate::cpu::settle_batch_norms;
use foveate::graph::Graph;
use foveate::models::random;
use foveate::passes::{fuse, single_branch};
use foveate::proof::{proof_input, prove};
use foveate::{Error, Tensor};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

/// A network with random weights, whose running statistics are those of a forward pass on noise of
/// the size that proofs use.
fn settled(name: &str) -> Graph {
    let graph = random(name, 0).unwrap();
    let (full, small) = (graph.input_shape(), proof_input(&graph, &graph).unwrap());
    let mut graph = graph.with_input(small).unwrap();
    let mut rng = Pcg64::seed_from_u64(1);
    let noise = (0..8 * small.len()).map(|_| StandardNormal.sample(&mut rng)).collect();
    let noise = Tensor::new([8, small.channels, small.height, small.width], noise).unwrap();
    settle_batch_norms(&mut graph, &noise).unwrap();
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
