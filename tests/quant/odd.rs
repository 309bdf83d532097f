//! Odd calibration sets and odd networks.

use std::path::Path;

use foveate::ops::{Activation, Conv2d, GlobalAvgPool, Linear};
use foveate::quant::{CalibrationSet, Options, Part, Quantizer};
use foveate::{Error, Graph, Model, Picture, Shape, Tensor};

use crate::support::*;

fn folder(dir: &Path) -> (Result<CalibrationSet, Error>, usize) {
    let mut failed = 0;
    let model = Model::builtin().unwrap();
    let set = CalibrationSet::folder(dir, model.preprocess(), 10, &mut |f| failed += usize::from(f.is_some()));
    (set, failed)
}

fn black(dir: &Path, name: &str) {
    let picture = Picture::from_rgb(32, 32, &[0; 32 * 32 * 3]).unwrap();
    std::fs::write(dir.join(name), picture.to_png().unwrap()).unwrap();
}

#[test]
fn folders_without_pictures_or_with_broken_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (empty, _) = folder(dir.path());
    assert!(empty.unwrap_err().to_string().contains("there is no picture in this folder"));
    assert!(folder(&dir.path().join("none")).0.is_err());
    for name in ["a.png", "b.jpg"] {
        std::fs::write(dir.path().join(name), b"no picture").unwrap();
    }
    let (broken, failed) = folder(dir.path());
    assert_eq!(failed, 2);
    assert!(broken.unwrap_err().to_string().contains("none of its 2 pictures can be read"));
    black(dir.path(), "c.png");
    let (one, failed) = folder(dir.path());
    assert_eq!((one.unwrap().inputs().len(), failed), (1, 2));
}

#[test]
fn a_single_picture_and_black_ones() {
    let model = Model::builtin().unwrap();
    let one = pictures(&model).part(1).unwrap();
    assert_eq!(one.about().images, 1);
    let set = pictures(&model);
    // One picture does not tell which channels are small, so repairs must not make it worse than it is without.
    let [plain, repaired] =
        [Options::plain(), Options::default()].map(|options| output_db(&model, &one, &set, options));
    assert!(repaired > plain - 1.0, "{repaired} {plain}");
    let notes = quantized(&model, &one, Options::default()).notes;
    assert!(notes.iter().any(|note| note.contains("calibrated on 1 picture only")), "{notes:?}");
    assert!(!quantized(&model, &set, Options::default()).notes.iter().any(|note| note.contains("only")));
    let same = CalibrationSet::new(vec![one.inputs()[0].clone(); 20]).unwrap();
    let notes = quantized(&model, &same, Options::default()).notes;
    assert!(notes.iter().any(|note| note.contains("all 20 calibration pictures are the same")), "{notes:?}");
    let dir = tempfile::tempdir().unwrap();
    (0..3).for_each(|i| black(dir.path(), &format!("{i}.png")));
    let set = folder(dir.path()).0.unwrap();
    let all_black = quantized(&model, &set, Options::default());
    assert!(all_black.notes.iter().any(|note| note.contains("of a single colour")), "{:?}", all_black.notes);
    // Whatever it is good for, it is a network whose answers are numbers.
    let logits = all_black.simulation.with(Part::Everything).unwrap().run(&one.inputs()[0]).unwrap();
    assert!(logits.data().iter().all(|v| v.is_finite()));
    all_black.model.to_bytes().unwrap();
}

/// Zeros all the way: every scale is still a number to divide by, and it is told.
#[test]
fn inputs_of_zeros() {
    let model = dead(&[0.0, 0.0]);
    let set = CalibrationSet::new(vec![Tensor::zeros([1, 3, 4, 6]); 2]).unwrap();
    let quantized = quantized(&model, &set, Options::default());
    assert!(quantized.notes.iter().any(|note| note.contains("\"input\" was zero on all")), "{:?}", quantized.notes);
    quantized.model.to_bytes().unwrap();
}

/// Two channels, of which the factors make one or both dead; then a mean and a class for each.
fn dead(factors: &[f32; 2]) -> Model {
    let mut graph = Graph::new("dead", Shape::new(3, 4, 6));
    let weights = (0..54).map(|i| factors[i / 27] * ((i * 7 % 13) as f32 - 6.0)).collect();
    let weight = graph.param("w", Tensor::new([2, 3, 3, 3], weights).unwrap());
    let bias = graph.param("b", Tensor::new([2], vec![0.0, 0.5]).unwrap());
    let conv = Conv2d { activation: Activation::Relu, ..Conv2d::new(weight, Some(bias)).padding([1, 1]) };
    let conv = graph.add("conv", conv, &[graph.input()]).unwrap();
    let pool = graph.add("pool", GlobalAvgPool, &[conv]).unwrap();
    let weight = graph.param("head", Tensor::new([2, 2], vec![1.0, -1.0, -2.0, 1.5]).unwrap());
    let head = Linear { weight, bias: None, activation: Activation::None };
    let head = graph.add("linear", head, &[pool]).unwrap();
    graph.set_output(head);
    fused(graph)
}

#[test]
fn dead_channels() {
    let set = CalibrationSet::noise(Shape::new(3, 4, 6), 8, 1).unwrap();
    for factors in [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1e-30, 1.0], [1e20, 1.0]] {
        let model = dead(&factors);
        let db = output_db(&model, &set, &set, Options::default());
        assert!(db > 20.0, "{factors:?}: {db}");
        let bytes = quantized(&model, &set, Options::default()).model.to_bytes().unwrap();
        Model::from_bytes(&bytes, "dead", None, false).unwrap();
    }
}

#[test]
fn what_is_not_finite_is_named() {
    let model = dead(&[1.0, 1.0]);
    let mut graph = model.graph().clone();
    let weight = foveate::ParamId(0);
    scale(&mut graph, weight, |at| if at == 5 { f32::NAN } else { 1.0 });
    let set = CalibrationSet::noise(Shape::new(3, 4, 6), 2, 1).unwrap();
    let message = |model: &Model, set: &CalibrationSet| {
        let made = Quantizer::new(model, Some(set.clone()), Options::default(), &mut |_, _, _| {});
        made.unwrap_err().to_string()
    };
    let nan = message(&fused(graph), &set);
    assert!(nan.contains("\"conv\"") && nan.contains("NaN"), "{nan}");
    let wrong = CalibrationSet::noise(Shape::new(3, 5, 6), 2, 1).unwrap();
    assert!(message(&model, &wrong).contains("[n, 3, 4, 6]"));
    let bad = Tensor::full([1, 3, 4, 6], f32::NAN);
    assert!(CalibrationSet::new(vec![bad]).unwrap_err().to_string().contains("NaN"));
    assert!(CalibrationSet::new(vec![]).is_err());
    assert!(CalibrationSet::new(vec![Tensor::zeros([2, 3, 4, 6])]).is_err());
    assert!(CalibrationSet::noise(Shape::new(3, 4096, 4096), 1 << 20, 1).is_err());
}

#[test]
fn what_is_quantised_or_in_training_form_is_refused() {
    let model = dead(&[1.0, 1.0]);
    let set = CalibrationSet::noise(Shape::new(3, 4, 6), 2, 1).unwrap();
    let again = quantized(&model, &set, Options::default()).model;
    let made = |model: &Model| Quantizer::new(model, Some(set.clone()), Options::default(), &mut |_, _, _| {});
    assert!(made(&again).unwrap_err().to_string().contains("quantised already"));
    let train = Model::unfused(Model::random_checkpoint("repvgg-a0", 0).unwrap()).unwrap();
    assert!(made(&train).unwrap_err().to_string().contains("training form"));
    let options = Options { percentile: 10.0, ..Options::default() };
    assert!(Quantizer::new(&model, Some(set.clone()), options, &mut |_, _, _| {}).is_err());
}
