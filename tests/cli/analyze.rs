//! `foveate analyze`: the page, the JSON, the verdict and what is refused.

use std::path::Path;

use serde_json::Value;

use super::run::{fails, foveate, json_lines, text};

const PICTURES: &str = "tests/data/cifar10";
const TRAINED: &str = "tests/data/cifar/S4.safetensors";
const FUSED: &str = "assets/cifar10-qarepvgg.safetensors";
/// On the trained network and two pictures, what takes long left out.
const QUICK: [&str; 8] =
    ["analyze", TRAINED, "--arch", "qarepvgg-cifar", "--calib", PICTURES, "--no-sensitivity", "--calib-images=2"];

fn with<'a>(base: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [base, more].concat()
}

/// Asserts that every element is closed where it should be, and returns how many there are.
fn well_formed(page: &str) -> usize {
    const VOID: [&str; 2] = ["meta", "br"];
    let (mut open, mut count, mut rest): (Vec<&str>, usize, &str) = (Vec::new(), 0, page);
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "a bare > before {:?}", &rest[start..start + 20]);
        let end = start + rest[start..].find('>').expect("a tag that does not end");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<'), "{tag:?}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag:?}");
        rest = &rest[end + 1..];
        if tag.starts_with('!') || tag.ends_with('/') {
            continue;
        }
        let name = tag.trim_start_matches('/').split_whitespace().next().unwrap();
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "before {:?}", rest.chars().take(60).collect::<String>());
        } else if !VOID.contains(&name) {
            open.push(name);
            count += 1;
        }
        if name == "style" && !tag.starts_with('/') {
            rest = &rest[rest.find("</style>").unwrap()..];
        }
    }
    assert!(open.is_empty(), "{open:?}");
    count
}

fn fetches_nothing(page: &str) {
    for word in ["http:", "https:", "src=", "url(", "@import", "<script", "<link", "<iframe", "javascript:"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn two_models_on_one_page_that_fetches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // Names of files are text, whatever is in them; on Windows there can be no `<`.
    let (name, shown) = match cfg!(windows) {
        true => ("& 'S4'.safetensors", "&amp; 'S4'"),
        false => ("<img src=x> & 'S4'.safetensors", "&lt;img src=x&gt; &amp; 'S4'"),
    };
    let evil = folder.path().join(name);
    std::fs::copy(TRAINED, &evil).unwrap();
    let out = folder.path().join("report.html");
    let (evil, out) = (evil.to_str().unwrap(), out.to_str().unwrap());
    let args = ["analyze", TRAINED, evil, "--arch", "qarepvgg-cifar", "--calib", PICTURES, "--calib-images", "3"];
    let output = foveate(&with(&args, &["-o", out]));
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && stderr.contains("report.html"), "{stderr}");
    for word in ["C1 holds", "C2 holds", "No repair is needed", "plain 8 bits", "by default", "alone dB", "stage2.1"] {
        assert!(stdout.matches(word).count() >= 2, "{word}, for both: {stdout}");
    }
    let page = std::fs::read_to_string(out).unwrap();
    fetches_nothing(&page.replace("&lt;img src=x&gt;", ""));
    assert!(!page.contains("<img") && page.contains(shown), "names are escaped");
    assert!(well_formed(&page) > 300);
    // A drawing for each model in each row: weights, activations, what is left of both, alone and
    // cumulative are 6 charts of 8 layers; 14 norms in two charts; a block's 5 branches.
    assert_eq!(page.matches("<svg").count(), 2 * (6 * 8 + 2 * 14 + view_parts(&page)));
    for id in ["verdict", "c1", "norms", "c2", "sensitivity"] {
        assert_eq!(page.matches(&format!("<section id=\"{id}\"")).count(), 1);
        assert_eq!(page.matches(&format!("href=\"#{id}\"")).count(), 1);
    }
    assert!(!page.contains("NaN") && !page.contains("inf"), "numbers are finite");
    fails(1, &with(&args, &["-o", out]), &["there already", "--force"]);
    assert_eq!(std::fs::read_to_string(out).unwrap(), page);
}

/// Rows of the chart of branches, for one model.
fn view_parts(page: &str) -> usize {
    let from = page.find("<h3>Branches of a block</h3>").unwrap();
    let chart = &page[from..from + page[from..].find("</table>").unwrap()];
    let rows = chart.matches("<tr><th scope=\"row\">").count();
    assert!(chart.contains("post-BN") && (4..=5).contains(&rows), "{chart}");
    rows
}

#[test]
fn json_has_a_schema_and_the_command_it_gives_works() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["analyze", TRAINED, "--arch", "qarepvgg-cifar", "--calib", PICTURES, "--calib-images", "4", "--json"];
    let lines = json_lines(&foveate(&args));
    assert_eq!((lines.len(), &lines[0]["schema_version"]), (1, &Value::from(1)));
    let model = &lines[0]["models"][0];
    assert_eq!((&model["name"], &model["unreadable"]), (&Value::from("qarepvgg-cifar"), &Value::from(0)));
    assert_eq!(model["calibration"]["images"], 4);
    let layers = model["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 8);
    for layer in layers {
        let [weights, made] = [&layer["weights"][0]["spread"], &layer["before_activation"]];
        for spread in [weights, made] {
            assert!(spread["min"].as_f64() < spread["max"].as_f64() && spread["std"].as_f64() > Some(0.0), "{layer}");
            let shares = spread["density"]["shares"].as_array().unwrap();
            assert!((shares.iter().map(|s| s.as_f64().unwrap()).sum::<f64>() - 1.0).abs() < 1e-6);
        }
        for key in ["weight_noise", "weight_noise_per_tensor", "input_noise"] {
            assert!(layer[key]["sqnr_db"].as_f64().unwrap() > 20.0 && layer[key]["mse"].as_f64().unwrap() > 0.0);
        }
    }
    for key in ["alone", "cumulative"] {
        let costs = model["sensitivity"][key].as_array().unwrap();
        assert_eq!(costs.len(), 8);
        assert!(costs.iter().all(|cost| cost["top1_changed"].is_u64() && cost["sqnr_db"].is_f64()), "{costs:?}");
    }
    for condition in ["weights", "activations"] {
        let condition = &model["verdict"][condition];
        assert_eq!((&condition["holds"], &condition["budget_db"]), (&Value::from(true), &Value::from(20.0)));
    }
    assert_eq!(model["norms"].as_array().unwrap().len(), 14);
    assert!(model["repaired"]["sqnr_db"].as_f64().unwrap() > 20.0);
    let command: Vec<&str> = model["command"].as_str().unwrap().split(' ').collect();
    let out = folder.path().join("out.safetensors");
    let mut words = command[1..].to_vec();
    assert_eq!((command[0], words.pop()), ("foveate", Some("S4-int8.safetensors")));
    words.extend([out.to_str().unwrap(), "--calib-images", "4"]);
    let output = foveate(&words);
    assert!(output.status.success() && out.exists(), "{}", text(&output.stderr));
    fails(1, &["analyze", out.to_str().unwrap(), "--calib", PICTURES], &["in 8 bits already"]);
}

#[test]
fn a_fused_file_says_what_it_cannot_show() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("fused.html");
    let args = ["analyze", FUSED, "--calib", PICTURES, "--calib-images", "1", "--no-sensitivity"];
    let output = foveate(&with(&args, &["-o", out.to_str().unwrap()]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let page = std::fs::read_to_string(&out).unwrap();
    for words in ["in fused form", "cannot be undone", "holds no branches", "--no-sensitivity"] {
        assert!(page.contains(words), "{words}");
    }
    fetches_nothing(&page);
    assert!(well_formed(&page) > 100);
}

#[test]
fn a_layer_and_a_channel_can_be_chosen() {
    let more = ["--layer", "stage1.0", "--channel", "7", "--json"];
    let view = &json_lines(&foveate(&with(&QUICK, &more)))[0]["models"][0]["branches"];
    assert_eq!((&view["layer"], &view["channel"]), (&Value::from("stage1.0"), &Value::from(7)));
    let names: Vec<&str> =
        view["parts"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["3×3", "1×1", "sum", "post-BN"], "a block of stride 2 has no identity");
    fails(1, &with(&QUICK, &["--layer", "stage9"]), &["no layer \"stage9\"", "nearest names"]);
    fails(1, &with(&QUICK, &["--layer", "stage1.0", "--channel", "32"]), &["32 channels, 0 to 31"]);
}

#[test]
fn pictures_that_cannot_be_read_are_left_out_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let [calib, out] = ["calib", "page.html"].map(|name| folder.path().join(name));
    std::fs::create_dir(&calib).unwrap();
    let args = ["analyze", FUSED, "--no-sensitivity", "--calib", calib.to_str().unwrap(), "-o", out.to_str().unwrap()];
    fails(1, &args, &["no picture", calib.to_str().unwrap()]);
    std::fs::write(calib.join("broken.png"), b"\x89PNG\r\n\x1a\nno").unwrap();
    fails(1, &args, &["broken.png", "can be read"]);
    assert!(!out.exists());
    std::fs::copy(format!("{PICTURES}/cat/0001.png"), calib.join("cat.png")).unwrap();
    let output = foveate(&args);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("broken.png") && stderr.contains("1 pictures could not be read"), "{stderr}");
    assert!(stdout.contains("C2 ") && out.exists(), "{stdout}");
    assert!(std::fs::read_to_string(&out).unwrap().contains("on 1 picture of"));
}

#[test]
fn wrong_usage_and_damaged_files_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let nan = folder.path().join("nan.safetensors");
    let mut bytes = std::fs::read(TRAINED).unwrap();
    let len = bytes.len();
    bytes[len - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&nan, &bytes).unwrap();
    let nan = nan.to_str().unwrap();
    fails(1, &["analyze", nan, "--arch", "qarepvgg-cifar", "--calib", PICTURES], &[nan]);
    fails(1, &["analyze", "no/such.pth", "--calib", PICTURES], &["no/such.pth"]);
    fails(1, &["analyze", FUSED, "--calib", "no/such/folder"], &["no/such/folder"]);
    fails(1, &["analyze", TRAINED, "--calib", PICTURES], &["--arch"]);
    fails(1, &["analyze", FUSED, TRAINED, "--calib", PICTURES, "--no-sensitivity", "--calib-images=1"], &["--arch-b"]);
    let below = format!("{nan}/page.html");
    fails(1, &["analyze", FUSED, "--calib", PICTURES, "-o", &below], &[&below]);
    for args in [
        vec!["analyze"],
        vec!["analyze", FUSED],
        vec!["analyze", FUSED, "--calib", PICTURES, "--calib-images", "0"],
        vec!["analyze", FUSED, "--calib", PICTURES, "--json=1"],
        vec!["analyze", FUSED, "--calib", PICTURES, "--arch-b", "repvgg-cifar"],
        vec!["analyze", FUSED, "--calib", PICTURES, "--channel", "-1"],
        vec!["analyze", FUSED, FUSED, FUSED, "--calib", PICTURES],
        vec!["analyze", FUSED, "--calib", PICTURES, "--force"],
    ] {
        fails(2, &args, &["error:"]);
    }
    assert!(!Path::new(&below).exists());
}
