//! Integer programs: every executor's integers are those of the definition, on every instruction set of the machine;
//! and the numbers are those of rounding in floats.

mod cases;
#[path = "int8/oracle.rs"]
mod exact;

use std::collections::BTreeMap;

use cases::convolutions::{self, ConvSpec};
use cases::quantized::{inner, lowered, quantized};
use foveate::cpu::Int8Executor;
use foveate::int8::program::{IntOp, Output, Program, Type};
use foveate::int8::reference::Data;
use foveate::int8::{self, reference};
use foveate::ops::*;
use foveate::quant::{Options, Quantization};
use foveate::{Graph, NodeId, Tensor};
use proptest::prelude::*;

/// Runs the case with every instruction set; all values are those of the definition.
fn check(program: Program, input: &Tensor, name: &str) -> usize {
    let sets = Int8Executor::instruction_sets();
    let executor = Int8Executor::new(program);
    let mut first: Option<Vec<Data>> = None;
    for set in &sets {
        let executor = executor.with_instruction_set(set).unwrap();
        let values = executor.values(input).unwrap();
        match &first {
            None => {
                exact::check(executor.program(), &values, &format!("{name} with {set}"));
                first = Some(values);
            }
            Some(first) => {
                for ((node, a), b) in executor.program().nodes.iter().zip(first).zip(&values) {
                    assert_eq!(a, b, "{name}: {} with {set} and {}", node.name, sets[0]);
                }
            }
        }
    }
    let values = first.unwrap();
    // The definition that the crate itself gives.
    let mut checked = 0;
    for (node, value) in executor.program().nodes.iter().zip(&values) {
        let maps: Vec<reference::Map> = node
            .inputs
            .iter()
            .map(|id| reference::Map { shape: executor.program().node(*id).shape, values: values[id.0].as_i8() })
            .collect();
        if let Some(own) = reference::compute(node, &maps) {
            assert_eq!(&own, value, "{name}: {}", node.name);
            checked += 1;
        }
    }
    checked
}

#[test]
fn every_operator_s_integers_are_those_of_its_definition() {
    let mut seen = BTreeMap::new();
    let cases = cases::all();
    for case in &cases {
        let program = lowered(case);
        for node in &program.nodes {
            *seen.entry(node.op.name()).or_insert(0) += 1;
        }
        check(program, &case.input, &case.name);
    }
    for op in ["conv", "depthwise", "mixer", "pool", "add", "gate", "affine", "activate", "slice", "concat", "quantize"]
    {
        assert!(seen.contains_key(op), "no case has {op}: {seen:?}");
    }
}

#[test]
fn every_tile_and_segment_is_right() {
    let mut count = 0;
    for (i, out) in [8, 16, 31, 48, 64, 77, 96].into_iter().enumerate() {
        for width in [1, 3, 4, 5, 7, 8, 9, 14, 15] {
            let kernel = if i % 2 == 0 { [3, 3] } else { [1, 1] };
            let activation = Activation::ALL[(i + width) % 4];
            let padding = kernel.map(|k| k / 2);
            let spec = ConvSpec {
                padding,
                activation,
                bias: true,
                residual: width % 2 == 0,
                ..ConvSpec::new(1, [21, 5, width], out, kernel)
            };
            let case = inner(&spec);
            count += check(lowered(&case), &case.input, &case.name);
        }
    }
    assert!(count > 7 * 9 * 2, "{count}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_convolution_s_integers_are_those_of_the_definition(spec in convolutions::any()) {
        prop_assume!(spec.case().is_ok());
        let case = inner(&spec);
        check(lowered(&case), &case.input, &case.name);
    }
}

/// Inputs and weights at their ends: the largest sums there can be, and saturation on both sides.
#[test]
fn extremes_saturate_and_do_not_overflow() {
    for (sign, fill) in [(1.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (0.0, 1.0)] {
        let mut graph = Graph::new("extremes", foveate::Shape::new(33, 4, 9));
        let weight = graph.param("w", Tensor::full([40, 33, 3, 3], fill));
        let bias = graph.param("b", Tensor::full([40], -1000.0 * fill));
        let op = Conv2d { activation: Activation::None, ..Conv2d::new(weight, Some(bias)).padding([1, 1]) };
        let conv = graph.add("conv", op, &[graph.input()]).unwrap();
        let depth = graph.param("d", Tensor::full([40, 1, 5, 5], fill));
        let depth = graph.add("depth", Conv2d::new(depth, None).padding([2, 2]).groups(40), &[conv]).unwrap();
        let last = graph.param("l", Tensor::full([3, 40, 1, 1], fill));
        let last = graph.add("last", Conv2d::new(last, None), &[depth]).unwrap();
        graph.set_output(last);
        let input = Tensor::full([1, 33, 4, 9], 1e9 * sign);
        // Scales so fine that nearly everything saturates.
        let (graph, quantization) = Quantization::with_scales(&graph, Options::plain(), |_| 1e-3, |_, _| 1.0).unwrap();
        let program = int8::lower(&graph, &quantization).unwrap();
        check(program, &input, "extremes");
    }
}

/// Factors of one and above, where sums of few bits saturate, and powers of two, with which many sums lie in the middle
/// between two integers.
#[test]
fn steep_factors_are_right() {
    let mut graph = Graph::new("steep", foveate::Shape::new(20, 3, 8));
    let weight = graph.param("w", Tensor::new([20, 1, 1, 1], (0..20).map(|i| i as f32 - 9.5).collect()).unwrap());
    let conv = graph.add("conv", Conv2d::new(weight, None).groups(20), &[graph.input()]).unwrap();
    let last = graph.param("l", Tensor::full([4, 20, 1, 1], 0.5));
    let last = graph.add("last", Conv2d::new(last, None), &[conv]).unwrap();
    graph.set_output(last);
    let input = Tensor::new([1, 20, 3, 8], (0..480).map(|i| (i % 17) as f32 - 8.0).collect()).unwrap();
    let mut steep = 0;
    for output in [8.0, 2.0, 1e-1, 1e-2, 1e-3, 1e-5, 1e-9] {
        let scale = |id: NodeId| if id == graph.input() { 1.0 } else { output };
        let (graph, quantization) = Quantization::with_scales(&graph, Options::plain(), scale, |_, _| 1.0).unwrap();
        let program = int8::lower(&graph, &quantization).unwrap();
        for node in &program.nodes {
            if let IntOp::Conv(conv) = &node.op
                && let Output::Rescaled { requant, .. } = &conv.output
            {
                steep += requant.iter().filter(|requant| requant.shift < 31).count();
            }
        }
        check(program, &input, "steep");
    }
    assert!(steep > 20, "{steep}");
}

/// A node kept float reads and makes floats; borders convert.
#[test]
fn float_nodes_stand_between_conversions() {
    let mut count = 0;
    for case in cases::all() {
        let layers = case.graph.ids().filter(|id| !Quantization::quantizable(&case.graph.node(*id).op).is_empty());
        for id in layers.take(2) {
            let options = Options { keep_float: vec![case.graph.node(id).name.clone()], ..Options::plain() };
            let (graph, quantization) = quantized(&case.graph, &case.input, options);
            let program = int8::lower(&graph, &quantization).unwrap();
            let floats = |node: &int8::program::Node| matches!(node.op, IntOp::Float(_)) && node.origin == id;
            let node = program.nodes.iter().find(|node| floats(node)).unwrap();
            assert!(node.ty == Type::F32 && node.inputs.iter().all(|input| program.node(*input).ty == Type::F32));
            check(program, &case.input, &case.name);
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}

/// Batches, runs side by side, and runs that keep all values give the same.
#[test]
fn a_batch_is_its_samples() {
    let mut count = 0;
    for case in cases::all().into_iter().filter(|case| case.input.shape()[0] > 1).take(12) {
        let executor = Int8Executor::new(lowered(&case));
        let all = executor.run(&case.input).unwrap();
        let shape = case.input.shape().to_vec();
        let len = case.input.len() / shape[0];
        let mut apart = Vec::new();
        for sample in case.input.data().chunks_exact(len) {
            let one = Tensor::new([1, shape[1], shape[2], shape[3]], sample.to_vec()).unwrap();
            apart.extend_from_slice(executor.run_timed(&one).unwrap().0.data());
        }
        assert_eq!(all.data(), apart, "{}", case.name);
        let (again, kept) = executor.run_with(&case.input, &[case.graph.output()]).unwrap();
        assert_eq!((again.data(), kept[0].data()), (all.data(), all.data()), "{}", case.name);
        count += 1;
    }
    assert!(count > 5, "{count}");
    let case = cases::all().remove(0);
    let executor = Int8Executor::new(lowered(&case));
    let error = executor.run(&Tensor::zeros([1, 1, 1, 99])).unwrap_err().to_string();
    assert!(error.contains("[1, 1, 1, 99]"), "{error}");
}

/// The table says of every value what it is held in.
#[test]
fn the_table_names_types_and_scales() {
    let case = cases::all().into_iter().find(|case| case.name.contains("chunk_conv")).unwrap();
    let program = lowered(&case);
    let text = program.to_string();
    assert_eq!(text.lines().count(), program.nodes.len() + 1);
    assert!(text.contains("i8 × ") && text.contains("i32 × ") && text.contains("→ output"), "{text}");
}
