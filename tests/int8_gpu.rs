//! Integer programs on GPUs: every integer that a run leaves anywhere is that of the definition and of the CPU, bit
//! for bit. All memory is filled with garbage before, and canaries lie behind every buffer.

mod cases;
mod device;
#[path = "int8_gpu/networks.rs"]
mod networks;
#[path = "int8_gpu/support.rs"]
mod support;

use std::collections::BTreeSet;

use cases::Case;
use cases::convolutions::{self, ConvSpec};
use cases::quantized::{inner, lowered, quantized};
use foveate::gpu::GpuContext;
use foveate::int8::program::{IntOp, Output};
use foveate::kernels::{KERNELS, Target};
use foveate::ops::{Activation, Conv2d};
use foveate::quant::{Options, Quantization};
use foveate::{Graph, NodeId, Shape, Tensor, int8};
use proptest::prelude::*;
use support::check;

/// Both kinds of memory, and what GPUs and software drivers compute with; in small tiles, for software drivers take
/// seconds to compile large ones, and those of every network are large.
fn targets() -> [Target; 2] {
    [Target { sums: 8, ..Target::software() }, Target { sums: 4, ..Target::default() }]
}

/// A case on the first device, every second for both targets, on the others now and then: what differs there are the drivers'
/// accessors and arithmetic, and each shader takes its time to compile.
fn everywhere(number: usize, mut each: impl FnMut(&GpuContext, Target)) {
    for (at, context) in device::contexts().iter().enumerate() {
        let [software, gpu] = targets();
        if at == 0 {
            each(context, software);
            if number.is_multiple_of(2) {
                each(context, gpu);
            }
        } else if number.is_multiple_of(5) {
            each(context, if number.is_multiple_of(2) { software } else { gpu });
        }
    }
}

#[test]
fn every_case_s_integers_are_those_of_the_cpu() {
    let mut seen = BTreeSet::new();
    for (number, case) in cases::all().iter().enumerate() {
        let program = lowered(case);
        everywhere(number, |context, target| seen.extend(check(context, &program, &case.input, target, &case.name)));
    }
    let all = KERNELS.iter().filter(|kernel| kernel.name.starts_with("int8/")).count();
    // Long sums have cases of their own.
    assert!(all > 12 && (device::contexts().is_empty() || seen.len() + 1 >= all), "{all}: {seen:?}");
}

/// Sizes at which other kernels are taken, with every activation.
#[test]
fn every_kernel_of_convolutions_is_right() {
    let mut seen = BTreeSet::new();
    let specs = [
        // Long sums and maps that fill a tile, in groups too.
        ConvSpec { padding: [1, 1], ..ConvSpec::new(2, [44, 7, 9], 36, [3, 3]) },
        ConvSpec { padding: [1, 1], stride: [2, 2], ..ConvSpec::new(1, [32, 15, 13], 20, [3, 3]) },
        ConvSpec { padding: [2, 2], dilation: [2, 2], groups: 2, ..ConvSpec::new(1, [48, 9, 7], 24, [3, 3]) },
        ConvSpec::new(1, [130, 6, 11], 33, [1, 1]),
        // Few pixels.
        ConvSpec::new(2, [270, 1, 3], 21, [1, 1]),
        ConvSpec::new(1, [40, 1, 1], 4, [1, 1]),
    ];
    for (number, (spec, activation)) in specs.iter().zip(Activation::ALL.into_iter().cycle()).enumerate() {
        let spec = ConvSpec { activation, bias: true, residual: number.is_multiple_of(2), ..spec.clone() };
        let Case { input, name, .. } = &inner(&spec);
        let program = lowered(&inner(&spec));
        everywhere(number, |context, target| seen.extend(check(context, &program, input, target, name)));
    }
    for kernel in ["int8/gemm", "int8/linear", "int8/conv_float", "int8/depthwise"] {
        assert!(device::contexts().is_empty() || seen.contains(kernel), "{kernel}: {seen:?}");
    }
}

/// Inputs and weights at their ends: the largest sums there can be, of more products than floats hold exactly, and
/// saturation on both sides.
#[test]
fn extremes_saturate_and_do_not_overflow() {
    for (number, (sign, fill)) in [(1.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (0.0, 1.0)].into_iter().enumerate() {
        for (kernel, channels) in [(3, 401), (1, 2100)] {
            let mut graph = Graph::new("extremes", Shape::new(channels, 4, 9));
            let weight = graph.param("w", Tensor::full([8, channels, kernel, kernel], fill));
            let bias = graph.param("b", Tensor::full([8], -1000.0 * fill));
            let op = Conv2d::new(weight, Some(bias)).padding([kernel / 2; 2]);
            let conv = graph.add("conv", op, &[graph.input()]).unwrap();
            let depth = graph.param("d", Tensor::full([8, 1, 5, 5], fill));
            let depth = graph.add("depth", Conv2d::new(depth, None).padding([2, 2]).groups(8), &[conv]).unwrap();
            let last = graph.param("l", Tensor::full([3, 8, 1, 1], fill));
            let last = graph.add("last", Conv2d::new(last, None), &[depth]).unwrap();
            graph.set_output(last);
            // Not all alike: a product that is left out or counted twice has to show.
            let value = |i: usize| 1e9 * sign * if i % 7 == 3 { -0.1 } else { 1.0 };
            let input = Tensor::new([1, channels, 4, 9], (0..channels * 36).map(value).collect()).unwrap();
            let scale = if number.is_multiple_of(2) { 1e-3 } else { 1e9 };
            let scales = |id: NodeId| if id == graph.input() { 1e7 } else { scale };
            let (graph, quantization) =
                Quantization::with_scales(&graph, Options::plain(), scales, |_, _| 1.0).unwrap();
            let program = int8::lower(&graph, &quantization).unwrap();
            everywhere(number, |context, target| drop(check(context, &program, &input, target, "extremes")));
        }
    }
}

/// Factors of one and above, where sums of few bits saturate, and powers of two, with which many sums lie in the middle
/// between two integers.
#[test]
fn steep_factors_are_right() {
    let mut graph = Graph::new("steep", Shape::new(20, 3, 8));
    let weight = graph.param("w", Tensor::new([20, 1, 1, 1], (0..20).map(|i| i as f32 - 9.5).collect()).unwrap());
    let conv = graph.add("conv", Conv2d::new(weight, None).groups(20), &[graph.input()]).unwrap();
    let last = graph.param("l", Tensor::full([4, 20, 1, 1], 0.5));
    let last = graph.add("last", Conv2d::new(last, None), &[conv]).unwrap();
    graph.set_output(last);
    let input = Tensor::new([1, 20, 3, 8], (0..480).map(|i| (i % 17) as f32 - 8.0).collect()).unwrap();
    let mut steep = 0;
    for (number, output) in [8.0, 2.0, 1e-1, 1e-2, 1e-3, 1e-5, 1e-9].into_iter().enumerate() {
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
        everywhere(number, |context, target| drop(check(context, &program, &input, target, "steep")));
    }
    assert!(steep > 20, "{steep}");
}

/// Floats that are no numbers, those that shaders may take for zero, and those half between two integers.
#[test]
fn strange_floats_get_onto_the_grid() {
    let mut graph = Graph::new("strange", Shape::new(5, 3, 8));
    let weight = graph.param("w", Tensor::full([4, 5, 1, 1], 1.0));
    let conv = graph.add("conv", Conv2d::new(weight, None), &[graph.input()]).unwrap();
    graph.set_output(conv);
    let ends = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, 1e-40, -1e-40, -0.0, 63.5, -63.5, 64.0];
    let near = (0..120).map(|i| i as f32 * 0.25 - 15.0);
    for scale in [0.5, 0.3, 1e-20, 1e20] {
        let values: Vec<f32> = ends.into_iter().chain(near.clone()).take(120).collect();
        let input = Tensor::new([1, 5, 3, 8], values).unwrap();
        let (graph, quantization) = Quantization::with_scales(&graph, Options::plain(), |_| scale, |_, _| 1.0).unwrap();
        let program = int8::lower(&graph, &quantization).unwrap();
        everywhere(0, |context, target| drop(check(context, &program, &input, target, "strange")));
    }
}

/// A node kept float reads and makes floats; borders convert.
#[test]
fn float_nodes_stand_between_conversions() {
    let mut count = 0;
    for case in cases::all().into_iter().step_by(16) {
        let layers = case.graph.ids().filter(|id| !Quantization::quantizable(&case.graph.node(*id).op).is_empty());
        for id in layers.take(1) {
            let options = Options { keep_float: vec![case.graph.node(id).name.clone()], ..Options::plain() };
            let (graph, quantization) = quantized(&case.graph, &case.input, options);
            let program = int8::lower(&graph, &quantization).unwrap();
            assert!(program.float_nodes() > 0);
            everywhere(count, |context, target| drop(check(context, &program, &case.input, target, &case.name)));
            count += 1;
        }
    }
    assert!(count > 4, "{count}");
}

proptest! {
    // Each case compiles a few shaders, which is what costs time here.
    #![proptest_config(ProptestConfig { cases: 24, max_global_rejects: 4096, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_convolution_s_integers_are_those_of_the_cpu(spec in convolutions::any(), target in 0..2usize) {
        let Some(context) = device::contexts().first() else { return Ok(()) };
        prop_assume!(spec.case().is_ok());
        let case = inner(&spec);
        check(context, &lowered(&case), &case.input, targets()[target].clone(), &case.name);
    }
}
