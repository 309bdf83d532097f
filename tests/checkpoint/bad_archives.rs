//! Zip archives that are damaged, lie or are of something else.

use foveate::checkpoint::Checkpoint;
use proptest::prelude::*;

use crate::forge::{Entry, Pickle, archive, entry, floats, small, zip};

const FOUR: [f32; 4] = [1.0, 2.0, 3.0, 4.0];

#[track_caller]
fn refused(file: &[u8], part: &str) {
    let message = Checkpoint::read(file, "net.pth").unwrap_err().to_string();
    assert!(message.starts_with("net.pth: ") && message.contains(part), "{message:?} lacks {part:?}");
}

fn with(change: impl FnOnce(&mut [Entry; 2])) -> Vec<u8> {
    let (pickle, storage) = (small(), floats(&FOUR));
    let mut entries = [entry("net/data.pkl", &pickle), entry("net/data/0", &storage)];
    change(&mut entries);
    zip(&entries)
}

#[test]
fn entries_that_lie_are_refused() {
    assert!(Checkpoint::read(&with(|_| {}), "net.pth").is_ok());
    refused(&with(|e| e[1].offset = Some(1)), "no entry \"net/data/0\" where the directory says");
    refused(&with(|e| e[1].offset = Some(0)), "entry \"net/data/0\" has another name in its own header");
    refused(&with(|e| e[1].offset = Some(1 << 40)), "the header of entry \"net/data/0\" is said to be");
    refused(&with(|e| e[1].offset = Some(u64::MAX)), "the archive is damaged");
    refused(&with(|e| e[1].size = Some(8)), "is damaged: its CRC-32 is");
    refused(&with(|e| e[1].size = Some(1 << 20)), "entry \"net/data/0\" is said to be 1048576 bytes");
    refused(&with(|e| e[1].size = Some(1 << 63)), "entry \"net/data/0\" is said to be 9223372036854775808 bytes");
    refused(&with(|e| e[0].size = Some(u64::MAX)), "the archive is damaged");
}

#[test]
fn zip64_fields_are_read() {
    let file = with(|_| {});
    let whole = Checkpoint::read(&file, "net.pth").unwrap();
    // The end of the directory as PyTorch writes it: all in a zip64 record, the old one saturated.
    let (body, end) = file.split_at(file.len() - 22);
    let number = |at: usize| u64::from(u32::from_le_bytes(end[at..at + 4].try_into().unwrap())).to_le_bytes();
    let count = 2u64.to_le_bytes();
    let record =
        [&b"PK\x06\x06"[..], &44u64.to_le_bytes(), &[0; 12], &count, &count, &number(12), &number(16)].concat();
    let locator = [&b"PK\x06\x07\0\0\0\0"[..], &(body.len() as u64).to_le_bytes(), &[1, 0, 0, 0]].concat();
    let end = [&b"PK\x05\x06\0\0\0\0"[..], &[0xff; 12], &[0; 2]].concat();
    let wide = [body, &record, &locator, &end].concat();
    assert!(Checkpoint::read(&wide, "net.pth").unwrap().tensors == whole.tensors);
    refused(&[body, &record, &locator[..8], &[0xff; 12], &end].concat(), "damaged");
    refused(&[body, &locator, &end].concat(), "directory");
}

#[test]
fn entries_within_each_other_are_refused() {
    const COUNT: usize = 30;
    let names: Vec<String> = (0..COUNT).map(|key| format!("net/data/{key}")).collect();
    // Each entry's data are all the entries after it, so that all are as large as the file.
    let (mut tail, mut parts) = (vec![0; 4000], Vec::new());
    for name in names.iter().rev() {
        let local = zip(&[entry(name, &tail)]);
        parts.push((name, tail.clone()));
        tail = local[..30 + name.len() + tail.len()].to_vec();
    }
    let whole = tail.len();
    let pickle = (0..COUNT).fold(Pickle::new().raw(b"}("), |p, key| {
        let p = p.text(&format!("w{key}")).global("torch._utils", "_rebuild_tensor_v2").raw(b"(");
        p.storage("FloatStorage", &key.to_string(), 1).int(0).ints(&[1]).ints(&[1]).raw(b"\x89NtR")
    });
    let pickle = pickle.raw(b"u").stop();
    let front = zip(&[entry("net/data.pkl", &pickle)])[..30 + 12 + pickle.len()].to_vec();
    let place = |data: &[u8], name: &str| (front.len() + whole - data.len() - name.len() - 30) as u64;
    let mut entries = vec![entry("net/data.pkl", &pickle)];
    entries.extend(parts.iter().map(|(name, data)| Entry { offset: Some(place(data, name)), ..entry(name, data) }));
    let apart = zip(&entries);
    let (body, end) = apart.split_at(apart.len() - 22);
    let size = u32::from_le_bytes(end[12..16].try_into().unwrap()) as usize;
    let directory = &body[body.len() - size..];
    let offset = ((front.len() + whole) as u32).to_le_bytes();
    let file = [&front[..], &tail, directory, &end[..16], &offset, &end[20..]].concat();
    refused(&file, "an archive whose entries overlap");
}

#[test]
fn compressed_and_encrypted_entries_are_refused() {
    refused(&with(|e| e[1].method = 8), "entry \"net/data/0\" is compressed (method 8)");
    refused(&with(|e| e[0].flags = 1), "entry \"net/data.pkl\" is encrypted");
}

#[test]
fn damaged_numbers_are_noticed() {
    let mut file = archive(&small(), &FOUR);
    let at = file.windows(4).position(|w| w == 3f32.to_le_bytes()).unwrap();
    file[at] ^= 1;
    refused(&file, "entry \"net/data/0\" is damaged: its CRC-32");
}

#[test]
fn archives_without_a_plain_meaning_are_refused() {
    let pickle = small();
    refused(&with(|e| e[1].name = "net/data.pkl"), "two entries \"net/data.pkl\"");
    refused(&with(|e| e[1].name = "other/data.pkl"), "has 2 entries data.pkl");
    refused(&with(|e| e[0].name = "net/model.json"), "TorchScript archive of PyTorch 1.3 or older");
    refused(&zip(&[entry("arr_0.npy", &pickle)]), "a zip archive, but not of PyTorch");
    refused(&zip(&[]), "a zip archive, but not of PyTorch");
    for (name, advice) in [
        ("repo-main/weights/net.pth", "unpack it, and give \"repo-main/weights/net.pth\""),
        ("model.weights.h5", "a Keras model"),
        ("conv1.weight.npy", "NumPy arrays"),
    ] {
        refused(&zip(&[entry("README.md", b""), entry(name, b"")]), advice);
    }
    refused(&with(|e| e[1].name = "net/data/1"), "tensor \"w\" is stored under \"0\", which the file lacks");
    assert!(Checkpoint::read(&with(|e| (e[0].name, e[1].name) = ("data.pkl", "data/0")), "net.pth").is_ok());
}

#[test]
fn the_byte_order_is_honoured() {
    let (pickle, big) = (small(), FOUR.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>());
    let ordered = |order: &[u8]| {
        let entries = [entry("n/data.pkl", &pickle), entry("n/byteorder", order), entry("n/data/0", &big)];
        Checkpoint::read(&zip(&entries), "net.pth")
    };
    assert_eq!(ordered(b"big").unwrap().tensors["w"].data(), FOUR);
    assert_ne!(ordered(b"little").unwrap().tensors["w"].data(), FOUR);
    assert!(ordered(b"middle").unwrap_err().to_string().contains("byte order \"middle\""));
}

#[test]
fn a_comment_at_the_end_is_no_harm() {
    let mut file = with(|_| {});
    let length = file.len();
    file[length - 2] = 5;
    file.extend(b"hello");
    assert!(Checkpoint::read(&file, "net.pth").is_ok());
    file.extend(b"!");
    refused(&file, "without a directory at its end");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_change_of_bytes_makes_an_archive_panic(
        changes in proptest::collection::vec((0usize..2000, prop_oneof![any::<u8>(), Just(0xff), Just(0)]), 1..5),
    ) {
        let mut file = archive(&small(), &FOUR);
        let length = file.len();
        changes.iter().for_each(|(at, byte)| file[at % length] = *byte);
        if let Ok(checkpoint) = Checkpoint::read(&file, "test") {
            prop_assert!(checkpoint.tensors.len() == 1);
        }
    }
}
