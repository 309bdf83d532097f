//! `verify`, as its users run it.

use std::path::Path;

use serde_json::Value;

use super::run::{fails, foveate, json_lines, text};

/// Devices that are not there.
fn has_device() -> bool {
    let adapters = json_lines(&foveate(&["adapters", "--json"]));
    assert!(!adapters.is_empty() || std::env::var_os("REQUIRE_GPU").is_none(), "no adapter, but REQUIRE_GPU is set");
    !adapters.is_empty()
}

#[test]
fn every_device_agrees_and_the_json_says_which_they_are() {
    if !has_device() {
        return;
    }
    let output = foveate(&["verify", "--device", "all", "--precision", "f32,w8a8", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report = &json_lines(&output)[0];
    assert_eq!((&report["schema_version"], &report["agrees"]), (&1.into(), &true.into()));
    assert!(report["foveate"].is_string() && report["system"].is_string() && report["source"].is_string());
    let adapters = json_lines(&foveate(&["adapters", "--json"]));
    let devices = report["devices"].as_array().unwrap();
    assert_eq!(devices.len(), adapters.len());
    for (device, adapter) in devices.iter().zip(&adapters) {
        assert_eq!(&device["adapter"], adapter);
        let checks = device["checks"].as_array().unwrap();
        assert_eq!(
            checks.iter().map(|check| check["precision"].as_str().unwrap()).collect::<Vec<_>>(),
            ["f32", "w8a8"]
        );
        assert!(checks.iter().all(|check| check["layers"].as_u64().unwrap() > 5 && check["agrees"] == true));
        assert_eq!(checks[1]["network"]["distance"]["differing"], 0);
    }
    let table = text(&foveate(&["verify", "--device", "all"]).stdout);
    assert!(table.contains("agrees") && table.contains("f32") && table.contains("what the CPU does"), "{table}");
}

#[test]
fn a_layer_is_written_and_replayed_without_the_model() {
    if !has_device() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("layer.safetensors");
    let file = file.to_str().unwrap();
    // Nothing is off, and nothing is written without a name.
    let output = foveate(&["verify", "--device", "0", "--write-repro", file]);
    assert!(output.status.success() && text(&output.stderr).contains("no layer is off"), "{}", text(&output.stderr));
    assert!(!Path::new(file).exists());
    let write = ["verify", "--device", "0", "--write-repro", file, "--layer", "linear"];
    let output = foveate(&write);
    assert!(output.status.success() && text(&output.stderr).contains("wrote linear"), "{}", text(&output.stderr));
    fails(1, &write, &["is there already", "--force"]);
    fails(1, &["verify", "--write-repro", "/tmp/never", "--device", "0", "--layer", "lin"], &["no layer", "linear"]);
    for more in [&["--device", "0"][..], &["--device", "0", "--unchecked"]] {
        let output = foveate(&[&["verify", "--repro", file, "--json"], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let report = &json_lines(&output)[0];
        assert_eq!((&report["agrees"], &report["checks"]), (&true.into(), &(more.len() == 2).into()));
        assert_eq!(report["fault"]["node"], "linear");
        assert!(report["devices"][0]["replay"]["distance"]["values"].as_u64().unwrap() >= 10);
    }
    spoiled(file, folder.path());
}

/// The file with something changed: what was expected, what makes no sense, what would never end.
fn spoiled(file: &str, folder: &Path) {
    let bytes = std::fs::read(file).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let changed = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut header = header.clone();
        let mut about: Value = serde_json::from_str(header["__metadata__"]["foveate_repro"].as_str().unwrap()).unwrap();
        change(&mut about);
        header["__metadata__"]["foveate_repro"] = about.to_string().into();
        let header = header.to_string();
        let all = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[8 + length..]].concat();
        let path = folder.join(name);
        std::fs::write(&path, all).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let run = |path: &str, wants: &[&str]| fails(1, &["verify", "--device", "0", "--repro", path], wants);
    let wrong = changed("wrong", &|about| {
        let shader = about["steps"][0]["shader"].as_str().unwrap().replace("y[i] = v;", "y[i] = v * 1.01;");
        assert!(shader.contains("1.01"), "{shader}");
        about["steps"][0]["shader"] = shader.into();
    });
    let off = |path: &str, wants: &[&str]| {
        let output = foveate(&["verify", "--device", "0", "--repro", path]);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
        assert!(wants.iter().all(|word| stdout.contains(word)), "{stdout}{stderr}");
    };
    off(&wrong, &["OFF", "relative error 1.0e-2"]);
    run(&changed("version", &|about| about["schema_version"] = 9.into()), &["another version", "schema 9"]);
    run(&changed("grid", &|about| about["steps"][0]["grid"] = vec![65535, 65535, 1].into()), &["workgroups"]);
    run(&changed("memory", &|about| about["memories"][0]["bytes"] = (1u64 << 29).into()), &["out of all proportion"]);
    run(&changed("binds", &|about| about["steps"][0]["bindings"][0]["memory"] = 99.into()), &["binds memory 99"]);
    run(&changed("wanted", &|about| about["wanted"] = 99.into()), &["memory 99 of"]);
    run(&changed("none", &|about| about["steps"] = Value::Array(vec![])), &["no dispatches"]);
    off(&changed("wgsl", &|about| about["steps"][0]["shader"] = "fn main() {".into()), &["FAILED", "parsing error"]);
    run(&changed("bound", &|about| about["fault"]["bound"] = "soft".into()), &["description"]);
    run(file.replace("layer", "nothing").as_str(), &["cannot read"]);
    run("assets/cat.png", &["no layer of"]);
    run("assets/cifar10-qarepvgg.safetensors", &["no layer", "foveate_repro"]);
    // Runtime checks keep an index within what is bound; the rest is as it was.
    let far = changed("far", &|about| {
        let shader = about["steps"][0]["shader"].as_str().unwrap().replace("y[i] = v;", "y[i + 1000000000u] = v;");
        about["steps"][0]["shader"] = shader.into();
    });
    off(&far, &["OFF"]);
    // Mesa ends every invocation's loops after 65535 rounds, so there have to be many of them.
    let endless = changed("endless", &|about| {
        let shader = about["steps"][0]["shader"].as_str().unwrap();
        let (head, tail) = shader.split_once("fn main(").unwrap();
        let (arguments, body) = tail.split_once(") {").unwrap();
        let wait = "var n = 1u; for (var a = 0u; a < 60000u; a++) { n = (n ^ (n >> 7u)) * 1664525u + a; } \
            if n == 12345u { y[0] = vec4<f32>(1.0); }";
        about["steps"][0]["shader"] = format!("{head}fn main({arguments}) {{ {wait} {body}").into();
        about["steps"][0]["grid"] = vec![65535, 256, 1].into();
    });
    fails(1, &["verify", "--device", "0", "--repro", &endless, "--time-limit", "2"], &["not done after 2 s"]);
}

#[test]
fn wrong_usage_is_said() {
    fails(2, &["verify", "--precision", "f8"], &["f8", "w8a8"]);
    fails(2, &["verify", "--layer", "linear"], &["--write-repro"]);
    fails(2, &["verify", "--repro", "x", "--model", "repvgg-a0"], &["--repro", "--model"]);
    fails(1, &["verify", "--device", "cpu"], &["CPU executor is what devices are compared with"]);
    fails(1, &["verify", "no-such-picture.png", "--device", "all"], &["no-such-picture.png"]);
    fails(2, &["classify", "assets/cat.png", "--memory-budget", "lots"], &["--memory-budget", "512M"]);
}

#[test]
fn a_memory_budget_is_kept_and_said_with_numbers() {
    if !has_device() {
        return;
    }
    let args = ["classify", "assets/cat.png", "--device", "0", "--memory-budget"];
    fails(
        1,
        &[&args[..], &["100K"]].concat(),
        &["qarepvgg-cifar at batch 1", "of weights", "102400 (memory budget in bytes)"],
    );
    assert!(foveate(&[&args[..], &["1G"]].concat()).status.success());
}
