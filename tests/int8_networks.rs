//! Whole quantised networks in integers against the same networks rounded to their grids in floats, and through
//! sessions.

use std::path::{Path, PathBuf};

use foveate::cpu::Int8Executor;
use foveate::int8::{self, IntOp};
use foveate::quant::{CalibrationSet, Options, Part, Quantized, Quantizer, Scheme};
use foveate::{DeviceChoice, Model, Picture, Precision, Session, Tensor};

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

fn quantized(model: &Model, set: CalibrationSet, options: Options) -> Quantized {
    let quantizer = Quantizer::new(model, Some(set), options, &mut |_, _, _| {}).unwrap();
    quantizer.quantize(&[], &mut |_, _, _| {}).unwrap()
}

fn executor(quantized: &Quantized) -> Int8Executor {
    let model = &quantized.model;
    Int8Executor::new(int8::lower(model.graph(), model.quantization().unwrap()).unwrap())
}

/// Pictures of the CIFAR-10 test set, in the order of their paths.
fn pictures() -> Vec<Picture> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(data("cifar10"))
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().path()).filter(|path| path.is_dir()))
        .flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()))
        .collect();
    paths.sort();
    assert!(paths.len() >= 20, "{}", paths.len());
    paths.iter().map(|path| Picture::open(path).unwrap()).collect()
}

fn top(logits: &[f32]) -> usize {
    (0..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best })
}

/// How the integers' logits lie beside those of rounded floats: rows of the same top-1, rows, and the largest
/// difference in steps of an 8-bit grid over the logits.
fn agreement(quantized: &Quantized, input: &Tensor) -> (usize, usize, f32) {
    let rounded = quantized.simulation.with(Part::Everything).unwrap().run(input).unwrap();
    let integer = executor(quantized).run(input).unwrap();
    let classes = integer.shape()[1];
    let largest = rounded.data().iter().fold(0.0f32, |most, v| most.max(v.abs()));
    let rows = || rounded.data().chunks(classes).zip(integer.data().chunks(classes));
    let same = rows().filter(|(a, b)| top(a) == top(b)).count();
    let worst = rounded.data().iter().zip(integer.data()).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
    (same, rows().count(), worst / (largest / 127.0))
}

/// RepVGG-style networks on real pictures: nothing but the rounding of biases tells the two apart.
#[test]
fn cifar_networks_in_integers_are_those_rounded_in_floats() {
    let trained = Model::open(data("cifar/S4.safetensors"), None, false).unwrap();
    for model in [Model::builtin().unwrap(), trained] {
        let pictures = pictures();
        let input = model.preprocess().apply_batch(&pictures).unwrap();
        let len = input.len() / pictures.len();
        let shape = [1, input.shape()[1], input.shape()[2], input.shape()[3]];
        let inputs = input.data().chunks(len).map(|one| Tensor::new(shape, one.to_vec()).unwrap()).collect();
        let set = CalibrationSet::new(inputs).unwrap();
        for options in [Options::plain(), Options::default()] {
            let quantized = quantized(&model, set.clone(), options);
            let (same, rows, steps) = agreement(&quantized, &input);
            println!("{}: {same} of {rows}, {steps} steps", model.name());
            assert!(same == rows && steps <= 1.0, "{}: {same} of {rows}, {steps} steps", model.name());
        }
    }
}

/// Networks of every family, random and tiny, on noise.
#[test]
fn every_family_in_integers_is_as_rounded_in_floats() {
    let mut count = 0;
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(data("golden")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.to_string_lossy().ends_with(".deploy.safetensors")) {
        let model = Model::open(path, None, false).unwrap();
        let shape = model.graph().input_shape();
        let set = CalibrationSet::noise(shape, 8, 3).unwrap();
        let input = CalibrationSet::noise(shape, 6, 4).unwrap();
        let quantized = quantized(&model, set, Options::plain());
        let program = int8::lower(quantized.model.graph(), quantized.model.quantization().unwrap()).unwrap();
        assert_eq!(program.float_nodes(), 0, "{}", path.display());
        // GELU goes through tables, whose entries are about a step apart.
        let tables = program.nodes.iter().any(|node| matches!(node.op, IntOp::Mixer(_)));
        for input in input.inputs() {
            let (same, rows, steps) = agreement(&quantized, input);
            println!("{}: {same} of {rows}, {steps} steps", path.display());
            assert!(steps <= if tables { 4.0 } else { 2.0 }, "{}: {steps} steps", path.display());
        }
        count += 1;
    }
    assert!(count >= 15, "{count}");
}

#[test]
fn a_session_runs_w8a8_in_integers() {
    let model = Model::builtin().unwrap();
    let set = CalibrationSet::noise(model.graph().input_shape(), 4, 1).unwrap();
    let quantized = quantized(&model, set, Options::default());
    assert_eq!(quantized.model.quantization().unwrap().scheme(), Scheme::W8a8);
    let executor = executor(&quantized);
    let picture = &pictures()[0];
    let expected = executor.run(&model.preprocess().apply(picture).unwrap()).unwrap();
    let builder = || Session::builder().model(quantized.model.clone()).device(DeviceChoice::Cpu);
    let mut session = pollster::block_on(builder().load()).unwrap();
    let line = session.device().to_string();
    assert!(line.contains("w8a8 in integers") && line.contains(executor.instruction_set()), "{line}");
    let answer = pollster::block_on(session.run(picture)).unwrap();
    assert_eq!(answer.logits(), expected.data());
    let steps = pollster::block_on(session.profile(picture)).unwrap();
    assert!(steps.iter().any(|step| step.kernel == "direct i8") && steps[0].kernel == "preprocess");
    // Values of stages come back in floats, as they were before the ranges were moved.
    let mut keeping = pollster::block_on(builder().stage_features().load()).unwrap();
    let features = pollster::block_on(keeping.features(picture)).unwrap();
    let float = Session::builder().model(model).device(DeviceChoice::Cpu).stage_features();
    let mut float = pollster::block_on(float.load()).unwrap();
    let wanted = pollster::block_on(float.features(picture)).unwrap();
    let mut compared = 0;
    for (a, b) in features.iter().zip(wanted.iter()) {
        let [difference, norm] = a
            .tensor()
            .data()
            .iter()
            .zip(b.tensor().data())
            .fold([0.0f64; 2], |sum, (a, b)| [sum[0] + f64::from(a - b).powi(2), sum[1] + f64::from(*b).powi(2)]);
        assert!(difference < 0.05 * norm, "{}: {difference} of {norm}", a.node());
        compared += 1;
    }
    assert!(compared > 2, "{compared}");
    // In f32 the same weights run as floats.
    let floats = pollster::block_on(builder().precision(Precision::F32).load()).unwrap();
    assert!(!floats.device().to_string().contains("integers"));
}
