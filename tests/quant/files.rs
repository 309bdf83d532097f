//! Model files of version 2: whole, and damaged in every way.

use std::collections::{BTreeMap, HashMap};

use foveate::quant::{CalibrationSet, Options, Scheme};
use foveate::{DeviceChoice, Model, Precision, Session, Shape};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::support::*;

type Raw = (Dtype, Vec<usize>, Vec<u8>);

fn file() -> Vec<u8> {
    let model = Model::builtin().unwrap();
    let set = pictures(&model).part(10).unwrap();
    quantized(&model, &set, Options::default()).model.to_bytes().unwrap()
}

fn open(bytes: &[u8]) -> (BTreeMap<String, Raw>, HashMap<String, String>) {
    let tensors = SafeTensors::deserialize(bytes).unwrap().tensors();
    let raw = tensors.into_iter().map(|(name, t)| (name, (t.dtype(), t.shape().to_vec(), t.data().to_vec())));
    (raw.collect(), SafeTensors::read_metadata(bytes).unwrap().1.metadata().clone().unwrap())
}

fn close(tensors: &BTreeMap<String, Raw>, metadata: HashMap<String, String>) -> Vec<u8> {
    let views = tensors.iter().map(|(n, (dtype, shape, b))| (n, TensorView::new(*dtype, shape.clone(), b).unwrap()));
    safetensors::serialize(views, Some(metadata)).unwrap()
}

fn f32s(values: &[f32]) -> Raw {
    (Dtype::F32, vec![values.len()], values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

fn refusal(bytes: &[u8]) -> String {
    Model::from_bytes(bytes, "file", None, true).unwrap_err().to_string()
}

#[test]
fn a_file_gives_the_same_network_again() {
    let model = Model::builtin().unwrap();
    let set = pictures(&model).part(10).unwrap();
    for scheme in [Scheme::W8, Scheme::W8a8] {
        let keep_float = vec![model.graph().nodes()[1].name.clone()];
        let options = Options { scheme, keep_float, ..Options::default() };
        let written = quantized(&model, &set, options).model;
        let bytes = written.to_bytes().unwrap();
        let read = Model::from_bytes(&bytes, "file", None, true).unwrap();
        assert_eq!(read.graph(), written.graph());
        assert_eq!(read.quantization(), written.quantization());
        assert_eq!(read.to_bytes().unwrap(), bytes);
        assert_eq!(read.precision(), if scheme == Scheme::W8 { Precision::W8 } else { Precision::W8a8 });
        let about = read.quantization().unwrap().calibration.clone().unwrap();
        assert_eq!((about.images, about.sha256.len()), (10, 64));
        let (tensors, metadata) = open(&bytes);
        assert_eq!(metadata["foveate.format"], "2");
        assert_eq!(tensors.values().filter(|t| t.0 == Dtype::I8).count(), 7);
    }
    let (_, metadata) = open(&model.to_bytes().unwrap());
    assert_eq!(metadata["foveate.format"], "1");
    assert!(file().len() * 3 < model.to_bytes().unwrap().len());
}

#[test]
fn every_damaged_scale_is_named() {
    let bytes = file();
    let (tensors, metadata) = open(&bytes);
    let scales = |name: &String| name.starts_with("weight_scale:") || name.starts_with("activation_scale:");
    let scales: Vec<String> = tensors.keys().filter(|name| scales(name)).cloned().collect();
    assert_eq!(scales.len(), 8 + 9);
    for name in &scales {
        let subject = name.split_once(':').unwrap().1;
        let mut missing = tensors.clone();
        missing.remove(name);
        let message = refusal(&close(&missing, metadata.clone()));
        assert!(message.contains(&format!("{subject:?}")) && message.contains("missing"), "{message}");
        let count = tensors[name].1[0];
        for bad in [0.0, -0.5, f32::NAN, f32::INFINITY, 1e-40] {
            let mut values = vec![0.25; count];
            values[count - 1] = bad;
            let mut damaged = tensors.clone();
            damaged.insert(name.clone(), f32s(&values));
            let message = refusal(&close(&damaged, metadata.clone()));
            assert!(message.contains(&format!("{name:?}")), "{bad}: {message}");
        }
        let mut long = tensors.clone();
        long.insert(name.clone(), f32s(&vec![0.25; count + 1]));
        let message = refusal(&close(&long, metadata.clone()));
        assert!(message.contains(&format!("{name:?}")) && message.contains("wanted"), "{message}");
    }
}

#[test]
fn other_damage_is_refused() {
    let (tensors, metadata) = open(&file());
    let with = |name: &str, raw: Raw| {
        let mut tensors = tensors.clone();
        tensors.insert(name.into(), raw);
        refusal(&close(&tensors, metadata.clone()))
    };
    let weight = tensors.iter().find(|(_, raw)| raw.0 == Dtype::I8).unwrap();
    let mut low = weight.1.clone();
    low.2[3] = -128i8 as u8;
    assert!(with(weight.0, low).contains("-128"));
    let floats = (Dtype::F32, weight.1.1.clone(), vec![0x3e; weight.1.2.len() * 4]);
    assert!(with(weight.0, floats).contains("integers from −127 to 127"));
    assert!(with("weight_scale:nobody", f32s(&[1.0])).contains("weight_scale:nobody"));
    assert!(with("activation_scale:nobody", f32s(&[1.0])).contains("activation_scale:nobody"));
    let output = metadata["foveate.graph"].contains("\"linear\"");
    assert!(output && with("activation_scale:linear", f32s(&[1.0])).contains("no layer of integers reads it"));
    let change = |key: &str, value: &str| {
        let mut metadata = metadata.clone();
        metadata.insert(key.into(), value.into());
        refusal(&close(&tensors, metadata))
    };
    assert!(change("foveate.format", "1").contains("f32"));
    assert!(change("foveate.format", "3").contains("format version \"3\""));
    assert!(change("foveate.precision", "f32").contains("precision"));
    assert!(change("foveate.form", "train").contains("not fused"));
    assert!(change("foveate.quantization", "{}").contains("foveate.quantization is damaged"));
    let recipe = &metadata["foveate.quantization"];
    assert!(recipe.contains("\"keep_float\":[]"));
    let ghost = recipe.replace("\"keep_float\":[]", "\"keep_float\":[\"ghost\"]");
    assert!(change("foveate.quantization", &ghost).contains("\"ghost\""));
    let unscaled = recipe.replace("\"keep_float\":[]", "\"keep_float\":[\"linear\"]");
    assert!(change("foveate.quantization", &unscaled).contains("stays float"));
}

/// A checkpoint of integers says nothing: only this project's files do.
#[test]
fn integers_in_other_files_are_refused() {
    let (tensors, _) = open(&file());
    assert!(refusal(&close(&tensors, HashMap::new())).contains("I8"));
}

#[test]
fn sessions_run_it_and_say_how() {
    let bytes = file();
    let model = Model::from_bytes(&bytes, "file", None, true).unwrap();
    let input = Shape::new(3, 32, 32);
    let noise = CalibrationSet::noise(input, 1, 3).unwrap();
    let load = |precision: Option<Precision>| {
        let mut builder = Session::builder().model(model.clone()).device(DeviceChoice::Cpu).stage_features();
        if let Some(precision) = precision {
            builder = builder.precision(precision);
        }
        pollster::block_on(builder.load())
    };
    let mut session = load(None).unwrap();
    assert_eq!(session.precision(), Precision::W8a8);
    assert!(session.precision_note().unwrap().contains("in integers"), "{:?}", session.precision_note());
    let features = pollster::block_on(session.features_of_tensor(&noise.inputs()[0])).unwrap();
    let mut floats = load(Some(Precision::F32)).unwrap();
    assert_eq!((floats.precision(), floats.precision_note()), (Precision::F32, None));
    let expected = pollster::block_on(floats.features_of_tensor(&noise.inputs()[0])).unwrap();
    assert!(features.iter().count() >= 4);
    for (a, b) in features.iter().zip(&expected) {
        let noise = foveate::quant::Noise::of(b.tensor().data(), a.tensor().data()).sqnr();
        assert!((15.0..80.0).contains(&noise), "{}: {noise}", a.node());
    }
    // 16-bit floats are about activations: the weights stay in 8 bits.
    let half = load(Some(Precision::F16)).unwrap();
    assert_eq!(half.precision(), Precision::W8);
    assert!(half.precision_note().unwrap().contains("computes in f32"), "{:?}", half.precision_note());
    let float = Session::builder().device(DeviceChoice::Cpu).precision(Precision::W8a8);
    assert!(pollster::block_on(float.load()).err().unwrap().to_string().contains("foveate quantize"));
}
