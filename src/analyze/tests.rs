//! Analyses of small networks: good ones, and ones that were made hard for 8 bits.

use std::sync::OnceLock;

use super::*;
use crate::checkpoint::{self, LoadedModel};
use crate::cpu::CpuExecutor;
use crate::graph::{NodeId, ParamId};
use crate::ops::Op;
use crate::quant::grid;
use crate::tensor::Tensor;

const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/cifar10");
const TRAINED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/cifar/S4.safetensors");

fn trained() -> LoadedModel {
    checkpoint::load_file(TRAINED, Some("qarepvgg-cifar")).unwrap()
}

fn set(model: &Model, count: usize) -> CalibrationSet {
    CalibrationSet::folder(PICTURES, model.preprocess(), count, &mut |failed| assert!(failed.is_none())).unwrap()
}

/// The trained network on ten pictures, in both forms.
fn good() -> &'static (Model, Model, CalibrationSet, Analysis) {
    static GOOD: OnceLock<(Model, Model, CalibrationSet, Analysis)> = OnceLock::new();
    GOOD.get_or_init(|| {
        let (fused, train) = (Model::fused(trained(), false).unwrap(), Model::unfused(trained()).unwrap());
        let set = set(&fused, 10);
        let analysis = analyze(&fused, Some(train.graph()), &set, &Options::default(), &mut |_| {}).unwrap();
        (fused, train, set, analysis)
    })
}

/// The trained network after a change of its fused graph, analysed without its training form.
fn changed(change: impl FnOnce(&mut Graph, &[(ParamId, ParamId)])) -> Analysis {
    let mut loaded = Model::fused(trained(), false).unwrap().details().clone();
    let layers: Vec<(ParamId, ParamId)> = loaded
        .graph
        .nodes()
        .iter()
        .filter_map(|node| match &node.op {
            Op::Conv2d(conv) => Some((conv.weight, conv.bias?)),
            Op::Linear(linear) => Some((linear.weight, linear.bias?)),
            _ => None,
        })
        .collect();
    assert_eq!(layers.len(), 8);
    change(&mut loaded.graph, &layers);
    let model = Model::fused(loaded, false).unwrap();
    let options = Options { sensitivity: true, ..Options::default() };
    analyze(&model, None, &set(&model, 10), &options, &mut |_| {}).unwrap()
}

/// Multiplies parts of a parameter's tensor: `part(i)` for the i-th run of `len` values.
fn scale(graph: &mut Graph, id: ParamId, len: usize, part: impl Fn(usize) -> f32) {
    let mut tensor = graph.params().tensor(id).clone();
    tensor.data_mut().chunks_mut(len).enumerate().for_each(|(i, run)| run.iter_mut().for_each(|v| *v *= part(i)));
    graph.set_param(id, tensor).unwrap();
}

fn naive(values: &[f32]) -> (f64, f64, f64, f64) {
    let exact: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
    let mean = exact.iter().sum::<f64>() / exact.len() as f64;
    let std = (exact.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / exact.len() as f64).sqrt();
    let (min, max) = exact.iter().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    (min, max, mean, std)
}

fn is_near(spread: &Spread, (min, max, mean, std): (f64, f64, f64, f64)) {
    let size = max.abs().max(min.abs());
    for (a, b) in [(spread.min, min), (spread.max, max), (spread.mean, mean), (spread.std, std)] {
        assert!((a - b).abs() <= 1e-6 * size, "{spread:?}: {a} {b}");
    }
}

#[test]
fn statistics_are_those_of_naive_sums() {
    let (fused, _, set, analysis) = good();
    assert_eq!((analysis.layers.len(), analysis.calibration.images), (8, 10));
    // The classifier has no activation, so that its values are the logits.
    let logits: Vec<f32> = set
        .inputs()
        .iter()
        .flat_map(|input| CpuExecutor::new(fused.graph().clone()).unwrap().run_with(input, &[]).unwrap().0.into_data())
        .collect();
    is_near(&analysis.layers[7].before_activation, naive(&logits));
    let mut seen = 0;
    for layer in &analysis.layers {
        let id = fused.graph().find(&layer.name).unwrap();
        for ((_, param), weights) in fused.graph().node(id).op.params().iter().zip(&layer.weights) {
            is_near(&weights.spread, naive(fused.graph().params().tensor(*param).data()));
            seen += 1;
        }
    }
    assert_eq!(seen, 8);
    assert_eq!(analysis.layers[0].input.made_by, "input");
    assert_eq!(analysis.layers[1].input.made_by, "stage0");
    let inputs: Vec<f32> = set.inputs().iter().flat_map(|input| input.data().to_vec()).collect();
    let (min, max, mean, std) = naive(&inputs);
    let input = &analysis.layers[0].input;
    assert!((input.max_abs - max.max(-min)).abs() < 1e-6 && (input.rms - mean.hypot(std)).abs() < 1e-6, "{input:?}");
}

#[test]
fn the_classifiers_noise_is_that_of_rounding_by_hand() {
    let (fused, _, set, analysis) = good();
    let graph = fused.graph();
    let Op::Linear(linear) = &graph.node(graph.output()).op else { panic!("no classifier") };
    let weights = graph.params().tensor(linear.weight);
    let bias = graph.params().tensor(linear.bias.unwrap()).data();
    let features = weights.shape()[1];
    let pooled: NodeId = graph.node(graph.output()).inputs[0];
    let executor = CpuExecutor::new(graph.clone()).unwrap();
    let read: Vec<Tensor> = set.inputs().iter().map(|x| executor.run_with(x, &[pooled]).unwrap().1.remove(0)).collect();
    let largest = |values: &[f32]| values.iter().fold(0f32, |max, v| max.max(v.abs()));
    let input_scale = grid::scale_of(read.iter().map(|x| largest(x.data())).fold(0.0, f32::max));
    let round = |v: f32, scale: f32| f64::from((v / scale).round_ties_even().clamp(-127.0, 127.0) * scale);
    let logits = |rounds_weights: bool, rounds_inputs: bool| -> Vec<f64> {
        let mut all = Vec::new();
        for x in &read {
            for (row, bias) in weights.data().chunks(features).zip(bias) {
                let scale = largest(row) / 127.0;
                let product = |(w, x): (&f32, &f32)| {
                    let w = if rounds_weights { round(*w, scale) } else { f64::from(*w) };
                    w * if rounds_inputs { round(*x, input_scale) } else { f64::from(*x) }
                };
                all.push(row.iter().zip(x.data()).map(product).sum::<f64>() + f64::from(*bias));
            }
        }
        all
    };
    let exact = logits(false, false);
    let db = |rounded: Vec<f64>| {
        let noise: f64 = exact.iter().zip(&rounded).map(|(a, b)| (a - b).powi(2)).sum();
        10.0 * (exact.iter().map(|a| a * a).sum::<f64>() / noise).log10()
    };
    let layer = &analysis.layers[7];
    let alone = &analysis.sensitivity.as_ref().unwrap().alone[7];
    let cases = [
        (layer.weight_noise, db(logits(true, false))),
        (layer.input_noise, db(logits(false, true))),
        (alone.noise, db(logits(true, true))),
    ];
    for (measured, by_hand) in cases {
        assert!((measured.sqnr_db.unwrap() - by_hand).abs() < 0.01, "{measured:?} {by_hand}");
    }
    assert_eq!(alone.layer, layer.name);
}

#[test]
fn a_network_trained_for_8_bits_passes() {
    let analysis = &good().3;
    let verdict = &analysis.verdict;
    assert!(verdict.holds() && verdict.causes.is_empty(), "{:?}", verdict.sentences());
    assert!(verdict.weights.left_db > BUDGET_DB + 5.0 && verdict.activations.left_db > BUDGET_DB + 5.0);
    assert!(verdict.weights.layers.is_empty() && verdict.activations.layers.is_empty());
    // What is expected from the layers is a cautious estimate of what is measured.
    let sensitivity = analysis.sensitivity.as_ref().unwrap();
    let whole = sensitivity.cumulative[7].noise.sqnr_db.unwrap();
    assert!((0.0..8.0).contains(&(whole - verdict.expected_db)), "{whole} {}", verdict.expected_db);
    assert_eq!(sensitivity.alone[0], sensitivity.cumulative[0]);
    let words = verdict.sentences();
    assert!(words[0].starts_with("C1 holds") && words.iter().any(|s| s.starts_with("C2 holds")), "{words:?}");
}

#[test]
fn channels_scaled_apart_fail_and_are_repaired() {
    // Exact in floats: what a channel is multiplied with behind one layer is taken out in the next.
    let analysis = changed(|graph, layers| {
        for pair in layers.windows(2) {
            let channels = graph.params().shape(pair[0].0)[0];
            let factor = |channel: usize| 12f32.powf((channel * 7919 % 101) as f32 / 50.0 - 1.0);
            let [behind, before] = [pair[0].0, pair[1].0].map(|id| graph.params().shape(id).to_vec());
            scale(graph, pair[0].0, behind[1..].iter().product(), factor);
            scale(graph, pair[0].1, 1, factor);
            scale(graph, pair[1].0, before[2..].iter().product(), |i| 1.0 / factor(i % channels));
        }
    });
    let Verdict { weights, activations, expected_db, .. } = &analysis.verdict;
    assert!(!weights.holds && !activations.holds && *expected_db < 10.0, "{:?}", analysis.verdict.sentences());
    assert!(activations.layers.iter().all(|at| at.layer != "stage0"), "pictures are as they were");
    assert!(activations.layers[0].why.contains("widest channel is"), "{:?}", activations.layers[0]);
    assert!(activations.layers.is_sorted_by(|a, b| a.sqnr_db <= b.sqnr_db));
    let whole = analysis.sensitivity.as_ref().unwrap().cumulative[7].noise.sqnr_db.unwrap();
    let repaired = analysis.repaired.as_ref().unwrap().noise.sqnr_db.unwrap();
    assert!(repaired > whole + 10.0 && repaired > BUDGET_DB, "{whole} {repaired}");
    let words = analysis.verdict.sentences().join(" ");
    assert!(words.contains("C1 fails") && words.contains("C2 fails") && words.contains("and 1 more"), "{words}");
}

#[test]
fn a_wide_channel_that_nobody_needs_fails_c2_alone() {
    let analysis = changed(|graph, layers| {
        let mut bias = graph.params().tensor(layers[1].1).clone();
        bias.data_mut()[3] = 5000.0;
        graph.set_param(layers[1].1, bias).unwrap();
        scale(graph, layers[2].0, 9, |i| if i % 32 == 3 { 0.0 } else { 1.0 });
    });
    let Verdict { weights, activations, .. } = &analysis.verdict;
    assert!(weights.holds && !activations.holds, "{:?}", analysis.verdict.sentences());
    assert_eq!(activations.layers.len(), 1, "{:?}", activations.layers);
    assert_eq!(activations.layers[0].layer, "stage1.1");
    assert!(activations.layers[0].why.contains("it reads stage1.0"), "{:?}", activations.layers);
    assert_eq!((analysis.branches.layer.as_str(), analysis.branches.channel), ("stage1.0", 3));
}

#[test]
fn wide_weights_that_see_nothing_fail_c1_alone() {
    let analysis = changed(|graph, layers| {
        let mut bias = graph.params().tensor(layers[1].1).clone();
        bias.data_mut()[3] = -5000.0;
        graph.set_param(layers[1].1, bias).unwrap();
        let mut weights = graph.params().tensor(layers[2].0).clone();
        weights.data_mut().chunks_mut(9).skip(3).step_by(32).for_each(|kernel| kernel.fill(60.0));
        graph.set_param(layers[2].0, weights).unwrap();
    });
    let Verdict { weights, activations, .. } = &analysis.verdict;
    assert!(!weights.holds && activations.holds, "{:?}", analysis.verdict.sentences());
    assert_eq!(weights.layers.iter().map(|at| at.layer.as_str()).collect::<Vec<_>>(), ["stage1.1"]);
    assert!(weights.layers[0].why.contains("times the root mean square"), "{:?}", weights.layers);
    assert_eq!(analysis.layers[2].input.dead_channels, 1);
}

#[test]
fn branches_add_up_and_the_last_is_what_the_activation_gets() {
    let (fused, train, set, _) = good();
    let options = Options { layer: Some("stage2.1".into()), channel: Some(5), sensitivity: false };
    let analysis = analyze(fused, Some(train.graph()), set, &options, &mut |_| {}).unwrap();
    let view = &analysis.branches;
    assert_eq!((view.layer.as_str(), view.channel, view.channels), ("stage2.1", 5, 64));
    let names: Vec<&str> = view.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["3×3", "1×1", "identity", "sum", "post-BN"]);
    let means: Vec<f64> = view.parts.iter().map(|part| part.spread.mean).collect();
    assert!((means[..3].iter().sum::<f64>() - means[3]).abs() < 1e-4, "{means:?}");
    let fused_view = analyze(fused, None, set, &options, &mut |_| {}).unwrap().branches;
    assert_eq!(fused_view.parts.len(), 1);
    let (last, whole) = (&view.parts[4].spread, &fused_view.parts[0].spread);
    for (a, b) in [(last.min, whole.min), (last.max, whole.max), (last.mean, whole.mean), (last.std, whole.std)] {
        assert!((a - b).abs() < 1e-4, "{last:?} {whole:?}");
    }
    assert!(analysis.sensitivity.is_none() && analysis.repaired.is_none());
}

#[test]
fn a_fused_network_says_what_it_cannot_show() {
    let model = Model::builtin().unwrap();
    let options = Options { sensitivity: false, ..Options::default() };
    let analysis = analyze(&model, None, &set(&model, 2), &options, &mut |_| {}).unwrap();
    assert!(analysis.norms.is_empty() && analysis.norms_missing.unwrap().contains("fused form"));
    assert_eq!(analysis.branches.parts[0].name, "fused");
    assert!(good().3.norms_missing.is_none() && good().3.norms.len() == 14);
}

#[test]
fn what_is_not_there_is_named() {
    let (fused, train, set, _) = good();
    let run = |layer: &str, channel| {
        let options = Options { layer: Some(layer.into()), channel, sensitivity: false };
        analyze(fused, Some(train.graph()), set, &options, &mut |_| {}).unwrap_err().to_string()
    };
    let error = run("stage2.9", None);
    assert!(error.contains("no layer \"stage2.9\"") && error.contains("stage2.1"), "{error}");
    let error = run("stage2.1", Some(64));
    assert!(error.contains("64 channels, 0 to 63"), "{error}");
}

#[test]
fn damaged_weights_are_reported_by_the_first_layer_that_shows_them() {
    let mut loaded = Model::fused(trained(), false).unwrap().details().clone();
    let id = loaded.graph.find("stage2.0").unwrap();
    let Op::Conv2d(conv) = &loaded.graph.node(id).op else { panic!("no convolution") };
    let (id, mut weights) = (conv.weight, loaded.graph.params().tensor(conv.weight).clone());
    weights.data_mut()[7] = f32::NAN;
    loaded.graph.set_param(id, weights).unwrap();
    let model = Model::fused(loaded, false).unwrap();
    let error = analyze(&model, None, &set(&model, 1), &Options::default(), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("stage2.0") && error.contains("NaN"), "{error}");
}

#[test]
fn every_family_is_analysed_in_training_form() {
    let mut seen = 0;
    for name in ["mobileone_tiny_se", "repnext_tiny", "repvgg_tiny_g2", "qarepvgg_tiny_S3"] {
        let file = format!("{}/tests/data/golden/{name}.train.safetensors", env!("CARGO_MANIFEST_DIR"));
        let loaded = checkpoint::load_file(file, None).unwrap();
        let (fused, train) = (Model::fused(loaded.clone(), false).unwrap(), Model::unfused(loaded).unwrap());
        let set = CalibrationSet::noise(fused.graph().input_shape(), 1, 0).unwrap();
        let options = Options { sensitivity: false, ..Options::default() };
        let analysis = analyze(&fused, Some(train.graph()), &set, &options, &mut |_| {}).unwrap();
        assert!(!analysis.norms.is_empty() && analysis.branches.parts.len() >= 3, "{name}: {:?}", analysis.branches);
        assert!(analysis.layers.iter().all(|layer| layer.input_noise.sqnr_db.is_none_or(|db| db > 0.0)), "{name}");
        serde_json::to_string(&analysis).unwrap();
        seen += 1;
    }
    assert_eq!(seen, 4);
}
