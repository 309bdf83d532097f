//! Networks that plain 8 bits break and the default repairs.

use foveate::ops::Op;
use foveate::quant::{CalibrationSet, Calibrator, Granularity, Options};
use foveate::{Model, Shape, Tensor};

use crate::support::*;

/// The built-in network, whose channels are scaled behind every layer and scaled back before the
/// next: the same function, ranges spread over decades.
fn scaled_channels(roughness: f32) -> Model {
    let model = Model::builtin().unwrap();
    let mut graph = model.graph().clone();
    let mut layers = 0;
    for id in graph.ids() {
        let readers: Vec<_> = graph.ids().filter(|other| graph.node(*other).inputs.contains(&id)).collect();
        let (Op::Conv2d(conv), [reader]) = (graph.node(id).op.clone(), &readers[..]) else { continue };
        let Op::Conv2d(next) = graph.node(*reader).op.clone() else { continue };
        let channels = graph.node(id).shape.channels;
        let factors = spread(channels, roughness, u64::from(id.0));
        let per_row = graph.params().tensor(conv.weight).len() / channels;
        scale(&mut graph, conv.weight, |at| factors[at / per_row]);
        scale(&mut graph, conv.bias.unwrap(), |c| factors[c]);
        let taps: usize = graph.params().shape(next.weight)[2..].iter().product();
        scale(&mut graph, next.weight, |at| 1.0 / factors[at / taps % channels]);
        layers += 1;
    }
    assert!(layers >= 5, "{layers}");
    fused(graph)
}

#[test]
fn explore() {
    let all = [
        ("plain", Options::plain()),
        ("plain mse", Options { calibrator: Calibrator::Mse, ..Options::plain() }),
        ("eq max", Options { equalize: true, ..Options::plain() }),
        ("eq mse", Options { equalize: true, calibrator: Calibrator::Mse, ..Options::plain() }),
        ("eq bc max", Options { calibrator: Calibrator::Max, ..Options::default() }),
        ("eq bc perc", Options { calibrator: Calibrator::Percentile, ..Options::default() }),
        ("eq bc ent", Options { calibrator: Calibrator::Entropy, ..Options::default() }),
        ("default", Options::default()),
        ("per-tensor plain", Options { granularity: Granularity::PerTensor, ..Options::plain() }),
        ("per-tensor", Options { granularity: Granularity::PerTensor, ..Options::default() }),
    ];
    for roughness in [0.0, 1.5].into_iter().take(9) {
        let model = scaled_channels(roughness);
        let set = pictures(&model);
        for (name, options) in &all {
            println!("builtin {roughness} {name}: {:.1}", output_db(&model, &set, &set, options.clone()));
        }
    }
    for (name, side) in [("mobileone-s0", 64), ("repnext-m0", 64), ("repvgg-a0", 64)] {
        for roughness in [0.0, 0.7] {
            let model = rough(name, side, roughness);
            let set = CalibrationSet::noise(Shape::new(3, side, side), 24, 1).unwrap();
            let test = CalibrationSet::noise(Shape::new(3, side, side), 8, 2).unwrap();
            for (what, options) in &all {
                println!("{name} {roughness} {what}: {:.1}", output_db(&model, &set, &test, options.clone()));
            }
        }
    }
    let _ = Tensor::zeros([1]);
}
