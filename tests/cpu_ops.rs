//! The CPU executor against the oracle: every operator, and random convolutions.

mod cases;
mod oracle;

use std::collections::BTreeSet;

use cases::Case;
use cases::convolutions::{self, ConvSpec};
use foveate::cpu::CpuExecutor;
use foveate::ops::{Activation, Op};
use foveate::{Graph, Shape, Tensor};
use proptest::prelude::*;

/// Relative L2 distance allowed; the design allows 1e-5.
const BOUND: f64 = 1e-6;

/// The larger error of the two paths: prepared kernels and general implementations.
fn error(case: &Case) -> f64 {
    let executor = CpuExecutor::new(case.graph.clone()).unwrap();
    let (fast, general) = (executor.run(&case.input).unwrap(), executor.run_with(&case.input, &[]).unwrap().0);
    let exact = oracle::output(&case.graph, &case.input);
    oracle::relative_l2(&fast, &exact).max(oracle::relative_l2(&general, &exact))
}

#[test]
fn every_case_is_within_the_bound() {
    let cases = cases::all();
    assert!(cases.len() >= 100, "only {} cases", cases.len());
    for case in &cases {
        let error = error(case);
        assert!(error <= BOUND, "{}: relative error {error:e}", case.name);
    }
}

#[test]
fn the_cases_cover_every_operator_and_have_names_of_their_own() {
    let cases = cases::all();
    let used: BTreeSet<&str> = cases.iter().flat_map(|c| c.graph.nodes()).map(|n| n.op.name()).collect();
    assert_eq!(used, Op::NAMES.iter().copied().collect());
    // The operator that a case's name begins with is the one whose value is compared, chains aside.
    for name in Op::NAMES.iter().filter(|name| **name != "input") {
        let about = |c: &&Case| c.graph.node(c.graph.output()).op.name() == *name && c.name.starts_with(*name);
        assert!(cases.iter().filter(about).count() >= 3, "too few cases for {name}");
    }
    assert_eq!(cases.iter().map(|c| &c.name).collect::<BTreeSet<_>>().len(), cases.len());
    for batch in 1..=3 {
        assert!(cases.iter().any(|c| c.input.shape()[0] == batch), "no case with batch {batch}");
    }
}

#[test]
fn the_oracle_knows_convolutions_done_by_hand() {
    let mut graph = Graph::new("by hand", Shape::new(1, 2, 3));
    let weight = graph.param("weight", Tensor::new([1, 1, 1, 3], vec![1.0, 10.0, 100.0]).unwrap());
    let conv = foveate::ops::Conv2d::new(weight, None).padding([0, 1]);
    let conv = graph.add("conv", conv, &[graph.input()]).unwrap();
    graph.set_output(conv);
    let input = Tensor::new([1, 1, 2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    assert_eq!(oracle::output(&graph, &input).data, [210.0, 321.0, 32.0, 540.0, 654.0, 65.0]);
}

#[test]
fn a_graph_of_nothing_gives_its_input() {
    let graph = Graph::new("nothing", Shape::new(2, 3, 1));
    let input = Tensor::new([1, 2, 3, 1], vec![1.0, -2.0, 3.0, 0.0, 5.0, 6.0]).unwrap();
    assert_eq!(CpuExecutor::new(graph).unwrap().run(&input).unwrap(), input);
}

#[test]
fn work_shared_between_threads_stays_right() {
    // Large enough for several bands of the unfolded matrix and several pieces per thread.
    let dense = ConvSpec::new(1, [48, 61, 58], 24, [3, 3]);
    let deep = ConvSpec { stride: [2, 1], activation: Activation::Relu, ..dense.clone() };
    for spec in [dense, deep] {
        let case = spec.case().unwrap();
        let error = error(&case);
        assert!(error <= BOUND, "{}: relative error {error:e}", case.name);
    }
}

#[test]
fn the_largest_paddings_and_dilations_work() {
    let far = foveate::ops::Conv2d::MAX_ATTRIBUTE;
    let spec = ConvSpec::new(1, [3, 4, 5], 3, [3, 3]);
    let spec = ConvSpec { groups: 3, padding: [far, far], dilation: [far, far], ..spec };
    let case = spec.case().unwrap();
    assert!(error(&case) <= BOUND);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_global_rejects: 4096, failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_convolutions_are_within_the_bound(spec in convolutions::any()) {
        let case = spec.case();
        prop_assume!(case.is_ok());
        let error = error(&case.unwrap());
        // A ReLU may leave only a value next to zero, whose relative error says nothing.
        prop_assert!(error <= 10.0 * BOUND, "relative error {error:e}");
    }
}
