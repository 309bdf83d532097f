//! What is told of a network: `ModelInfo` of golden networks, of PyTorch's files, of names.

use foveate::checkpoint::{self, Average, Container, Contents, Format, LoadOptions, LoadedModel, Naming, Why};
use foveate::describe::{Branch, FormInfo, ModelInfo};
use foveate::models::repvgg::BlockKind;
use foveate::models::{Architecture, Config, Family, Form, Zeros};
use foveate::ops::Activation;

use crate::golden::index;
use crate::support::{bytes, data, open, remarked};

fn load(file: &str, options: impl Into<LoadOptions>) -> LoadedModel {
    checkpoint::load_file(data(file), options).unwrap()
}

fn info(file: &str) -> ModelInfo {
    ModelInfo::of(&load(file, None)).unwrap()
}

fn golden(set: &str, form: &str) -> ModelInfo {
    info(&format!("golden/{set}.{form}.safetensors"))
}

/// Dense, pointwise, identity, post.
fn kind([dense, pointwise, identity, post]: [bool; 4]) -> BlockKind {
    BlockKind { dense, pointwise, identity, post }
}

#[test]
fn every_golden_set_is_described_in_both_forms() {
    let mut seen = 0;
    for (set, about) in index() {
        let (family, name) = match about["family"].as_str().unwrap() {
            "repvgg" if set.starts_with("qarepvgg") => (Family::RepVgg, "QARepVGG"),
            "repvgg" => (Family::RepVgg, "RepVGG"),
            "mobileone" => (Family::MobileOne, "MobileOne"),
            "repnext" => (Family::RepNext, "RepNeXt"),
            other => panic!("{other}"),
        };
        let train = golden(&set, "train");
        assert_eq!((train.family, train.family_name), (Some(family), Some(name)), "{set}");
        assert_eq!(train.form, Some(Form::Train), "{set}");
        assert!(train.branches.is_some(), "{set}");
        let fused = golden(&set, "deploy");
        // Fused, QARepVGG looks like RepVGG, and that is said.
        let alike = family == Family::RepVgg;
        assert_eq!(
            (fused.family, fused.family_name),
            (Some(family), Some(if alike { "RepVGG" } else { name })),
            "{set}"
        );
        assert_eq!(fused.notes.iter().any(|note| note.contains("cannot be told apart")), alike, "{set}");
        assert_eq!((fused.form, &fused.branches), (Some(Form::Fused), &None), "{set}");
        // What the file has is what the reference counted.
        assert_eq!(fused.stored.parameters, about["params_deploy"].as_u64().unwrap(), "{set}");
        assert!(train.stored.parameters > fused.stored.parameters, "{set}");
        for info in [&train, &fused] {
            assert_eq!((info.classes, &info.labels, info.custom), (10, &None, true), "{set}");
            assert_eq!(info.stages.len(), 5, "{set}");
            let file = info.file.as_ref().unwrap();
            assert_eq!((file.container, file.contents), (Container::Safetensors, Contents::StateDict), "{set}");
            assert_eq!(file.naming, Some(if set.starts_with("timm") { Naming::Timm } else { Naming::Official }));
            assert_eq!(info.source_sha256.as_ref(), Some(&file.sha256));
            assert_eq!(file.formats.keys().collect::<Vec<_>>(), [&Format::F32], "{set}");
            for form in [&info.stored, &info.fused] {
                assert_eq!(form.layers.iter().map(|layer| layer.parameters).sum::<u64>(), form.parameters, "{set}");
                assert_eq!(form.layers.iter().map(|layer| layer.macs).sum::<u64>(), form.macs, "{set}");
                assert!(form.layers.iter().all(|layer| layer.name.starts_with(&layer.block)), "{set}");
            }
        }
        // A batch norm behind a squeeze-and-excitation gate is all that may keep the two apart.
        if train.kept.is_empty() {
            assert_eq!(train.fused.parameters, fused.fused.parameters, "{set}");
            assert_eq!(train.fused.macs, fused.fused.macs, "{set}");
            assert_eq!(train.fused.layers.len(), fused.fused.layers.len(), "{set}");
        }
        seen += 1;
    }
    assert_eq!(seen, 16);
}

#[test]
fn batch_norms_of_branches_are_told_apart_and_named() {
    let kinds = [
        ("repvgg_tiny", [true, true, true, false], Some("S0/S1")),
        ("repvgg_tiny_g2", [true, true, true, false], Some("S0/S1")),
        ("repvgg_tiny_se", [true, true, true, false], Some("S0/S1")),
        ("timm_repvgg_tiny", [true, true, true, false], Some("S0/S1")),
        ("qarepvgg_tiny_S2", [true, true, false, false], Some("S2")),
        ("qarepvgg_tiny_S3", [true, false, false, false], Some("S3")),
        ("qarepvgg_tiny_S4", [true, false, false, true], Some("S4")),
        ("qarepvgg_tiny_allbn_post", [true, true, true, true], None),
        ("qarepvgg_tiny_idplain_post", [true, true, false, true], None),
        ("qarepvgg_tiny_nobn_post", [false, false, false, true], None),
    ];
    assert_eq!(index().keys().filter(|set| set.contains("repvgg")).count(), kinds.len());
    for (set, norms, variant) in kinds {
        let branches = golden(set, "train").branches.unwrap();
        assert_eq!((branches.kind, branches.variant), (Some(kind(norms)), variant), "{set}");
        // Five blocks change the shape, two do not and have an identity branch.
        let blocks: Vec<usize> = branches.layouts.iter().map(|layout| layout.blocks.len()).collect();
        assert_eq!(blocks, [5, 2], "{set}");
        assert_eq!(branches.layouts[1].blocks, ["stage2.1", "stage3.1"], "{set}");
        let [dense, pointwise, identity, post] = norms;
        let branch = |path: &str, batch_norm| Branch { path: path.into(), batch_norm, count: 1 };
        let both = [branch("3×3", dense), branch("1×1", pointwise)];
        assert_eq!(branches.layouts[0].branches, both, "{set}");
        let three = [&both[..], &[branch("identity", identity)]].concat();
        assert_eq!(branches.layouts[1].branches, three, "{set}");
        assert!(branches.layouts.iter().all(|layout| layout.post_batch_norm == post), "{set}");
    }
    let text = |set| golden(set, "train").branches.unwrap().layouts.last().unwrap().to_string();
    assert_eq!(text("qarepvgg_tiny_S4"), "3×3 BN | 1×1 plain | identity plain | post-BN");
    assert_eq!(text("repvgg_tiny"), "3×3 BN | 1×1 BN | identity BN");
    assert_eq!(kind([true, false, false, true]).to_string(), "BN on 3×3 | 1×1 plain | identity plain | post-BN");
}

#[test]
fn branches_of_the_other_families_are_read_off_their_graphs() {
    let layouts = |set: &str| -> Vec<(String, usize)> {
        let branches = golden(set, "train").branches.unwrap();
        assert_eq!((branches.kind, branches.variant), (None, None), "{set}");
        branches.layouts.iter().map(|layout| (layout.to_string(), layout.blocks.len())).collect()
    };
    let layout = |text: &str, blocks| (text.to_owned(), blocks);
    let medium = "no BN: 7×7 | 5×3 | 3×5 | 1×7→7×1 | 1×5→5×1";
    let repnext = [
        layout("no BN: 3×3 | 3×1 | 1×3 | 2×2 dilated 2", 5),
        layout(medium, 8),
        layout("no BN: 3×3 | 1×3→3×1 | 2×2 dilated 2", 3),
    ];
    assert_eq!(layouts("repnext_tiny"), repnext);
    let mobileone = layouts("timm_mobileone_tiny");
    assert!(mobileone.contains(&layout("2 of 3×3 BN | 1×1 BN | identity BN", 2)), "{mobileone:?}");
    assert!(mobileone.contains(&layout("2 of 1×1 BN | identity BN", 4)), "{mobileone:?}");
}

#[test]
fn layers_say_what_they_are() {
    let info = golden("repnext_tiny", "train");
    let layer = |name: &str| info.stored.layers.iter().find(|layer| layer.name == name).unwrap();
    let corners = layer("stages.0.blocks.0.token_mixer.conv_s.conv_2_2");
    let window = corners.windows[0];
    assert_eq!((window.kernel, window.stride, window.dilation, window.groups), ([2, 2], [1, 1], [2, 2], 2));
    assert_eq!((corners.parameters, corners.block.as_str()), (2 * 4 + 2, "stages.0.blocks.0"));
    assert_eq!(corners.macs, 2 * 4 * 56 * 56);
    assert_eq!(layer("stem.stem.1").activation, Activation::Gelu);
    let fused = |name: &str| info.fused.layers.iter().find(|layer| layer.name == name).unwrap();
    let mixer = fused("stages.0.blocks.0.token_mixer");
    assert_eq!(mixer.operator, "chunk_conv");
    assert_eq!(mixer.windows.iter().map(|w| w.kernel).collect::<Vec<_>>(), [[3, 3], [7, 7], [1, 11], [11, 1]]);
    assert!(mixer.windows.iter().all(|w| w.groups == 2 && w.stride == [1, 1]));
    let copy = fused("stages.1.downsample.token_mixer");
    assert!(copy.windows.len() == 2 && copy.windows.iter().all(|w| w.groups == 8 && w.stride == [2, 2]));
    assert_eq!(fused("stem.stem.0").activation, Activation::Gelu);
    let stages: Vec<(usize, usize)> = info.stages.iter().map(|s| (s.blocks, s.output.channels)).collect();
    assert_eq!(stages, [(1, 8), (1, 8), (1, 16), (2, 32), (1, 64)]);
}

#[test]
fn kinds_of_torch_files_and_their_numbers_are_told() {
    use Container::{TorchLegacy, TorchZip};
    use Contents::{Module, StateDict, TorchScript};
    let files = [
        ("state_dict.pth", TorchZip, StateDict, Format::F32, ""),
        ("legacy.pth", TorchLegacy, StateDict, Format::F32, ""),
        ("prefix.pth", TorchZip, StateDict, Format::F32, "module."),
        ("f64.pth", TorchZip, StateDict, Format::F64, ""),
        ("f16.pth", TorchZip, StateDict, Format::F16, ""),
        ("bf16.pth", TorchZip, StateDict, Format::BF16, ""),
        ("checkpoint.pth.tar", TorchZip, StateDict, Format::F32, "module."),
        ("module.pt", TorchZip, Module, Format::F16, ""),
        ("module_legacy.pt", TorchLegacy, Module, Format::F32, "module."),
        ("views.pth", TorchZip, StateDict, Format::F32, ""),
        ("traced.pt", TorchZip, TorchScript, Format::F32, ""),
        ("fx.pt", TorchZip, Module, Format::F32, ""),
    ];
    for (name, container, contents, format, prefix) in files {
        let model = load(&format!("torch/{name}"), None);
        let file = model.file.as_ref().unwrap();
        assert_eq!((file.container, file.contents, file.prefix.as_str()), (container, contents, prefix), "{name}");
        assert_eq!(file.formats.keys().collect::<Vec<_>>(), [&format], "{name}");
        let values: u64 = model.graph.params().iter().map(|(_, param)| param.tensor.len() as u64).sum();
        assert_eq!(file.formats[&format].values, values, "{name}");
        assert_eq!(file.formats[&format].tensors, model.graph.params().len() as u64, "{name}");
        assert_eq!(
            (file.average, file.bytes),
            (Average::Absent, bytes(&format!("torch/{name}")).len() as u64),
            "{name}"
        );
    }
}

#[test]
fn averages_are_told_whether_taken_or_left() {
    for name in ["ema.pth", "ema_flat.pth"] {
        for (use_ema, average) in [(false, Average::Beside), (true, Average::Taken)] {
            let model = load(&format!("torch/{name}"), LoadOptions { use_ema, ..LoadOptions::default() });
            let file = model.file.as_ref().unwrap();
            assert_eq!(file.average, average, "{name}");
            // The copy that was not taken does not count.
            assert_eq!(file.formats[&Format::F32].tensors, model.graph.params().len() as u64, "{name}");
            let copies = model.ignored.iter().filter(|i| i.why == Why::OtherCopy).count();
            assert_eq!(copies, if name == "ema_flat.pth" { model.graph.params().len() } else { 0 }, "{name}");
        }
    }
}

#[test]
fn renamings_are_grouped_by_rule_and_listed_in_full() {
    let info = golden("timm_repvgg_tiny", "train");
    let rules = &info.file.as_ref().unwrap().renamings;
    let (tensors, _) = open(&bytes("golden/timm_repvgg_tiny.train.safetensors"));
    let having = |part: &str| {
        let names = tensors.keys().filter(|name| !name.ends_with("num_batches_tracked"));
        names.filter(|name| name.contains(part)).count() as u64
    };
    for (from, to) in [("stem.", "stage0."), (".conv_kxk.", ".rbr_dense."), (".identity.", ".rbr_identity.")] {
        let rule = rules.iter().find(|rule| rule.from == from).unwrap();
        assert_eq!((rule.to.as_str(), rule.tensors), (to, having(from)));
        assert!(rule.tensors > 0);
    }
    let staged = rules.iter().find(|rule| rule.from == "stages.{s}.").unwrap();
    assert_eq!(staged.tensors, having("stages."));
    assert_eq!(info.renamed.len() as u64, having(""));
    assert!(info.renamed.iter().any(|r| r.from == "head.fc.bias" && r.to == "linear.bias"));
    assert!(golden("repvgg_tiny", "train").file.unwrap().renamings.is_empty());
}

#[test]
fn model_files_say_what_they_were_made_of() {
    let model = load("cifar/S4.safetensors", Some("qarepvgg-cifar"));
    let written = checkpoint::model_file::save(&model).unwrap();
    let read = |bytes: &[u8]| ModelInfo::of(&checkpoint::load(bytes, "test", None).unwrap()).unwrap();
    let info = read(&written);
    let file = info.file.as_ref().unwrap();
    assert_eq!((file.contents, file.naming, info.custom), (Contents::ModelFile, None, false));
    assert_eq!(info.source_sha256.as_ref(), Some(&model.source_sha256));
    assert_ne!(file.sha256, model.source_sha256);
    assert!(!info.labels.as_ref().unwrap().built_in);
    assert!(ModelInfo::of(&model).unwrap().labels.unwrap().built_in);
    // The branches are in its graph.
    assert_eq!(info.branches.unwrap().variant, Some("S4"));
    assert_eq!((info.family_name, info.crop_ratio), (Some("QARepVGG"), 1.0));
    // A network of somebody's own has no family.
    let own = remarked(&written, |metadata| {
        let graph = metadata.get_mut("foveate.graph").unwrap();
        *graph = graph.replacen("qarepvgg-cifar", "my net", 1);
    });
    let own = read(&own);
    assert_eq!((own.family, own.family_name, own.custom), (None, None, true));
}

#[test]
fn a_name_is_described_without_weights() {
    let info = ModelInfo::named("RepVGG_A0").unwrap();
    assert_eq!((info.architecture.as_str(), info.form, &info.file), ("repvgg-a0", None, &None));
    assert_eq!((info.classes, info.crop_ratio, info.custom), (1000, 0.875, false));
    assert_eq!((info.stored.parameters, info.fused.parameters), (9_108_968, 8_309_384));
    assert_eq!(info.branches.unwrap().variant, Some("S0/S1"));
    assert!(ModelInfo::named("repvgg-z9").is_err());
}

/// A name is described by the official fused form, a file by folding its branches: the same layers.
#[test]
fn a_name_and_a_checkpoint_of_it_fuse_to_the_same_layers() {
    let gist = |form: &FormInfo| -> Vec<_> {
        let layers = form.layers.iter();
        layers.map(|l| (l.operator, l.output, l.windows.clone(), l.activation, l.parameters, l.macs)).collect()
    };
    for name in ["repvgg-a0", "qarepvgg-a0", "qarepvgg-cifar", "repnext-m0", "repnext-m0e", "mobileone-s0"] {
        let train = Architecture::named(name).unwrap().build(Form::Train, &mut Zeros).unwrap();
        let (fused, _) = foveate::passes::fuse(&train).unwrap();
        let info = ModelInfo::named(name).unwrap();
        assert_eq!(gist(&info.fused), gist(&FormInfo::of(&fused)), "{name}");
        assert_eq!(gist(&info.stored), gist(&FormInfo::of(&train)), "{name}");
        assert!(info.kept.is_empty() && info.fused.layers.len() > 5, "{name}");
    }
}

/// Training computes `bn(se(sum))`: that norm is told as one after the sum, and is kept.
#[test]
fn norms_behind_gates_are_seen_and_named_as_kept() {
    let mut architecture = Architecture::named("qarepvgg-cifar").unwrap();
    let Config::RepVgg(config) = &mut architecture.config else { panic!() };
    config.stages.iter_mut().flatten().for_each(|block| block.squeeze = Some(4));
    let model = LoadedModel {
        graph: architecture.build(Form::Train, &mut Zeros).unwrap(),
        quantization: None,
        architecture: architecture.name,
        form: Form::Train,
        preprocess: architecture.preprocess,
        labels: architecture.labels,
        source_sha256: String::new(),
        file: None,
        renamed: vec![],
        ignored: vec![],
        notes: vec![],
    };
    let info = ModelInfo::of(&model).unwrap();
    assert_eq!(info.branches.unwrap().variant, Some("S4"));
    assert_eq!(info.kept.len(), 7);
    assert!(info.kept.iter().all(|note| note.node.ends_with(".bn") && note.what.contains("gate")), "{:?}", info.kept);
    assert_eq!(info.fused.layers.iter().filter(|layer| layer.operator == "batch_norm").count(), 7);
}
