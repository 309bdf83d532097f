//! What training scripts put around weights, in pickles put together by hand.

use foveate::checkpoint::{Average, Checkpoint};

use crate::forge::{Pickle, archive};
use crate::support::names;

const FOUR: [f32; 4] = [1.0, 2.0, 3.0, 4.0];

/// A key and what puts its value on the stack.
type Entry<'a> = (&'a str, fn(Pickle) -> Pickle);

/// A dictionary of these entries on top of the pickle's stack.
fn dict(p: Pickle, entries: &[Entry]) -> Pickle {
    entries.iter().fold(p.raw(b"}("), |p, (key, value)| value(p.text(key))).raw(b"u")
}

/// A state dict whose one tensor is the number at that place.
fn weights<const AT: i64>(p: Pickle) -> Pickle {
    p.global("collections", "OrderedDict").raw(b")R(").text("w").tensor(4, AT, &[1], &[1]).raw(b"u")
}

fn nothing(p: Pickle) -> Pickle {
    p.raw(b"N")
}

fn name(p: Pickle) -> Pickle {
    p.text("repvgg_a0")
}

fn number(p: Pickle) -> Pickle {
    p.tensor(4, 3, &[], &[])
}

fn stub(p: Pickle) -> Pickle {
    p.global("argparse", "Namespace").raw(b")\x81}").text("lr").raw(b"K\x01sb")
}

/// An object that holds an averaged model, as YOLOv6's `ModelEMA` does.
fn holder(p: Pickle) -> Pickle {
    dict(p.global("utils.ema", "ModelEMA").raw(b")\x81"), &[("updates", nothing), ("ema", module)]).raw(b"b")
}

/// A module with a parameter of 2, a buffer, one that is not kept, and a module that has none.
fn module(p: Pickle) -> Pickle {
    let parts: [Entry; 4] = [
        ("_parameters", |p| dict(p, &[("w", |p| p.tensor(4, 1, &[1], &[1])), ("bias", nothing)])),
        ("_buffers", |p| dict(p, &[("mean", |p| p.tensor(4, 2, &[1], &[1])), ("grid", number)])),
        ("_non_persistent_buffers_set", |p| p.global("__builtin__", "set").raw(b"](").text("grid").raw(b"e\x85R")),
        ("_modules", |p| dict(p, &[("act", stub), ("none", nothing)])),
    ];
    dict(p.global("net", "Net").raw(b")\x81"), &parts).raw(b"b")
}

fn read(pickle: Vec<u8>, use_ema: bool) -> Checkpoint {
    Checkpoint::read_ema(&archive(&pickle, &FOUR), "net.pth", use_ema).unwrap()
}

#[test]
fn weights_are_found_wherever_they_are() {
    let wrapped: [(&[Entry], f32, f32); 8] = [
        (&[("state_dict", weights::<0>), ("state_dict_ema", weights::<1>)], 1.0, 2.0),
        (&[("ema", weights::<1>), ("model", weights::<0>), ("loss", number)], 1.0, 2.0),
        (&[("model", name), ("state_dict", weights::<0>), ("model_ema", weights::<1>)], 1.0, 2.0),
        (&[("model", nothing), ("ema", weights::<1>), ("args", stub)], 2.0, 2.0),
        (&[("model", weights::<0>), ("ema", holder)], 1.0, 2.0),
        (&[("model", weights::<0>), ("ema", module)], 1.0, 2.0),
        (&[("checkpoint", |p| dict(p, &[("model", weights::<0>), ("ema", weights::<1>)]))], 1.0, 2.0),
        (&[("model", |p| dict(p, &[("module", weights::<0>)])), ("model_ema", weights::<1>)], 1.0, 2.0),
    ];
    for (entries, plain, average) in wrapped {
        let pickle = dict(Pickle::new(), entries).stop();
        let keys: Vec<&str> = entries.iter().map(|(key, _)| *key).collect();
        assert_eq!(read(pickle.clone(), false).tensors["w"].data(), [plain], "{keys:?}");
        assert_eq!(read(pickle, true).tensors["w"].data(), [average], "{keys:?}");
    }
}

#[test]
fn a_module_gives_what_its_state_dict_would() {
    let checkpoint = read(module(Pickle::new()).stop(), false);
    assert_eq!(checkpoint.tensors.keys().collect::<Vec<_>>(), ["mean", "w"]);
    assert_eq!((checkpoint.tensors["w"].data(), checkpoint.tensors["mean"].data()), (&[2.0][..], &[3.0][..]));
    assert!(checkpoint.notes.is_empty());
}

#[test]
fn an_average_is_taken_and_told_of_when_there_is_nothing_else() {
    let checkpoint = read(dict(Pickle::new(), &[("epoch", nothing), ("ema", weights::<1>)]).stop(), false);
    assert!(checkpoint.notes[0].contains("an exponential moving average, which is taken"), "{:?}", checkpoint.notes);
    assert_eq!(names(&checkpoint.dropped), ["epoch"]);
    assert_eq!(checkpoint.facts.average, Average::Taken);
}

#[test]
fn parameters_in_all_their_wrappings_are_tensors() {
    let wrappings: [fn(Pickle) -> Pickle; 5] = [
        |p| p.global("torch._utils", "_rebuild_parameter").raw(b"(").tensor(4, 1, &[1], &[1]).raw(b"\x88NtR"),
        |p| {
            p.global("torch._utils", "_rebuild_parameter_with_state")
                .raw(b"(")
                .tensor(4, 1, &[1], &[1])
                .raw(b"\x88N}tR")
        },
        |p| {
            let p = p.global("torch._tensor", "_rebuild_from_type_v2").raw(b"(");
            let p = p.global("torch._utils", "_rebuild_tensor_v2").global("net", "Tensor").raw(b"(");
            p.storage("FloatStorage", "0", 4).int(1).ints(&[1]).ints(&[1]).raw(b"\x89NtNtR")
        },
        |p| {
            let p = p.global("torch._utils", "_rebuild_tensor").raw(b"(").storage("FloatStorage", "0", 4).int(1);
            p.global("torch", "Size").ints(&[1]).raw(b"\x85R").ints(&[1]).raw(b"tR")
        },
        |p| {
            // Lists of TorchScript; a storage on a GPU; a name in Python 2's strings.
            let p = p
                .global("torch._utils", "_rebuild_tensor_v2")
                .raw(b"((U\x07storage")
                .global("torch.cuda", "FloatStorage");
            let p = p.raw(b"U\x010U\x06cuda:0K\x04tQK\x01");
            let list = |p: Pickle| p.global("torch.jit._pickle", "build_intlist").raw(b"]K\x01a\x85R");
            list(list(p)).raw(b"\x89NtR")
        },
    ];
    for wrapping in wrappings {
        let pickle = wrapping(Pickle::new().raw(b"}").text("w")).raw(b"s").stop();
        assert_eq!(read(pickle, false).tensors["w"].data(), [2.0]);
    }
}

#[test]
fn classes_with_their_source_are_classes() {
    // Files of old versions carry the source code of modules along.
    let p =
        Pickle::new().raw(b"(").text("module").global("net", "Net").text("net.py").text("class Net: ...").raw(b"tQ");
    let p = dict(p.raw(b")\x81"), &[("_parameters", weights::<1>), ("_modules", |p| p.raw(b"}"))]).raw(b"b");
    assert_eq!(read(p.stop(), false).tensors["w"].data(), [2.0]);
}
