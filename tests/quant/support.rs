//! Networks, calibration sets, and shorthands.

use foveate::checkpoint::LoadedModel;
use foveate::cpu::settle_batch_norms;
use foveate::models::Form;
use foveate::ops::Op;
use foveate::quant::{CalibrationSet, Costs, Options, Quantized, Quantizer};
use foveate::{Graph, Model, ParamId, Shape, Tensor};
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

/// A graph as a fused model for 3×side×side inputs.
pub fn fused(graph: Graph) -> Model {
    let Shape { height, width, .. } = graph.input_shape();
    let preprocess = Model::builtin().unwrap().preprocess().clone();
    let preprocess = foveate::Preprocess { crop: [height as u32, width as u32], ..preprocess };
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

/// A random network of that name whose batch norms have factors and shifts spread over decades,
/// fused, for inputs of `side` pixels: channels' ranges differ as in trained networks that were not
/// made for 8 bits.
pub fn rough(name: &str, side: usize, roughness: f32) -> Model {
    let loaded = Model::random_checkpoint(name, 1).unwrap();
    let mut graph = loaded.graph.with_input(Shape::new(3, side, side)).unwrap();
    let mut seed = 0;
    let mut norms = 0;
    for id in graph.ids() {
        if let Op::BatchNorm(norm) = graph.node(id).op.clone() {
            let count = graph.params().tensor(norm.gamma).len();
            let factors = spread(count, roughness, seed);
            let shifts = spread(count, roughness, seed + 1);
            scale(&mut graph, norm.gamma, |c| factors[c]);
            scale(&mut graph, norm.beta, |c| shifts[c]);
            (seed, norms) = (seed + 2, norms + 1);
        }
    }
    assert!(norms > 0);
    let mut normal = normals(99);
    let noise = Tensor::new([4, 3, side, side], (0..12 * side * side).map(|_| normal()).collect()).unwrap();
    settle_batch_norms(&mut graph, &noise).unwrap();
    let crop = [side as u32; 2];
    let preprocess = foveate::Preprocess { crop, ..loaded.preprocess.clone() };
    Model::fused(LoadedModel { graph, preprocess, ..loaded }, false).unwrap()
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
