//! Files written by PyTorch from golden networks (`tests/data/torch/generate.py`) load and compute
//! what the golden networks compute.

use foveate::checkpoint::{self, Checkpoint, LoadOptions, LoadedModel, Why};
use foveate::cpu::CpuExecutor;
use foveate::models::Form;
use foveate::{Shape, Tensor};

use crate::support::{bytes, data};

const FUSED: &str = "mobileone_tiny.deploy";

/// File, golden network, share of the largest logit that the number format may cost.
const FILES: [(&str, &str, f32); 13] = [
    ("state_dict.pth", FUSED, 1e-4),
    ("legacy.pth", FUSED, 1e-4),
    ("prefix.pth", FUSED, 1e-4),
    ("f64.pth", FUSED, 1e-4),
    ("f16.pth", FUSED, 1e-2),
    ("bf16.pth", FUSED, 5e-2),
    ("checkpoint.pth.tar", "mobileone_tiny_se.train", 1e-4),
    ("module.pt", FUSED, 1e-2),
    ("module_legacy.pt", FUSED, 1e-4),
    ("views.pth", FUSED, 1e-4),
    ("traced.pt", FUSED, 1e-4),
    ("fx.pt", FUSED, 1e-4),
    ("repnext_tiny_fused.pt", "repnext_tiny.deploy", 1e-2),
];

fn load(file: &str, use_ema: bool) -> foveate::Result<LoadedModel> {
    checkpoint::load_file(data(&format!("torch/{file}")), LoadOptions { use_ema, ..LoadOptions::default() })
}

/// The largest difference from the golden logits, as a share of the largest of them.
fn error_of_logits(model: &LoadedModel, golden: &str) -> f32 {
    let set = golden.split('.').next().unwrap();
    let io = Checkpoint::read(&bytes(&format!("golden/{set}.io.safetensors")), set).unwrap().tensors;
    let &[_, c, h, w] = io["input"].shape() else { panic!("{set}") };
    let graph = model.graph.with_input(Shape::new(c, h, w)).unwrap();
    let (logits, _) = CpuExecutor::new(graph).unwrap().run_with(&io["input"], &[]).unwrap();
    let largest = |t: &Tensor| t.data().iter().fold(0f32, |m, v| m.max(v.abs()));
    assert_eq!(logits.len(), io["logits"].len());
    let pairs = logits.data().iter().zip(io["logits"].data());
    pairs.fold(0f32, |m, (a, b)| m.max((a - b).abs())) / largest(&io["logits"])
}

/// The network of a golden file.
fn golden(name: &str) -> LoadedModel {
    checkpoint::load_file(data(&format!("golden/{name}.safetensors")), None).unwrap()
}

#[test]
fn every_file_is_tested() {
    let found = std::fs::read_dir(data("torch")).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<String> = found.filter(|name| !name.ends_with(".py")).collect();
    found.sort();
    let mut tested: Vec<&str> =
        FILES.iter().map(|(file, _, _)| *file).chain(["ema.pth", "ema_flat.pth", "frozen.pt"]).collect();
    tested.sort();
    assert_eq!(found, tested);
}

#[test]
fn every_kind_of_file_computes_what_the_golden_network_computes() {
    for (file, name, bound) in FILES {
        let model = load(file, false).unwrap_or_else(|error| panic!("{file}: {error}"));
        let error = error_of_logits(&model, name);
        assert!(error <= bound, "{file}: off by {error} of the largest logit, allowed {bound}");
        assert_eq!(model.form, if name.ends_with("train") { Form::Train } else { Form::Fused }, "{file}");
        if bound < 1e-3 {
            // Where no precision was lost, the very same numbers.
            assert!(model.graph == golden(name).graph, "{file}");
        }
    }
}

#[test]
fn what_surrounds_the_weights_is_told() {
    let model = load("checkpoint.pth.tar", false).unwrap();
    for entry in ["epoch", "arch", "best_acc1", "optimizer", "args", "losses"] {
        assert!(
            model.ignored.iter().any(|i| i.name == entry && i.why == Why::Wrapper),
            "{entry} is not in {:?}",
            model.ignored
        );
    }
    assert!(model.ignored.iter().any(|i| i.name.ends_with("bn.num_batches_tracked") && i.why == Why::StepCounter));
    assert!(!model.notes.iter().any(|note| note.contains("moving average")));
}

#[test]
fn averaged_weights_are_taken_when_asked_for() {
    for file in ["ema.pth", "ema_flat.pth"] {
        let plain = load(file, false).unwrap();
        assert!(plain.notes.iter().any(|note| note.contains("--use-ema takes that")), "{file}: {:?}", plain.notes);
        assert!(error_of_logits(&plain, FUSED) > 0.1, "{file}: the other weights");
        let average = load(file, true).unwrap();
        assert!(average.graph == golden(FUSED).graph, "{file}");
        assert!(average.ignored.iter().any(|i| i.name.starts_with("model")), "{file}: {:?}", average.ignored);
    }
}

#[test]
fn averaged_weights_that_are_not_there_are_an_error() {
    for file in ["state_dict.pth", "legacy.pth", "checkpoint.pth.tar", "module.pt", "traced.pt"] {
        let message = load(file, true).unwrap_err().to_string();
        assert!(message.contains(file) && message.contains("leave out --use-ema"), "{message}");
    }
    let file = bytes("golden/mobileone_tiny.deploy.safetensors");
    let options = LoadOptions { use_ema: true, ..LoadOptions::default() };
    assert!(checkpoint::load(&file, "net", options).unwrap_err().to_string().contains("leave out --use-ema"));
}

#[test]
fn a_frozen_module_is_refused() {
    let message = load("frozen.pt", false).unwrap_err().to_string();
    assert!(message.contains("have lost their names; save it before torch.jit.freeze"), "{message}");
}
