//! Networks made with the official implementations and timm, with their inputs and outputs.

use std::collections::BTreeMap;

use foveate::checkpoint::{self, Checkpoint, LoadedModel, Why};
use foveate::cpu::CpuExecutor;
use foveate::models::{Form, names};
use foveate::{NodeId, Shape, Tensor};
use serde_json::Value;

use crate::support::{bytes, data, edited, open};

pub fn index() -> BTreeMap<String, Value> {
    let index: BTreeMap<String, Value> = serde_json::from_slice(&bytes("golden/index.json")).unwrap();
    assert_eq!(index.len(), 16);
    index
}

fn load(set: &str, form: &str) -> LoadedModel {
    checkpoint::load_file(data(&format!("golden/{set}.{form}.safetensors")), None).unwrap()
}

fn largest(tensor: &Tensor) -> f32 {
    tensor.data().iter().fold(0.0, |m, v| m.max(v.abs()))
}

fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let apart = |(a, b): (&f32, &f32)| if a.is_nan() { f32::INFINITY } else { (a - b).abs() };
    let difference = found.data().iter().zip(expected.data()).map(apart).fold(0f32, f32::max);
    let bound = 1e-4 * largest(expected);
    assert!(bound > 0.0 && difference <= bound, "{what}: off by {difference}, allowed {bound}");
}

fn top1(logits: &Tensor) -> Vec<Option<usize>> {
    let best = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
    logits.data().chunks(10).map(best).collect()
}

#[test]
fn every_set_in_both_forms_computes_what_the_reference_computed() {
    let mut compared = 0;
    for set in index().keys() {
        let io = Checkpoint::read(&bytes(&format!("golden/{set}.io.safetensors")), set).unwrap().tensors;
        let &[_, c, h, w] = io["input"].shape() else { panic!("{set}") };
        for form in ["train", "deploy"] {
            let graph = load(set, form).graph.with_input(Shape::new(c, h, w)).unwrap();
            let taps: Vec<(String, NodeId)> = graph.taps().to_vec();
            let wanted: Vec<NodeId> = taps.iter().map(|(_, id)| *id).collect();
            let (logits, values) = CpuExecutor::new(graph).unwrap().run_with(&io["input"], &wanted).unwrap();
            assert_close(&format!("{set} {form} logits"), &logits, &io["logits"]);
            assert_eq!(top1(&logits), top1(&io["logits"]), "{set} {form}");
            let stages = io.keys().filter(|name| name.starts_with("stage")).count();
            assert_eq!(stages, if set.starts_with("timm") { 0 } else { 5 });
            assert_eq!(taps.len(), 5);
            for ((tap, _), value) in taps.iter().zip(&values).filter(|((tap, _), _)| io.contains_key(tap)) {
                assert_close(&format!("{set} {form} {tap}"), value, &io[tap]);
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 13 * 2 * 5);
}

#[test]
fn form_classes_and_parameter_count_are_found() {
    for (set, about) in index() {
        let (train, fused) = (load(&set, "train"), load(&set, "deploy"));
        assert_eq!((train.form, fused.form), (Form::Train, Form::Fused), "{set}");
        for model in [&train, &fused] {
            assert_eq!(model.graph.node(model.graph.output()).shape, Shape::new(10, 1, 1), "{set}");
            assert_eq!(
                model.renamed.is_empty(),
                !set.starts_with("timm") && !renames_bare_weights(&set, model),
                "{set}"
            );
            assert!(model.notes[0].contains("no published variant"), "{set}");
            assert_eq!(model.source_sha256.len(), 64);
        }
        assert!(
            train.ignored.iter().all(|i| i.why == Why::StepCounter && i.name.ends_with("num_batches_tracked"))
                && !train.ignored.is_empty()
        );
        assert_eq!(fused.graph.parameter_count(), about["params_deploy"].as_u64().unwrap(), "{set}");
    }
}

fn renames_bare_weights(set: &str, model: &LoadedModel) -> bool {
    model.form == Form::Train && ["S3", "S4", "nobn_post"].iter().any(|kind| set.ends_with(kind))
}

#[test]
fn what_is_custom_is_described() {
    let described = [
        ("repvgg_tiny", "repvgg (custom: depths 1-2-2-1, widths 16-16-32-64-64, blocks RepVGG)"),
        ("qarepvgg_tiny_S2", "repvgg (custom: depths 1-2-2-1, widths 16-16-32-64-64, blocks S2)"),
        ("qarepvgg_tiny_S3", "repvgg (custom: depths 1-2-2-1, widths 16-16-32-64-64, blocks S3)"),
        ("qarepvgg_tiny_S4", "repvgg (custom: depths 1-2-2-1, widths 16-16-32-64-64, blocks S4)"),
        ("mobileone_tiny", "mobileone (custom: depths 1-2-3-1, widths 16-16-32-64-64)"),
        ("repnext_tiny", "repnext (custom: depths 1-1-2-1, width 8)"),
    ];
    for (set, name) in described {
        assert_eq!(load(set, "train").architecture, name);
    }
}

#[test]
fn a_named_variant_is_recognised_in_training_form() {
    for name in ["repvgg-a0", "qarepvgg-a0", "repnext-m0", "repnext-m0e", "mobileone-s0", "mobileone-s4"] {
        assert!(names().any(|known| known == name));
        assert_eq!(load_zeros(name, Form::Train, None).architecture, name);
    }
}

#[test]
fn a_named_variant_is_recognised_fused_where_blocks_and_branches_no_longer_show() {
    for (name, found) in
        [("repvgg-b1g4", "repvgg-b1g4"), ("qarepvgg-a0", "repvgg-a0"), ("mobileone-s0", "mobileone-s0")]
    {
        let model = load_zeros(name, Form::Fused, None);
        assert_eq!((model.architecture.as_str(), model.form), (found, Form::Fused));
        assert!(model.notes.is_empty());
    }
    assert_eq!(load_zeros("qarepvgg-a0", Form::Fused, Some("qarepvgg-a0")).architecture, "qarepvgg-a0");
}

/// A checkpoint of a named variant with 7 classes, loaded.
fn load_zeros(name: &str, form: Form, arch: Option<&str>) -> LoadedModel {
    use foveate::models::{Architecture, ParamSource, Role, Zeros};
    struct Record(BTreeMap<String, crate::support::Raw>);
    impl ParamSource for Record {
        fn tensor(&mut self, name: &str, role: Role, shape: &[usize]) -> foveate::Result<Tensor> {
            let tensor = Zeros.tensor(name, role, shape)?;
            self.0.insert(name.to_owned(), (safetensors::Dtype::F16, shape.to_vec(), vec![0; 2 * tensor.len()]));
            Ok(tensor)
        }
    }
    let mut record = Record(BTreeMap::new());
    Architecture::named(name).unwrap().with_classes(7).build(form, &mut record).unwrap();
    let model = checkpoint::load(&crate::support::close(&record.0, Default::default()), name, arch).unwrap();
    assert_eq!(model.graph.node(model.graph.output()).shape.channels, 7);
    model
}

#[test]
fn half_and_double_precision_are_read() {
    use half::{bf16, f16};
    use safetensors::Dtype;
    type Convert = fn(f32) -> Vec<u8>;
    let file = bytes("golden/timm_mobileone_tiny.deploy.safetensors");
    let exact = checkpoint::load(&file, "test", None).unwrap();
    let conversions: [(Dtype, Convert, f32); 3] = [
        (Dtype::F16, |v| f16::from_f32(v).to_le_bytes().to_vec(), 1e-3),
        (Dtype::BF16, |v| bf16::from_f32(v).to_le_bytes().to_vec(), 8e-3),
        (Dtype::F64, |v| f64::from(v).to_le_bytes().to_vec(), 0.0),
    ];
    for (dtype, convert, relative) in conversions {
        let converted = edited(&file, |tensors| {
            for raw in tensors.values_mut() {
                let values = raw.2.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
                *raw = (dtype, raw.1.clone(), values.flat_map(convert).collect());
            }
        });
        let model = checkpoint::load(&converted, "test", None).unwrap();
        assert_ne!(model.source_sha256, exact.source_sha256);
        let pairs = model.graph.params().iter().zip(exact.graph.params().iter());
        for ((_, a), (_, b)) in pairs {
            let close =
                |(a, b): (&f32, &f32)| (a - b).abs() <= relative * b.abs() + if relative > 0.0 { 1e-7 } else { 0.0 };
            assert!(a.tensor.data().iter().zip(b.tensor.data()).all(close), "{dtype:?} {}", a.name);
        }
    }
}

#[test]
fn wrapped_state_dicts_are_unwrapped() {
    let file = bytes("golden/repnext_tiny.train.safetensors");
    let wrapped = edited(&file, |tensors| {
        *tensors = std::mem::take(tensors).into_iter().map(|(n, t)| (format!("model.module.{n}"), t)).collect();
    });
    let (model, plain) =
        (checkpoint::load(&wrapped, "test", None).unwrap(), checkpoint::load(&file, "test", None).unwrap());
    assert!(model.graph == plain.graph);
}

#[test]
fn nets_for_cifar_need_their_name() {
    let file = bytes("cifar/S4.safetensors");
    let message = checkpoint::load(&file, "S4.safetensors", None).unwrap_err().to_string();
    assert!(message.contains("4 stages instead of 5") && message.contains("--arch"), "{message}");
    assert!(message.contains("repvgg-cifar, qarepvgg-cifar"), "{message}");
    for arch in ["qarepvgg-cifar", "repvgg-cifar"] {
        let model = checkpoint::load(&file, "S4.safetensors", Some(arch)).unwrap();
        assert_eq!(model.labels.as_ref().unwrap()[3], "cat");
        assert_eq!(model.preprocess.crop, [32, 32]);
        let stem = model.graph.taps()[0].1;
        assert_eq!(model.graph.node(stem).shape, Shape::new(16, 32, 32));
        assert!(model.graph.find("stage1.1.bn").is_some() && model.graph.find("stage1.1.rbr_identity").is_none());
    }
    let named = crate::support::remarked(&file, |metadata| {
        metadata.insert("architecture".into(), "qarepvgg-cifar".into());
    });
    assert_eq!(checkpoint::load(&named, "test", None).unwrap().architecture, "qarepvgg-cifar");
    assert!(open(&file).1.contains_key("variant"));
}
