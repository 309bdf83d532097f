//! Batch norms settled by a forward pass keep activations of order one.

mod cases;

use cases::Builder;
use foveate::cpu::{CpuExecutor, settle_batch_norms};
use foveate::ops::*;
use foveate::{Graph, NodeId, Tensor};

/// Twenty blocks of three branches, whose weights are far too large, then pooling, batch norm
/// and a linear layer.
fn network() -> (Graph, Tensor) {
    let mut b = Builder::new("twenty blocks", 3, 12, 10);
    let mut x = b.input();
    for block in 0..20 {
        let (channels, stride) = (b.shape(x).channels, if block == 8 { 2 } else { 1 });
        let mut branch = |kernel: usize| {
            let tensor = b.normal(&[12, channels, kernel, kernel], 1.0);
            let weight = b.param(tensor);
            let conv = Conv2d::new(weight, None).stride(stride).padding([kernel / 2; 2]);
            let conv = b.add(conv, &[x]);
            let norm = b.batch_norm(12, 1e-5, Activation::None);
            b.add(norm, &[conv])
        };
        let (dense, pointwise) = (branch(3), branch(1));
        x = b.add(Add { activation: Activation::Relu }, &[dense, pointwise]);
    }
    let pooled = b.add(GlobalAvgPool, &[x]);
    let norm = b.batch_norm(12, 1e-5, Activation::None);
    let normed = b.add(norm, &[pooled]);
    let head = b.linear(12, 9, true, Activation::None);
    let logits = b.add(head, &[normed]);
    let case = b.finish(logits, 1);
    (case.graph, case.input)
}

/// Largest and root mean square of each node's value.
fn sizes(graph: &Graph, input: &Tensor) -> Vec<(String, f64)> {
    let ids: Vec<NodeId> = graph.ids().collect();
    let (_, values) = CpuExecutor::new(graph.clone()).unwrap().run_with(input, &ids).unwrap();
    let size = |t: &Tensor| (t.data().iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / t.len() as f64).sqrt();
    graph.nodes().iter().zip(&values).map(|(node, value)| (node.op.name().to_owned(), size(value))).collect()
}

fn of_order_one(sizes: &[(String, f64)]) -> bool {
    let settled = sizes.iter().filter(|(op, _)| ["batch_norm", "add", "linear"].contains(&op.as_str()));
    settled.clone().count() == 62 && settled.into_iter().all(|(_, size)| (0.3..4.0).contains(size))
}

#[test]
fn activations_are_of_order_one_after_twenty_layers() {
    let (mut graph, input) = network();
    assert!(!of_order_one(&sizes(&graph, &input)), "the test cannot fail");
    settle_batch_norms(&mut graph, &input).unwrap();
    let sizes = sizes(&graph, &input);
    assert!(of_order_one(&sizes), "{sizes:#?}");
}

#[test]
fn statistics_are_those_of_each_channel() {
    let mut b = Builder::new("one norm", 2, 4, 4);
    let norm = b.batch_norm(2, 1e-5, Activation::None);
    let (mean, variance) = (norm.mean, norm.variance);
    let out = b.add(norm, &[b.input()]);
    let mut graph = b.finish(out, 1).graph;
    // Channel 0 alternates between 1 and 3; channel 1 is constant, and gets the whole's variance.
    let data = (0..32).map(|i| if i < 16 { 1.0 + 2.0 * (i % 2) as f32 } else { 6.0 }).collect();
    settle_batch_norms(&mut graph, &Tensor::new([1, 2, 4, 4], data).unwrap()).unwrap();
    assert_eq!(graph.params().tensor(mean).data(), [2.0, 6.0]);
    // Over all 32 values: mean 4, variance (8·9 + 8·1 + 16·4)/32 = 4.5.
    assert_eq!(graph.params().tensor(variance).data(), [1.0, 4.5]);
}

#[test]
fn few_samples_and_constants_give_usable_statistics() {
    let mut b = Builder::new("pooled", 4, 1, 1);
    let norm = b.batch_norm(4, 1e-5, Activation::None);
    let (mean, variance) = (norm.mean, norm.variance);
    let out = b.add(norm, &[b.input()]);
    let mut graph = b.finish(out, 1).graph;
    settle_batch_norms(&mut graph, &Tensor::new([1, 4, 1, 1], vec![1.0, 2.0, 3.0, 6.0]).unwrap()).unwrap();
    assert_eq!(graph.params().tensor(mean).data(), [3.0; 4]);
    assert_eq!(graph.params().tensor(variance).data(), [3.5; 4]);
    settle_batch_norms(&mut graph, &Tensor::full([1, 4, 1, 1], 7.0)).unwrap();
    assert_eq!(graph.params().tensor(mean).data(), [7.0; 4]);
    assert_eq!(graph.params().tensor(variance).data(), [1.0; 4]);
    let message = settle_batch_norms(&mut graph, &Tensor::full([1, 4, 2, 1], 7.0)).unwrap_err().to_string();
    assert!(message.contains("[1, 4, 2, 1]") && message.contains("[n, 4, 1, 1]"), "{message}");
}
