//! `foveate quantize`: what it prints, writes and refuses.

use super::run::{fails, foveate, json_lines, text};

const MODEL: &str = "assets/cifar10-qarepvgg.safetensors";
const PICTURES: &str = "tests/data/cifar10";

#[test]
fn a_network_is_put_in_8_bits_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("int8.safetensors");
    let file = file.to_str().unwrap();
    let quantize = ["quantize", MODEL, "--calib", PICTURES, "--calib-images", "40", "-o", file, "--eval", PICTURES];
    let output = foveate(&quantize);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("channel ranges moved; max |before − after|"), "{stderr}");
    for want in [
        "stage0",
        "linear",
        "dB",
        "w8a8, ",
        "per-channel, equalised, biases corrected",
        "calibrated on 40 pictures",
        "top-1 on tests",
        "×)",
    ] {
        assert!(stdout.contains(want), "{want}: {stdout}");
    }
    assert!(std::fs::metadata(file).unwrap().len() * 3 < std::fs::metadata(MODEL).unwrap().len());
    fails(1, &quantize, &["is there already", "--force"]);

    let json = foveate(&[&quantize[..], &["--force", "--json"]].concat());
    let report = &json_lines(&json)[0];
    assert_eq!((&report["schema_version"], report["layers"].as_array().unwrap().len()), (&1.into(), 8));
    let accuracy = &report["accuracy"];
    let [float, quantized] = ["float", "quantized"].map(|form| accuracy[form]["count"].as_u64().unwrap());
    assert!(float.abs_diff(quantized) <= 2, "{accuracy}");
    assert!(report["output_sqnr_db"].as_f64().unwrap() > 25.0);

    let output = foveate(&["classify", "assets/cat.png", "--model", file, "--device", "cpu"]);
    assert!(output.status.success() && text(&output.stderr).contains("w8a8"), "{}", text(&output.stderr));
    let eval = foveate(&["eval", PICTURES, "--model", file, "--device", "cpu", "--json"]);
    let eval = &json_lines(&eval)[0]["contenders"][0];
    assert_eq!((&eval["precision"], eval["top1"]["count"].as_u64().unwrap()), (&"w8a8".into(), quantized));
    fails(1, &["quantize", file, "--calib", PICTURES, "-o", "/tmp/foveate-never"], &["quantised already"]);
}

#[test]
fn layers_are_kept_float_by_name_and_by_search() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("int8.safetensors");
    let file = file.to_str().unwrap();
    let base = ["quantize", MODEL, "--calib", PICTURES, "--calib-images", "20", "-o", file, "--json"];
    let named = foveate(&[&base[..], &["--keep-float", "stage0,linear"]].concat());
    let kept = &json_lines(&named)[0]["options"]["keep_float"];
    assert_eq!(kept.as_array().unwrap().len(), 2, "{kept}");
    let search = ["--force", "--keep-float", "auto", "--max-drop", "0", "--scheme", "w8"];
    let found = foveate(&[&base[..], &search].concat());
    assert!(text(&found.stderr).contains("0 layers float, "), "{}", text(&found.stderr));
    assert_eq!(json_lines(&found)[0]["options"]["scheme"], "w8");
    fails(1, &[&base[..], &["--force", "--keep-float", "ghost"]].concat(), &["no node \"ghost\""]);
    fails(1, &[&base[..], &["--force", "--keep-float", "auto,stage0"]].concat(), &["not both"]);
    fails(1, &[&base[..], &["--force", "--percentile", "7"]].concat(), &["percentile is 7"]);
    fails(2, &[&base[..], &["--force", "--calib-images", "0"]].concat(), &["calib-images"]);
}

#[test]
fn broken_pictures_are_named_and_the_model_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (calib, file) = (folder.path().join("calib"), folder.path().join("int8.safetensors"));
    std::fs::create_dir(&calib).unwrap();
    let args = ["quantize", MODEL, "--calib", calib.to_str().unwrap(), "-o", file.to_str().unwrap()];
    fails(1, &args, &["there is no picture in this folder"]);
    std::fs::write(calib.join("broken.png"), "no picture").unwrap();
    fails(1, &args, &["broken.png", "none of its 1 pictures can be read"]);
    assert!(!file.exists());
    std::fs::copy("assets/cat.png", calib.join("cat.png")).unwrap();
    let output = foveate(&args);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("broken.png") && stderr.contains("the model is written"), "{stderr}");
    assert!(file.exists());
}
