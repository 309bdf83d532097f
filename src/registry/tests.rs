//! Tests of the list of weights.

use super::*;
use crate::models::Family;

type Change = fn(&mut serde_json::Value);

/// A list of one entry, with what `change` makes of it.
fn list(change: impl Fn(&mut serde_json::Value)) -> String {
    let mut entry = serde_json::json!({
        "name": "tiny_v1", "architecture": "qarepvgg-cifar", "default": true, "form": "train",
        "file": "tiny_v1.safetensors", "url": "https://example.org/tiny.safetensors", "size": 825064,
        "licence": {"name": "MIT", "url": "https://example.org/licence"}, "source": "https://example.org/",
        "preprocess": {"input": 32, "crop_ratio": 1.0, "interpolation": "bilinear"}, "labels": "cifar10"
    });
    change(&mut entry);
    serde_json::json!({"schema_version": 1, "entries": [entry]}).to_string()
}

#[test]
fn the_built_in_list_is_whole() {
    let registry = Registry::builtin().unwrap();
    let count = |family| {
        let of = |entry: &&Entry| entry.architecture().unwrap().config.family() == family;
        registry.entries().iter().filter(of).count()
    };
    // RepNeXt: M0 to M5 in two forms, M0 to M2 by StarNet's recipe in two ways; RepVGG: 11 sizes at timm.
    assert_eq!([count(Family::RepNext), count(Family::RepVgg), count(Family::MobileOne)], [18, 11, 5]);
    for entry in registry.entries() {
        let network = entry.architecture().unwrap();
        assert_eq!(network.config.classes(), 1000, "{}", entry.name);
        assert_eq!(entry.labels, Some(LabelSet::Imagenet1k));
        assert!(entry.top1.is_some_and(|top1| (70.0..85.0).contains(&top1)), "{}", entry.name);
        assert!(entry.url.starts_with("https://") && entry.limit() <= MAX_BYTES);
        assert_eq!(registry.get(&entry.name).unwrap(), entry);
        assert_eq!(registry.get(&entry.file).unwrap(), entry);
        let default = registry.get(&entry.architecture).unwrap();
        assert!(default.default && default.architecture == entry.architecture);
    }
}

#[test]
fn preprocessing_is_that_of_the_entry() {
    let registry = Registry::builtin().unwrap();
    let of = |name: &str| registry.get(name).unwrap().options().unwrap().preprocess.unwrap();
    let cases = [
        ("repnext-m1", 256, 224, Filter::Bicubic),
        ("repnext_m1_sz224_4xbs256_ep300_distill", 248, 224, Filter::Bicubic),
        ("repvgg_a0.rvgg_in1k", 256, 224, Filter::Bilinear),
        ("repvgg-d2se", 320, 320, Filter::Bilinear),
        ("mobileone_s0", 256, 224, Filter::Bilinear),
        ("timm/mobileone_s4.apple_in1k", 248, 224, Filter::Bilinear),
    ];
    for (name, shorter, side, filter) in cases {
        let preprocess = of(name);
        assert_eq!(preprocess.resize, Resize { shorter, filter }, "{name}");
        assert_eq!((preprocess.crop, preprocess.mean, preprocess.std), ([side; 2], IMAGENET_MEAN, IMAGENET_STD));
    }
}

/// Networks of this crate have the preprocessing of their default weights: one of the two would be
/// wrong otherwise. RepVGG-D2se alone is evaluated larger than it was trained.
#[test]
fn defaults_agree_with_the_variants() {
    let registry = Registry::builtin().unwrap();
    let defaults: Vec<_> = registry.entries().iter().filter(|e| e.default && e.architecture != "repvgg-d2se").collect();
    assert_eq!(defaults.len(), 6 + 10 + 5);
    for entry in defaults {
        assert_eq!(entry.architecture().unwrap(), Architecture::named(&entry.architecture).unwrap(), "{}", entry.name);
    }
}

#[test]
fn networks_without_weights_say_what_to_do() {
    let registry = Registry::builtin().unwrap();
    let cases: [(&str, &[&str]); 7] = [
        ("qarepvgg-b0", &["QARepVGG's authors", "--random", "--model FILE"]),
        ("repvgg-b1g2", &["timm publishes none", "Google Drive"]),
        ("RepVGG-A0-train.pth", &["Google Drive", "pull repvgg-a0"]),
        ("repnext-m0e", &["--random"]),
        ("qarepvgg-cifar", &["built-in"]),
        ("repnext_m7", &["unknown model", "repnext-m1"]),
        ("../../etc/passwd", &["unknown model"]),
    ];
    for (name, wants) in cases {
        let message = registry.resolve(name).unwrap_err().to_string();
        assert!(wants.iter().all(|want| message.contains(want)), "{name}: {message}");
    }
}

#[test]
fn a_list_of_ones_own_is_laid_over() {
    let own = Registry::parse(&list(|_| ()), "own.json").unwrap();
    assert_eq!(own.get("TINY-v1").unwrap().limit(), 825064);
    let endless = list(|e| {
        e["size"] = serde_json::Value::Null;
        e["size_mb"] = 1e300.into();
    });
    assert_eq!(Registry::parse(&endless, "own.json").unwrap().get("tiny_v1").unwrap().limit(), MAX_BYTES);
    let m1 = list(|e| {
        e["architecture"] = "repnext-m1".into();
        e["preprocess"]["input"] = 224.into();
    });
    let both = Registry::parse(&m1, "own.json").unwrap().over(Registry::builtin().unwrap());
    assert_eq!(both.get("repnext-m1").unwrap().name, "tiny_v1");
    assert_eq!(both.get("repnext_m1_distill_300e").unwrap().architecture, "repnext-m1");
    assert_eq!(both.get("repnext-m2").unwrap().name, "repnext_m2_distill_300e");
    let twice = both.clone().over(Registry::builtin().unwrap());
    assert_eq!(twice, both);
}

#[test]
fn bad_lists_are_refused_by_entry_and_key() {
    let bad: [(&str, Change, &str); 18] = [
        ("out of the folder", |e| e["file"] = "../tiny.safetensors".into(), "file \"../tiny"),
        ("absolute", |e| e["file"] = "/etc/passwd".into(), "no plain name"),
        ("hidden", |e| e["file"] = ".bashrc".into(), "no plain name"),
        ("backslash", |e| e["file"] = "a\\b".into(), "no plain name"),
        ("device", |e| e["file"] = "CON.pth".into(), "device"),
        ("taken ending", |e| e["file"] = "a.part".into(), ".part"),
        ("control characters", |e| e["name"] = "a\u{1b}[2J".into(), "\\u{1b}"),
        ("long", |e| e["name"] = "a".repeat(129).into(), "at most"),
        ("file address", |e| e["url"] = "file:///etc/passwd".into(), "url"),
        ("address with a line break", |e| e["source"] = "https://a/\nb".into(), "source"),
        ("short hash", |e| e["sha256"] = "abc".into(), "sha256"),
        ("upper-case hash", |e| e["sha256"] = "A".repeat(64).into(), "sha256"),
        ("no bytes", |e| e["size"] = 0.into(), "size"),
        ("endless", |e| e["size"] = u64::MAX.into(), "size"),
        ("unknown network", |e| e["architecture"] = "resnet50".into(), "resnet50"),
        ("no crop", |e| e["preprocess"]["crop_ratio"] = 0.0.into(), "crop_ratio"),
        ("tiny crop", |e| e["preprocess"]["crop_ratio"] = 1e-300.into(), "resize.shorter"),
        ("unknown key", |e| e["sha1"] = "abc".into(), "sha1"),
    ];
    for (what, change, want) in bad {
        let message = Registry::parse(&list(change), "own.json").unwrap_err().to_string();
        assert!(message.starts_with("own.json: ") && message.contains(want), "{what}: {message}");
    }
    let entry = serde_json::from_str::<serde_json::Value>(&list(|_| ())).unwrap()["entries"][0].clone();
    let twice = serde_json::json!({"schema_version": 1, "entries": [entry, entry]}).to_string();
    assert!(Registry::parse(&twice, "own.json").unwrap_err().to_string().contains("twice"));
    let future = r#"{"schema_version": 2, "entries": []}"#;
    assert!(Registry::parse(future, "own.json").unwrap_err().to_string().contains("schema_version is 2"));
    assert!(Registry::parse("<html>", "own.json").is_err());
}
