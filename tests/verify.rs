//! `verify`: devices that compute what the CPU does, kernels that do not, and layers taken along in a file.

mod device;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foveate::gpu::{GpuContext, Sabotage};
use foveate::kernels::{Argument, Element, Format, Step};
use foveate::quant::{self, CalibrationSet};
use foveate::verify::{self, Against, Bound, Check, Options, Report, Repro, Subject};
use foveate::{Error, Model, Picture, Precision};
use pollster::block_on;

fn cat() -> Vec<Picture> {
    vec![Picture::open(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/cat.png")).unwrap()]
}

/// The built-in network in a number format.
fn builtin(precision: Precision) -> Model {
    let model = Model::builtin().unwrap();
    if precision != Precision::W8a8 {
        return model.with_precision(precision).unwrap();
    }
    let set = CalibrationSet::new(vec![model.preprocess().apply(&cat()[0]).unwrap()]).unwrap();
    quant::quantize(&model, set, quant::Options::default()).unwrap()
}

fn look(context: &GpuContext, precision: Precision, options: &Options) -> (Check, Option<Repro>) {
    let model = builtin(precision);
    let subject = Subject::new(&model, precision, &cat()).unwrap();
    block_on(verify::verify(context, &subject, &cat(), options)).unwrap()
}

#[test]
fn every_device_agrees_in_every_format() {
    let mut rows = 0;
    for context in device::contexts() {
        for precision in [Precision::F32, Precision::F16, Precision::W8, Precision::W8a8] {
            let (check, repro) = look(context, precision, &Options::default());
            assert!(check.agrees && check.error.is_none() && repro.is_none(), "{}: {check:?}", context.summary());
            assert!(check.layers >= 8 && check.layers <= check.dispatches, "{check:?}");
            let network = check.network.unwrap();
            assert!(network.same_top1 && network.distance.values == 10);
            assert_eq!(network.bound == Bound::Exact, precision == Precision::W8a8);
            assert_eq!((check.ranking, check.picture_levels.unwrap() <= 0.5), (Some(true), true));
            let worst = check.worst.and_then(|fault| fault.distance.relative);
            eprintln!("{}, {precision}: {} layers, worst {worst:?}", context.summary(), check.layers);
            rows += 1;
        }
    }
    assert_eq!(rows, 4 * device::contexts().len());
}

/// Batches, and chains of several dispatches to a layer, such as Winograd's.
#[test]
fn batches_and_other_networks_agree() {
    let Some(context) = device::contexts().first() else { return };
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden");
    let mut seen = 0;
    for name in ["repnext", "mobileone", "repvgg"] {
        let files = std::fs::read_dir(&golden).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> =
            files.filter(|path| path.to_string_lossy().contains(name) && path.ends_with_deploy()).collect();
        files.sort();
        let model = Model::open(&files[0], None, false).unwrap();
        let pictures = [cat(), cat()].concat();
        let subject = Subject::new(&model, Precision::F32, &pictures).unwrap();
        let (check, _) = block_on(verify::verify(context, &subject, &pictures, &Options::default())).unwrap();
        assert!(check.agrees && check.layers > 4, "{}: {check:?}", files[0].display());
        seen += 1;
    }
    assert_eq!(seen, 3);
}

trait Deploy {
    fn ends_with_deploy(&self) -> bool;
}

impl Deploy for std::path::PathBuf {
    fn ends_with_deploy(&self) -> bool {
        self.to_string_lossy().ends_with(".deploy.safetensors")
    }
}

/// What is stored is a tenth of a per cent too large: nothing that changes an answer.
fn spoil(shader: &str) -> String {
    let put = "fn y_put(i: u32, v: vec4<f32>) {";
    let spoiled = shader.replacen(put, "fn y_put(i: u32, v_: vec4<f32>) { let v = v_ * 1.001;", 1);
    assert_ne!(spoiled, shader, "the accessor is called otherwise by now:\n{shader}");
    spoiled
}

/// The last step of the built-in network that is an ordinary convolution.
fn victim(context: &GpuContext) -> Step {
    let plan = foveate::plan::Plan::for_target(Model::builtin().unwrap().graph(), 1, &[], context.target()).unwrap();
    plan.steps.into_iter().rfind(|step| step.kernel.name == "conv").unwrap()
}

/// A device whose driver computes that step's shader wrongly, and how often it was compiled.
fn spoiled(context: &GpuContext) -> (Sabotage, Step, Arc<AtomicUsize>) {
    let step = victim(context);
    let (shader, count) = (step.shader(), Arc::new(AtomicUsize::new(0)));
    let counter = count.clone();
    let sabotage = Sabotage::shaders(move |_, text| {
        if text != shader {
            return text;
        }
        counter.fetch_add(1, Ordering::Relaxed);
        spoil(&text)
    });
    (sabotage, step, count)
}

#[test]
fn a_planted_kernel_is_found_and_named_and_can_be_taken_along() {
    for context in device::contexts() {
        let (sabotage, step, planted) = spoiled(context);
        let bad = context.clone().sabotaged(sabotage);
        let (check, repro) = look(&bad, Precision::F32, &Options::default());
        assert!(planted.load(Ordering::Relaxed) > 0);
        assert!(!check.agrees && !check.wrong.is_empty(), "{check:?}");
        let first = &check.wrong[0];
        assert!(check.wrong.iter().any(|fault| fault.steps.contains(&step.to_string())), "{check:?}");
        // Those dispatches are off that have this very shader, and no others.
        assert!(check.wrong.iter().all(|fault| fault.kernels == [step.kernel.name]), "{check:?}");
        let relative = first.distance.relative.unwrap();
        assert!((5e-4..2e-3).contains(&relative), "{relative}");
        let said = first.to_string();
        for word in [step.kernel.name, "relative error", "allowed: 5e-5", "channel", "row", &first.shape] {
            assert!(said.contains(word), "{word}: {said}");
        }
        // The same on a device that is sound: only with the shader from the file.
        let bytes = repro.unwrap().to_bytes().unwrap();
        let repro = Repro::from_bytes(&bytes, "repro").unwrap();
        assert_eq!(repro.fault().node, first.node);
        let replay = block_on(repro.replay(context)).unwrap();
        assert!(!replay.agrees && (replay.distance.relative.unwrap() / relative - 1.0).abs() < 0.01, "{replay:?}");
        // SAFETY: written by this test.
        let same = unsafe { block_on(repro.replay_unchecked(context)) }.unwrap();
        assert!(same.same_bits, "{same:?}");
        let model = builtin(Precision::F32);
        let device = verify::Device { adapter: context.summary().clone(), checks: vec![check.clone()] };
        let json = serde_json::to_value(Report::new(&model, 1, vec![device])).unwrap();
        assert_eq!((&json["schema_version"], &json["agrees"]), (&1.into(), &false.into()));
        assert_eq!(json["devices"][0]["checks"][0]["wrong"][0]["node"], first.node);
        assert!(json["devices"][0]["adapter"]["driver_info"].is_string());
    }
}

/// What every shader that stores 16-bit floats stores, changed.
fn stores(change: &'static str) -> Sabotage {
    let put = "fn y_put(i: u32, v: vec4<f32>) {";
    Sabotage::shaders(move |step, text| {
        let halves = |(argument, format): (&Argument, &Format)| argument.name == "y" && format.element == Element::F16;
        if !step.arguments().zip(&step.formats).any(halves) {
            return text;
        }
        assert!(text.contains(put), "the accessor is called otherwise by now:\n{text}");
        text.replacen(put, &format!("fn y_put(i: u32, v_: vec4<f32>) {{ let v = {change};"), 1)
    })
}

/// What a store does where the device rounds towards zero.
const TRUNCATED: &str = "bitcast<vec4<f32>>(bitcast<vec4<u32>>(v_) & vec4<u32>(0xffffe000u))";

fn look_at_random(context: &GpuContext, name: &str, seed: u64) -> Check {
    let model = Model::random(name, seed, false).unwrap().with_precision(Precision::F16).unwrap();
    let subject = Subject::new(&model, Precision::F16, &cat()).unwrap();
    block_on(verify::verify(context, &subject, &cat(), &Options::default())).unwrap().0
}

#[test]
fn rounding_that_adds_up_in_a_deep_network_is_not_blamed_on_the_device() {
    let Some(context) = device::contexts().first() else { return };
    let mut beyond = 0;
    for (name, seed) in [("mobileone-s0", 0), ("mobileone-s0", 1), ("repvgg-a0", 0), ("repnext-m0", 0)] {
        let check = look_at_random(context, name, seed);
        assert!(check.agrees, "{name}, seed {seed}: {check:?}");
        let halves = check.network.unwrap().halves.unwrap();
        eprintln!("{name}, seed {seed}: {halves:?}");
        if halves.from_f32.unwrap() > 5e-3 {
            assert!(halves.against != Against::F32 && halves.bound <= 2.0 * halves.rounding.unwrap(), "{halves:?}");
            // Far from the bound, so that another device has room.
            assert!(halves.distance.unwrap() < 0.5 * halves.bound, "{halves:?}");
            assert!(halves.reason.contains("twice the "), "{halves:?}");
            beyond += 1;
        }
    }
    assert!(beyond > 0, "nothing here needs more than the bound of every network");
}

/// WGSL leaves open how values become 16-bit floats; what it adds up to is no fault either.
#[test]
fn a_device_that_rounds_towards_zero_is_sound() {
    let Some(context) = device::contexts().first() else { return };
    let check = look_at_random(&context.clone().sabotaged(stores(TRUNCATED)), "mobileone-s0", 0);
    assert!(check.agrees, "{check:?}");
    let halves = check.network.unwrap().halves.unwrap();
    assert!(halves.against == Against::TowardZero && halves.from_f32.unwrap() > 3.0 * halves.bound, "{halves:?}");
}

/// Each layer is so little off that it is within its bound; only the logits show it, and a bound of a few per cent that
/// let every network pass would not.
#[test]
fn what_only_adds_up_is_found_in_16_bits() {
    let Some(context) = device::contexts().first() else { return };
    for (name, change) in [("mobileone-s0", "v_ * 1.0002"), ("repvgg-a0", "v_ * 1.004"), ("builtin", "v_ * 1.002")] {
        let bad = context.clone().sabotaged(stores(change));
        let check = match name {
            "builtin" => look(&bad, Precision::F16, &Options::default()).0,
            _ => look_at_random(&bad, name, 0),
        };
        assert!(check.wrong.is_empty() && check.error.is_none() && !check.agrees, "{name}: {check:?}");
        let network = check.network.unwrap();
        let halves = network.halves.unwrap();
        eprintln!("{name}, every store {change}: {halves:?}");
        assert!(
            !network.agrees && halves.from_f32.unwrap() < 0.05 && halves.reason.contains("is allowed"),
            "{halves:?}"
        );
    }
}

#[test]
fn a_planted_kernel_is_found_in_16_bits_by_its_layer() {
    let Some(context) = device::contexts().first() else { return };
    let check =
        look_at_random(&context.clone().sabotaged(stores("v_ * vec4<f32>(1.02, 1.0, 1.0, 1.0)")), "mobileone-s0", 0);
    assert!(!check.agrees && check.wrong.len() > 10, "{check:?}");
    assert!(check.wrong[0].to_string().contains("allowed: 5e-3"), "{}", check.wrong[0]);
}

#[test]
fn any_layer_can_be_taken_along_and_replayed_on_any_device() {
    let contexts = device::contexts();
    let Some(context) = contexts.first() else { return };
    for precision in [Precision::F32, Precision::F16, Precision::W8, Precision::W8a8] {
        let graph = builtin(precision).graph().clone();
        let node = graph.nodes()[graph.nodes().len() / 2].name.clone();
        let options = Options { layer: Some(node.clone()), ..Options::default() };
        let (check, repro) = look(context, precision, &options);
        assert!(check.agrees);
        let bytes = repro.unwrap().to_bytes().unwrap();
        let repro = Repro::from_bytes(&bytes, "repro").unwrap();
        assert_eq!(repro.fault().node, node);
        for other in contexts {
            // Shaders for subgroups of eight do not run everywhere; all else does.
            let replay = match block_on(repro.replay(other)) {
                Ok(replay) => replay,
                Err(Error::Gpu { reason, .. })
                    if reason.contains("SUBGROUP") && other.summary() != context.summary() =>
                {
                    continue;
                }
                Err(error) => panic!("{error}"),
            };
            assert!(replay.agrees, "{precision}, {}: {replay:?}", other.summary());
            assert_eq!(replay.bound == Bound::Exact, precision == Precision::W8a8);
        }
    }
    let options = Options { layer: Some("nowhere".to_owned()), ..Options::default() };
    let model = builtin(Precision::F32);
    let subject = Subject::new(&model, Precision::F32, &cat()).unwrap();
    let error = block_on(verify::verify(context, &subject, &cat(), &options)).err().unwrap();
    assert!(
        matches!(&error, Error::Argument(reason) if reason.contains("\"nowhere\"") && reason.contains("linear")),
        "{error}"
    );
}

#[test]
fn what_cannot_be_verified_is_said() {
    let model = Model::builtin().unwrap();
    let error = |model: &Model, precision, pictures: &[Picture]| {
        Subject::new(model, precision, pictures).err().unwrap().to_string()
    };
    assert!(error(&model, Precision::F32, &[]).contains("a picture is needed"));
    assert!(error(&model, Precision::W8a8, &cat()).contains("no ranges of activations"));
}
