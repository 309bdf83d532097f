//! Equalisation changes nothing; what 8 bits are asked for is what comes out.

use foveate::Model;
use foveate::cpu::CpuExecutor;
use foveate::quant::{self, CalibrationSet, Costs, Options, Part, Quantization, Scheme};

use crate::support::*;

/// For every family: the proof, and features that are those of the network before.
#[test]
fn equalisation_is_exact() {
    let mut moved = 0;
    for name in TINY {
        let model = rough(name, 0.7);
        let set = CalibrationSet::noise(model.graph().input_shape(), 2, 1).unwrap();
        let quantizer = quantizer(&model, &set, Options::default());
        let proof = quantizer.proof().unwrap();
        assert!(proof.max_rel < 1e-4, "{name}: {proof}");
        let quantized = quantizer.quantize(&[], &mut |_, _, _| {}).unwrap();
        let (scales, graph) = (quantized.simulation.quantization(), quantizer.graph());
        let taps: Vec<_> = graph.taps().iter().map(|tap| tap.1).collect();
        assert!(!taps.is_empty());
        let before = CpuExecutor::new(model.graph().clone()).unwrap();
        let after = CpuExecutor::new(graph.clone()).unwrap();
        let (_, expected) = before.run_with(&set.inputs()[0], &taps).unwrap();
        let (_, mut found) = after.run_with(&set.inputs()[0], &taps).unwrap();
        for ((id, expected), found) in taps.iter().zip(&expected).zip(&mut found) {
            if let Some(factors) = scales.factors(*id) {
                quant::restore(found, factors).unwrap();
                moved += 1;
            }
            let largest = expected.data().iter().fold(0f32, |most, v| most.max(v.abs()));
            let apart = expected.data().iter().zip(found.data()).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(apart <= 1e-4 * largest, "{name} {}: {apart} of {largest}", graph.node(*id).name);
        }
    }
    assert!(moved > 5, "{moved}");
}

#[test]
fn every_part_can_be_switched_on() {
    let model = Model::builtin().unwrap();
    let set = pictures(&model);
    let simulation = quantized(&model, &set, Options::plain()).simulation;
    let input = &set.inputs()[0];
    let run = |part: Part<'_>| simulation.with(part).unwrap().run(input).unwrap();
    let float = CpuExecutor::new(model.graph().clone()).unwrap().run(input).unwrap();
    assert_eq!(run(Part::Nothing), float);
    let none = run(Part::Layers(&[]));
    let largest = float.data().iter().fold(0f32, |most, v| most.max(v.abs()));
    assert!(none.data().iter().zip(float.data()).all(|(a, b)| (a - b).abs() < 1e-5 * largest));
    let layers = simulation.layers();
    assert_eq!(layers.len(), 8);
    let each = layers.iter().map(|layer| run(Part::Layers(&[*layer])));
    let each: Vec<f64> = each.map(|logits| quant::Noise::of(float.data(), logits.data()).noise).collect();
    assert!(each.iter().all(|noise| *noise > 0.0), "{each:?}");
    // All layers together are nearly everything: the pooling, which has no weights, reads floats.
    let [layers_alone, whole] = [run(Part::Layers(layers)), run(Part::Everything)];
    let apart = quant::Noise::of(whole.data(), layers_alone.data()).sqnr();
    assert!(apart > 25.0 && layers_alone != float, "{apart}");
    let input_node = simulation.float().input();
    assert!(simulation.with(Part::Layers(&[input_node])).is_err());
    let costs = Costs::of(&simulation, &set, 4).unwrap();
    assert_eq!(costs.layers.len(), 8);
    assert!(costs.layers.iter().all(|l| l.weights.sqnr() > 20.0 && l.alone.sqnr() >= l.accumulated.sqnr() - 1.0));
}

#[test]
fn float_layers_are_left_alone() {
    let model = Model::builtin().unwrap();
    let set = pictures(&model);
    let quantizer = quantizer(&model, &set, Options::plain());
    let names: Vec<String> = quantizer.layers().iter().map(|name| name.to_string()).collect();
    let quantized = quantizer.quantize(&[names[0].clone(), names[3].clone()], &mut |_, _, _| {}).unwrap();
    let (scales, graph) = (quantized.simulation.quantization(), quantized.model.graph());
    let node = |name: &str| graph.find(name).unwrap();
    assert_eq!(scales.options.keep_float, [names[0].clone(), names[3].clone()]);
    assert!(scales.is_float(node(&names[0])) && !scales.is_float(node(&names[1])));
    // The input and what the fourth layer reads are float, what the second reads is not.
    assert_eq!(scales.activation(graph.input()), None);
    assert_eq!(scales.activation(node(&names[2])), None);
    assert!(scales.activation(node(&names[0])).is_some());
    for name in [&names[0], &names[3]] {
        let weights = Quantization::quantizable(&graph.node(node(name)).op);
        assert!(!weights.is_empty() && weights.iter().all(|(_, param)| scales.weight(*param).is_none()));
    }
    let message = quantizer.quantize(&["stage9".into()], &mut |_, _, _| {}).unwrap_err().to_string();
    assert!(message.contains("no node \"stage9\""), "{message}");
}

#[test]
fn the_search_keeps_no_more_layers_float_than_it_must() {
    let model = Model::builtin().unwrap();
    let set = pictures(&model);
    let quantizer = quantizer(&model, &set, Options::plain());
    let count = quantizer.layers().len();
    let mut calls = 0;
    for enough in [0, 1, 3, 5, count] {
        let mut drop = |quantized: &quant::Quantized| {
            calls += 1;
            let float = quantized.simulation.quantization().options.keep_float.len();
            Ok(if float >= enough { 0.0 } else { 9.0 })
        };
        let (quantized, kept) = quant::keep_fewest(&quantizer, &set, 0.5, &mut drop, &mut |_, _, _| {}).unwrap();
        assert_eq!(kept.len(), enough);
        assert_eq!(quantized.simulation.quantization().options.keep_float.len(), enough);
    }
    assert!(calls < 30, "{calls}");
}

#[test]
fn weights_alone_need_no_pictures() {
    let model = Model::builtin().unwrap();
    let options = Options { scheme: Scheme::W8, ..Options::default() };
    let quantizer = quant::Quantizer::new(&model, None, options.clone(), &mut |_, _, _| {}).unwrap();
    let quantized = quantizer.quantize(&[], &mut |_, _, _| {}).unwrap();
    let scales = quantized.simulation.quantization();
    assert_eq!((scales.weights().count(), &scales.calibration), (8, &None));
    assert!(model.graph().ids().all(|id| scales.activation(id).is_none()));
    let set = pictures(&model);
    let without = Costs::of(&quantized.simulation, &set, 8).unwrap().output.sqnr();
    let with = output_db(&model, &set, &set, options);
    assert!(without > 30.0 && with > without - 1.0, "{without} {with}");
    let message = quant::Quantizer::new(&model, None, Options::default(), &mut |_, _, _| {}).unwrap_err().to_string();
    assert!(message.contains("--calib"), "{message}");
}

#[test]
fn the_same_pictures_give_the_same_bytes() {
    let model = Model::builtin().unwrap();
    let set = pictures(&model).part(20).unwrap();
    let bytes = || quantized(&model, &set, Options::default()).model.to_bytes().unwrap();
    assert!(bytes() == bytes());
}
