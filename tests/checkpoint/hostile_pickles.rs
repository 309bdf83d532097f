//! Pickles that want to run something, to grow without bounds or to lie are inert or refused.

use foveate::checkpoint::Checkpoint;
use proptest::prelude::*;

use crate::forge::{Pickle, archive, floats, legacy, small};
use crate::support::{bytes, names};

const FOUR: [f32; 4] = [1.0, 2.0, 3.0, 4.0];

fn read(pickle: Vec<u8>) -> foveate::Result<Checkpoint> {
    Checkpoint::read(&archive(&pickle, &FOUR), "net.pth")
}

#[track_caller]
fn refused(pickle: Vec<u8>, part: &str) {
    let message = read(pickle).unwrap_err().to_string();
    assert!(message.starts_with("net.pth: ") && message.contains(part), "{message:?} lacks {part:?}");
}

/// `{"w": tensor, …}` around what the function adds.
fn beside_a_tensor(add: impl FnOnce(Pickle) -> Pickle) -> Vec<u8> {
    let p = Pickle::new().raw(b"}(").text("w").tensor(4, 0, &[4], &[1]).text("x");
    add(p).raw(b"u").stop()
}

#[test]
fn small_files_are_read_right() {
    for file in [archive(&small(), &FOUR), legacy(&small(), &FOUR)] {
        let checkpoint = Checkpoint::read(&file, "net.pth").unwrap();
        assert_eq!(checkpoint.tensors.keys().collect::<Vec<_>>(), ["w"]);
        assert_eq!((checkpoint.tensors["w"].shape(), checkpoint.tensors["w"].data()), (&[2, 2][..], &FOUR[..]));
    }
}

#[test]
fn views_are_made_contiguous() {
    let view = |offset, size: &[i64], stride: &[i64]| {
        let pickle = Pickle::new().raw(b"}").text("w").tensor(4, offset, size, stride).raw(b"s").stop();
        read(pickle).unwrap().tensors["w"].data().to_vec()
    };
    assert_eq!(view(0, &[2, 2], &[1, 2]), [1.0, 3.0, 2.0, 4.0]);
    assert_eq!(view(1, &[2], &[2]), [2.0, 4.0]);
    assert_eq!(view(3, &[], &[]), [4.0]);
    assert_eq!(view(0, &[2, 1, 1], &[3, i64::MAX, 0]), [1.0, 4.0]);
}

#[test]
fn calls_are_inert() {
    let scratch = tempfile::tempdir().unwrap();
    let witness = scratch.path().join("ran");
    let command = format!("touch {}", witness.display());
    let calls = [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("subprocess", "check_output"),
        ("torch", "load"),
        ("torch.utils.data", "x\\.y"),
    ];
    for (module, name) in calls {
        let call = |p: Pickle| p.global(module, name).text(&command).raw(b"\x85R");
        // Beside the weights, in place of them, and all there is.
        let checkpoint = read(beside_a_tensor(call)).unwrap();
        assert_eq!(checkpoint.tensors["w"].data(), FOUR);
        assert_eq!(names(&checkpoint.dropped), ["x"]);
        refused(call(Pickle::new().raw(b"}").text("model")).raw(b"s").stop(), "holds no weights");
        refused(call(Pickle::new()).stop(), &format!("an object of class {:?}", format!("{module}.{name}")));
        // What a call gives is called, given a state, filled.
        let more = |p| call(p).text("state").raw(b"b").raw(b"N\x85RK\x01K\x02sK\x03a");
        assert_eq!(names(&read(beside_a_tensor(more)).unwrap().dropped), ["x"]);
    }
    assert!(!witness.exists());
}

#[test]
fn other_ways_to_make_objects_are_inert_too() {
    let ways: [fn(Pickle) -> Pickle; 4] = [
        |p| p.global("os", "system").text("ls").raw(b"\x85\x81"),
        |p| p.global("os", "system").text("ls").raw(b"\x85}\x92"),
        |p| p.raw(b"(").global("os", "system").text("ls").raw(b"o"),
        |p| p.text("os").text("system").raw(b"\x93").text("ls").raw(b"\x85R"),
    ];
    for way in ways {
        assert_eq!(names(&read(beside_a_tensor(way)).unwrap().dropped), ["x"]);
    }
    // An instance in text, an extension code, a buffer from elsewhere: not what PyTorch writes.
    for opcodes in [&b"(ios\nsystem\n"[..], b"\x82\x01", b"\x97", b"Pid\n", b"S'ls'\n", b"I1\n"] {
        refused(beside_a_tensor(|p| p.raw(opcodes)), "is not one that PyTorch writes");
    }
}

#[test]
fn a_billion_laughs_stay_small() {
    // Each level holds the one before ten times.
    let laughs = |open: &[u8], fill: fn(Pickle, u32) -> Pickle, close: &[u8]| {
        let base = Pickle::new().tensor(4, 0, &[4], &[1]).put(0);
        (0..60).fold(base, |p, level| fill(p.raw(open), level).raw(close).put(level + 1))
    };
    let ten = |p: Pickle, level| (0..10).fold(p.raw(b"("), |p, _| p.get(level));
    refused(laughs(b"]", ten, b"e").stop(), "a list of 10 values");
    refused(laughs(b"", ten, b"t").stop(), "a list of 10 values");
    let wrappers = |p: Pickle, level| {
        let keys = ["state_dict", "model", "net", "module", "ema", "model_ema", "state_dict_ema"];
        keys.iter().fold(p.raw(b"("), |p, key| p.text(key).get(level))
    };
    refused(laughs(b"}", wrappers, b"u").stop(), "entries around its weights");
    let attributes = |p: Pickle, level| {
        let p = p.global("__torch__", "Net").raw(b")\x81}(");
        (0..10).fold(p, |p, i| p.text(&i.to_string()).get(level)).raw(b"u")
    };
    refused(laughs(b"", attributes, b"b").stop(), "attributes in its modules");
    let modules = |p: Pickle, level| {
        let p = p.global("torch.nn", "Module").raw(b")\x81}").text("_modules").raw(b"}(");
        (0..10).fold(p, |p, i| p.text(&i.to_string()).get(level)).raw(b"us")
    };
    refused(laughs(b"", modules, b"b").stop(), "attributes in its modules");
}

#[test]
fn a_million_levels_are_no_deeper_than_one() {
    const DEPTH: usize = 1_000_000;
    let nested =
        |open: &[u8], close: &[u8]| [b"\x80\x02", &open.repeat(DEPTH)[..], b"N", &close.repeat(DEPTH), b"."].concat();
    refused(nested(b"]", b"a"), "a list of 1 values");
    refused(nested(b"(", b"t"), "a list of 1 values");
    refused(nested(b"", b"\x85"), "a list of 1 values");
    refused(nested(b"}X\x05\0\0\0model", b"s"), "a dictionary of 1 entries (\"model\")");
    refused(nested(b"(", b""), "no state dict and no module");
    refused(nested(b"cos\nsystem\n", b"\x85R"), "class \"os.system\"");
    let modules = nested(b"c__torch__\nA\n)\x81}X\x01\0\0\0m", b"sb");
    assert!(modules.len() > 20 * DEPTH);
    refused(modules, "steps to build");
    let modules = [b"c__torch__\nA\n)\x81}X\x01\0\0\0m".repeat(1000), b"N".to_vec(), b"sb".repeat(1000)].concat();
    refused(Pickle::new().raw(modules).stop(), "nested more than 64 deep, at \"m.m.m");
}

#[test]
fn what_holds_itself_is_refused() {
    let dict = Pickle::new().raw(b"}").put(0).text("model").get(0).raw(b"s").stop();
    refused(dict, "holds no weights");
    let module =
        Pickle::new().global("__torch__", "A").raw(b")\x81").put(0).raw(b"}").text("a").get(0).raw(b"sb").stop();
    refused(module, "nested more than 64 deep");
}

#[test]
fn copies_count_as_steps() {
    // A long list once, then dictionaries and sets made of it again and again.
    for (module, name) in [("collections", "OrderedDict"), ("builtins", "set")] {
        let pairs = (0..10_000).fold(Pickle::new().raw(b"]("), |p, _| p.raw(b"NN\x86"));
        let list = pairs.raw(b"e\x85").put(0).global(module, name).put(1);
        refused((0..10_000).fold(list, |p, _| p.get(1).get(0).raw(b"R0")).stop(), "steps to build");
    }
}

#[test]
fn impossible_lengths_are_refused() {
    let huge = u64::MAX / 2 + 1;
    for opcode in [0x8d, 0x8e, 0x96] {
        let p = Pickle::new().raw([opcode]).raw(huge.to_le_bytes()).stop();
        refused(p, "9223372036854775808 bytes are announced, but 1 follow");
    }
    for opcode in [b"X", b"B", b"T", b"\x8b"] {
        refused(Pickle::new().raw(opcode).raw([0xff; 4]).stop(), "4294967295 bytes are announced");
    }
    refused(Pickle::new().get(u32::MAX).stop(), "the memo has no entry 4294967295");
    refused(Pickle::new().raw(b"N").put(u32::MAX).stop(), "holds no weights");
    refused(b"\x80\x09N.".to_vec(), "pickle protocol 9");
}

#[test]
fn impossible_tensors_are_refused_by_name() {
    let tensor = |count, offset, size: &[i64], stride: &[i64], part: &str| {
        let pickle = Pickle::new().raw(b"}").text("conv.weight").tensor(count, offset, size, stride).raw(b"s").stop();
        refused(pickle.clone(), part);
        refused(pickle, "tensor \"conv.weight\"");
    };
    let half = i64::MAX / 2 + 1;
    tensor(4, 0, &[5], &[1], "does not fit its storage of 4 elements");
    tensor(4, 1, &[4], &[1], "does not fit its storage of 4 elements");
    tensor(4, i64::MAX, &[2], &[1], "does not fit its storage");
    tensor(4, -1, &[4], &[1], "impossible offset (-1)");
    tensor(4, 0, &[-4], &[1], "impossible size (-4)");
    tensor(4, 0, &[2], &[-1], "impossible stride (-1)");
    tensor(4, 0, &[half, half], &[half, 1], "impossibly large");
    tensor(4, 0, &[2, 2], &[i64::MAX, 1], "does not fit");
    tensor(4, 0, &[2, 2], &[1, 1], "overlaps itself");
    tensor(4, 0, &[1 << 40], &[0], "overlaps itself");
    tensor(4, 0, &[0], &[1], "is empty");
    tensor(4, 0, &[2, 2], &[1], "2 sizes and 1 strides");
    tensor(4, 0, &[1; 9], &[1; 9], "9 dimensions");
    tensor(5, 0, &[5], &[1], "wants a storage of 5 elements, but \"0\" holds 16 bytes");
    tensor(i64::MAX, 0, &[1 << 40], &[1], "wants a storage of 9223372036854775807 elements");
    refused(
        Pickle::new().raw(b"}").text("w").tensor(-4, 0, &[1], &[1]).raw(b"s").stop(),
        "storage \"0\" has an impossible size",
    );
}

#[test]
fn tensors_of_no_sense_are_refused() {
    let rebuilt = |p: Pickle| p.global("torch._utils", "_rebuild_tensor_v2").raw(b"(");
    let tensor = |args: fn(Pickle) -> Pickle| args(rebuilt(Pickle::new().raw(b"}").text("w"))).raw(b"tRs").stop();
    refused(tensor(|p| p.text("0").int(0).ints(&[1]).ints(&[1])), "tensor \"w\" has no storage");
    refused(
        tensor(|p| p.storage("FloatStorage", "0", 4).raw(b"N").ints(&[1]).ints(&[1])),
        "impossible offset: it is no number",
    );
    refused(
        tensor(|p| p.storage("FloatStorage", "0", 4).int(0).int(4).ints(&[1])),
        "a size that is no list of numbers",
    );
    refused(
        tensor(|p| p.storage("FloatStorage", "9", 4).int(0).ints(&[1]).ints(&[1])),
        "under \"9\", which the file lacks",
    );
    refused(
        tensor(|p| p.storage("SystemStorage", "0", 4).int(0).ints(&[1]).ints(&[1])),
        "\"torch.SystemStorage\" is no known kind",
    );
    // Without arguments it is a call like any other.
    refused(tensor(|p| p), "holds no weights");
    refused(Pickle::new().text("storage").raw(b"\x85Q.").stop(), "persistent id is not that of a storage");
    refused(Pickle::new().tensor(4, 0, &[4], &[1]).stop(), "one tensor without a name");
}

#[test]
fn messages_are_short_and_fit_for_a_terminal() {
    let keys = Pickle::new().raw(b"}").text(&"\x1b[2J".repeat(100_000)).raw(b"Ns").stop();
    let class = Pickle::new().global("a\x1b[2J", &"b".repeat(100_000)).raw(b")\x81").stop();
    let key = Pickle::new().raw(b"(").text("storage").global("torch", "FloatStorage");
    let key = key.text(&"\x1b".repeat(100_000)).text("cpu").int(-1).raw(b"tQ").stop();
    for pickle in [keys, class, key] {
        let message = read(pickle).unwrap_err().to_string();
        assert!(message.contains("\\u{1b}") && !message.contains('\x1b') && message.len() < 2000, "{message:?}");
    }
}

#[test]
fn numbers_that_are_no_weights_are_left_out() {
    let of = |class: &str| {
        let p = Pickle::new().raw(b"}(").text("w").tensor(4, 0, &[4], &[1]).text("x");
        let p = p.global("torch._utils", "_rebuild_tensor_v2").raw(b"(").storage(class, "0", 2);
        p.int(0).ints(&[2]).ints(&[1]).raw(b"\x89NtRu").stop()
    };
    for class in ["LongStorage", "IntStorage", "BoolStorage", "QInt8Storage", "ComplexFloatStorage"] {
        let checkpoint = read(of(class)).unwrap();
        assert_eq!((checkpoint.tensors.len(), names(&checkpoint.dropped)), (1, vec!["x"]), "{class}");
    }
    assert_eq!(read(of("DoubleStorage")).unwrap().tensors.len(), 2);
}

#[test]
fn a_storage_is_not_shared_without_end() {
    let many = |count: u32| {
        let p = Pickle::new().tensor(4, 0, &[4], &[1]).put(0).raw(b"0}(");
        (0..count).fold(p, |p, i| p.text(&format!("w{i}")).get(0)).raw(b"u").stop()
    };
    assert_eq!(read(many(3)).unwrap().tensors.len(), 3);
    // A thousand times 4 KiB out of a file of some 20 KiB.
    let p = Pickle::new().tensor(1000, 0, &[1000], &[1]).put(0).raw(b"0}(");
    let pickle = (0..1000).fold(p, |p, i| p.text(&format!("w{i}")).get(0)).raw(b"u").stop();
    let message = Checkpoint::read(&archive(&pickle, &[1.0; 1000]), "net.pth").unwrap_err().to_string();
    assert!(message.contains("more than twice as large as the file"), "{message}");
}

#[test]
fn one_name_means_one_tensor() {
    let twice = Pickle::new().raw(b"}(").text("w").tensor(4, 0, &[4], &[1]).text("w").tensor(4, 0, &[2], &[1]);
    refused(twice.raw(b"u").stop(), "holds two tensors \"w\"");
    let long = Pickle::new().raw(b"}").text(&"w".repeat(600)).tensor(4, 0, &[4], &[1]).raw(b"s").stop();
    refused(long, "names of more than 512 bytes");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for file in [archive(&small(), &FOUR), legacy(&small(), &FOUR)] {
        assert!(Checkpoint::read(&file, "net.pth").is_ok() && file.len() > 200);
        for length in 0..file.len() {
            let cut = Checkpoint::read(&file[..length], "net.pth");
            assert!(cut.is_err(), "{length} of {} bytes are enough", file.len());
        }
    }
    let pickle = small();
    (0..pickle.len()).for_each(|length| assert!(read(pickle[..length].to_vec()).is_err(), "{length}"));
}

#[test]
fn a_damaged_legacy_file_is_refused() {
    let refused = |file: &[u8], part: &str| {
        let message = Checkpoint::read(file, "net.pth").unwrap_err().to_string();
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    };
    let file = legacy(&small(), &FOUR);
    refused(&file[..file.len() - 1], "ends within storage \"0\"");
    let mut huge = file.clone();
    let count = huge.len() - 24;
    huge[count..count + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    refused(&huge, "ends within storage \"0\"");
    let mut version = file.clone();
    version[18] = 7;
    refused(&version, "version 775 of the legacy format");
    let empty = Pickle::new().raw(b"}").stop();
    refused(&legacy(&empty, &FOUR), "a storage \"0\" of which nothing is known");
}

#[test]
fn big_endian_legacy_files_are_read() {
    let mut file = legacy(&small(), &[]);
    let little = file.windows(2).position(|w| w == b"\x88s").unwrap();
    file[little] = 0x89;
    file.truncate(file.len() - 8);
    file.extend(4u64.to_be_bytes());
    file.extend(FOUR.iter().flat_map(|v| v.to_be_bytes()));
    assert_eq!(Checkpoint::read(&file, "net.pth").unwrap().tensors["w"].data(), FOUR);
    assert_ne!(floats(&FOUR), FOUR.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<_>>());
}

/// Changes mostly to bytes that the pickle machine knows.
fn changes(len: usize) -> impl Strategy<Value = Vec<(usize, u8)>> {
    let opcode = proptest::sample::select(
        b"(.012N\x88\x89JKM\x8a\x8bGTUXBC)t\x85\x86\x87]lae}dsu\x8f\x90hjqrc\x93R\x81\x92obQ".to_vec(),
    );
    proptest::collection::vec((0..len, prop_oneof![any::<u8>(), opcode]), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_change_of_bytes_makes_a_pickle_panic(changes in changes(5_000), whole in any::<bool>()) {
        // A state dict and a whole module, each with its pickle first and no sums.
        let mut file = bytes(if whole { "torch/module_legacy.pt" } else { "torch/legacy.pth" });
        changes.iter().for_each(|(at, byte)| file[*at] = *byte);
        if let Err(error) = Checkpoint::read(&file, "test") {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn no_pickle_makes_the_reader_panic(opcodes in changes(256)) {
        let mut pickle = small();
        for (at, byte) in opcodes {
            let at = at % pickle.len();
            pickle.insert(at, byte);
        }
        if let Ok(checkpoint) = read(pickle) {
            prop_assert!(checkpoint.tensors.values().all(|t| !t.is_empty()));
        }
    }
}
