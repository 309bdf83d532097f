//! `foveate bench`, `profile`, `roofline`, `report` and `predict` as a user runs them.

use serde_json::Value;

use super::run::{fails, foveate, json_lines, text};

/// Few runs: what is tested here is not how fast this machine is.
const SHORT: [&str; 6] = ["--warm-ups", "1", "--runs", "4", "--seconds", "0"];

fn bench(args: &[&str]) -> Value {
    json_lines(&foveate(&[&["bench", "--json"], args, &SHORT].concat())).remove(0)
}

/// Mesa's software driver, if it is there; `REQUIRE_GPU=1` makes it a failure if not.
fn lavapipe() -> Option<[&'static str; 4]> {
    let device = ["--device", "llvmpipe", "--backend", "vulkan"];
    let output = foveate(&[&["classify", "assets/cat.png"][..], &device].concat());
    let required = std::env::var("REQUIRE_GPU").is_ok_and(|value| value == "1");
    assert!(output.status.success() || !required, "{}", text(&output.stderr));
    output.status.success().then_some(device)
}

fn samples(result: &Value, clock: &str) -> Vec<f64> {
    let us = result["clocks"][clock]["us"].as_array();
    us.unwrap_or_else(|| panic!("no {clock}: {result}")).iter().map(|us| us.as_f64().unwrap()).collect()
}

#[test]
fn the_record_says_how_and_where_it_was_measured() {
    let record = bench(&["--device", "cpu", "--batch", "1,2"]);
    assert_eq!((&record["kind"], &record["schema_version"]), (&"foveate-benchmark".into(), &2.into()));
    assert_eq!(record["complete"], true);
    for key in ["os", "arch", "cpu"] {
        assert!(!record["machine"][key].as_str().unwrap().is_empty(), "{key}: {record}");
    }
    let protocol = serde_json::json!({
        "mode": "latency", "warm_ups": 1, "runs": 4, "seconds": 0.0, "frame": [640, 480]
    });
    assert_eq!(record["protocol"], protocol);
    let results = record["results"].as_array().unwrap();
    assert_eq!(results.iter().map(|result| result["batch"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    for result in results {
        assert_eq!((&result["device"]["kind"], &result["weights"]), (&"cpu".into(), &"built in".into()));
        assert_eq!(result["clocks"]["gpu"], Value::Null);
        for key in ["load_ms", "compile_ms", "first_ms", "macs", "weight_bytes", "steps"] {
            assert!(result[key].as_f64().unwrap() > 0.0, "{key}: {result}");
        }
        let (network, whole) = (samples(result, "submit_to_readback"), samples(result, "end_to_end"));
        assert_eq!((network.len(), whole.len()), (4, 4));
        assert!(network.iter().zip(&whole).all(|(network, whole)| network <= whole), "{result}");
    }
    assert_eq!(results[1]["macs"].as_u64().unwrap(), 2 * results[0]["macs"].as_u64().unwrap());
}

#[test]
fn three_clocks_agree_on_a_gpu() {
    let Some(device) = lavapipe() else { return };
    let record = bench(&[&device[..], &["--precision", "f32,f16"]].concat());
    let results = record["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        let device = &result["device"];
        assert!(device["timestamp_ns"].as_f64().unwrap() > 0.0 && device["software"] == true, "{device}");
        let clocks = ["gpu", "submit_to_readback", "end_to_end"].map(|clock| samples(result, clock));
        let [gpu, wall, whole] = &clocks;
        assert_eq!((gpu.len(), wall.len(), whole.len()), (4, 4, 4));
        for ((gpu, wall), whole) in gpu.iter().zip(wall).zip(whole) {
            assert!(0.0 < *gpu && gpu <= wall && wall <= whole, "{gpu} {wall} {whole}");
        }
    }
    let text = text(&foveate(&[&["bench"], &device[..], &SHORT].concat()).stdout);
    for want in ["protocol: latency", "machine: ", "GPU  ", "submit to readback", "end to end", "p99", "load "] {
        assert!(text.contains(want), "{want}: {text}");
    }
}

#[test]
fn the_queue_is_kept_full_and_minutes_are_watched() {
    let full = bench(&["--device", "cpu", "--throughput"]);
    let result = &full["results"][0];
    assert!(result["runs_per_second"].as_f64().unwrap() > 0.0, "{result}");
    assert_eq!(full["protocol"]["mode"], "throughput");
    let Some(device) = lavapipe() else { return };
    let full = bench(&[&device[..], &["--throughput"]].concat());
    assert!(full["results"][0]["runs_per_second"].as_f64().unwrap() > 0.0, "{full}");

    let args = ["bench", "--device", "cpu", "--sustained", "0.005"];
    let shown = text(&foveate(&args).stdout);
    assert!(shown.contains("from the first part to the last") && shown.contains('█'), "{shown}");
    let record = json_lines(&foveate(&[&args[..], &["--json"]].concat())).remove(0);
    let began = record["results"][0]["began_s"].as_array().unwrap();
    assert_eq!(began.len(), samples(&record["results"][0], "end_to_end").len());
    assert!(began.last().unwrap().as_f64().unwrap() > 0.1, "{began:?}");
}

#[test]
fn one_that_cannot_be_opened_does_not_keep_the_others() {
    let output = foveate(&[&["bench", "--json", "--device", "cpu", "--precision", "w8a8,f32"], &SHORT[..]].concat());
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &record["complete"]), (Some(1), &Value::Bool(false)));
    assert!(record["results"][0]["error"].as_str().unwrap().contains("w8a8"), "{record}");
    assert_eq!(samples(&record["results"][1], "end_to_end").len(), 4);
}

/// Random weights are calibrated on noise, others by the pictures that are named.
#[test]
fn eight_bits_are_measured_without_a_quantised_file() {
    let device = ["--device", "cpu", "--precision", "f32,w8a8"];
    let measured = |record: Value| {
        assert_eq!(record["complete"], true, "{record}");
        let results = record["results"].as_array().unwrap().clone();
        let weights: Vec<f64> = results.iter().map(|result| result["weight_bytes"].as_f64().unwrap()).collect();
        let precisions: Vec<&str> = results.iter().map(|result| result["precision"].as_str().unwrap()).collect();
        assert_eq!(precisions, ["f32", "w8a8"]);
        assert!(weights[1] < weights[0] * 0.5, "{weights:?}");
    };
    measured(bench(&[&device[..], &["--model", "qarepvgg-cifar", "--random"]].concat()));
    measured(bench(&[&device[..], &["--calib", "tests/data/cifar10", "--calib-images", "8"]].concat()));
    let output = foveate(&["bench", "--device", "cpu", "--precision", "f32", "--calib", "tests/data/cifar10"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--calib is for --precision w8a8"), "{}", text(&output.stderr));
}

#[cfg(unix)]
#[test]
fn an_interrupt_writes_what_was_measured() {
    use std::io::Read;
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cut.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
    command.args(["bench", "--device", "cpu", "--warm-ups", "0", "--seconds", "600", "-o"]).arg(&file);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // The device is named once the handler stands and just before the first run.
    let mut stderr = child.stderr.take().unwrap();
    let mut told = String::new();
    let mut byte = [0];
    while !told.contains("device: ") && stderr.read(&mut byte).unwrap() == 1 {
        told.push(char::from(byte[0]));
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    stderr.read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{told}");
    assert!(told.contains("interrupted") && told.contains("marked incomplete"), "{told}");
    let record: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(record["complete"], false);
    assert!(!samples(&record["results"][0], "end_to_end").is_empty());
}

#[test]
fn wrong_arguments_are_named() {
    fails(2, &["bench", "--batch", "0"], &["--batch"]);
    fails(2, &["bench", "--frame", "640"], &["WIDTHxHEIGHT"]);
    fails(2, &["bench", "--frame", "640x9000"], &["8192"]);
    fails(2, &["bench", "--seconds", "nan"], &["--seconds", "between 0 and a day"]);
    fails(2, &["bench", "--sustained", "0"], &["--sustained"]);
    fails(2, &["bench", "--throughput", "--mlperf-like"], &["cannot be used with"]);
    fails(1, &["bench", "--sustained", "1", "--batch", "1,2", "--device", "cpu"], &["2 were named"]);
    fails(1, &["bench", "--device", "no such device"], &["no such device"]);
    fails(1, &["bench", "--model", "no-such-model", "--random"], &["no-such-model"]);
    fails(1, &["bench", "-o", "/nonexistent/folder/a.json"], &["/nonexistent/folder"]);
}

#[test]
fn every_way_to_tell_steps_apart_names_the_same_steps() {
    let Some(device) = lavapipe() else { return };
    let folder = tempfile::tempdir().unwrap();
    let [trace, file] = ["trace.json", "profile.json"].map(|name| folder.path().join(name));
    let mut nodes: Vec<Vec<String>> = Vec::new();
    for (method, said) in [("inside", "inside-pass"), ("passes", "passes"), ("repeat", "repeated")] {
        let args = [&["profile", "--json", "--runs", "1", "--method", method][..], &device].concat();
        let files = ["--trace", trace.to_str().unwrap(), "-o", file.to_str().unwrap(), "--force"];
        let profile = json_lines(&foveate(&[&args[..], &files].concat())).remove(0);
        assert_eq!((&profile["schema_version"], &profile["method"]), (&2.into(), &said.into()));
        assert_eq!(profile, serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap());
        let layers = profile["layers"].as_array().unwrap();
        nodes.push(layers.iter().map(|layer| layer["node"].as_str().unwrap().to_owned()).collect());
        let shares: f64 = layers.iter().map(|layer| layer["share"].as_f64().unwrap()).sum();
        assert!((shares - 1.0).abs() < 1e-9, "{shares}");
        assert!(layers.iter().any(|layer| layer["tile"].is_string() && layer["gflop_s"].as_f64().unwrap() > 0.0));
        assert!(layers.iter().any(|layer| layer["roofline"].as_f64().is_some_and(|part| part > 0.0)), "{profile}");
        let events: Value = serde_json::from_slice(&std::fs::read(&trace).unwrap()).unwrap();
        assert!(events["traceEvents"].as_array().unwrap().len() > layers.len());
    }
    assert!(nodes[0].len() > 10 && nodes.windows(2).all(|pair| pair[0] == pair[1]), "{nodes:?}");
    let shown = text(&foveate(&[&["profile", "--runs", "1"], &device[..]].concat()).stdout);
    for want in ["GFLOP/s", "roof", "one piece", "at best", "█"] {
        assert!(shown.contains(want), "{want}: {shown}");
    }
}

#[test]
fn the_cpu_is_profiled_too_and_has_no_roofline() {
    let profile = json_lines(&foveate(&["profile", "--device", "cpu", "--json", "--runs", "2"])).remove(0);
    assert_eq!((&profile["method"], &profile["ceilings"]), (&"cpu".into(), &Value::Null));
    assert!(profile["layers"].as_array().unwrap().len() > 5);
    fails(1, &["profile", "--device", "cpu", "--batch", "2"], &["one picture"]);
    fails(2, &["profile", "--runs", "0"], &["--runs"]);
    fails(1, &["profile", "--device", "cpu", "--trace", "/nonexistent/folder/a.json"], &["/nonexistent/folder"]);
}

#[test]
fn ceilings_are_measured_once_and_remembered() {
    let Some(device) = lavapipe() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_foveate"));
        command.args(["roofline", "--json"]).args(device).env("FOVEATE_CACHE", folder.path().join("new"));
        json_lines(&command.output().unwrap()).remove(0)
    };
    let first = run();
    let ceilings = &first["ceilings"];
    for rate in ["read_gb_s", "copy_gb_s", "f32_gflop_s", "dot4_gop_s", "round_trip_us"] {
        assert!(ceilings[rate].as_f64().unwrap() > 0.0, "{rate}: {first}");
    }
    // Measured anew it would be another to the last digit.
    assert_eq!(run(), first);
    std::fs::write(folder.path().join("new/roofline.json"), "garbage").unwrap();
    assert_eq!(run()["schema_version"], 1);
    fails(1, &["roofline", "--device", "cpu"], &["CPU executor"]);
    fails(1, &["roofline", "--device", "no such device"], &["no such device"]);
}

/// A record whose runs took these times in microseconds.
pub fn record(folder: &std::path::Path, name: &str, us: impl Fn(u32) -> f64) -> String {
    let mut record = bench(&["--device", "cpu"]);
    let us: Vec<f64> = (0..100).map(us).collect();
    for clock in ["submit_to_readback", "end_to_end"] {
        record["results"][0]["clocks"][clock]["us"] = us.clone().into();
    }
    let file = folder.join(name);
    std::fs::write(&file, record.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_regression_fails_and_noise_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let quiet = |middle: f64| move |i: u32| middle + f64::from(i % 10) / 10.0;
    let base = record(folder.path(), "base.json", quiet(1000.0));
    let slow = record(folder.path(), "slow.json", quiet(1100.0));
    let noisy = record(folder.path(), "noisy.json", |i| 50.0 + 21.0 * f64::from(i));
    let report = |file: &str| foveate(&["report", file, "--baseline", &base, "--fail-above", "5%"]);
    fails_and_says(&report(&slow), "became slower by 10.0 %");
    for file in [&base, &noisy] {
        let output = report(file);
        assert!(output.status.success() && text(&output.stdout).contains("within noise"), "{}", text(&output.stderr));
    }
    let json = json_lines(&foveate(&["report", &slow, "--baseline", &base, "--json"])).remove(0);
    assert_eq!((&json["schema_version"], &json["changes"][0]["verdict"]), (&1.into(), &"slower".into()));
    fails(1, &["report", &slow, "--baseline", &base, "--clock", "gpu"], &["nothing can be compared"]);
}

fn fails_and_says(output: &std::process::Output, want: &str) {
    let stderr = text(&output.stderr);
    assert!(output.status.code() == Some(1) && stderr.contains(want), "{stderr}");
}

#[test]
fn the_page_holds_everything_and_fetches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // On Windows there can be no `<` in a name.
    let (evil, shown) = if cfg!(windows) { ("b&evil.json", "b&amp;evil") } else { ("<b>evil.json", "&lt;b&gt;evil") };
    let first = record(folder.path(), evil, |i| 900.0 + f64::from(i));
    let [minutes, profile, page] = ["minutes.json", "profile.json", "page.html"].map(path);
    let run = |args: &[&str]| assert!(foveate(args).status.success(), "{args:?}");
    run(&["bench", "--device", "cpu", "--sustained", "0.003", "-o", &minutes]);
    let model = ["--model", "repnext-m0", "--random"];
    let other = path("other.json");
    run(&[&["bench", "--device", "cpu", "-o", &other], &model[..], &SHORT].concat());
    run(&["profile", "--device", "cpu", "--runs", "1", "-o", &profile]);
    // A node of several dispatches, together longer than any other.
    let mut layers: Value = serde_json::from_str(&std::fs::read_to_string(&profile).unwrap()).unwrap();
    for layer in layers["layers"].as_array_mut().unwrap() {
        (layer["node"], layer["us"]) = ("together".into(), 10.0.into());
    }
    layers["layers"][0]["node"] = "alone".into();
    std::fs::write(&profile, layers.to_string()).unwrap();
    // Files of older versions beside new ones.
    let [old, old_profile] = ["tests/data/bench/v1.json", "tests/data/bench/profile-v1.json"];
    let picture = path("picture.svg");
    run(&["report", &first, &minutes, &other, &profile, old, old_profile, "-o", &page, "--picture", &picture]);
    let svg = std::fs::read_to_string(&picture).unwrap();
    for want in ["<svg xmlns=\"http://www.w3.org/2000/svg\"", "repnext-m0", "CPU executor", "llvmpipe", "w8a8", shown] {
        assert!(svg.contains(want), "{want}: {svg}");
    }
    for bad in ["<script", "https:", "<image", "@import", "url(", "<b>"] {
        assert!(!svg.contains(bad), "{bad}");
    }
    let html = std::fs::read_to_string(&page).unwrap();
    for want in ["Latency and accuracy", "Devices", "Over minutes", "Layers", "How and where", "To copy", "repnext-m0"]
    {
        assert!(html.contains(want), "{want}");
    }
    assert!(html.contains("default-src 'none'") && html.contains(shown) && !html.contains("<b>evil"));
    for bad in ["<script", "http:", "https:", "@import", "url("] {
        assert!(!html.contains(bad), "{bad}");
    }
    let bars = html.split("\"M0 4H").skip(1).map(|bar| bar.split('V').next().unwrap().parse::<f64>().unwrap());
    let (shortest, longest) = bars.fold((f64::MAX, 0.0f64), |(low, high), bar| (low.min(bar), high.max(bar)));
    assert!(longest == 1000.0 && shortest < 500.0, "{shortest} to {longest}: a bar is as long as its place");
    fails(1, &["report", &first, "-o", &page], &["there already", "--force"]);
    fails(1, &["report", &first, "--picture", &picture], &["there already", "--force"]);
    fails(1, &["report", &profile, "--picture", "/tmp/none.svg"], &["picture shows benchmarks"]);
}

#[test]
fn files_that_are_no_records_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = record(folder.path(), "good.json", |_| 1.0);
    let record = std::fs::read_to_string(&good).unwrap();
    let newer = record.replace("\"schema_version\":2", "\"schema_version\":99");
    let foreign = record.replace("foveate-benchmark", "other");
    let profile = r#"{"kind": "foveate-profile", "schema_version": 1, "layers": 3}"#;
    let old_profile = r#"{"kind": "foveate-profile", "schema_version": 0}"#;
    let deep = "[".repeat(200_000);
    let cut = &record[..record.len() / 2];
    let page = folder.path().join("page.html");
    for (content, want) in [
        ("", "empty"),
        ("garbage", "no benchmark record"),
        (&newer, "schema version 99"),
        (&foreign, "\"other\""),
        (cut, "no benchmark record"),
        (&deep, "no benchmark record"),
        (profile, "no profile"),
        (old_profile, "schema version 0"),
    ] {
        let file = folder.path().join("bad.json");
        std::fs::write(&file, content).unwrap();
        let [file, page] = [&file, &page].map(|path| path.to_str().unwrap());
        fails(1, &["report", &good, file, "-o", page], &["bad.json", want]);
    }
    assert!(!page.exists());
    fails(1, &["report", "/nonexistent.json", "-o", page.to_str().unwrap()], &["/nonexistent.json"]);
    fails(1, &["report", &good], &["nothing to do"]);
    fails(1, &["report", &good, "-o", "/nonexistent/page.html"], &["/nonexistent"]);
    fails(2, &["report", &good, "--fail-above", "5"], &["--baseline"]);
    fails(2, &["report", &good, "--baseline", &good, "--fail-above", "many"], &["--fail-above"]);
}

#[test]
fn predictions_have_a_floor_and_what_is_expected() {
    let folder = tempfile::tempdir().unwrap();
    let json = json_lines(&foveate(&["predict", "--floor", "--json"])).remove(0);
    let all = json["predictions"].as_array().unwrap();
    assert!(all.len() >= 8 && all.iter().all(|one| one["expected_ms"].as_array().unwrap().is_empty()), "{json}");
    for one in all {
        assert!(
            0.0 < one["arithmetic_ms"].as_f64().unwrap() && one["arithmetic_ms"].as_f64() <= one["floor_ms"].as_f64()
        );
        assert!(!one["on"]["sources"].as_array().unwrap().is_empty(), "{one}");
    }
    let bytes = |precision: &str| {
        let line =
            json_lines(&foveate(&["predict", "--floor", "--json", "--on", "m1", "--precision", precision])).remove(0);
        assert_eq!(line["precision"], precision);
        (line["bytes"].as_u64().unwrap(), line["predictions"][0]["arithmetic_ms"].as_f64().unwrap())
    };
    let formats = ["f32", "f16", "w8", "w8a8"].map(bytes);
    assert!(formats[3].0 < formats[1].0 && formats[1].0 < formats[0].0 && formats[2].0 < formats[0].0, "{formats:?}");
    assert!(formats[3].1 < formats[0].1 / 2.0, "{formats:?}");
    let m1 = ["predict", "--model", "repnext-m1", "--random", "--on", "iphone12", "--floor"];
    let shown = text(&foveate(&m1).stdout);
    assert!(
        shown.contains("0.86 ms")
            && shown.contains("Neural Engine")
            && shown.contains("1.31 in f16")
            && shown.contains("https://"),
        "{shown}"
    );
    fails(1, &["predict", "--on", "pdp-11"], &["pdp-11", "iphone12"]);
    fails(1, &["predict", "--device", "cpu"], &["--floor"]);
    fails(1, &["predict", "--device", "no such device"], &["no such device"]);
    let bad = folder.path().join("bad.json");
    std::fs::write(&bad, "[1").unwrap();
    fails(1, &["predict", "--profile", bad.to_str().unwrap()], &["bad.json", "no profile"]);
    let Some(device) = lavapipe() else { return };
    let file = folder.path().join("profile.json");
    let file = file.to_str().unwrap();
    assert!(foveate(&[&["profile", "--runs", "2", "-o", file][..], &device].concat()).status.success());
    let json = json_lines(&foveate(&["predict", "--profile", file, "--json", "--on", "m1,H100"])).remove(0);
    let expected = |one: &Value| one["expected_ms"][0].as_f64().unwrap();
    let [m1, h100] = [0, 1].map(|at| &json["predictions"][at]);
    assert!(expected(m1) >= m1["floor_ms"].as_f64().unwrap() && expected(m1) > expected(h100), "{json}");
    assert!(foveate(&[&["predict"][..], &device].concat()).status.success());
}

/// The CPU executor computes f16 in f32: what would be measured twice is measured once.
#[test]
fn what_falls_back_to_another_format_is_measured_once() {
    let args = ["bench", "--json", "--device", "cpu", "--precision", "f32,f16"];
    let output = foveate(&[&args[..], &SHORT].concat());
    assert!(text(&output.stderr).contains("left out: that is qarepvgg-cifar, f32"), "{}", text(&output.stderr));
    let record = json_lines(&output).remove(0);
    assert_eq!((record["results"].as_array().unwrap().len(), &record["complete"]), (1, &Value::Bool(true)));
    // Two models of one name are two.
    let file = "assets/cifar10-qarepvgg.safetensors";
    let models = ["--device", "cpu", "--model", &format!("{file},./{file}")];
    assert_eq!(bench(&models)["results"].as_array().unwrap().len(), 2);
}
