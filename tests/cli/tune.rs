//! `foveate tune` as a user runs it, on Mesa's software driver.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::run::{fails, json_lines, text};

const CAT: &str = "assets/cat.png";
const DEVICE: [&str; 4] = ["--device", "llvmpipe", "--backend", "vulkan"];

fn foveate(cache: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
    command.args(args).args(DEVICE).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("FOVEATE_OFFLINE", "1").env("FOVEATE_CACHE", cache).output().unwrap()
}

fn logits(cache: &Path, more: &[&str]) -> (Vec<f64>, Value) {
    let output = foveate(cache, &[&["classify", CAT, "--json", "--logits"], more].concat());
    let line = json_lines(&output).remove(0);
    let logits = line["logits"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    (logits, line)
}

/// Whether the driver is there; `REQUIRE_GPU=1` makes it a failure if not.
fn has_device(cache: &Path) -> bool {
    let output = foveate(cache, &["classify", CAT, "--untuned"]);
    let required = std::env::var("REQUIRE_GPU").is_ok_and(|value| value == "1");
    assert!(output.status.success() || !required, "{}", text(&output.stderr));
    output.status.success()
}

#[test]
fn a_tuned_network_says_what_an_untuned_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("not/there/yet");
    if !has_device(&cache) {
        return;
    }
    let table = folder.path().join("table.json");
    let output = foveate(&cache, &["tune", "--budget", "3", "--json", "-o", table.to_str().unwrap()]);
    let line = json_lines(&output).remove(0);
    assert_eq!((&line["schema_version"], &line["interrupted"]), (&Value::from(1), &Value::Null));
    assert!(!line["tiles"].as_array().unwrap().is_empty(), "{line}");
    assert!(line["network"]["before_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(line["rejected"], Value::Array(vec![]));
    let written: Value = serde_json::from_slice(&std::fs::read(&table).unwrap()).unwrap();
    assert_eq!(written["drivers"][0], "llvmpipe", "{written}");

    // Tuned for real it may come out as it was: put other tiles in, as if they had won.
    let file = cache.join("tuning.json");
    let mut kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let tiles = kept["devices"][0]["tiles"].as_object_mut().unwrap();
    assert!(!tiles.is_empty());
    for (key, tile) in tiles {
        if key.starts_with("conv ") {
            *tile = serde_json::json!({ "pixels": 2, "planes": 2, "workgroup": 32 });
        }
    }
    std::fs::write(&file, kept.to_string()).unwrap();
    let (tuned, line) = logits(&cache, &[]);
    assert!(line["device"]["tuning"].as_str().unwrap().starts_with("tuned: "), "{line}");
    let (untuned, line) = logits(&cache, &["--untuned"]);
    assert!(line["device"].get("tuning").is_none(), "{line}");
    let distance: f64 = tuned.iter().zip(&untuned).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    let norm = untuned.iter().map(|v| v * v).sum::<f64>().sqrt();
    assert!(distance <= 1e-4 * norm, "{distance:e} of {norm}");
}

#[test]
fn a_hostile_cache_is_named_and_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tuning.json");
    for content in
        ["", "{", "[[[", "{\"schema_version\": 7, \"devices\": []}", "{\"schema_version\": 1, \"devices\": [3]}"]
    {
        std::fs::write(&file, content).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
        command.args(["classify", CAT, "--device", "cpu"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = command.env("FOVEATE_CACHE", folder.path()).output().unwrap();
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{content}: {stderr}");
        assert!(stderr.contains("warning") && stderr.contains("tuning.json"), "{content}: {stderr}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), content, "reading leaves it as it is");
    }
}

#[test]
fn what_cannot_be_tuned_is_said() {
    fails(1, &["tune", "--device", "cpu"], &["CPU executor has nothing to tune"]);
    fails(2, &["tune", "--budget", "0"], &["--budget"]);
    fails(2, &["tune", "--batch", "0"], &["--batch"]);
    fails(2, &["classify", CAT, "--tune", "--untuned"], &["--untuned"]);
    fails(1, &["tune", "--model", "no-such-network", "--random"], &["no-such-network"]);
}

/// Which number format is fastest is measured, remembered, and taken; what takes it says so.
#[test]
fn the_fastest_number_format_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path();
    if !has_device(cache) {
        return;
    }
    let (_, by_rule) = logits(cache, &["--precision", "auto"]);
    assert_eq!(by_rule["precision"], "f32", "{by_rule}");
    let output = foveate(cache, &["tune", "--precision", "auto", "--budget", "1", "--json"]);
    let line = json_lines(&output).remove(0);
    let formats = line["formats"].as_array().unwrap();
    let names: Vec<&str> = formats.iter().map(|format| format["precision"].as_str().unwrap()).collect();
    assert_eq!(names, ["f32", "f16"]);
    let taken = line["taken"].as_str().unwrap().to_owned();
    for format in formats {
        assert!(format["runs"].as_u64().unwrap() >= 5 && format["ms"].as_f64().unwrap() > 0.0, "{line}");
    }
    let ms = |name: &str| formats.iter().find(|format| format["precision"] == name).unwrap()["ms"].as_f64().unwrap();
    assert!(names.iter().all(|other| ms(&taken) <= 1.01 * ms(other) || taken == "f32"), "{line}");
    // Whichever it was here: what is remembered is taken.
    let file = cache.join("tuning.json");
    let mut kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let choices = kept["devices"][0]["kernels"].as_object_mut().unwrap();
    let key = choices.keys().find(|key| key.starts_with("format of f32: ")).unwrap().clone();
    assert_eq!(choices[&key], Value::from(taken));
    choices[&key] = "f16".into();
    std::fs::write(&file, serde_json::to_vec(&kept).unwrap()).unwrap();
    let output = foveate(cache, &["classify", CAT, "--json", "--precision", "auto"]);
    assert_eq!(json_lines(&output)[0]["precision"], "f16");
    assert!(text(&output.stderr).contains("auto takes f16, measured to be the fastest"), "{}", text(&output.stderr));
    // What the model does not allow is not taken, whatever a file says.
    choices_with(&file, &key, "w8a8");
    let (_, line) = logits(cache, &["--precision", "auto"]);
    assert_eq!(line["precision"], "f32");
}

fn choices_with(file: &Path, key: &str, value: &str) {
    let mut kept: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    kept["devices"][0]["kernels"][key] = value.into();
    std::fs::write(file, serde_json::to_vec(&kept).unwrap()).unwrap();
}
