//! The contract of the first commands: what goes to stdout, exit codes, and a clear message for each
//! kind of bad input.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::run::{fails, foveate, json_lines, text};

const CAT: &str = "assets/cat.png";

#[test]
fn a_cat_is_a_cat_on_the_cpu() {
    let output = foveate(&["classify", CAT, "--device", "cpu"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let first_label = stdout.lines().nth(1).unwrap();
    assert!(first_label.trim_start().starts_with("cat "), "{stdout}");
    for word in ["load", "compile", "first run", "steady"] {
        assert!(stdout.contains(word), "{word}: {stdout}");
    }
    assert!(stderr.contains("CPU executor"), "{stderr}");
}

#[test]
fn threads_are_limited_and_the_device_line_says_so() {
    for threads in ["1", "3"] {
        let output = foveate(&["classify", CAT, "--device", "cpu", "--threads", threads]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let unit = if threads == "1" { "thread" } else { "threads" };
        let stderr = text(&output.stderr);
        assert!(stderr.contains(&format!("{threads} {unit}")), "{stderr}");
    }
    for threads in ["0", "-1", "1025", "two"] {
        let option = format!("--threads={threads}");
        let output = foveate(&["classify", CAT, &option]);
        assert_eq!(output.status.code(), Some(2), "{threads}: {}", text(&output.stderr));
    }
}

#[test]
fn json_follows_the_schema() {
    let horse = "assets/horse.png";
    let output = foveate(&["classify", CAT, horse, "--device", "cpu", "--json", "--logits", "--top", "3"]);
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 2);
    for (line, image, label) in [(&lines[0], CAT, "cat"), (&lines[1], horse, "horse")] {
        assert_eq!(line["schema_version"], 1);
        assert_eq!(line["image"], image);
        assert_eq!(line["precision"], "f32");
        assert_eq!(line["device"]["kind"], "cpu");
        assert!(["backend", "name", "driver"].iter().all(|key| line["device"][key].is_string()), "{line}");
        let top = line["top"].as_array().unwrap();
        assert_eq!(top.len(), 3);
        assert_eq!(top[0]["label"], label);
        let logits: Vec<f64> = line["logits"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert_eq!(logits.len(), 10);
        // The scores are the softmax of the logits, in falling order.
        let sum: f64 = logits.iter().map(|v| v.exp()).sum();
        let mut last = f64::INFINITY;
        for entry in top {
            let class = entry["class"].as_u64().unwrap() as usize;
            let score = entry["score"].as_f64().unwrap();
            assert!((score - logits[class].exp() / sum).abs() < 1e-5 && score <= last, "{line}");
            last = score;
        }
        for key in ["load", "compile", "first", "run"] {
            assert!(line["timing_ms"][key].as_f64().unwrap() >= 0.0, "{line}");
        }
    }
    let without = json_lines(&foveate(&["classify", CAT, "--device", "cpu", "--json"]));
    assert!(without[0].get("logits").is_none());
}

#[test]
fn a_random_network_is_built_fused_and_proved() {
    let args =
        ["classify", CAT, "--model", "repnext-m0", "--random", "--seed", "7", "--device", "cpu", "--json", "--logits"];
    let output = foveate(&args);
    let lines = json_lines(&output);
    assert_eq!(lines[0]["model"], "repnext-m0");
    assert_eq!(lines[0]["logits"].as_array().unwrap().len(), 1000);
    assert!(text(&output.stderr).contains("max |train − deploy|"), "{}", text(&output.stderr));
    assert_eq!(json_lines(&foveate(&args))[0]["logits"], lines[0]["logits"], "a seed gives one network");
    let mut other = args;
    other[6] = "8";
    assert_ne!(json_lines(&foveate(&other))[0]["logits"], lines[0]["logits"], "another seed gives another network");
}

#[test]
fn adapters_and_plan_and_models_print() {
    let adapters = json_lines(&foveate(&["adapters", "--json"]));
    assert!(!adapters.is_empty() || std::env::var_os("REQUIRE_GPU").is_none(), "no adapter, but REQUIRE_GPU is set");
    for (index, adapter) in adapters.iter().enumerate() {
        assert_eq!(adapter["index"], index);
        assert!(adapter["features"]["shader_f16"].is_boolean() && adapter["limits"]["max_buffer_size"].is_u64());
        let listing = text(&foveate(&["adapters"]).stdout);
        assert!(listing.contains(adapter["name"].as_str().unwrap()) && listing.contains("workgroup"), "{listing}");
    }
    let plan = text(&foveate(&["plan"]).stdout);
    for want in ["conv2d", "dispatches", "without reuse", "buffer 0"] {
        assert!(plan.contains(want), "{want}: {plan}");
    }
    let models = text(&foveate(&["models"]).stdout);
    assert!(models.lines().count() >= 40 && models.contains("repnext-m2e"), "{models}");
}

/// Every adapter gives the CPU's answer, and says that it did.
#[test]
fn every_adapter_classifies_as_the_cpu_does() {
    let cpu = json_lines(&foveate(&["classify", CAT, "--device", "cpu", "--json"]))[0]["top"][0].clone();
    for (index, adapter) in json_lines(&foveate(&["adapters", "--json"])).iter().enumerate() {
        let output = foveate(&["classify", CAT, "--device", &index.to_string(), "--json"]);
        let line = &json_lines(&output)[0];
        assert_eq!(line["device"]["kind"], "gpu");
        assert_eq!(line["device"]["name"], adapter["name"]);
        assert_eq!(line["device"]["backend"], adapter["backend"]);
        assert_eq!(line["top"][0]["label"], cpu["label"]);
        let apart = line["top"][0]["score"].as_f64().unwrap() - cpu["score"].as_f64().unwrap();
        assert!(apart.abs() < 1e-3, "{line}");
    }
}

#[test]
fn without_a_gpu_the_cpu_takes_over_and_says_so() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
    command.args(["classify", CAT]).current_dir(env!("CARGO_MANIFEST_DIR"));
    // No driver is found: neither Vulkan's nor, with that one backend, any other.
    command.env("VK_DRIVER_FILES", "/nonexistent").env("WGPU_BACKEND", "vulkan");
    let output = command.output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success() && text(&output.stdout).contains("cat"), "{stderr}");
    // On Windows and macOS the variables above do not hide a GPU.
    if cfg!(target_os = "linux") {
        assert!(stderr.contains("CPU executor") && stderr.contains("no GPU was found"), "{stderr}");
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    fails(2, &[], &["Usage"]);
    fails(2, &["classify"], &["IMAGE"]);
    fails(2, &["classify", CAT, "--top", "0"], &["--top", "0 is not in"]);
    fails(2, &["classify", CAT, "--precision", "f64"], &["f64", "f32"]);
    fails(2, &["classify", CAT, "--random"], &["--model"]);
    fails(2, &["classify", CAT, "--logits"], &["--json"]);
    fails(2, &["classify", CAT, "--backend", "opengl"], &["opengl", "vulkan"]);
    fails(2, &["plan", "--batch", "0"], &["--batch"]);
    fails(2, &["classify", CAT, "--device", ""], &["--device", "empty"]);
    fails(2, &["classify", CAT, "--arch", "repvgg-a0"], &["--model"]);
}

#[test]
fn a_precision_that_cannot_be_had_is_refused_by_name() {
    fails(
        1,
        &["classify", CAT, "--device", "cpu", "--precision", "w8a8"],
        &["w8a8", "--precision w8", "ranges", "--calib"],
    );
    let calib = ["classify", CAT, "--device", "cpu", "--calib", "tests/data/cifar10"];
    fails(2, &calib, &["--precision"]);
    fails(1, &[&calib[..], &["--precision", "w8"]].concat(), &["--calib is for --precision w8a8"]);
    fails(2, &["classify", CAT, "--precision", "w8a8", "--calib-images", "9"], &["--calib"]);
    let nowhere = ["classify", CAT, "--device", "cpu", "--precision", "w8a8", "--calib", "nowhere"];
    fails(1, &nowhere, &["nowhere"]);
}

#[test]
fn a_float_network_runs_in_8_bits_after_calibration_in_memory() {
    let calib = ["--device", "cpu", "--json", "--precision", "w8a8", "--calib", "tests/data/cifar10"];
    let output = foveate(&[&["classify", CAT][..], &calib, &["--calib-images", "30"]].concat());
    let (line, stderr) = (&json_lines(&output)[0], text(&output.stderr));
    assert_eq!((line["precision"].as_str(), line["top"][0]["label"].as_str()), (Some("w8a8"), Some("cat")));
    assert!(stderr.contains("calibrated on 30 pictures") && stderr.contains("in integers"), "{stderr}");
    // What `quantize` makes of the same pictures answers the same.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("int8.safetensors");
    let file = file.to_str().unwrap();
    let model = "assets/cifar10-qarepvgg.safetensors";
    let quantized = foveate(&["quantize", model, "--calib", "tests/data/cifar10", "--calib-images", "30", "-o", file]);
    assert!(quantized.status.success(), "{}", text(&quantized.stderr));
    let logits = |args: &[&str]| {
        let all = [&["classify", CAT, "--device", "cpu", "--json", "--logits", "--precision", "w8a8"], args].concat();
        json_lines(&foveate(&all))[0]["logits"].clone()
    };
    let of_file = logits(&["--model", file]);
    assert!(of_file.as_array().is_some_and(|logits| logits.len() == 10), "{of_file}");
    assert_eq!(of_file, logits(&["--calib", "tests/data/cifar10", "--calib-images", "30"]));
    // A file with ranges of its own needs no pictures, and says so if some are given.
    let again = foveate(&["classify", CAT, "--device", "cpu", "--model", file, "--precision", "w8a8", "--calib", "x"]);
    assert!(again.status.success() && text(&again.stderr).contains("is not used"), "{}", text(&again.stderr));
    // Both contenders are quantised.
    let eval = ["eval", "tests/data/cifar10", "--limit", "30", "--compare", model];
    let report = &json_lines(&foveate(&[&eval[..], &calib, &["--calib-images", "30"]].concat()))[0];
    let contenders = report["contenders"].as_array().unwrap();
    assert_eq!(contenders.iter().map(|c| c["precision"].as_str().unwrap()).collect::<Vec<_>>(), ["w8a8", "w8a8"]);
}

#[test]
fn random_weights_are_calibrated_on_noise() {
    let args = ["classify", CAT, "--device", "cpu", "--json", "--model", "mobileone-s0", "--random", "--precision"];
    let output = foveate(&[&args[..], &["w8a8"]].concat());
    let line = &json_lines(&output)[0];
    assert_eq!(line["precision"], "w8a8");
    assert!(text(&output.stderr).contains("calibrated on noise"), "{}", text(&output.stderr));
}

#[test]
fn precisions_are_reported_as_they_are() {
    for (precision, has, note) in [("f32", "f32", ""), ("f16", "f32", "computes in f32"), ("w8", "w8", "8 bits")] {
        let output = foveate(&["classify", CAT, "--device", "cpu", "--json", "--precision", precision]);
        let line = &json_lines(&output)[0];
        assert_eq!((line["precision"].as_str(), line["top"][0]["label"].as_str()), (Some(has), Some("cat")));
        let stderr = text(&output.stderr);
        assert!(stderr.contains(note) && stderr.contains("precision:") != note.is_empty(), "{stderr}");
    }
    let plain = text(&foveate(&["classify", CAT, "--device", "cpu", "--precision", "w8"]).stdout);
    assert!(plain.lines().next().unwrap().ends_with(", w8)"), "{plain}");
}

#[test]
fn every_command_with_a_device_takes_a_precision() {
    let folder = tempfile::tempdir().unwrap();
    let maps = folder.path().join("maps");
    for args in [
        vec!["eval", "tests/data/cifar10", "--limit", "10", "--json"],
        vec!["features", CAT, "--json", "-o", maps.to_str().unwrap()],
    ] {
        let output = foveate(&[&args[..], &["--device", "cpu", "--precision", "w8"]].concat());
        let (lines, stderr) = (json_lines(&output), text(&output.stderr));
        assert!(stderr.contains("precision: w8;"), "{stderr}");
        if args[0] == "eval" {
            assert!(lines[0].to_string().contains("\"precision\":\"w8\""), "{}", lines[0]);
        }
    }
}

#[test]
fn devices_that_are_not_there_are_refused_with_what_there_is() {
    fails(1, &["classify", CAT, "--device", "geforce 9999"], &["geforce 9999"]);
    fails(1, &["classify", CAT, "--device", "99"], &["99"]);
}

#[test]
fn models_that_are_not_there_are_refused() {
    fails(1, &["classify", CAT, "--model", "repvgg-a7", "--random"], &["repvgg-a7", "repvgg-a0"]);
    fails(1, &["classify", CAT, "--model", "repvgg-a7"], &["repvgg-a7", "repvgg-a0"]);
    fails(1, &["classify", CAT, "--model", "repvgg-a0"], &["--random"]);
    fails(1, &["classify", CAT, "--model", "no/such/file.safetensors"], &["no/such/file.safetensors"]);
    fails(
        1,
        &["classify", CAT, "--model", CAT],
        &[CAT, "is a PNG picture, not a checkpoint", "give it as the picture"],
    );
}

/// Output that is lost is no success; diagnostics that are lost are no failure.
#[cfg(target_os = "linux")]
#[test]
fn full_and_closed_outputs() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = |out: std::process::Stdio, err: std::process::Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
        command.args(["classify", CAT, "--device", "cpu", "--json"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        command.stdout(out).stderr(err).status().unwrap().code()
    };
    assert_eq!(run(full().into(), std::process::Stdio::null()), Some(1));
    assert_eq!(run(std::process::Stdio::null(), full().into()), Some(0));
}

/// Commands that write files write all of them, whoever hears of it.
#[cfg(target_os = "linux")]
#[test]
fn files_are_whole_whatever_becomes_of_stdout() {
    let scratch = Scratch::new();
    let run = |closed: bool, args: &[&str], out: &Path| {
        let stdout = match closed {
            // The reading end is dropped here.
            true => std::process::Stdio::from(std::io::pipe().unwrap().1),
            false => std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into(),
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
        command.args(args).args(["--device", "cpu", "-o"]).arg(out).current_dir(env!("CARGO_MANIFEST_DIR"));
        command.stdout(stdout).stderr(std::process::Stdio::null()).status().unwrap().code()
    };
    for (closed, code) in [(true, Some(0)), (false, Some(1))] {
        let maps = scratch.path(&format!("maps-{closed}"));
        assert_eq!(run(closed, &["features", CAT, "assets/horse.png", "--tensors"], &maps), code);
        for file in ["index.html", "features.safetensors", "cat/stage3.png", "horse/stage3.png"] {
            assert!(maps.join(file).exists(), "{file}, pipe closed: {closed}");
        }
        let report = scratch.path(&format!("{closed}.json"));
        assert_eq!(run(closed, &["eval", "tests/data/cifar10", "--limit", "10"], &report), code);
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        assert_eq!(report["pictures"], 10);
    }
}

/// Hours of work are not done for a file that cannot be written.
#[test]
fn outputs_are_looked_at_first() {
    let scratch = Scratch::new();
    let (folder, pictures) = (scratch.path("").display().to_string(), "tests/data/cifar10");
    let below = scratch.path("none/out").display().to_string();
    for (out, want) in [(&folder, "there is a folder of that name"), (&below, "none/out")] {
        let output = foveate(&["eval", pictures, "--device", "cpu", "--force", "-o", out]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty() && !stderr.contains("device:") && stderr.contains(want), "{stderr}");
        fails(1, &["fuse", "assets/cifar10-qarepvgg.safetensors", "--force", "-o", out], &["cannot write", want]);
    }
}

#[test]
fn sizes_beyond_reason_are_refused() {
    for batch in ["18446744073709551615", "9007199254740992", "4000000000"] {
        fails(1, &["plan", "--batch", batch], &["batch"]);
    }
}

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Scratch(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

#[test]
fn bad_pictures_fail_with_their_name_and_do_not_stop_the_others() {
    let scratch = Scratch::new();
    let whole = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(CAT)).unwrap();
    fails(1, &["classify", "no/such.png", "--device", "cpu"], &["no/such.png"]);
    let bad: [(&str, &[u8]); 3] =
        [("text.png", b"this is no picture"), ("empty.png", b""), ("cut.png", &whole[..whole.len() / 2])];
    for (name, bytes) in bad {
        let path = scratch.file(name, bytes);
        fails(1, &["classify", &path, "--device", "cpu"], &[name]);
    }
    let bad = scratch.file("bad.png", b"no");
    let output = foveate(&["classify", &bad, CAT, "--device", "cpu", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout).lines().count(), 1, "the good picture is still classified");
}

#[test]
fn pictures_of_extreme_shapes_are_classified() {
    let scratch = Scratch::new();
    for (width, height) in [(1, 1), (20000, 3), (3, 20000)] {
        let path = scratch.path(&format!("{width}x{height}.png"));
        image::RgbImage::from_pixel(width, height, image::Rgb([200, 30, 60])).save(&path).unwrap();
        let path = path.display().to_string();
        assert_eq!(json_lines(&foveate(&["classify", &path, "--device", "cpu", "--json"])).len(), 1, "{path}");
    }
}

#[test]
fn label_files_are_used_and_checked() {
    let scratch = Scratch::new();
    let good = scratch.file("good.txt", b"a\nb\nc\nKatze\ne\nf\ng\nh\ni\nj\n");
    let lines = json_lines(&foveate(&["classify", CAT, "--device", "cpu", "--json", "--labels", &good]));
    assert_eq!(lines[0]["top"][0]["label"], "Katze");
    // Apostrophes are part of names (ImageNet's jack-o'-lantern); control characters are not for terminals.
    let odd = scratch.file("odd.txt", b"a\nb\nc\ncat o'nine\ne\nd\x1b[2J\ng\nh\ni\nj\n");
    let printed = text(&foveate(&["classify", CAT, "--device", "cpu", "--top", "2", "--labels", &odd]).stdout);
    assert!(printed.contains("\n  cat o'nine   45.3") && printed.contains("\n  d\\u{1b}[2J   31.7"), "{printed:?}");
    assert!(!printed.contains('\x1b'), "{printed:?}");
    let short = scratch.file("short.txt", b"a\nb\n");
    fails(1, &["classify", CAT, "--labels", &short], &["2 labels", "10 classes"]);
    let binary = scratch.file("binary.txt", &[0xff, 0xfe, 0x00]);
    fails(1, &["classify", CAT, "--labels", &binary], &["binary.txt", "UTF-8"]);
    fails(1, &["classify", CAT, "--labels", "no/such.txt"], &["no/such.txt"]);
}

#[test]
fn fuse_writes_a_model_file_that_loads_back() {
    let scratch = Scratch::new();
    let source = "assets/cifar10-qarepvgg.safetensors";
    let out = scratch.path("fused.safetensors").display().to_string();
    let output = foveate(&["fuse", source, "-o", &out]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    fails(1, &["fuse", source, "-o", &out], &["--force"]);
    assert!(foveate(&["fuse", source, "-o", &out, "--force"]).status.success());
    let of = |model: &[&str]| {
        let args = [&["classify", CAT, "--device", "cpu", "--json", "--logits"], model].concat();
        json_lines(&foveate(&args))[0]["logits"].clone()
    };
    assert_eq!(of(&["--model", &out]), of(&[]));
    fails(1, &["fuse", source, "-o", "no/such/folder/x.safetensors"], &["no/such/folder"]);
}

#[test]
fn files_of_pytorch_are_models_too() {
    let scratch = Scratch::new();
    let logits = |model: &[&str]| {
        let args = [&["classify", CAT, "--device", "cpu", "--json", "--logits", "--model"], model].concat();
        json_lines(&foveate(&args))[0]["logits"].clone()
    };
    let expected = logits(&["tests/data/golden/mobileone_tiny.deploy.safetensors"]);
    assert_eq!(logits(&["tests/data/torch/legacy.pth"]), expected);
    assert_eq!(logits(&["tests/data/torch/ema.pth", "--use-ema"]), expected);
    assert_ne!(logits(&["tests/data/torch/ema.pth"]), expected);

    let fused = |file: &str, more: &[&str]| {
        let out = scratch.path("fused.safetensors").display().to_string();
        let output = foveate(&[&["fuse", file, "-o", &out, "--force"], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        (logits(&[&out]), text(&output.stderr))
    };
    assert_eq!(fused("tests/data/torch/ema.pth", &["--use-ema"]).0, expected);
    let (_, said) = fused("tests/data/torch/checkpoint.pth.tar", &[]);
    assert!(said.contains("max |train − deploy|"), "{said}");
    fails(1, &["classify", CAT, "--model", "tests/data/torch/traced.pt", "--use-ema"], &["traced.pt", "--use-ema"]);
    fails(2, &["classify", CAT, "--use-ema"], &["--model"]);
}

#[cfg(target_os = "linux")]
#[test]
fn paths_need_not_be_unicode() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let named = |name: &[u8]| folder.path().join(std::ffi::OsStr::from_bytes(name));
    let (net, picture, out) = (named(b"net\xff.pth"), named(b"cat\xfe.png"), named(b"out\xfd.safetensors"));
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    std::fs::copy(data.join("torch/state_dict.pth"), &net).unwrap();
    std::fs::copy(data.join("preprocess/photo.png"), &picture).unwrap();
    let run = |args: &[&std::ffi::OsStr]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_foveate")).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    };
    run(&["fuse".as_ref(), net.as_ref(), "-o".as_ref(), out.as_ref()]);
    assert!(out.exists());
    run(&["info".as_ref(), out.as_ref()]);
    let classify = |model: &std::path::Path| {
        run(&["classify".as_ref(), "--device=cpu".as_ref(), "--model".as_ref(), model.as_ref(), picture.as_ref()])
    };
    assert!(!classify(&net).stdout.is_empty() && !classify(&out).stdout.is_empty());
    let missing = named(b"none\xff");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_foveate"));
    let output = { output }.arg("plan").arg("--model").arg(&missing).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("none"));
}
