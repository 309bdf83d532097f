//! Whole networks and sessions.

use std::path::{Path, PathBuf};

use foveate::cpu::Int8Executor;
use foveate::int8::{self, Program};
use foveate::quant::{CalibrationSet, Options, Quantized, Quantizer};
use foveate::{DeviceChoice, Model, Picture, Precision, Session, Tensor};
use pollster::block_on;

use super::support::check;
use super::{device, everywhere};

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

fn quantized(model: &Model, options: Options) -> Quantized {
    let set = CalibrationSet::noise(model.graph().input_shape(), 4, 3).unwrap();
    let quantizer = Quantizer::new(model, Some(set), options, &mut |_, _, _| {}).unwrap();
    quantizer.quantize(&[], &mut |_, _, _| {}).unwrap()
}

fn program(quantized: &Quantized) -> Program {
    int8::lower(quantized.model.graph(), quantized.model.quantization().unwrap()).unwrap()
}

/// The tiny networks of every family that came from the official code, and the built-in one.
fn networks() -> Vec<Model> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(data("golden")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let fused = paths.iter().filter(|path| path.to_string_lossy().ends_with(".deploy.safetensors"));
    let mut models: Vec<Model> = fused.filter_map(|path| Model::open(path, None, false).ok()).collect();
    assert!(models.len() >= 8, "{}", models.len());
    models.push(Model::builtin().unwrap());
    models
}

#[test]
fn every_network_s_integers_are_those_of_the_cpu() {
    for (number, model) in networks().iter().enumerate() {
        let program = program(&quantized(model, Options::plain()));
        assert_eq!(program.float_nodes(), 0, "{}", model.name());
        let input = CalibrationSet::noise(model.graph().input_shape(), 1, 4).unwrap().inputs()[0].clone();
        // Other devices than the first take long to compile so much.
        let number = if number == 0 { 0 } else { number * 5 + 1 };
        everywhere(number, |context, target| drop(check(context, &program, &input, target, model.name())));
    }
}

/// As a user runs it: memory is used again and again, the best classes are found on the device.
#[test]
fn a_session_on_a_gpu_runs_w8a8_in_integers() {
    if device::contexts().is_empty() {
        return;
    }
    let quantized = quantized(&Model::builtin().unwrap(), Options::default());
    let (model, executor) = (&quantized.model, Int8Executor::new(program(&quantized)));
    let name = DeviceChoice::Named(device::contexts()[0].summary().name.clone());
    let builder = || Session::builder().model(model.clone()).device(name.clone());
    let mut session = block_on(builder().batch(3).load()).unwrap();
    assert_eq!(session.precision(), Precision::W8a8);
    let note = session.precision_note().unwrap().to_owned();
    assert!(note.contains("in integers") && note.contains("bit for bit"), "{note}");
    let noise = CalibrationSet::noise(model.graph().input_shape(), 3, 9).unwrap();
    let samples: Vec<&Tensor> = noise.inputs().iter().collect();
    let mut shape = samples[0].shape().to_vec();
    shape[0] = 3;
    let all = Tensor::new(shape, samples.iter().flat_map(|sample| sample.data().iter().copied()).collect()).unwrap();
    let found = block_on(session.run_tensor(&all)).unwrap();
    assert_eq!(found.data(), executor.run(&all).unwrap().data());
    let again = block_on(session.run_tensor(samples[0])).unwrap();
    assert_eq!(again.data(), executor.run(samples[0]).unwrap().data());

    // Two devices prepare a picture alike but for roundings, so the best class is the same.
    let picture =
        Picture::from_rgb(40, 36, &(0..40 * 36 * 3).map(|i| (i * 7 % 251) as u8).collect::<Vec<u8>>()).unwrap();
    let mut cpu = block_on(Session::builder().model(model.clone()).device(DeviceChoice::Cpu).load()).unwrap();
    let [on_gpu, on_cpu] =
        [block_on(session.classify(&picture, 3)).unwrap(), block_on(cpu.classify(&picture, 3)).unwrap()];
    assert_eq!(on_gpu[0].class, on_cpu[0].class);
    assert!((on_gpu[0].score - on_cpu[0].score).abs() < 0.05, "{on_gpu:?} {on_cpu:?}");

    // Values of stages come back in floats.
    let mut keeping = block_on(builder().stage_features().load()).unwrap();
    let mut cpu =
        block_on(Session::builder().model(model.clone()).device(DeviceChoice::Cpu).stage_features().load()).unwrap();
    let [gpu, cpu] = [
        block_on(keeping.features_of_tensor(samples[1])).unwrap(),
        block_on(cpu.features_of_tensor(samples[1])).unwrap(),
    ];
    let mut compared = 0;
    for (a, b) in gpu.iter().zip(cpu.iter()) {
        assert_eq!(a.tensor().data(), b.tensor().data(), "{}", a.node());
        compared += 1;
    }
    assert!(compared > 2, "{compared}");

    // With other weights than integers nothing of this applies.
    let floats = block_on(builder().precision(Precision::F32).load()).unwrap();
    assert_eq!((floats.precision(), floats.precision_note()), (Precision::F32, None));
}
