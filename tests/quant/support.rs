//! Networks, calibration sets, and shorthands.

use foveate::checkpoint::{self, LoadedModel};
use foveate::cpu::settle_batch_norms;
use foveate::models::Form;
use foveate::ops::Op;
use foveate::preprocess::Resize;
use foveate::quant::{CalibrationSet, Costs, Options, Quantized, Quantizer};
use foveate::{Graph, Model, ParamId, Preprocess, Shape, Tensor};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

pub const PICTURES: &str = "tests/data/cifar10";

pub fn pictures(model: &Model) -> CalibrationSet {
    let mut read = 0;
    let set = CalibrationSet::folder(PICTURES, model.preprocess(), 100, &mut |failed| {
        assert!(failed.is_none(), "{failed:?}");
        read += 1;
    });
    assert_eq!(read, 100);
    set.unwrap()
}

pub fn normals(seed: u64) -> impl FnMut() -> f32 {
    let mut rng = Pcg64::seed_from_u64(seed);
    move || StandardNormal.sample(&mut rng)
}

/// Factors that are spread over decades: e to the power of normal numbers times `spread`.
pub fn spread(count: usize, spread: f32, seed: u64) -> Vec<f32> {
    let mut normal = normals(seed);
    (0..count).map(|_| (normal() * spread).exp()).collect()
}

/// Multiplies every value of a parameter by a factor of its index.
pub fn scale(graph: &mut Graph, id: ParamId, factor: impl Fn(usize) -> f32) {
    let tensor = graph.params().tensor(id);
    let data = tensor.data().iter().enumerate().map(|(at, v)| v * factor(at)).collect();
    let tensor = Tensor::new(tensor.shape(), data).unwrap();
    graph.set_param(id, tensor).unwrap();
}

/// A MobileOne for CIFAR-10 at 64×64 (`tests/data/mobileone/make.py`), fused.
pub fn mobileone() -> Model {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mobileone/cifar.safetensors");
    let loaded = checkpoint::load_file(file, None).unwrap();
    let graph = loaded.graph.with_input(Shape::new(3, 64, 64)).unwrap();
    let pictures = Model::builtin().unwrap().preprocess().clone();
    let resize = Resize { shorter: 64, ..pictures.resize };
    let preprocess = Preprocess { crop: [64, 64], resize, ..pictures };
    Model::fused(LoadedModel { graph, preprocess, ..loaded }, false).unwrap()
}

/// Another graph with all else as the model has it.
pub fn like(model: &Model, graph: Graph) -> Model {
    Model::fused(LoadedModel { graph, ..model.details().clone() }, false).unwrap()
}

/// A graph as a fused model for 3×side×side inputs.
pub fn fused(graph: Graph) -> Model {
    let Shape { height, width, .. } = graph.input_shape();
    let preprocess = Model::builtin().unwrap().preprocess().clone();
    let preprocess = Preprocess { crop: [height as u32, width as u32], ..preprocess };
    let network = LoadedModel {
        architecture: graph.name.clone(),
        graph,
        form: Form::Fused,
        quantization: None,
        preprocess,
        labels: None,
        source_sha256: String::new(),
        file: None,
        renamed: vec![],
        ignored: vec![],
        notes: vec![],
    };
    Model::fused(network, false).unwrap()
}

/// Small networks of every family, in training form.
pub const TINY: [&str; 7] = [
    "repvgg_tiny",
    "repvgg_tiny_g2",
    "repvgg_tiny_se",
    "qarepvgg_tiny_S4",
    "mobileone_tiny",
    "timm_mobileone_tiny_se",
    "repnext_tiny",
];

/// One of [`TINY`] with the factors and shifts of its batch norms spread over decades, fused:
/// channels' ranges differ as in trained networks that were not made for 8 bits.
pub fn rough(name: &str, roughness: f32) -> Model {
    let file = format!("{}/tests/data/golden/{name}.train.safetensors", env!("CARGO_MANIFEST_DIR"));
    let loaded = checkpoint::load_file(file, None).unwrap();
    let mut graph = loaded.graph.clone();
    let mut norms = 0;
    for id in graph.ids() {
        if let Op::BatchNorm(norm) = graph.node(id).op.clone() {
            let count = graph.params().tensor(norm.gamma).len();
            let [factors, shifts] = [2 * norms, 2 * norms + 1].map(|seed| spread(count, roughness, seed));
            scale(&mut graph, norm.gamma, |c| factors[c]);
            scale(&mut graph, norm.beta, |c| shifts[c]);
            norms += 1;
        }
    }
    assert!(norms > 0, "{name}");
    let Shape { channels, height, width } = graph.input_shape();
    let mut normal = normals(99);
    let noise = (0..2 * channels * height * width).map(|_| normal()).collect();
    settle_batch_norms(&mut graph, &Tensor::new([2, channels, height, width], noise).unwrap()).unwrap();
    Model::fused(LoadedModel { graph, ..loaded }, false).unwrap()
}

pub fn quantizer(model: &Model, set: &CalibrationSet, options: Options) -> Quantizer {
    Quantizer::new(model, Some(set.clone()), options, &mut |_, _, _| {}).unwrap()
}

pub fn quantized(model: &Model, set: &CalibrationSet, options: Options) -> Quantized {
    quantizer(model, set, options).quantize(&[], &mut |_, _, _| {}).unwrap()
}

/// Signal-to-noise ratio of the network's output, on inputs of another set.
pub fn output_db(model: &Model, set: &CalibrationSet, test: &CalibrationSet, options: Options) -> f64 {
    let quantized = quantized(model, set, options);
    Costs::of(&quantized.simulation, test, 16).unwrap().output.sqnr()
}

/// Index of the largest value.
pub fn top1(logits: &Tensor) -> Option<usize> {
    (0..logits.len()).max_by(|a, b| logits.data()[*a].total_cmp(&logits.data()[*b]))
}
