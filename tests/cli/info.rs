//! `foveate info`: what it prints, its JSON, and what it refuses.

use super::run::{fails, foveate, json_lines, text};

const S4: &str = "tests/data/golden/qarepvgg_tiny_S4.train.safetensors";

/// What it prints of a run that went well; nothing goes to stderr.
fn prints(args: &[&str]) -> String {
    let output = foveate(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// The text behind a name of the summary.
fn fact<'a>(printed: &'a str, name: &str) -> &'a str {
    let line = printed.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {printed}"))[name.len()..].trim()
}

#[test]
fn a_checkpoint_is_described() {
    let printed = prints(&["info", S4]);
    assert_eq!(fact(&printed, "family"), "QARepVGG");
    assert_eq!(fact(&printed, "batch norms"), "S4: BN on 3×3 | 1×1 plain | identity plain | post-BN");
    assert_eq!(fact(&printed, "parameters"), "122,602 in the file, 109,658 fused");
    assert_eq!(fact(&printed, "input"), "3×224×224");
    assert_eq!(fact(&printed, "tensors"), "f32: 72 tensors of 123,754 numbers");
    assert_eq!(fact(&printed, "renamed"), ".rbr_1x1.weight → .rbr_1x1.conv.weight (7 tensors)");
    for (name, part) in [
        ("variant", "widths 16-16-32-64-64"),
        ("form", "training"),
        ("classes", "10"),
        ("pictures", "(crop ratio 0.875)"),
        ("MACs", "36,127,360"),
        ("file", "safetensors"),
        ("averages", "no exponential"),
        ("ignored", "14 step counters"),
        ("note", "no published variant"),
    ] {
        assert!(fact(&printed, name).contains(part), "{name}: {printed}");
    }
    assert!(printed.contains("\n  rbr_dense.conv  conv2d           16×112×112  3×3          2       1         432"));
    assert!(printed.trim_end().ends_with("layers (as in the file, training form): 122,602 parameters, 40.1 M MACs"));
    let widest = printed.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 100, "{widest} columns: {printed}");
}

#[test]
fn the_fused_layers_and_none_are_listed_when_asked_for() {
    let fused = prints(&["info", S4, "--fused"]);
    assert!(fused.contains("conv2d+relu") && !fused.contains("batch_norm"), "{fused}");
    assert!(fused.trim_end().ends_with("9 layers (fused): 109,658 parameters, 36.1 M MACs"), "{fused}");
    let brief = prints(&["info", S4, "--brief"]);
    assert!(!brief.contains("conv2d ") && brief.contains("SHA-256"), "{brief}");
    let stored = prints(&["info", S4]);
    assert!(stored.starts_with(&brief) && fused.starts_with(&brief));
}

#[test]
fn the_json_object_has_everything() {
    let output = foveate(&["info", S4, "--json"]);
    let [object] = &json_lines(&output)[..] else { panic!() };
    assert_eq!((&object["schema_version"], &object["model"]), (&1.into(), &S4.into()));
    assert_eq!((&object["family"], &object["form"]), (&"repvgg".into(), &"train".into()));
    assert_eq!(object["family_name"], "QARepVGG");
    assert_eq!(object["stored"]["parameters"], 122_602);
    assert_eq!(object["fused"]["parameters"], 109_658);
    assert_eq!((&object["classes"], &object["labels"]), (&10.into(), &serde_json::Value::Null));
    assert_eq!(object["input"], serde_json::json!({"channels": 3, "height": 224, "width": 224}));
    assert_eq!(object["preprocess"]["resize"]["filter"], "bilinear");
    assert_eq!(object["branches"]["variant"], "S4");
    assert_eq!(object["branches"]["kind"]["post"], true);
    assert_eq!(object["branches"]["layouts"][0]["branches"][1]["batch_norm"], false);
    assert_eq!(object["file"]["container"], "safetensors");
    assert_eq!(object["file"]["formats"]["f32"]["tensors"], 72);
    assert_eq!(object["file"]["average"], "absent");
    assert_eq!(object["source_sha256"], object["file"]["sha256"]);
    assert_eq!(object["stored"]["layers"][0]["windows"][0]["kernel"], serde_json::json!([3, 3]));
    let count = |key: &str| object[key].as_array().unwrap().len();
    assert_eq!((count("renamed"), count("ignored"), count("stages")), (7, 14, 5));
    assert_eq!(object["ignored"][0]["why"], "step-counter");
}

#[test]
fn averages_and_wrappers_of_torch_files_are_told() {
    let ema = "tests/data/torch/ema_flat.pth";
    let plain = prints(&["info", ema, "--brief"]);
    assert!(fact(&plain, "averages").contains("--use-ema takes it"), "{plain}");
    assert!(fact(&plain, "ignored").contains("the other copy of the weights: model_ema."), "{plain}");
    let average = prints(&["info", ema, "--brief", "--use-ema"]);
    assert_eq!(fact(&average, "averages"), "these are an exponential moving average");
    let wrapped = prints(&["info", "tests/data/torch/checkpoint.pth.tar", "--brief"]);
    assert!(fact(&wrapped, "renamed").contains("\"module.\" taken off every name"), "{wrapped}");
    assert!(wrapped.contains("6 entries around the weights: epoch, arch, best_acc1, optimizer"), "{wrapped}");
    let script = prints(&["info", "tests/data/torch/traced.pt", "--brief"]);
    assert!(fact(&script, "file").starts_with("PyTorch zip archive, TorchScript module"), "{script}");
}

#[test]
fn an_architecture_can_be_given() {
    let file = "tests/data/cifar/S4.safetensors";
    let printed = prints(&["info", file, "--arch", "qarepvgg-cifar", "--brief"]);
    assert_eq!(fact(&printed, "variant"), "qarepvgg-cifar");
    assert!(fact(&printed, "classes").contains("10 names built in: airplane"), "{printed}");
    fails(1, &["info", file], &[file, "--arch"]);
    fails(1, &["info", file, "--arch", "repnext-m0"], &[file, "RepNeXt"]);
    fails(1, &["info", file, "--arch", "nonsense"], &["nonsense", "nearest names"]);
}

#[test]
fn the_built_in_model_file_says_what_it_was_made_from() {
    let printed = prints(&["info", "assets/cifar10-qarepvgg.safetensors"]);
    assert!(fact(&printed, "file").contains("foveate model file"), "{printed}");
    assert!(fact(&printed, "made from").starts_with("SHA-256 "), "{printed}");
    assert!(fact(&printed, "classes").contains("in the file"), "{printed}");
}

#[test]
fn a_name_is_described_without_weights() {
    let printed = prints(&["info", "repnext-m0", "--brief"]);
    assert_eq!(fact(&printed, "form"), "no weights");
    assert!(fact(&printed, "file").starts_with("none: no weights are at hand"), "{printed}");
    let lines = json_lines(&foveate(&["info", "qarepvgg-cifar", "--json"]));
    assert!(lines[0]["form"].is_null() && lines[0]["file"].is_null());
    assert_eq!(lines[0]["labels"]["names"][3], "cat");
    fails(1, &["info", "repnext-m0", "--use-ema"], &["without weights", "--use-ema"]);
    fails(1, &["info", "repnext-m0", "--arch", "repnext-m0"], &["without weights"]);
    fails(1, &["info", "repnext-m9"], &["unknown model", "repnext-m0"]);
}

#[test]
fn bad_input_is_refused_and_wrong_usage_too() {
    fails(2, &["info"], &["FILE|NAME", "Usage"]);
    fails(2, &["info", S4, "--json", "--brief"], &["--brief"]);
    fails(2, &["info", S4, "--json", "--fused"], &["--fused"]);
    fails(2, &["info", S4, "--fused", "--brief"], &["--brief"]);
    fails(2, &["info", S4, S4], &["unexpected argument"]);
    fails(1, &["info", "no/such/file.pth"], &["cannot read no/such/file.pth"]);
    fails(1, &["info", "tests/data"], &["cannot read tests/data"]);
    fails(1, &["info", "assets/cat.png"], &["assets/cat.png"]);
    fails(1, &["info", "tests/data/torch/frozen.pt"], &["frozen.pt", "torch.jit.freeze"]);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let whole = std::fs::read(S4).unwrap();
    for (name, bytes) in [
        ("empty.safetensors", &[][..]),
        ("garbage.pth", &[0xa5; 4096][..]),
        ("truncated.safetensors", &whole[..whole.len() / 2]),
        ("torch.pth", b"\x80\x02}q\x00."),
    ] {
        fails(1, &["info", &path(name, bytes)], &["error: ", name]);
    }
}
