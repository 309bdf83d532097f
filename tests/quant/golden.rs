//! Against PyTorch's fake quantisation with the same scales (`tests/data/quant/make.py`): both the rounding of floats
//! and the arithmetic of integers.

use std::path::PathBuf;

use foveate::checkpoint::{Checkpoint, LoadOptions};
use foveate::cpu::Int8Executor;
use foveate::quant::{Options, Part, Simulation};
use foveate::{Model, Shape, Tensor, int8};

use crate::support::{self, top1};

const NAMES: [&str; 3] = ["mobileone", "qarepvgg", "repnext"];

fn file(name: &str) -> PathBuf {
    PathBuf::from(format!("{}/tests/data/quant/{name}.safetensors", env!("CARGO_MANIFEST_DIR")))
}

/// The input of `make.py`.
fn input(model: &Model) -> Tensor {
    let Shape { channels, height, width } = model.graph().input_shape();
    let value = |i: usize| ((i * 7919 % 1009) as f64 / 252.25 - 2.0) as f32;
    let values = (0..4 * channels * height * width).map(value).collect();
    Tensor::new([4, channels, height, width], values).unwrap()
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0f32, |most, (a, b)| most.max((a - b).abs()))
}

/// Rounded floats are PyTorch's in f32, and integers are PyTorch's in f64: to a hundredth of a step of an 8-bit grid over
/// the logits, so with the same top-1. In f32, PyTorch itself comes out elsewhere where a sum's rounding tips a value
/// that lies in the middle between two integers (ten steps in the RepNeXt), which is why integers are held to f64.
#[test]
fn the_answers_of_pytorch() {
    let mut seen = 0;
    for name in NAMES {
        let model = Model::from_bytes(&std::fs::read(file(name)).unwrap(), name, None, true).unwrap();
        let golden = Checkpoint::read(&std::fs::read(file(&format!("{name}.io"))).unwrap(), name).unwrap().tensors;
        let scales = model.quantization().unwrap().clone();
        let integers = Int8Executor::new(int8::lower(model.graph(), &scales).unwrap());
        let simulation = Simulation::quantized_only(model.graph().clone(), scales).unwrap();
        let input = input(&model);
        let run = |part| simulation.with(part).unwrap().run(&input).unwrap();
        let (rounded, floats, integers) = (run(Part::Everything), run(Part::Nothing), integers.run(&input).unwrap());
        let classes = model.classes();
        // The step of an 8-bit grid that spans the logits: one grid for a tensor.
        let step = golden["exact"].data().iter().fold(0f32, |most, v| most.max(v.abs())) / 127.0;
        let row = |values: &Tensor, i: usize| values.data()[i * classes..][..classes].to_vec();
        let best = |values: &[f32]| top1(&Tensor::new([classes], values.to_vec()).unwrap());
        for (what, ours, theirs) in
            [("rounded", &rounded, &golden["logits"]), ("integers", &integers, &golden["exact"])]
        {
            for i in 0..4 {
                let [ours, theirs, floats] = [ours, theirs, &floats].map(|values| row(values, i));
                let distance = apart(&ours, &theirs) / step;
                println!("{name}: {what}: {distance} steps, {} without rounding", apart(&floats, &theirs) / step);
                assert_eq!(best(&ours), best(&theirs), "{name}: {what}");
                assert!(distance <= 0.01, "{name}: {what}: {distance} steps");
                // The data tells: without rounding, values are ten times further off than that, at least.
                assert!(apart(&floats, &theirs) > 0.1 * step, "{name}: {what}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 24);
}

/// Writes the networks that `make.py` runs: `cargo test --test quant -- --ignored make_the_networks`.
#[test]
#[ignore = "writes tests/data/quant"]
fn make_the_networks() {
    let root = env!("CARGO_MANIFEST_DIR");
    let of = |path: &str| Model::open(format!("{root}/{path}"), LoadOptions::default(), false).unwrap();
    for name in NAMES {
        let model = match name {
            "mobileone" => support::mobileone(),
            "qarepvgg" => Model::builtin().unwrap(),
            _ => of("tests/data/golden/repnext_tiny.train.safetensors"),
        };
        let quantized = support::quantized(&model, &support::pictures(&model), Options::default());
        std::fs::write(file(name), quantized.model.to_bytes().unwrap()).unwrap();
    }
}
