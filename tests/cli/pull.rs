//! Published weights: fetched, kept, used.

use std::process::Stdio;
use std::time::Duration;

use super::pull_bench::{Bench, CAT, CHECKPOINT, FILE, NAME, payload, read, sha256};
use super::run::{json_lines, text};
use super::server::{Length, Reply};

const ETAG: &str = "\"one\"";

fn sound() -> Bench {
    let body = payload();
    Bench::new(move |request| Reply::file(request, &body, ETAG))
}

#[test]
fn a_file_is_fetched_once_and_then_used() {
    let bench = sound();
    let stderr = bench.pulls(&payload());
    for want in ["Test-1.0", "https://example.org/licence", "https://example.org/tiny"] {
        assert!(stderr.contains(want), "{want}: {stderr}");
    }
    let again = bench.run(&["pull", NAME, "--json"]);
    assert!(!text(&again.stderr).contains("Test-1.0"), "the licence is told when something is fetched");
    let line = &json_lines(&again)[0];
    assert_eq!(line["schema_version"], 1);
    assert_eq!([&line["name"], &line["sha256"]], [NAME, &sha256(&payload())]);
    assert_eq!((line["bytes"].as_u64(), line["downloaded"].as_bool()), (Some(825_064), Some(false)));
    assert_eq!(line["path"], bench.cached(FILE).display().to_string());
    assert_eq!(bench.server.requests().len(), 1);
    let fresh = json_lines(&bench.run(&["pull", NAME, "--json", "--force"]));
    assert_eq!(fresh[0]["downloaded"], true);
    assert_eq!(bench.ranges(), [None, None]);
}

/// Through the cache to the answer, and with the entry's preprocessing, not the network's.
#[test]
fn classify_fetches_what_it_needs() {
    let bench = sound();
    let logits = |model: &[&str]| {
        let args = [&["classify", CAT, "--device", "cpu", "--json", "--logits"], model].concat();
        let line = json_lines(&bench.run(&args)).remove(0);
        (line["logits"].clone(), line["top"][0]["label"].clone())
    };
    let usual = logits(&["--model", CHECKPOINT, "--arch", "qarepvgg-cifar"]);
    assert_eq!(usual.1, "cat");
    assert_eq!(logits(&["--model", NAME]), usual);
    assert_eq!(logits(&["--model", "TINY-V1", "--offline"]), usual, "it is in the cache now");
    assert_eq!(bench.server.requests().len(), 1);

    bench.list(|entry| entry["preprocess"]["crop_ratio"] = 0.8.into());
    assert_ne!(logits(&["--model", NAME]).0, usual.0, "a smaller crop is another picture");
    bench.list(|entry| entry["preprocess"]["input"] = 64.into());
    assert_ne!(logits(&["--model", NAME]).0, usual.0, "the input is larger");
}

#[test]
fn a_networks_name_means_its_default() {
    let bench = sound();
    bench.list(|entry| entry["default"] = true.into());
    let output = bench.run(&["pull", "qarepvgg_cifar"]);
    assert!(text(&output.stdout).starts_with(&format!("{NAME}: ")), "{}", text(&output.stderr));
}

#[test]
fn lists_say_what_is_here() {
    let bench = sound();
    let lines = json_lines(&bench.run(&["pull", "--list", "--json"]));
    assert_eq!(lines.len(), 1 + 34);
    assert_eq!([&lines[0]["name"], &lines[0]["cached"]], [&NAME.into(), &serde_json::Value::Null]);
    bench.pulls(&payload());
    let line = &json_lines(&bench.run(&["pull", "--list", "--json", NAME]))[0];
    assert_eq!(line["cached"], bench.cached(FILE).display().to_string());
    let table = text(&bench.run(&["pull", "--list"]).stdout);
    let row = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(row(NAME).ends_with("cached"), "{table}");
    let b3 = row("repvgg_b3.rvgg_in1k");
    assert!(["493 MB", "80.53 %", "MIT"].iter().all(|want| b3.contains(want)) && !b3.contains("cached"), "{b3}");
    let models = text(&bench.run(&["models"]).stdout);
    let m1 = models.lines().find(|line| line.starts_with("repnext-m1 ")).unwrap();
    assert!(m1.ends_with("repnext_m1_distill_300e"), "{m1}");
    assert!(models.lines().any(|line| line == "repnext-m1e"), "{models}");
}

#[test]
fn offline_opens_no_connection_and_says_where_a_file_would_lie() {
    let bench = sound();
    let path = bench.cached(FILE).display().to_string();
    let wants = [path.as_str(), NAME, bench.server.address.as_str(), "--random"];
    bench.refuses(&["pull", NAME, "--offline"], &wants);
    bench.refuses(&["classify", CAT, "--model", NAME, "--offline"], &wants);
    let output = bench.command(&["pull", NAME]).env("FOVEATE_OFFLINE", "1").output().unwrap();
    super::pull_bench::assert_fails(&output, &wants);
    assert_eq!(bench.server.requests(), []);
    // A file that was brought by hand is as good.
    std::fs::create_dir_all(bench.path("weights")).unwrap();
    std::fs::write(bench.cached(FILE), payload()).unwrap();
    let args = ["classify", CAT, "--model", NAME, "--offline", "--device", "cpu", "--json"];
    assert_eq!(json_lines(&bench.run(&args))[0]["top"][0]["label"], "cat");
}

#[test]
fn a_mirror_is_asked_by_file_name() {
    let bench = sound();
    let mirror = format!("{}/weights/", bench.server.address);
    let output = bench.run(&["pull", NAME, "--mirror", &mirror]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    // A published hash holds for mirrors too.
    let output =
        bench.command(&["pull", "mobileone-s1"]).env("FOVEATE_MIRROR", &bench.server.address).output().unwrap();
    super::pull_bench::assert_fails(&output, &[&sha256(&payload()), "5d6c420683128b11", "nothing of it is kept"]);
    let paths: Vec<String> = bench.server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/weights/tiny_v1.safetensors", "/mobileone_s1.apple_in1k.safetensors"]);
}

#[test]
fn redirects_are_followed_when_resuming_too() {
    let body = payload();
    let bench = Bench::new(move |request| match (request.path.as_str(), request.index) {
        ("/tiny", _) => Reply::new(302, b"").header("Location", "/elsewhere"),
        (_, 1) => Reply::file(request, &body, ETAG).cut(300_000),
        _ => Reply::file(request, &body, ETAG),
    });
    bench.pulls(&payload());
    let last = bench.server.requests().pop().unwrap();
    assert_eq!((last.path.as_str(), last.range.as_deref()), ("/elsewhere", Some("bytes=300000-")));
    assert_eq!(last.if_range.as_deref(), Some(ETAG));
    let round = Bench::new(|_| Reply::new(302, b"").header("Location", "/tiny"));
    round.refuses(&["pull", NAME], &["redirect"]);
}

#[test]
fn lengths_need_not_be_told() {
    for length in [Length::Untold, Length::Chunked] {
        let body = payload();
        let bench = Bench::new(move |_| Reply::new(200, &body).length(length));
        bench.pulls(&payload());
    }
}

#[test]
fn several_names_and_one_that_fails() {
    let bench = sound();
    let output = bench.run(&["pull", "qarepvgg-b0", NAME]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("QARepVGG's authors"));
    assert!(text(&output.stdout).contains(NAME) && bench.cached(FILE).exists());
    // Nobody reading on is no reason to leave out the second.
    let mut unheard = bench.command(&["pull", NAME, "qarepvgg-b0"]);
    let output = unheard.stdout(std::io::pipe().unwrap().1).stderr(Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("QARepVGG's authors"));
    let none = bench.run(&["pull"]);
    assert_eq!(none.status.code(), Some(2));
}

/// What Ctrl-C leaves is gone on from.
#[test]
fn a_killed_download_is_resumed() {
    const PART: usize = 500_000;
    let body = payload();
    let bench = Bench::new(move |request| match request.index {
        0 => Reply::file(request, &body, ETAG).cut(PART).silent(),
        _ => Reply::file(request, &body, ETAG),
    });
    let mut child = bench.command(&["pull", NAME]).stderr(Stdio::null()).spawn().unwrap();
    let part = bench.cached(&format!("{FILE}.part"));
    while std::fs::metadata(&part).map_or(0, |about| about.len()) < PART as u64 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    bench.pulls(&payload());
    assert_eq!(bench.ranges(), [None, Some(format!("bytes={PART}-"))]);
}

#[test]
fn two_at_once_fetch_once() {
    let body = payload();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let bench = Bench::new(move |request| {
        // The answer waits until both are under way.
        let _ = gate.lock().unwrap().recv();
        Reply::file(request, &body, ETAG)
    });
    let start = || bench.command(&["pull", NAME]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let first = start();
    while bench.server.requests().is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut second = start();
    // It says that it waits; only then goes the first one on.
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(second.stderr.take().unwrap()), &mut line).unwrap();
    assert!(line.contains("another process"), "{line}");
    drop(go);
    let (first, second) = (first.wait_with_output().unwrap(), second.wait_with_output().unwrap());
    assert!(first.status.success() && second.status.success(), "{}", text(&first.stderr));
    assert!(text(&first.stdout).contains("fetched") && text(&second.stdout).contains("here already"));
    assert_eq!(bench.server.requests().len(), 1);
    assert!(read(bench.cached(FILE).to_str().unwrap()) == payload());
    assert_eq!(bench.leftovers(), Vec::<String>::new());
}
