//! `foveate features`: what it writes, prints and refuses.

use std::path::Path;

use foveate::Picture;
use foveate::checkpoint::Checkpoint;

use super::run::{fails, foveate, json_lines, text};

const CAT: &str = "assets/cat.png";
const MIXERS: &str = "tests/data/golden/repnext_tiny.deploy.safetensors";

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn stages_of_a_picture_are_drawn_with_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/maps");
    let output = foveate(&["features", CAT, "--device", "cpu", "-o", out.to_str().unwrap()]);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && stderr.contains("index.html"), "{stderr}");
    assert_eq!(stdout.lines().count(), 4, "{stdout}");
    assert!(stdout.starts_with("stage0  16×32×32  0.0000 … "), "{stdout}");
    assert!(stdout.contains("\nstage3  128×4×4   0.0000 … "), "columns are aligned: {stdout}");
    assert_eq!(files(&out), ["index.html", "input.png", "stage0.png", "stage1.png", "stage2.png", "stage3.png"]);
    let stage = Picture::open(out.join("stage3.png")).unwrap();
    assert_eq!((stage.width(), stage.height()), (8 * 114 - 2, 8 * 114 - 2), "64 of 128 maps of 4×4, enlarged");
    let page = std::fs::read_to_string(out.join("index.html")).unwrap();
    for file in files(&out).iter().filter(|file| file.ends_with("png")) {
        assert!(page.contains(&format!("src=\"{file}\"")), "{file}");
    }
    assert!(page.contains("128×4×4, stride 8, node stage3.0; the first 64 of 128 channels"), "{page}");
    assert!(!page.contains("http:") && !page.contains("https:"), "nothing is fetched from elsewhere");
}

#[test]
fn json_has_a_line_per_value_and_tensors_hold_the_same_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let args = ["features", CAT, "assets/horse.png", "--device", "cpu", "--json", "--tensors", "-o", out];
    let lines = json_lines(&foveate(&args));
    assert_eq!(lines.len(), 8);
    let tensors = std::fs::read(folder.path().join("features.safetensors")).unwrap();
    let tensors = Checkpoint::read(&tensors, "features").unwrap().tensors;
    assert_eq!(tensors.len(), 8);
    for (line, (image, prefix)) in
        lines.iter().zip([(CAT, "cat"); 4].into_iter().chain([("assets/horse.png", "horse"); 4]))
    {
        assert_eq!((line["schema_version"].as_u64(), line["image"].as_str()), (Some(1), Some(image)));
        assert!(Picture::open(line["file"].as_str().unwrap()).is_ok());
        let values = &tensors[&format!("{prefix}/{}", line["node"].as_str().unwrap())];
        let shape: Vec<usize> =
            line["shape"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect();
        assert_eq!(values.shape()[1..], shape);
        let data = values.data();
        let near = |key: &str, value: f64| assert!((line[key].as_f64().unwrap() - value).abs() < 1e-6, "{key}: {line}");
        near("min", data.iter().copied().fold(f32::INFINITY, f32::min).into());
        near("max", data.iter().copied().fold(f32::NEG_INFINITY, f32::max).into());
        near("mean", data.iter().copied().map(f64::from).sum::<f64>() / data.len() as f64);
        near("zeros", data.iter().filter(|v| **v == 0.0).count() as f64 / data.len() as f64);
        assert!(line["std"].as_f64().unwrap() > 0.0 && line["not_finite"] == 0);
    }
    assert_eq!((&lines[3]["stage"], &lines[3]["node"]), (&"stage3".into(), &"stage3.0".into()));
    assert_eq!(files(folder.path()), ["cat", "features.safetensors", "horse", "index.html"]);
}

#[test]
fn token_mixers_are_drawn_by_branch_and_the_gpu_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let run = |device: &str, name: &str| {
        let out = folder.path().join(name);
        let args = ["features", CAT, "--model", MIXERS, "--size", "64x96", "--device", device, "--json", "-o"];
        json_lines(&foveate(&[&args[..], &[out.to_str().unwrap()]].concat()))
    };
    let cpu = run("cpu", "cpu");
    assert_eq!(cpu.len(), 5 + 8, "stages and mixers");
    let mixer = cpu.iter().find(|line| line["node"] == "stages.2.blocks.1.token_mixer").unwrap();
    assert_eq!(mixer["shape"], serde_json::json!([32, 4, 6]));
    let branches = mixer["branches"].as_array().unwrap();
    let named: Vec<_> = branches.iter().map(|b| (b["name"].as_str().unwrap(), b["kernel"].as_str().unwrap())).collect();
    assert_eq!(named, [("identity", ""), ("S", "3×3"), ("M", "7×7"), ("L", "1×11→11×1")]);
    let drawn = Picture::open(mixer["file"].as_str().unwrap()).unwrap();
    assert!(drawn.width() > 4 * 220 && drawn.width() > 2 * drawn.height(), "{drawn:?}");
    assert!(cpu[0].get("branches").is_none());
    if !json_lines(&foveate(&["adapters", "--json"])).is_empty() {
        let gpu = run("0", "gpu");
        assert_eq!(gpu.len(), cpu.len());
        for (gpu, cpu) in gpu.iter().zip(&cpu) {
            let largest = cpu["max"].as_f64().unwrap().abs().max(cpu["min"].as_f64().unwrap().abs());
            for key in ["min", "max", "mean", "std"] {
                let apart = (gpu[key].as_f64().unwrap() - cpu[key].as_f64().unwrap()).abs();
                assert!(apart <= 1e-4 * largest, "{key}: {gpu} {cpu}");
            }
        }
    }
}

#[test]
fn one_node_in_other_colours_and_the_list_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("maps");
    let args = ["features", CAT, "--device", "cpu", "--at", "stage2.1", "--at", "linear", "--channels", "2"];
    let more = ["--colormap", "gray", "--scale", "tensor", "-o", out.to_str().unwrap()];
    assert!(foveate(&[&args[..], &more[..]].concat()).status.success());
    assert_eq!(files(&out), ["index.html", "input.png", "linear.png", "stage2.1.png"]);
    let drawn = Picture::open(out.join("stage2.1.png")).unwrap();
    assert!(drawn.rgba().as_chunks::<4>().0.iter().all(|[r, g, b, _]| r == g && g == b));
    assert_eq!((drawn.width(), drawn.height()), (2 * 114 - 2, 112));

    let list = text(&foveate(&["features", "--list"]).stdout);
    assert_eq!(list.lines().count(), 10);
    assert!(list.contains("stage2.2  64×8×8    stride 4   conv2d  → stage2"), "{list}");
    assert_eq!(list, text(&foveate(&["features", CAT, "--list"]).stdout), "with a picture too");
    let lines = json_lines(&foveate(&["features", "--list", "--json", "--model", "repnext-m0", "--size", "320x480"]));
    let mixer = lines.iter().find(|line| line["op"] == "chunk_conv").unwrap();
    assert_eq!(mixer["shape"], serde_json::json!([40, 80, 120]));
    assert_eq!(mixer["stride"], serde_json::json!([4, 4]));
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    std::fs::write(folder.path().join("thesis.txt"), "years").unwrap();
    fails(1, &["features", CAT, "--device", "cpu", "-o", out], &["thesis.txt", "--force"]);
    assert_eq!(files(folder.path()), ["thesis.txt"]);
    let forced = ["features", CAT, "--device", "cpu", "--at", "stage0", "--force", "-o", out];
    assert!(foveate(&forced).status.success() && foveate(&forced).status.success());
    assert_eq!(files(folder.path()), ["index.html", "input.png", "stage0.png", "thesis.txt"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("thesis.txt")).unwrap(), "years");
}

#[test]
fn a_broken_picture_fails_and_the_others_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.png");
    std::fs::write(&broken, b"\x89PNG\r\n\x1a\nno").unwrap();
    let out = folder.path().join("maps");
    let args = ["features", broken.to_str().unwrap(), CAT, CAT, "--at", "stage0", "--device", "cpu", "-o"];
    let output = foveate(&[&args[..], &[out.to_str().unwrap()]].concat());
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("broken.png") && !stderr.contains("panicked"), "{stderr}");
    assert_eq!(files(&out), ["cat", "cat-2", "index.html"]);
    let only = folder.path().join("only");
    let args = ["features", broken.to_str().unwrap(), "--device", "cpu", "-o", only.to_str().unwrap()];
    fails(1, &args, &["broken.png"]);
    assert!(files(&only).is_empty());
}

#[test]
fn wrong_usage_is_told_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (out, file) = (folder.path().join("out"), file.to_str().unwrap());
    let below = format!("{file}/below");
    let out = out.to_str().unwrap();
    for args in [
        vec!["features", CAT],
        vec!["features", "-o", out],
        vec!["features", CAT, "-o", out, "--channels", "0"],
        vec!["features", CAT, "-o", out, "--channels", "99999999999999999999"],
        vec!["features", CAT, "-o", out, "--size", "0x32"],
        vec!["features", CAT, "-o", out, "--size", "big"],
        vec!["features", CAT, "-o", out, "--colormap", "jet"],
        vec!["features", CAT, "-o", out, "--list"],
    ] {
        fails(2, &args, &["error:"]);
    }
    fails(1, &["features", CAT, "-o", out, "--at", "stage9"], &["no node \"stage9\"", "stage0", "--list"]);
    fails(1, &["features", CAT, "-o", out, "--size", "9000"], &["8192"]);
    fails(1, &["features", CAT, "-o", out, "--size", "8192"], &["4 GiB", "smaller --size"]);
    fails(1, &["features", CAT, "-o", file], &["cannot write to", file]);
    fails(1, &["features", CAT, "--device", "cpu", "-o", &below], &[&below]);
    assert!(!Path::new(out).exists(), "nothing is made where nothing is drawn");
}
