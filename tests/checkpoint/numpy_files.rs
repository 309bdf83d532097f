//! State dicts of NumPy arrays, as plain `pickle.dump` writes them.

use foveate::checkpoint::Checkpoint;

use crate::forge::{Pickle, archive};
use crate::support::{bytes, names};

fn read(file: &[u8]) -> foveate::Result<Checkpoint> {
    Checkpoint::read(file, "net.pkl")
}

#[track_caller]
fn refused(file: &[u8], part: &str) {
    let message = read(file).unwrap_err().to_string();
    assert!(message.starts_with("net.pkl: ") && message.contains(part), "{message:?} lacks {part:?}");
}

#[test]
fn arrays_of_every_protocol_are_read() {
    for protocol in [2, 4, 5] {
        let file = bytes(&format!("../fuzz/seeds/pickle/numpy{protocol}.pkl"));
        let checkpoint = read(&file).unwrap();
        assert_eq!(checkpoint.tensors.keys().collect::<Vec<_>>(), ["columns", "half", "w"], "{protocol}");
        let tensor = |name: &str| (checkpoint.tensors[name].shape().to_vec(), checkpoint.tensors[name].data().to_vec());
        assert_eq!(tensor("w"), (vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
        assert_eq!(tensor("columns"), (vec![2, 3], vec![0.5, 1.0, 1.5, 2.0, 2.5, 3.0]));
        assert_eq!(tensor("half"), (vec![2], vec![1.5, -2.0]));
        let dropped: std::collections::BTreeSet<&str> = names(&checkpoint.dropped).into_iter().collect();
        assert_eq!(dropped, ["count", "scalar"].into());
        (0..file.len()).for_each(|length| assert!(read(&file[..length]).is_err(), "{length} bytes are enough"));
    }
}

/// `{"w": array}` of the shape, type, order and bytes, as protocol 4 has it.
fn array(shape: &[i64], dtype: &str, columns: bool, data: &[u8]) -> Vec<u8> {
    let p = Pickle::new().raw(b"}").text("w").global("numpy.core.multiarray", "_reconstruct");
    let p = p.raw(b"(").global("numpy", "ndarray").raw(b"K\0\x85C\x01btR(K\x01").ints(shape);
    let p = p.global("numpy", "dtype").text(dtype).raw(b"\x89\x88\x87R(K\x03").text("<").raw(b"NNNtb");
    let p = p.raw(if columns { b"\x88" } else { b"\x89" }).raw(b"B").raw((data.len() as u32).to_le_bytes());
    p.raw(data).raw(b"tbs").stop()
}

#[test]
fn arrays_that_lie_are_refused() {
    let numbers: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(read(&array(&[2, 2], "f4", true, &numbers)).unwrap().tensors["w"].data(), [1.0, 3.0, 2.0, 4.0]);
    // Also beside the storages of a file of PyTorch.
    let inside = archive(&array(&[4], "f4", false, &numbers), &[1.0]);
    assert_eq!(read(&inside).unwrap().tensors["w"].data(), [1.0, 2.0, 3.0, 4.0]);
    refused(&array(&[5], "f4", false, &numbers), "tensor \"w\" holds 16 bytes, but its shape and type ask for 20");
    refused(&array(&[4], "f8", false, &numbers), "ask for 32");
    refused(&array(&[1], "f4", false, &numbers), "ask for 4");
    refused(&array(&[-4], "f4", false, &numbers), "impossible size (-4)");
    refused(&array(&[0], "f4", false, b""), "is empty");
    for shape in [&[i64::MAX, i64::MAX][..], &[1 << 62, 2, 2], &[3, 1 << 62, 4], &[1 << 41], &[1; 9]] {
        for columns in [false, true] {
            refused(&array(shape, "f4", columns, &numbers), "tensor \"w\"");
        }
    }
    // Numbers of no weights, objects and records.
    for dtype in ["i8", "O8", "V16", "U4", "f16", "f", "", "i", "i999"] {
        let result = read(&array(&[4], dtype, false, &numbers));
        assert!(result.is_err(), "{dtype}");
    }
    refused(&Pickle::new().raw(b"}").text("w").raw(b"Ns").stop(), "neither one that torch.save has written nor");
    let trailing = [array(&[4], "f4", false, &numbers), b"more".to_vec()].concat();
    refused(&trailing, "neither one that torch.save has written nor");
}
