//! Every kind of bad file has its test and its message.

use foveate::Error;
use foveate::checkpoint::{self, load};
use proptest::prelude::*;
use safetensors::Dtype;

use crate::support::{bytes, edited, floats, with_header};

const TRAIN: &str = "golden/repvgg_tiny.train.safetensors";

fn refused(bytes: &[u8]) -> String {
    load(bytes, "net.safetensors", None).unwrap_err().to_string()
}

fn refused_as(bytes: &[u8], arch: &str) -> String {
    load(bytes, "net.safetensors", Some(arch)).unwrap_err().to_string()
}

#[track_caller]
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = checkpoint::load_file("/nowhere/net.safetensors", None).unwrap_err();
    assert!(matches!(error, Error::Io { .. }));
    assert_says(&error.to_string(), &["cannot read /nowhere/net.safetensors"]);
}

#[test]
fn an_empty_or_short_file() {
    assert_says(&refused(b""), &["net.safetensors: is an empty file", "download it again"]);
    assert_says(&refused(b"abc"), &["is 3 bytes long, too short"]);
    assert_says(&refused(&with_header("{}", b"")), &["holds no tensors"]);
}

#[test]
fn other_kinds_of_file_are_called_by_name() {
    assert_says(&refused(b"PK\x03\x04 and so on"), &["zip archive", "truncated"]);
    assert_says(&refused(b"\x80\x02}q\x00."), &["Python pickle", "neither one that torch.save has written"]);
    assert_says(&refused(b"\x89HDF\r\n\x1a\n and so on"), &["HDF5 file", "safetensors.torch.save_file"]);
    let unpack = "unpack it, and give the checkpoint in it";
    for (start, words) in [
        (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0"[..], ["a PNG picture", "give it as the picture"]),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01", ["a JPEG picture", "give it as the picture"]),
        (b"GIF89a\0\x01, certainly no weights", ["a GIF picture", "give it as the picture"]),
        (b"RIFF\x24\0\0\0WEBPVP8 \0\0", ["a WebP picture", "give it as the picture"]),
        (b"\x08\x08\x12\x07pytorch\x1a\x052.4.0", ["an ONNX model", "reads checkpoints of PyTorch and safetensors"]),
        (b"\x1c\0\0\0TFL3\x14\0\0\0", ["a TensorFlow Lite model", "the one that this was made from"]),
        (b"GGUF\x03\0\0\0\x10\0\0\0", ["a GGUF model", "reads checkpoints of PyTorch and safetensors"]),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", ["a gzip file", unpack]),
        (b"\xfd7zXZ\0\0\x04", ["an xz file", unpack]),
        (b"\x28\xb5\x2f\xfd\x04\x58\0", ["a zstd file", unpack]),
    ] {
        assert_says(&refused(start), &["net.safetensors: is ", words[0], "not a checkpoint; ", words[1]]);
    }
}

/// Of the kind, but damaged: the place counts, not the kind.
#[test]
fn a_header_that_begins_like_another_file_is_still_a_header() {
    let length = u64::from(u16::from_le_bytes(*b"\x1f\x8b"));
    let file = [&length.to_le_bytes()[..], b"{\"w\":{}}"].concat();
    assert_says(&refused(&file), &["header claims 35615 bytes", "truncated"]);
}

/// What a download that went wrong leaves in place of the weights.
#[test]
fn texts_are_told_from_weights() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    assert_says(&refused(pointer.as_bytes()), &["pointer of Git LFS", "git lfs pull"]);
    assert_says(&refused(b"\n<!DOCTYPE html><html><title>Not Found</title>"), &["web page"]);
    let cut_within_a_character = format!("{}\u{e9}", "a".repeat(255));
    for words in ["{\"error\": \"no such model\"}", &cut_within_a_character] {
        assert_says(&refused(words.as_bytes()), &["text, not a checkpoint"]);
    }
    assert_says(&refused(b"404: Not Found"), &["is a text, not a checkpoint"]);
}

#[test]
fn a_truncated_file() {
    let file = bytes(TRAIN);
    assert_says(&refused(&file[..file.len() - 100]), &["stage", "truncated or its header lies"]);
    assert_says(&refused(&file[..1000]), &["header claims", "but 992 follow"]);
    let mut longer = file;
    longer.extend([0; 12]);
    assert_says(&refused(&longer), &["12 bytes at the end belong to no tensor"]);
}

#[test]
fn a_header_that_is_no_header() {
    assert_says(&refused(&with_header("{\"a\": oops}", b"")), &["not valid JSON"]);
    assert_says(&refused(&with_header("[1, 2]", b"")), &["not a JSON object"]);
    assert_says(
        &refused(&with_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", b"1234")),
        &["\"a\" has no valid data_offsets"],
    );
    assert!(refused(&[&u64::MAX.to_le_bytes()[..], b"{}"].concat()).contains("header claims"));
}

#[test]
fn a_header_that_lies_about_a_tensor() {
    let tensor = |shape: &str, from: u64, to: u64| {
        with_header(
            &format!("{{\"w\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}}}"),
            &[0; 16],
        )
    };
    assert_says(&refused(&tensor("[5]", 0, 16)), &["\"w\"", "shape [5]", "not 16 bytes"]);
    assert_says(&refused(&tensor("[4]", 0, u64::MAX / 2)), &["\"w\"", "file holds 16 bytes"]);
    assert_says(&refused(&tensor("[4]", 16, 0)), &["\"w\"", "bytes 16 to 0"]);
    assert_says(&refused(&tensor("[3]", 4, 16)), &["4 bytes before tensor \"w\""]);
    assert_says(&refused(&tensor("[4294967296,4294967296,4]", 0, 16)), &["\"w\"", "not 16 bytes"]);
    assert_says(&refused(&tensor("[-4]", 0, 16)), &["\"w\""]);
}

#[test]
fn names_that_are_there_twice() {
    let tensor = |from: u64| format!("{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[{from},{}]}}", from + 8);
    let (first, second) = (tensor(0), tensor(8));
    let header =
        |names: [&str; 2]| with_header(&format!("{{\"{}\":{first},\"{}\":{second}}}", names[0], names[1]), &[0; 16]);
    assert_says(
        &refused(&header(["stem.weight", "stem.weight"])),
        &["net.safetensors: tensor \"stem.weight\" is in the header twice"],
    );
    // The same name, written otherwise; and the same place.
    assert_says(&refused(&header(["w", "\\u0077"])), &["tensor \"w\" is in the header twice"]);
    let same = with_header(&format!("{{\"w\":{first},\"w\":{first}}}"), &[0; 8]);
    assert_says(&refused(&same), &["tensor \"w\" is in the header twice"]);
    let entries = "{\"a\":\"1\",\"b\":\"2\",\"a\":\"3\"}";
    let file = with_header(&format!("{{\"__metadata__\":{entries},\"w\":{first}}}"), &[0; 8]);
    assert_says(&refused(&file), &["metadata entry \"a\" is in the header twice"]);
    let file = with_header(&format!("{{\"__metadata__\":{{}},\"__metadata__\":{{}},\"w\":{first}}}"), &[0; 8]);
    assert_says(&refused(&file), &["the metadata is in the header twice"]);
    assert!(!refused(&header(["v", "w"])).contains("twice"));
}

#[test]
fn tensors_that_overlap() {
    let header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\
                   \"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}";
    assert_says(&refused(&with_header(header, &[0; 12])), &["\"a\" and \"b\" overlap at byte 4"]);
}

#[test]
fn weights_that_are_not_finite() {
    for value in [f32::NAN, f32::INFINITY] {
        let file = edited(&bytes(TRAIN), |tensors| {
            tensors.get_mut("linear.bias").unwrap().2[8..12].copy_from_slice(&value.to_le_bytes())
        });
        assert_says(&refused(&file), &["\"linear.bias\"", "at index 2 of 10", "finite"]);
    }
    let too_large = edited(&bytes(TRAIN), |tensors| {
        tensors.insert("linear.bias".into(), (Dtype::F64, vec![1], 1e300f64.to_le_bytes().to_vec()));
    });
    assert_says(&refused(&too_large), &["\"linear.bias\" holds inf"]);
}

#[test]
fn negative_variances() {
    let file = edited(&bytes(TRAIN), |tensors| {
        let variance = tensors.get_mut("stage0.rbr_1x1.bn.running_var").unwrap();
        variance.2[..4].copy_from_slice(&(-1f32).to_le_bytes());
    });
    assert_says(&refused(&file), &["1 tensor with negative variances: stage0.rbr_1x1.bn.running_var"]);
}

#[test]
fn a_dtype_that_holds_no_weights() {
    let file = edited(&bytes(TRAIN), |tensors| {
        tensors.insert("linear.bias".into(), (Dtype::I8, vec![10], vec![0; 10]));
    });
    assert_says(&refused(&file), &["\"linear.bias\" has dtype I8", "F32, F16, BF16 and F64"]);
}

#[test]
fn empty_tensors() {
    let file = edited(&bytes(TRAIN), |tensors| {
        tensors.insert("linear.weight".into(), (Dtype::F32, vec![0, 1 << 60], vec![]));
    });
    assert_says(&refused(&file), &["\"linear.weight\" is empty"]);
}

#[test]
fn another_family_altogether() {
    let file = edited(&bytes(TRAIN), |tensors| {
        tensors.clear();
        tensors.insert("layer1.0.conv1.weight".into(), floats(&[1, 1, 1, 1], &[1.0]));
        tensors.insert("fc.weight".into(), floats(&[1, 1], &[1.0]));
    });
    assert_says(&refused(&file), &["fc.weight, layer1.0.conv1.weight", "not those of RepVGG"]);
}

#[test]
fn another_family_than_the_one_named() {
    assert_says(&refused_as(&bytes(TRAIN), "mobileone-s0"), &["those of RepVGG", "mobileone-s0 is MobileOne"]);
}

#[test]
fn another_variant_than_the_one_named() {
    let message = refused_as(&bytes(TRAIN), "repvgg-a0");
    assert_says(&message, &["net.safetensors as repvgg-a0", "missing: stage1.1.rbr_dense.conv.weight", "and"]);
    assert_says(
        &message,
        &["of the wrong shape: stage0.rbr_dense.conv.weight is [16, 3, 3, 3], expected [48, 3, 3, 3]"],
    );
    // So much is missing that looking stops early; then nothing is said to be left over.
    let message = refused_as(&bytes("cifar/S4.safetensors"), "qarepvgg-a0");
    assert_says(&message, &["tensors missing: stage2.3", "tensors of the wrong shape: stage0"]);
    assert!(!message.contains("not part of this network"), "{message}");
}

#[test]
fn an_unknown_variant() {
    assert_says(&refused_as(&bytes(TRAIN), "repvgg-a7"), &["unknown model \"repvgg-a7\"", "repvgg-a0"]);
}

#[test]
fn missing_tensors_are_named_as_in_the_file() {
    let without =
        |file: &str, part: &str| edited(&bytes(file), |tensors| tensors.retain(|name, _| !name.contains(part)));
    let message = refused(&without(TRAIN, "stage2.1.rbr_1x1.bn.weight"));
    assert_says(&message, &["1 tensor missing: stage2.1.rbr_1x1.bn.weight"]);
    assert_says(&refused(&without(TRAIN, "stage2.1.rbr_dense.conv")), &["missing: stage2.1.rbr_dense.conv.weight"]);
    assert_says(&refused(&without(TRAIN, "stage2.0.")), &["block stage2.0 is missing"]);
    assert_says(&refused(&without(TRAIN, "stage2.")), &["block stage2.0 is missing"]);
    assert_says(&refused(&without(TRAIN, "linear.weight")), &["missing: linear.weight"]);
    let timm = "golden/timm_repvgg_tiny.train.safetensors";
    assert_says(&refused(&without(timm, "stages.1.1.conv_1x1.bn.bias")), &["missing: stages.1.1.conv_1x1.bn.bias"]);
    let repnext = "golden/repnext_tiny.train.safetensors";
    let message = refused(&without(repnext, "conv_7_"));
    assert_says(&message, &["32 tensors missing: stages.0.blocks.0.token_mixer.conv_m.conv_7_7.weight", "and 28 more"]);
}

#[test]
fn extra_tensors_are_named() {
    let file = edited(&bytes(TRAIN), |tensors| {
        tensors.insert("aux_head.weight".into(), floats(&[2], &[1.0, 2.0]));
    });
    assert_says(&refused(&file), &["1 tensor not part of this network: aux_head.weight"]);
}

#[test]
fn tensors_of_the_wrong_shape_are_named() {
    let file = edited(&bytes(TRAIN), |tensors| {
        tensors.insert("stage1.0.rbr_1x1.bn.weight".into(), floats(&[3], &[1.0; 3]));
    });
    assert_says(&refused(&file), &["1 tensor of the wrong shape: stage1.0.rbr_1x1.bn.weight is [3], expected [16]"]);
    let file = edited(&bytes(TRAIN), |tensors| {
        tensors.insert("stage1.0.rbr_dense.conv.weight".into(), floats(&[16, 7, 1, 1], &[1.0; 112]));
    });
    assert_says(&refused(&file), &["stage1.0.rbr_dense.conv.weight reads 7 channels per group, but 16 come in"]);
    let file = edited(&bytes(TRAIN), |tensors| {
        tensors.insert("linear.weight".into(), floats(&[640], &[1.0; 640]));
    });
    assert_says(&refused(&file), &["linear.weight has shape [640], expected 2 dimensions"]);
}

#[test]
fn one_tensor_under_two_names() {
    let file = edited(&bytes("golden/qarepvgg_tiny_S4.train.safetensors"), |tensors| {
        let copy = tensors["stage0.rbr_1x1.weight"].clone();
        tensors.insert("stage0.rbr_1x1.conv.weight".into(), copy);
    });
    assert_says(&refused(&file), &["two tensors mean \"stage0.rbr_1x1.conv.weight\""]);
}

#[test]
fn huge_claimed_widths_do_not_allocate_huge_stand_ins() {
    let file = edited(&bytes("golden/repvgg_tiny.deploy.safetensors"), |tensors| {
        for name in ["stage1.0.rbr_reparam.weight", "stage2.0.rbr_reparam.weight"] {
            tensors.insert(name.into(), floats(&[1 << 18, 1, 1, 1], &vec![0.0; 1 << 18]));
        }
    });
    assert_says(&refused(&file), &["stage1.0.rbr_reparam.weight is [262144, 1, 1, 1], expected [262144, 1, 3, 3]"]);
}

/// Mostly the header, where a change means something; the rest is numbers.
fn mutations(len: usize) -> impl Strategy<Value = (Vec<(usize, u8)>, usize)> {
    let position = prop_oneof![8 => 0..len.min(12_000), 1 => 0..len];
    let byte = prop_oneof![any::<u8>(), (b'0'..=b'9'), Just(b'"'), Just(b','), Just(b'['), Just(b'-')];
    let length = prop_oneof![4 => Just(len), 1 => 0..len];
    (proptest::collection::vec((position, byte), 0..6), length)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_change_of_bytes_makes_a_checkpoint_panic(changes in mutations(65_112)) {
        let mut file = bytes("golden/timm_mobileone_tiny.deploy.safetensors");
        prop_assert_eq!(file.len(), 65_112);
        changes.0.iter().for_each(|(at, byte)| file[*at] = *byte);
        file.truncate(changes.1);
        if let Err(error) = load(&file, "test", None) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
