//! Inputs to begin with: files of `tests/data`, small ones made here, and what was found before.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use foveate::Graph;
use foveate::bench::{Clocks, Machine, Measured, Mode, Protocol, Record, Samples};
use foveate::checkpoint::{LoadedModel, model_file};
use foveate::models::Form;
use foveate::ops::Op;
use foveate::preprocess::{Filter, Preprocess, Resize};
use foveate::quant::{Calibration, Options, Quantization, Scheme};
use foveate::readers;
use foveate::roofline::{Ceilings, Known};
use foveate::tune::{DeviceKey, Store, Table};
use image::{DynamicImage, ImageFormat, RgbaImage};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};

use super::cases;
use super::fuzz::{Kind, documents, forge};

/// An input, and whether it is a good one.
pub struct Seed {
    pub name: String,
    pub bytes: Vec<u8>,
    pub accepted: bool,
}

/// The folder of the fuzz targets.
pub fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// All seeds of a kind, in order of their names.
pub fn of(kind: Kind) -> Vec<Seed> {
    let made = match kind {
        Kind::Safetensors => checkpoints(),
        Kind::TorchZip => archives(),
        Kind::Pickle => pickles(),
        Kind::Picture => pictures(),
        Kind::ModelFile => [model_files(), quantized_files()].concat(),
        Kind::Metadata => opened_files(),
        Kind::Tuning => tuned(),
        Kind::Benchmark => measured(),
        Kind::Registry => lists(),
        Kind::Names => names(),
        Kind::Repro => layers(),
        Kind::Cache => kept(),
    };
    let good = made.into_iter().map(|(name, bytes)| Seed { name, bytes, accepted: true });
    let mut seeds: Vec<Seed> = good.chain(files(kind)).collect();
    seeds.sort_by(|a, b| a.name.cmp(&b.name));
    seeds
}

/// The files in `seeds/<kind>`; those that are to be refused are named so.
fn files(kind: Kind) -> Vec<Seed> {
    let folder = fuzz_folder().join("seeds").join(kind.name());
    let entries = std::fs::read_dir(&folder).map(|entries| entries.map(|e| e.unwrap().path()).collect::<Vec<_>>());
    let seed = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        Seed { bytes: std::fs::read(path).unwrap(), accepted: !name.starts_with("refused-"), name }
    };
    entries.unwrap_or_default().iter().map(seed).collect()
}

fn data(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)).unwrap()
}

fn named<const N: usize>(folder: &str, names: [&str; N]) -> Vec<(String, Vec<u8>)> {
    names.map(|name| (name.to_owned(), data(&format!("{folder}/{name}")))).into()
}

/// Golden checkpoints with far fewer channels.
fn checkpoints() -> Vec<(String, Vec<u8>)> {
    let nets = [
        ("repvgg_tiny.train", 8),
        ("repvgg_tiny_se.deploy", 8),
        ("qarepvgg_tiny_S4.train", 8),
        ("mobileone_tiny.train", 8),
        ("timm_mobileone_tiny.deploy", 8),
        ("timm_repvgg_tiny.train", 8),
        ("repnext_tiny.train", 2),
        ("repnext_tiny.deploy", 2),
    ];
    let shrunk = nets.map(|(name, by)| (name.to_owned(), shrink(&data(&format!("golden/{name}.safetensors")), by)));
    shrunk.into()
}

/// The file with numbers of channels divided that can be.
fn shrink(file: &[u8], by: usize) -> Vec<u8> {
    let mut tensors = BTreeMap::new();
    for (name, tensor) in SafeTensors::deserialize(file).unwrap().tensors() {
        let mut shape = tensor.shape().to_vec();
        shape.iter_mut().take(2).filter(|d| d.is_multiple_of(by)).for_each(|d| *d /= by);
        let length = shape.iter().product::<usize>() * tensor.dtype().bitsize() / 8;
        tensors.insert(name, (tensor.dtype(), shape, tensor.data()[..length].to_vec()));
    }
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    serialize(views, None).unwrap()
}

/// A network for each operator and for pairs that are fused, as model files.
fn model_files() -> Vec<(String, Vec<u8>)> {
    let written = weighty().map(|case| {
        let mut graph = case.graph;
        graph.tap("stage0", graph.output());
        (file_name(&case.name), model_file::save(&model(graph, Form::Train, None)).unwrap())
    });
    written.filter(|(_, bytes)| bytes.len() < 20_000).collect()
}

/// The same in 8 bits, one in four and by turns with and without integer activations.
fn quantized_files() -> Vec<(String, Vec<u8>)> {
    let fused = |case: &cases::Case| !case.graph.nodes().iter().any(|node| matches!(node.op, Op::BatchNorm(_)));
    let schemes = [Scheme::W8a8, Scheme::W8].into_iter().cycle();
    let written = weighty().filter(fused).step_by(4).zip(schemes).filter_map(|(case, scheme)| {
        let options = Options { scheme, ..Options::plain() };
        // Not every case can be held in 8 bits throughout.
        let scaled = Quantization::with_scales(&case.graph, options, |_| 0.05, |_, _| 0.05);
        let (graph, mut quantization) = scaled.ok()?;
        let sha256 = "0123456789abcdef".repeat(4);
        quantization.calibration = (scheme == Scheme::W8a8).then_some(Calibration { sha256, images: 1 });
        let bytes = model_file::save(&model(graph, Form::Fused, Some(quantization))).unwrap();
        Some((format!("{scheme}-{}", file_name(&case.name)), bytes))
    });
    written.filter(|(_, bytes)| bytes.len() < 6_000).collect()
}

/// A file without a tensor is no model file.
fn weighty() -> impl Iterator<Item = cases::Case> {
    cases::all().into_iter().filter(|case| !case.graph.params().is_empty())
}

fn file_name(case: &str) -> String {
    case.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

fn model(graph: Graph, form: Form, quantization: Option<Quantization>) -> LoadedModel {
    let shape = graph.input_shape();
    let crop = [shape.height as u32, shape.width as u32];
    let resize = Resize { shorter: crop[0].max(crop[1]), filter: Filter::Bilinear };
    LoadedModel {
        architecture: graph.name.clone(),
        graph,
        form,
        quantization,
        preprocess: Preprocess { resize, crop, mean: [0.5; 3], std: [0.25; 3] },
        labels: None,
        source_sha256: String::new(),
        file: None,
        renamed: Vec::new(),
        ignored: Vec::new(),
        notes: Vec::new(),
    }
}

fn archives() -> Vec<(String, Vec<u8>)> {
    let mut files = named("torch", ["module.pt", "traced.pt", "f16.pth", "views.pth", "repnext_tiny_fused.pt"]);
    files.iter_mut().for_each(|(name, _)| name.insert_str(0, "net-"));
    files.push(("small.pth".into(), forge::archive(&forge::small(), &[1.0, 2.0, 3.0, 4.0])));
    files
}

fn pickles() -> Vec<(String, Vec<u8>)> {
    let p = || forge::Pickle::new().raw(b"}(").text("w").tensor(64, 0, &[4, 4], &[4, 1]).text("x");
    let module =
        forge::Pickle::new().global("torch.nn", "Module").raw(b")\x81}").text("_parameters").raw(b"}").text("w");
    let module = module.tensor(64, 1, &[3], &[2]).raw(b"ss").text("_modules").raw(b"}sb");
    vec![
        ("small".into(), forge::small()),
        ("state_dict".into(), p().tensor(64, 16, &[2, 3], &[1, 5]).raw(b"u").stop()),
        ("call".into(), p().global("os", "system").text("false").raw(b"\x85Ru").stop()),
        (
            "wrapped".into(),
            forge::Pickle::new().raw(b"}").text("state_dict").raw(&p().raw(b"Nu").0[2..]).raw(b"s").stop(),
        ),
        ("module".into(), module.stop()),
    ]
}

/// A small picture in every format, and the tests' own.
fn pictures() -> Vec<(String, Vec<u8>)> {
    use ImageFormat::*;
    let pixels = RgbaImage::from_fn(9, 7, |x, y| image::Rgba([x as u8 * 25, y as u8 * 30, 90, 255 - x as u8 * 9]));
    let rgba = DynamicImage::from(pixels);
    let rgb = DynamicImage::from(rgba.to_rgb8());
    let wide = DynamicImage::from(rgba.to_rgba16());
    let grey = DynamicImage::from(rgba.to_luma8());
    let pictures = [
        ("rgba.png", Png, &rgba),
        ("wide.png", Png, &wide),
        ("grey.png", Png, &grey),
        ("rgb.jpg", Jpeg, &rgb),
        ("grey.jpg", Jpeg, &grey),
        ("rgba.gif", Gif, &rgba),
        ("rgba.webp", WebP, &rgba),
        ("rgb.bmp", Bmp, &rgb),
        ("rgba.bmp", Bmp, &rgba),
        ("rgb.tiff", Tiff, &rgb),
        ("wide.tiff", Tiff, &wide),
        ("grey.pgm", Pnm, &grey),
        ("rgb.ppm", Pnm, &rgb),
        ("rgba.tga", Tga, &rgba),
        ("rgba.ico", Ico, &rgba),
        ("rgba.qoi", Qoi, &rgba),
    ];
    let encoded = pictures.map(|(name, format, picture)| {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        (name.to_owned(), bytes.into_inner())
    });
    let own = named("preprocess", ["alpha.png", "tall.png", "orientation3.jpg", "orientation6.jpg", "edges.png"]);
    encoded.into_iter().chain(own).collect()
}

/// One in five of the model files, as [`documents::metadata`] takes them.
fn opened_files() -> Vec<(String, Vec<u8>)> {
    let all = model_files().into_iter().chain(quantized_files());
    let files = all.filter(|(_, file)| file.len() < 4_000).step_by(5);
    files.map(|(name, file)| (name, documents::opened(&file).unwrap())).collect()
}

/// Choices that a plan takes, for a device and in a table; measured ceilings.
fn tuned() -> Vec<(String, Vec<u8>)> {
    let choices = documents::KEYS.clone();
    let text = str::to_owned;
    let (backend, name, driver, driver_info) = (text("vulkan"), text("GPU"), text("driver"), text("1.2"));
    let features = vec![text("shader-f16")];
    let device = DeviceKey { backend, name, vendor: 1, device: 2, driver, driver_info, features };
    let mut store = Store::default();
    store.merge(device.clone(), choices.clone());
    let mut two = store.clone();
    two.merge(DeviceKey { name: text("other"), ..device.clone() }, Default::default());
    let table = Table { schema_version: 1, drivers: vec![text("driver")], measured: text("here"), choices };
    let (read_gb_s, copy_gb_s, f32_gflop_s, dot4_gop_s) = (4.5, 5.0, 24.0, 22.0);
    let mut known = Known::default();
    known.set(device, Ceilings { read_gb_s, copy_gb_s, f32_gflop_s, dot4_gop_s, ..Ceilings::default() });
    vec![
        ("store.json".into(), store.to_json().into_bytes()),
        ("two.json".into(), two.to_json().into_bytes()),
        ("table.json".into(), table.to_json().into_bytes()),
        ("ceilings.json".into(), known.to_json().into_bytes()),
    ]
}

/// The tests' own records, and two that programs of today write.
fn measured() -> Vec<(String, Vec<u8>)> {
    let mut files = named("bench", ["v1.json", "profile-v1.json"]);
    let samples = |us: &[f64]| Samples::new(us.to_vec());
    let clocks = Clocks { end_to_end: samples(&[3.0, 2.5, 4.0]), gpu: samples(&[1.0]), ..Clocks::default() };
    let began_s = Some(vec![0.0, 1.5, 2.0]);
    let one = Measured { model: "net".into(), batch: 1, clocks, began_s, ..Measured::default() };
    for mode in [Mode::Sustained, Mode::Latency] {
        let results = vec![one.clone(), Measured { batch: 2, ..one.clone() }];
        let record = Record { results, ..Record::new(Machine::default(), Protocol::of(mode), 7) };
        files.push((format!("{mode:?}.json"), record.to_json().unwrap().into_bytes()));
    }
    files
}

/// The first entries of the list that is built in, one with all that an entry may have.
fn lists() -> Vec<(String, Vec<u8>)> {
    let all: serde_json::Value = serde_json::from_slice(&data("../../assets/registry.json")).unwrap();
    let list = |entries: &[serde_json::Value]| {
        let document = serde_json::json!({ "schema_version": 1, "entries": entries });
        serde_json::to_string_pretty(&document).unwrap().into_bytes()
    };
    let entries = all["entries"].as_array().unwrap();
    let mut full = entries[0].clone();
    full["size"] = 1000.into();
    full["sha256"] = "0123456789abcdef".repeat(4).into();
    let own = [0.5, 0.25, 0.125];
    (full["preprocess"]["mean"], full["preprocess"]["std"]) = (own.into(), own.into());
    vec![
        ("one.json".into(), list(&entries[..1])),
        ("three.json".into(), list(&entries[..3])),
        ("last.json".into(), list(&entries[entries.len() - 2..])),
        ("full.json".into(), list(&[full])),
    ]
}

fn names() -> Vec<(String, Vec<u8>)> {
    let labels = foveate::labels::CIFAR10.join("\n");
    let truth = "a.png\tcat\nsub/b c.jpg\t3\n\nd.png\tShip\n";
    let seed = |name: &str, text: String| (name.to_owned(), text.into_bytes());
    vec![
        seed("labels", format!("\u{feff}{labels}\r\n\n")),
        seed("truth", "\u{feff}a.png\t0\r\nsub/b c.jpg\t3\n\nd.png\t9\n".into()),
        seed("both", format!("{labels}\0{truth}")),
        seed("other-labels", format!("a\n b \n\n\0{}", truth.replace("cat", "1").replace("Ship", "7"))),
    ]
}

/// Layers as `foveate verify --write-repro` writes them, but smaller: in buffers and in textures, in floats and in
/// integers.
fn layers() -> Vec<(String, Vec<u8>)> {
    let layer = |precision: &str, storage: &str, element: &str, bytes: u64, bound: serde_json::Value| {
        let memory = |name: &str, storage: &str| {
            serde_json::json!({
                "name": name, "format": { "storage": storage, "element": element }, "bytes": bytes,
            })
        };
        let fault = serde_json::json!({
            "dispatch": 1, "node": "fc", "op": "linear", "shape": "4x1x1", "kernels": ["linear"], "variant": "buffers",
            "steps": ["linear 1"], "bound": bound, "at": { "sample": 0, "channel": 3, "row": 0, "column": 0 },
            "distance": {
                "values": 4, "differing": 1, "not_finite": 0, "relative": 0.5, "largest_difference": 1.5,
                "largest_expected": 2.0, "at": 3, "found": "NaN", "expected": 2.0,
            },
        });
        let bindings = [(0, "read", 0), (4, "read", 1), (9, "write", 2)];
        let bindings = bindings.map(
            |(binding, access, memory)| serde_json::json!({ "binding": binding, "access": access, "memory": memory }),
        );
        let step = serde_json::json!({
            "kernel": "linear", "shader": "@compute @workgroup_size(1) fn main() {}", "grid": [1, 2, 3],
            "bindings": bindings,
        });
        let about = serde_json::json!({
            "schema_version": 1, "foveate": "0.1.0", "network": "net", "precision": precision,
            "adapter": { "backend": "vulkan", "name": "GPU", "driver": "driver", "driver_info": "1.2" },
            "fault": fault, "wanted": 2, "steps": [step],
            "memories": [memory("x", storage), memory("w", "buffer"), memory("y", storage)],
        });
        let words = forge::floats(&[0.5, 1.0, -2.0, 4.0]);
        let expected: Vec<u8> = [0.5, f64::NAN, 2.0, -1.0].iter().flat_map(|v: &f64| v.to_le_bytes()).collect();
        let all = [
            ("memory.0", Dtype::U32, &words),
            ("memory.1", Dtype::U32, &words),
            ("expected", Dtype::F64, &expected),
            ("found", Dtype::U32, &words),
        ];
        let views = all.map(|(name, dtype, bytes)| (name, TensorView::new(dtype, vec![4], bytes).unwrap()));
        serialize(views, Some([("foveate_repro".to_owned(), about.to_string())].into())).unwrap()
    };
    let relative = || serde_json::json!({ "relative": 5e-5 });
    vec![
        ("floats".into(), layer("f32", "buffer", "f32", 64, relative())),
        ("half-texture".into(), layer("f16", "texture", "f16", 4096 * 8, relative())),
        ("float-texture".into(), layer("f32", "texture", "f32", 4096 * 16, relative())),
        ("integers".into(), layer("w8a8", "buffer", "i8", 32, "exact".into())),
    ]
}

/// What is known of drivers, and compiled pipelines.
fn kept() -> Vec<(String, Vec<u8>)> {
    let device = |name: &str| {
        serde_json::json!({
            "backend": "vulkan", "name": name, "vendor": 1, "device": 2, "driver": "driver", "driver_info": "1.2",
            "features": ["shader-f16"],
        })
    };
    let known = |name: &str| {
        serde_json::json!({
            "device": device(name), "right": ["0123456789abcdef01234567", "76543210"],
            "wrong": { "fedcba98": "conv: relative error 1.0" },
        })
    };
    let file = |devices: &[serde_json::Value]| {
        serde_json::json!({ "schema_version": 1, "devices": devices }).to_string().into_bytes()
    };
    vec![
        ("drivers.json".into(), file(&[known("GPU"), known("other")])),
        ("driver.json".into(), file(&[known("GPU")])),
        ("nothing-known.json".into(), file(&[serde_json::json!({ "device": device("new") })])),
        ("empty.bin".into(), readers::pipelines_file(b"")),
        ("pipelines.bin".into(), readers::pipelines_file(&forge::floats(&[0.5; 16]))),
    ]
}
