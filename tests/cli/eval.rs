//! `foveate eval`, `fuse --images` and the built-in class names.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::run::{fails, foveate, json_lines, text};

const PICTURES: &str = "tests/data/cifar10";
const TRAINED: [&str; 4] = ["--model", "tests/data/cifar/S4.safetensors", "--arch", "qarepvgg-cifar"];

/// A folder to play with.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Scratch(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn folder(&self, name: &str) -> String {
        std::fs::create_dir_all(self.path(name)).unwrap();
        self.path(name)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    /// Copies a test picture of that class here.
    fn picture(&self, class: &str, name: &str) {
        std::fs::copy(&pictures_of(class)[0], self.path(name)).unwrap();
    }
}

fn pictures_of(class: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(PICTURES).join(class);
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert_eq!(found.len(), 10);
    found
}

fn eval(args: &[&str]) -> std::process::Output {
    foveate(&[&["eval"], args, &["--device", "cpu"]].concat())
}

fn json(args: &[&str]) -> Value {
    let lines = json_lines(&eval(&[args, &["--json"]].concat()));
    assert_eq!(lines.len(), 1);
    lines[0].clone()
}

/// A report without what depends on the clock and the options.
fn timeless(mut report: Value) -> Value {
    report.as_object_mut().unwrap().remove("speed");
    for contender in report["contenders"].as_array_mut().unwrap() {
        contender.as_object_mut().unwrap().retain(|key, _| key != "images_per_s" && key != "batch");
    }
    report
}

#[test]
fn the_builtin_network_is_right_on_86_of_100() {
    let output = eval(&[PICTURES]);
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for want in ["100 pictures", "like the model's labels", "86.00 %  (86 of 100", "top-5", "taken for", "images/s"] {
        assert!(stdout.contains(want), "{want}: {stdout}");
    }
    let report = json(&[PICTURES]);
    assert_eq!((&report["schema_version"], &report["mapping"]), (&1.into(), &"labels".into()));
    assert_eq!((&report["pictures"], &report["classes"]), (&100.into(), &10.into()));
    let net = &report["contenders"][0];
    assert_eq!((&net["source"], &net["form"], &net["batch"]), (&"built-in".into(), &"fused".into(), &16.into()));
    assert_eq!((&net["top1"]["count"], &net["top1"]["rate"]), (&86.into(), &0.86.into()));
    let [low, high] = [0, 1].map(|end| net["top1"]["interval"][end].as_f64().unwrap());
    assert!(low > 0.77 && low < 0.79 && high > 0.91 && high < 0.92, "Wilson's interval: {low} {high}");
    let matrix = net["confusion_matrix"].as_array().unwrap();
    let cell = |truth: usize, predicted: usize| matrix[truth][predicted].as_u64().unwrap();
    assert_eq!((0..10).map(|class| cell(class, class)).sum::<u64>(), 86);
    let classes = net["per_class"].as_array().unwrap();
    assert_eq!(classes.len(), 10);
    for (index, class) in classes.iter().enumerate() {
        assert_eq!((0..10).map(|predicted| cell(index, predicted)).sum::<u64>(), 10);
        assert_eq!((&class["total"], &class["top1"]), (&10.into(), &cell(index, index).into()));
    }
    assert_eq!(classes[3]["label"], "cat");
    for key in ["wall_s", "images_per_s", "decode_images_per_s", "network_images_per_s"] {
        assert!(report["speed"][key].as_f64().unwrap() > 0.0, "{report}");
    }
    for batch in ["1", "7", "1024"] {
        assert_eq!(timeless(json(&[PICTURES, "--batch", batch])), timeless(report.clone()), "batch {batch}");
    }
}

#[test]
fn every_adapter_counts_as_the_cpu_does() {
    let right = |report: &Value| report["contenders"][0]["top1"]["count"].as_u64().unwrap();
    let adapters = json_lines(&foveate(&["adapters", "--json"]));
    assert!(!adapters.is_empty() || std::env::var_os("REQUIRE_GPU").is_none(), "no adapter, but REQUIRE_GPU is set");
    for (index, adapter) in adapters.iter().enumerate() {
        let report = &json_lines(&foveate(&["eval", PICTURES, "--device", &index.to_string(), "--json"]))[0];
        assert_eq!(report["contenders"][0]["device"]["kind"], "gpu");
        assert_eq!(right(report), 86, "{adapter}");
    }
}

#[test]
fn a_limit_takes_pictures_of_all_classes() {
    let report = json(&[PICTURES, "--limit", "20"]);
    let classes = report["contenders"][0]["per_class"].as_array().unwrap();
    assert!(classes.len() == 10 && classes.iter().all(|class| class["total"] == 2), "{report}");
    fails(2, &["eval", PICTURES, "--limit", "0"], &["--limit"]);
    fails(2, &["eval", PICTURES, "--batch", "1025"], &["--batch", "1024"]);
}

#[test]
fn the_training_form_is_compared_with_the_fused_one() {
    let train = [&[PICTURES, "--compare", "train"], &TRAINED[..]].concat();
    let report = json(&train);
    let (forms, comparison) = (&report["contenders"], &report["comparison"]);
    assert_eq!((&forms[0]["form"], &forms[1]["form"]), (&"fused".into(), &"train".into()));
    assert_eq!((&forms[0]["top1"]["count"], &forms[1]["top1"]["count"]), (&86.into(), &86.into()));
    assert_eq!((&comparison["agreement"]["same_top1"], &comparison["top1_difference"]), (&100.into(), &0.0.into()));
    let apart = comparison["agreement"]["max_abs"].as_f64().unwrap();
    assert!(apart > 0.0 && apart < 1e-4, "two forms, two roundings: {apart}");
    let [low, high] = [0, 1].map(|end| comparison["interval"][end].as_f64().unwrap());
    assert!(low < -0.02 && high > 0.02 && (low + high).abs() < 1e-12, "{comparison}");
    let stdout = text(&eval(&train).stdout);
    for want in
        ["A  tests/data/cifar/S4", "fused, f32", "B  tests", "training form", "B against A", "100.00 %", "+0.00"]
    {
        assert!(stdout.contains(want), "{want}: {stdout}");
    }
    fails(1, &["eval", PICTURES, "--compare", "train"], &["built-in", "training form"]);
    let fused = "assets/cifar10-qarepvgg.safetensors";
    fails(1, &["eval", PICTURES, "--model", fused, "--compare", "train"], &["qarepvgg-cifar is fused already"]);
}

#[test]
fn another_model_is_compared() {
    let report = json(&[PICTURES, "--compare", TRAINED[1], "--compare-arch", TRAINED[3]]);
    assert_eq!(report["contenders"][0]["source"], "built-in");
    assert_eq!(report["contenders"][1]["source"], TRAINED[1]);
    // The built-in network was made from that file.
    assert_eq!(report["comparison"]["agreement"]["max_abs"], 0.0);
    assert_eq!(report["comparison"]["right"]["both"], 86);
    assert_eq!(
        report["contenders"][0]["source_sha256"], report["contenders"][1]["source_sha256"],
        "both say what they were made from"
    );
    fails(1, &["eval", PICTURES, "--compare", "no/such.pth"], &["no/such.pth"]);
    fails(1, &["eval", PICTURES, "--compare", TRAINED[1]], &["with --compare-arch;"]);
    fails(2, &["eval", PICTURES, "--compare-arch", "repvgg-cifar"], &["--compare"]);
}

#[test]
fn a_truth_file_says_what_a_flat_folder_shows() {
    let scratch = Scratch::new();
    scratch.picture("cat", "1.png");
    scratch.picture("ship", "2.png");
    scratch.picture("dog", "not listed.png");
    let truth = scratch.file("truth.tsv", "1.png\tCat\r\n2.png\t8\n");
    let dir = scratch.path("");
    let report = json(&[&dir, "--truth", &truth]);
    assert_eq!((&report["mapping"], &report["truth"]), (&"truth".into(), &truth.as_str().into()));
    let classes = report["contenders"][0]["per_class"].as_array().unwrap();
    assert_eq!(classes.iter().map(|c| c["class"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 8]);

    let bad = scratch.file("bad.tsv", "1.png\tcat\n2.png ship\n3.png\t10\n");
    fails(1, &["eval", &dir, "--truth", &bad], &["bad.tsv", "line 2: there is no tab", "line 3: class 10"]);
    fails(1, &["eval", &dir, "--truth", "no/such.tsv"], &["no/such.tsv"]);
    let binary = scratch.file("binary.tsv", [0xff, 0xfe, b'\t', b'1']);
    fails(1, &["eval", &dir, "--truth", &binary], &["binary.tsv", "line 1 is not UTF-8"]);
    let empty = scratch.file("empty.tsv", "");
    fails(1, &["eval", &dir, "--truth", &empty], &["lists no picture"]);
    fails(1, &["eval", &dir], &["3 pictures but no folder", "--truth"]);
}

#[test]
fn pictures_that_cannot_be_read_are_named_and_the_others_counted() {
    let scratch = Scratch::new();
    scratch.picture("cat", "good.png");
    scratch.file("text.png", "this is no picture");
    scratch.file("empty.png", "");
    scratch.folder("folder.png");
    let mut listed = vec!["gone.png", "text.png", "folder.png", "good.png", "empty.png"];
    if cfg!(target_os = "linux") {
        // Opening a pipe that nobody writes to would wait for ever.
        assert!(std::process::Command::new("mkfifo").arg(scratch.path("pipe.png")).status().unwrap().success());
        listed.push("pipe.png");
    }
    let lines: Vec<String> = listed.iter().map(|name| format!("{name}\tcat")).collect();
    let truth = scratch.file("truth.tsv", lines.join("\n"));
    let output = eval(&[&scratch.path(""), "--truth", &truth, "--json"]);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&report["pictures"], &report["contenders"][0]["top1"]["total"]), (&1.into(), &1.into()));
    assert_eq!(report["unreadable"].as_array().unwrap().len(), lines.len() - 1);
    for bad in ["gone.png", "text.png", "folder.png: this is a folder", "empty.png"] {
        assert!(stderr.contains(bad), "{bad}: {stderr}");
    }
    assert!(stderr.contains(&format!("{} of {} pictures", lines.len() - 1, lines.len())), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");

    let truth = scratch.file("none.tsv", "gone.png\tcat\ntext.png\t1");
    fails(1, &["eval", &scratch.path(""), "--truth", &truth], &["no picture can be read, 2 tried", "gone.png"]);
}

#[test]
fn folders_that_fit_no_classes_are_refused() {
    let scratch = Scratch::new();
    let dir = scratch.folder("set");
    fails(1, &["eval", &dir], &["nothing to evaluate", "set"]);
    fails(1, &["eval", "no/such/folder"], &["no/such/folder"]);
    fails(1, &["eval", "assets/cat.png"], &["assets/cat.png"]);
    for name in ["cat", "dog"] {
        scratch.folder(&format!("set/{name}"));
    }
    fails(1, &["eval", &dir], &["no picture in its 2 folders"]);
    scratch.file("set/cat/notes.txt", "not called like a picture");
    fails(1, &["eval", &dir], &["no picture", "(1 other file)"]);
    scratch.picture("cat", "set/cat/1.png");
    assert_eq!(json(&[&dir])["pictures"], 1, "one class alone will do");
    let stderr = text(&eval(&[&dir]).stderr);
    assert!(
        stderr.contains("no picture in 1 of 2 folders: \"dog\"") && stderr.contains("passed over: 1 file not"),
        "{stderr}"
    );
    scratch.folder("set/Katze");
    fails(1, &["eval", &dir], &["2 of 3 folders", "\"Katze\"", "--labels"]);
    let strange = scratch.folder("strange");
    scratch.folder("strange/Hund");
    fails(1, &["eval", &strange], &["has 1 folder (\"Hund\")", "10 classes", "--truth"]);
}

#[test]
fn folders_in_alphabetical_order_are_classes_if_they_are_as_many() {
    let scratch = Scratch::new();
    for (index, class) in ["airplane", "automobile", "bird", "cat"].iter().enumerate() {
        scratch.folder(&format!("k{index}"));
        scratch.picture(class, &format!("k{index}/x.png"));
    }
    (4..10).for_each(|index| drop(scratch.folder(&format!("k{index}"))));
    let report = json(&[&scratch.path("")]);
    assert_eq!((&report["mapping"], &report["pictures"]), (&"alphabetical".into(), &4.into()));
    let labels = scratch.file("labels.txt", (0..10).rev().map(|index| format!("K {index}\n")).collect::<String>());
    let report = json(&[&scratch.path(""), "--labels", &labels]);
    assert_eq!(report["mapping"], "labels");
    let classes = report["contenders"][0]["per_class"].as_array().unwrap();
    assert_eq!(classes.iter().map(|c| c["class"].as_u64().unwrap()).collect::<Vec<_>>(), [6, 7, 8, 9]);
}

#[cfg(target_os = "linux")]
#[test]
fn links_in_circles_and_names_that_are_no_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::new();
    let cat = PathBuf::from(scratch.folder("cat"));
    std::os::unix::fs::symlink(&cat, cat.join("again")).unwrap();
    std::os::unix::fs::symlink("..", cat.join("up")).unwrap();
    std::fs::copy(&pictures_of("cat")[0], cat.join(OsStr::from_bytes(b"\xff\x1b[31m.png"))).unwrap();
    std::fs::write(cat.join(OsStr::from_bytes(b"\xfe.png")), "no picture").unwrap();
    let output = eval(&[&scratch.path(""), "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["pictures"]), (Some(1), &1.into()));
    assert_eq!(report["unreadable"].as_array().unwrap().len(), 1);
    std::fs::write(cat.join("\u{1b}[2J.png"), "no picture").unwrap();
    let told = text(&eval(&[&scratch.path("")]).stderr);
    assert!(told.contains("\\u{1b}[2J.png") && !told.contains('\u{1b}'), "{told:?}");
}

#[test]
fn reports_go_to_files_that_are_not_lost() {
    let scratch = Scratch::new();
    let out = scratch.path("report.json");
    let output = eval(&[PICTURES, "--limit", "10", "--json", "-o", &out]);
    assert_eq!(text(&output.stdout), std::fs::read_to_string(&out).unwrap());
    fails(1, &["eval", PICTURES, "--limit", "10", "-o", &out], &["--force"]);
    assert!(eval(&[PICTURES, "--limit", "10", "-o", &out, "--force"]).status.success());
    fails(2, &["eval", PICTURES, "--force"], &["--output"]);
    let nowhere = eval(&[PICTURES, "--limit", "10", "-o", "no/such/folder/report.json"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("no/such/folder"));
}

#[test]
fn imagenets_classes_have_their_names() {
    let net = ["--model", "mobileone-s0", "--random", "--device", "cpu"];
    let line = &json_lines(&foveate(&[&["classify", "assets/cat.png", "--json"], &net[..]].concat()))[0];
    let names: Vec<&str> = foveate::labels::imagenet1k().collect();
    let top = line["top"].as_array().unwrap();
    assert_eq!(top.len(), 5);
    for entry in top {
        assert_eq!(entry["label"], names[entry["class"].as_u64().unwrap() as usize]);
    }
    fails(1, &["classify", "assets/cat.png", "--labels", "imagenet1k"], &["1000 labels", "10 classes"]);
    let named =
        json_lines(&foveate(&["classify", "assets/cat.png", "--device", "cpu", "--json", "--labels", "cifar10"]));
    assert_eq!(named[0]["top"][0]["label"], "cat");

    let scratch = Scratch::new();
    for folder in ["n02123045", "n02389026"] {
        scratch.folder(folder);
    }
    scratch.picture("cat", "n02123045/x.png");
    scratch.picture("horse", "n02389026/x.png");
    let report = json(&[&[scratch.path("").as_str()], &net[..3]].concat());
    assert_eq!(report["mapping"], "wnids");
    let net = &report["contenders"][0];
    assert_eq!((&net["per_class"][0]["class"], &net["per_class"][0]["label"]), (&281.into(), &"tabby".into()));
    assert!(net.get("confusion_matrix").is_none() && net["confusions"].is_array(), "a thousand classes: pairs only");
}

#[test]
fn fuse_compares_on_pictures() {
    let scratch = Scratch::new();
    let out = scratch.path("fused.safetensors");
    let fuse =
        |more: &[&str]| foveate(&[&["fuse", TRAINED[1], "--arch", TRAINED[3], "-o", &out, "--force"], more].concat());
    let output = fuse(&["--images", PICTURES]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    for want in ["on a seeded", "same top-1 on 16 of 16 seeded inputs", "same top-1 on 100 of 100 pictures"] {
        assert!(stderr.contains(want), "{want}: {stderr}");
    }
    let pictures = scratch.folder("pictures/deep");
    std::fs::remove_file(&out).unwrap();
    let output = fuse(&["--images", &pictures]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no picture") && !Path::new(&out).exists());
    scratch.picture("cat", "pictures/deep/good.png");
    scratch.file("pictures/bad.png", "no picture");
    let output = fuse(&["--images", &scratch.path("pictures")]);
    let stderr = text(&output.stderr);
    assert!(output.status.code() == Some(1) && Path::new(&out).exists(), "{stderr}");
    assert!(
        stderr.contains("1 of 1 pictures") && stderr.contains("bad.png") && stderr.contains("is written"),
        "{stderr}"
    );
    let again = scratch.path("again.safetensors");
    fails(1, &["fuse", &out, "-o", &again, "--images", PICTURES], &["fused already", "--images"]);
    assert!(!Path::new(&again).exists());
}
