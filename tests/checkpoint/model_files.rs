//! The project's own model file: what is saved is what is loaded, and nothing is believed.

use foveate::checkpoint::model_file::{FORMAT_VERSION, save, write_file};
use foveate::checkpoint::{self, Contents, LoadedModel, load};
use foveate::models::Form;
use proptest::prelude::*;

use crate::support::{bytes, edited, floats, open, remarked};

fn model(file: &str, arch: Option<&str>) -> LoadedModel {
    load(&bytes(file), "test", arch).unwrap()
}

fn small() -> Vec<u8> {
    save(&model("golden/timm_mobileone_tiny_se.deploy.safetensors", None)).unwrap()
}

fn refused(file: &[u8]) -> String {
    load(file, "net.safetensors", None).unwrap_err().to_string()
}

/// A file whose metadata entry has another text.
fn with_entry(key: &str, change: impl FnOnce(&str) -> String) -> Vec<u8> {
    remarked(&small(), |metadata| {
        let changed = change(&metadata[key]);
        assert_ne!(changed, metadata[key], "the test changes nothing");
        metadata.insert(key.into(), changed);
    })
}

#[test]
fn what_is_saved_is_what_is_loaded() {
    let sets = [
        ("golden/repnext_tiny.train.safetensors", None),
        ("golden/repnext_tiny_c12.deploy.safetensors", None),
        ("golden/repvgg_tiny_se.train.safetensors", None),
        ("golden/timm_mobileone_tiny.deploy.safetensors", None),
        ("cifar/S4.safetensors", Some("qarepvgg-cifar")),
    ];
    for (file, arch) in sets {
        let model = model(file, arch);
        let saved = save(&model).unwrap();
        let loaded = load(&saved, "test", None).unwrap();
        assert!(loaded.graph == model.graph, "{file}");
        assert_eq!(loaded.form, if file.contains("deploy") { Form::Fused } else { Form::Train });
        // The file is another one, of whose names nothing had to be changed.
        assert_eq!(loaded.file.as_ref().map(|file| file.contents), Some(Contents::ModelFile), "{file}");
        let of_file = loaded.file.clone();
        let expected = LoadedModel { file: of_file, renamed: vec![], ignored: vec![], notes: vec![], ..model };
        assert!(loaded == expected, "{file}");
        assert_eq!(save(&loaded).unwrap(), saved, "{file}: saving again gives other bytes");
    }
}

#[test]
fn networks_fused_by_the_passes_survive_saving() {
    let mut seen = 0;
    for set in crate::golden::index().keys() {
        for form in ["train", "deploy"] {
            let model = model(&format!("golden/{set}.{form}.safetensors"), None);
            let (graph, _) = foveate::passes::fuse(&model.graph).unwrap();
            let fused = LoadedModel { graph, form: Form::Fused, ..model };
            let loaded = load(&save(&fused).unwrap(), "test", None).unwrap();
            assert!(loaded.graph == fused.graph, "{set} {form}");
            seen += 1;
        }
    }
    assert_eq!(seen, 32);
}

#[test]
fn the_metadata_are_those_documented_and_the_tensors_keep_their_names() {
    let (tensors, metadata) = open(&save(&model("cifar/S4.safetensors", Some("qarepvgg-cifar"))).unwrap());
    let mut keys: Vec<&str> = metadata.keys().map(String::as_str).collect();
    keys.sort();
    let documented = ["form", "format", "graph", "labels", "precision", "preprocess", "source_sha256"];
    assert_eq!(keys, documented.map(|key| format!("foveate.{key}")));
    assert_eq!(metadata["foveate.format"], FORMAT_VERSION);
    assert_eq!(tensors["stage1.0.rbr_dense.conv.weight"].1, [32, 16, 3, 3]);
}

#[test]
fn parameters_of_the_same_name_stay_apart() {
    let mut model = model("golden/mobileone_tiny.deploy.safetensors", None);
    let mut twins = foveate::Graph::new("twins", foveate::Shape::new(2, 3, 3));
    for value in [1.0, 2.0] {
        let weight = twins.param("w", foveate::Tensor::full([2, 2, 1, 1], value));
        let conv = foveate::ops::Conv2d::new(weight, None);
        let last = twins.add(format!("conv{value}"), conv, &[twins.output()]).unwrap();
        twins.set_output(last);
    }
    (model.graph, model.labels) = (twins, None);
    let loaded = load(&save(&model).unwrap(), "test", None).unwrap();
    let values: Vec<(String, f32)> =
        loaded.graph.params().iter().map(|(_, p)| (p.name.clone(), p.tensor.data()[0])).collect();
    assert_eq!(values, [("w".to_owned(), 1.0), ("w#2".to_owned(), 2.0)]);
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    std::fs::write(&path, b"old").unwrap();
    write_file(&path, &small()).unwrap();
    assert_eq!(checkpoint::load_file(&path, None).unwrap().form, Form::Fused);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = write_file(folder.path().join("no/such/folder.safetensors"), b"x").unwrap_err().to_string();
    assert!(error.contains("cannot write") && error.contains("folder.safetensors"), "{error}");
    // A folder in the place of the file: the part written beside it goes away again.
    std::fs::create_dir(folder.path().join("taken")).unwrap();
    assert!(write_file(folder.path().join("taken"), b"x").is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn versions_and_precisions_to_come_are_refused_by_name() {
    let message = refused(&with_entry("foveate.format", |_| "3".into()));
    assert!(message.contains("format version \"3\"") && message.contains("reads \"1\""), "{message}");
    let message = refused(&with_entry("foveate.precision", |_| "w8a8".into()));
    assert!(message.contains("precision \"w8a8\""), "{message}");
}

#[test]
fn a_model_file_is_no_other_network() {
    let saved = save(&model("cifar/S4.safetensors", Some("qarepvgg-cifar"))).unwrap();
    assert!(load(&saved, "test", Some("qarepvgg-cifar")).is_ok());
    let message = load(&saved, "test", Some("repvgg-a0")).unwrap_err().to_string();
    assert!(message.contains("model file of qarepvgg-cifar"), "{message}");
}

#[test]
fn damaged_metadata_are_named() {
    for key in ["graph", "form", "preprocess", "source_sha256", "precision"] {
        let key = format!("foveate.{key}");
        let message = refused(&remarked(&small(), |metadata| drop(metadata.remove(&key))));
        assert!(message.contains(&format!("entry {key} is missing")), "{message}");
        if key == "foveate.precision" || key == "foveate.source_sha256" {
            continue;
        }
        let message = refused(&with_entry(&key, |text| text[..text.len() - 1].to_owned()));
        assert!(message.contains(&key), "{message}");
    }
    let message =
        refused(&remarked(&small(), |metadata| drop(metadata.insert("foveate.labels".into(), "[\"a\"]".into()))));
    assert!(message.contains("names 1 classes, but the network has 10"), "{message}");
    let message = refused(&with_entry("foveate.preprocess", |text| text.replace("224", "0")));
    assert!(message.contains("preprocessing"), "{message}");
}

#[test]
fn damaged_graphs_are_refused() {
    let changes = [
        ("\"output\":", "\"output\":9", "output is node"),
        ("\"inputs\":[0]", "\"inputs\":[4000000000]", "does not come before"),
        ("\"inputs\":[0]", "\"inputs\":[1]", "does not come before"),
        ("\"groups\":1", "\"groups\":0", "does not fit"),
        ("\"groups\":1", "\"groups\":18446744073709551615", "does not fit"),
        ("\"stride\":[2,2]", "\"stride\":[0,0]", "does not fit"),
        ("\"stride\":[2,2]", "\"stride\":[1,2]", "its shape is given as"),
        ("\"padding\":[1,1]", "\"padding\":[9223372036854775807,1]", "stride, padding or dilation is over"),
        ("\"dilation\":[1,1]", "\"dilation\":[1,18446744073709551615]", "stride, padding or dilation is over"),
        ("\"weight\":0", "\"weight\":60000", "not in the parameter table"),
        ("\"name\":\"stage0.activation\"", "\"name\":\"input\"", "is empty or there twice"),
        ("[\"stage0\"", "[\"stage1\"", "is empty or there twice"),
        ("\"height\":224", "\"height\":9223372036854775807", "more than"),
    ];
    for (from, to, reason) in changes {
        let message = refused(&with_entry("foveate.graph", |text| text.replacen(from, to, 1)));
        assert!(message.starts_with("net.safetensors: ") && message.contains(reason), "{from} → {to}: {message}");
    }
}

/// A chain of convolutions of four channels that all share one kernel of these values.
fn sharing(kernel: [usize; 2], nodes: usize) -> Vec<u8> {
    let mut model = model("golden/mobileone_tiny.deploy.safetensors", None);
    let mut graph = foveate::Graph::new("sharing", foveate::Shape::new(4, 64, 64));
    let weight = graph.param("w", foveate::Tensor::full([4, 4, kernel[0], kernel[1]], 0.1));
    for n in 0..nodes {
        let conv = foveate::ops::Conv2d::new(weight, None).padding(kernel.map(|k| k / 2));
        let last = graph.add(format!("conv{n}"), conv, &[graph.output()]).unwrap();
        graph.set_output(last);
    }
    (model.graph, model.labels) = (graph, None);
    save(&model).unwrap()
}

#[test]
fn weights_are_not_shared_without_end() {
    assert_eq!(load(&sharing([3, 3], 50), "test", None).unwrap().graph.nodes().len(), 51);
    let message = refused(&sharing([63, 63], 20));
    assert!(
        message.contains("share their weights so often") && message.contains("1270080 values, of 63504"),
        "{message}"
    );
}

#[test]
fn channels_that_nothing_pays_for_are_refused() {
    let wide = |text: &str| text.replacen("\"channels\":3", "\"channels\":1000000000", 1);
    let message = refused(&with_entry("foveate.graph", |text| wide(text)));
    assert!(message.contains("more than"), "{message}");
    let mut model = model("golden/mobileone_tiny.deploy.safetensors", None);
    let mut graph = foveate::Graph::new("wide", foveate::Shape::new(1 << 21, 1, 1));
    let weight = graph.param("w", foveate::Tensor::full([1, 1, 1, 1], 0.1));
    let all = graph.add("relu", foveate::ops::Activate(foveate::ops::Activation::Relu), &[graph.input()]).unwrap();
    let one = graph.add("slice", foveate::ops::Slice { start: 7, channels: 1 }, &[all]).unwrap();
    let conv = graph.add("conv", foveate::ops::Conv2d::new(weight, None), &[one]).unwrap();
    graph.set_output(conv);
    (model.graph, model.labels) = (graph, None);
    let message = refused(&save(&model).unwrap());
    assert!(message.contains("4 nodes have 4194306 channels together"), "{message}");
}

#[test]
fn tensors_have_to_be_those_of_the_graph() {
    let message = refused(&edited(&small(), |tensors| drop(tensors.remove("linear.bias"))));
    assert!(message.contains("parameter \"linear.bias\" is missing"), "{message}");
    let message = refused(&edited(&small(), |tensors| drop(tensors.insert("more".into(), floats(&[1], &[0.0])))));
    assert!(message.contains("belong to no parameter") && message.contains("more"), "{message}");
    let message =
        refused(&edited(&small(), |tensors| drop(tensors.insert("linear.bias".into(), floats(&[1], &[0.0])))));
    assert!(message.contains("linear.bias") && message.contains("[10]"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_change_of_bytes_makes_a_model_file_panic(
        changes in proptest::collection::vec((0usize..24_000, prop_oneof![any::<u8>(), b'0'..=b'9']), 1..5),
        digits in proptest::collection::vec((0usize..100_000, b'0'..=b'9'), 0..4),
    ) {
        let mut file = small();
        // Digits of the graph: sizes, attributes and references that stay well-formed JSON.
        let places: Vec<usize> = (8..file.len().min(24_000)).filter(|i| file[*i].is_ascii_digit()).collect();
        prop_assert!(places.len() > 500);
        if digits.is_empty() {
            changes.iter().for_each(|(at, byte)| file[*at] = *byte);
        }
        digits.iter().for_each(|(at, digit)| file[places[at % places.len()]] = *digit);
        if let Ok(model) = load(&file, "test", None) {
            prop_assert!(model.graph.to_string().contains("nodes") && save(&model).is_ok());
        }
    }
}
