//! Cases as integer programs.

use std::collections::BTreeMap;

use foveate::cpu::CpuExecutor;
use foveate::int8::{self, Program};
use foveate::quant::{Options, Quantization, grid};

use super::convolutions::ConvSpec;
use super::*;

/// The scales that a case's own values ask for.
pub fn quantized(graph: &Graph, input: &Tensor, options: Options) -> (Graph, Quantization) {
    let executor = CpuExecutor::new(graph.clone()).unwrap();
    let all: Vec<NodeId> = graph.ids().collect();
    let (_, values) = executor.run_with(input, &all).unwrap();
    let largest = |value: &Tensor| value.data().iter().fold(0.0f32, |most, v| most.max(v.abs()));
    let ranges: BTreeMap<NodeId, f32> = all.into_iter().zip(values.iter().map(largest)).collect();
    let scale = |id: NodeId| grid::scale_of(ranges[&id]);
    Quantization::with_scales(graph, options, scale, |id, _| 0.7 * scale(graph.node(id).inputs[0])).unwrap()
}

pub fn lowered(case: &Case) -> Program {
    let (graph, quantization) = quantized(&case.graph, &case.input, Options::plain());
    int8::lower(&graph, &quantization).unwrap_or_else(|error| panic!("{}: {error}", case.name))
}

/// A convolution between two others, so that its value is held in 8 bits and read with a frame.
pub fn inner(spec: &ConvSpec) -> Case {
    let [c, h, w] = spec.input;
    let mut b = Builder::new(format!("{spec:?}"), c, h, w);
    let x = b.add(Activate(Activation::Gelu), &[b.input()]);
    let weight = b.weight(&[spec.out, c / spec.groups, spec.kernel[0], spec.kernel[1]]);
    let bias = spec.bias.then(|| b.bias(spec.out));
    let ConvSpec { stride, padding, dilation, groups, activation, .. } = *spec;
    let plain = Conv2d { weight, bias, stride, padding, dilation, groups, activation: Activation::None };
    let mut inputs = vec![x];
    if spec.residual {
        inputs.push(b.add(plain.clone(), &[x]));
    }
    let conv = b.add(Conv2d { activation, ..plain }, &inputs);
    let around = b.weight(&[spec.out, 1, 3, 3]);
    let around = b.add(Conv2d::new(around, None).padding([1, 1]).groups(spec.out), &[conv]);
    b.finish(around, spec.batch)
}
