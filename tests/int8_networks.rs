//! Whole quantised networks in integers against the same networks rounded to their grids in floats, and through
//! sessions.

#[path = "int8/oracle.rs"]
mod exact;
mod oracle;

use std::path::{Path, PathBuf};

use foveate::checkpoint::LoadOptions;
use foveate::cpu::Int8Executor;
use foveate::graph::Shape;
use foveate::int8::program::Output;
use foveate::int8::reference::Data;
use foveate::int8::table::Finish;
use foveate::int8::{self, IntOp, Type, ValueId};
use foveate::quant::{self, CalibrationSet, Options, Part, Quantized, Quantizer, Scheme};
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
/// difference in steps of an 8-bit grid over the logits. Where the best classes differ, they are a step apart at
/// most.
fn agreement(quantized: &Quantized, input: &Tensor) -> (usize, usize, f32) {
    let rounded = quantized.simulation.with(Part::Everything).unwrap().run(input).unwrap();
    let integer = executor(quantized).run(input).unwrap();
    let classes = integer.shape()[1];
    let largest = rounded.data().iter().fold(0.0f32, |most, v| most.max(v.abs()));
    let rows = || rounded.data().chunks(classes).zip(integer.data().chunks(classes));
    let same = rows().filter(|(a, b)| top(a) == top(b)).count();
    for (a, b) in rows() {
        assert!(a[top(a)] - a[top(b)] <= largest / 127.0, "{a:?}, {b:?}");
    }
    let worst = rounded.data().iter().zip(integer.data()).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
    (same, rows().count(), worst / (largest / 127.0))
}

/// RepVGG-style networks on real pictures: nothing but the rounding of f32 tells the two apart.
#[test]
fn cifar_networks_in_integers_are_those_rounded_in_floats() {
    let trained = Model::open(
        data("cifar/S4.safetensors"),
        LoadOptions { arch: Some("qarepvgg-cifar".into()), ..Default::default() },
        false,
    )
    .unwrap();
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

/// Each node by itself, from the integers that it read: what floats make of them in f64, on the output's grid, is at
/// most a rounding away. Whole networks drift apart by more: a value near the middle between two integers may
/// round either way.
#[test]
fn every_node_of_every_family_is_what_floats_make_of_its_inputs() {
    let mut nodes = 0;
    for model in golden() {
        let shape = model.graph().input_shape();
        let set = CalibrationSet::noise(shape, 8, 3).unwrap();
        let quantized = quantized(&model, set, Options::plain());
        let graph = quantized.model.graph();
        let executor = executor(&quantized);
        let program = executor.program();
        assert_eq!(program.float_nodes(), 0, "{}", model.name());
        let input = CalibrationSet::noise(shape, 1, 4).unwrap();
        let values = executor.values(&input.inputs()[0]).unwrap();
        assert!(exact::check(program, &values, model.name()) > 2);
        let floats = |id: ValueId| {
            let (node, Shape { channels, height, width }) = (program.node(id), program.node(id).shape);
            let unit = |i: usize| match &node.ty {
                Type::F32 => 1.0,
                Type::I8 { scale } => f64::from(*scale),
                Type::I32 { units } => f64::from(units[i / node.shape.pixels()]),
            };
            let data = match &values[id.0] {
                Data::F32(values) => values.iter().map(|v| f64::from(*v)).collect(),
                integers => {
                    exact::integers(integers).unwrap().iter().enumerate().map(|(i, q)| *q as f64 * unit(i)).collect()
                }
            };
            oracle::Value { shape: [1, channels, height, width], data }
        };
        for id in graph.ids().skip(1) {
            let (node, value) = (graph.node(id), program.values[id.index()].unwrap());
            let inputs: Vec<oracle::Value> =
                node.inputs.iter().map(|input| floats(program.values[input.index()].unwrap())).collect();
            let wanted = oracle::apply(&node.op, &inputs.iter().collect::<Vec<_>>(), graph.params());
            let found = floats(value);
            // Nothing but the rounding to the output's grid; tables and the inside of token mixers round twice.
            let (step, most) = match (&program.node(value).ty, &program.node(value).op) {
                (Type::I8 { scale }, IntOp::Mixer(_)) => (f64::from(*scale), 2.0),
                (Type::I8 { scale }, IntOp::Conv(conv)) if is_table(conv) => (f64::from(*scale), 2.5),
                (Type::I8 { scale }, _) => (f64::from(*scale), 0.5001),
                (Type::I32 { units }, _) => (units.iter().copied().fold(0.0, f32::max).into(), 0.1),
                (Type::F32, _) => (1e-6, 1.0),
            };
            let grid = matches!(program.node(value).ty, Type::I8 { .. });
            for (a, b) in found.data.iter().zip(&wanted.data) {
                let b = if grid { b.clamp(-127.0 * step, 127.0 * step) } else { *b };
                let off = (a - b).abs() / step;
                assert!(off <= most, "{}: {}: {a} for {b}, {off} steps", model.name(), node.name);
            }
            nodes += 1;
        }
    }
    assert!(nodes > 150, "{nodes}");
}

/// Whole networks: integers differ from rounded floats by no more than these do from floats.
#[test]
fn every_family_in_integers_is_as_near_as_rounding_is() {
    for model in golden() {
        let shape = model.graph().input_shape();
        let set = CalibrationSet::noise(shape, 8, 3).unwrap();
        let quantized = quantized(&model, set, Options::plain());
        let [simulated, float] = [Part::Everything, Part::Nothing].map(|part| quantized.simulation.with(part).unwrap());
        let executor = executor(&quantized);
        let mut distance = [0.0f64; 2];
        for input in CalibrationSet::noise(shape, 6, 4).unwrap().inputs() {
            let [integer, rounded, exact] =
                [executor.run(input).unwrap(), simulated.run(input).unwrap(), float.run(input).unwrap()];
            for ((i, r), e) in integer.data().iter().zip(rounded.data()).zip(exact.data()) {
                distance[0] += f64::from(i - r).powi(2);
                distance[1] += f64::from(r - e).powi(2);
            }
        }
        println!("{}: {distance:?}", model.name());
        assert!(distance[0] <= 1.5 * distance[1], "{}: {distance:?}", model.name());
    }
}

fn is_table(conv: &int8::program::Conv) -> bool {
    matches!(&conv.output, Output::Rescaled { finish: Finish::Table(_), .. })
}

/// The tiny networks of every family that came from the official code.
fn golden() -> Vec<Model> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(data("golden")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let fused = paths.iter().filter(|path| path.to_string_lossy().ends_with(".deploy.safetensors"));
    let models: Vec<Model> = fused.filter_map(|path| Model::open(path, None, false).ok()).collect();
    assert!(models.len() >= 8, "{}", models.len());
    models
}

#[test]
fn a_session_runs_w8a8_in_integers() {
    let model = Model::builtin().unwrap();
    let set = pictures().iter().map(|picture| model.preprocess().apply(picture).unwrap()).collect();
    let quantized = quantized(&model, CalibrationSet::new(set).unwrap(), Options::default());
    assert_eq!(quantized.model.quantization().unwrap().scheme(), Scheme::W8a8);
    let executor = executor(&quantized);
    let picture = &pictures()[0];
    let expected = executor.run(&model.preprocess().apply(picture).unwrap()).unwrap();
    let builder = || Session::builder().model(quantized.model.clone()).device(DeviceChoice::Cpu);
    let mut session = pollster::block_on(builder().load()).unwrap();
    let note = session.precision_note().unwrap().to_owned();
    assert!(note.contains("in integers") && note.contains(executor.instruction_set()), "{note}");
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

#[test]
fn a_session_calibrates_while_loading() {
    let model = Model::builtin().unwrap();
    let inputs = pictures().iter().map(|picture| model.preprocess().apply(picture).unwrap()).collect();
    let set = CalibrationSet::new(inputs).unwrap();
    let builder = || Session::builder().device(DeviceChoice::Cpu).precision(Precision::W8a8);
    let mut session = pollster::block_on(builder().calibration(set.clone()).load()).unwrap();
    assert_eq!(session.precision(), Precision::W8a8);
    let quantized = quant::quantize(&model, set.clone(), Options::default()).unwrap();
    let mut other = pollster::block_on(builder().model(quantized.clone()).load()).unwrap();
    let picture = &pictures()[3];
    let [a, b] = [&mut session, &mut other].map(|session| pollster::block_on(session.run(picture)).unwrap());
    assert_eq!(a.logits(), b.logits());
    // Noise does for random weights, and for nothing else.
    let random = pollster::block_on(builder().random("mobileone-s0", 0).load()).unwrap();
    assert!(random.precision_note().unwrap().contains("in integers"));
    let fails = |builder: foveate::SessionBuilder| pollster::block_on(builder.load()).err().unwrap().to_string();
    assert!(fails(builder()).contains("no ranges of activations"));
    for unwanted in [builder().model(quantized), builder().precision(Precision::F32)] {
        assert!(fails(unwanted.calibration(set.clone())).contains("a calibration set was given"));
    }
}
