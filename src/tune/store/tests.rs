//! The file of choices: what is written is read back, and nothing in it is fatal.

use proptest::prelude::*;

use super::*;

fn device(name: &str) -> DeviceKey {
    let (backend, driver, driver_info) = ("vulkan".to_owned(), "llvmpipe".to_owned(), "Mesa 22.3.6".to_owned());
    let features = vec!["shader-f16".to_owned()];
    DeviceKey { backend, name: name.to_owned(), vendor: 0x10005, device: 0, driver, driver_info, features }
}

fn some(pixels: usize) -> Choices {
    let tile = Tile { pixels, planes: 4, workgroup: 64 };
    Choices {
        kernels: [("mlp PIXELS=196 tt".to_owned(), "pointwise".to_owned())].into(),
        tiles: [(format!("conv OUT_W={pixels} tttt"), tile), ("pointwise tttt".to_owned(), tile)].into(),
    }
}

#[test]
fn what_is_written_is_read_back() {
    let mut store = Store::default();
    store.merge(device("a"), some(7));
    store.merge(device("b"), some(14));
    let read = Store::parse(store.to_json().as_bytes(), "tuning.json");
    assert_eq!(read, store);
    assert!(read.warnings().is_empty());
    assert_eq!(read.get(&device("b")), Some(&some(14)));
    assert_eq!(read.get(&device("c")), None);
    let newer = DeviceKey { driver_info: "Mesa 25".to_owned(), ..device("a") };
    assert_eq!(read.get(&newer), None, "another driver has to be tuned anew");
    assert_eq!(read.devices().count(), 2);
    store.remove(&device("a"));
    assert!(store.get(&device("a")).is_none() && store.get(&device("b")).is_some());
}

#[test]
fn files_are_merged_whole_and_what_cannot_be_used_is_kept_beside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tuning.json");
    assert!(Store::load(&path).warnings().is_empty(), "no file is no fault");
    let mut first = Store::default();
    first.merge(device("a"), some(7));
    first.save(&path, false).unwrap();
    let mut second = Store::default();
    second.merge(device("a"), some(14));
    second.merge(device("b"), some(1));
    second.save(&path, false).unwrap();
    let read = Store::load(&path);
    let tiles = &read.get(&device("a")).unwrap().tiles;
    assert_eq!(tiles.len(), 3, "{tiles:?}");
    assert_eq!(tiles["pointwise tttt"].pixels, 14, "the newer stays");
    assert_eq!(read.get(&device("b")), Some(&some(1)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

    first.save(&path, true).unwrap();
    let read = Store::load(&path);
    assert_eq!((read.get(&device("a")), read.get(&device("b"))), (Some(&some(7)), Some(&some(1))), "only a is reset");

    std::fs::write(&path, "{\"schema_version\": 99}").unwrap();
    assert!(Store::load(&path).warnings()[0].contains("tuning.json"));
    first.save(&path, false).unwrap();
    assert_eq!(Store::load(&path), first);
    let old = std::fs::read_to_string(folder.path().join("tuning.json.old")).unwrap();
    assert!(old.contains("99"));
}

/// What is no file is neither moved out of the way nor waited for.
#[cfg(unix)]
#[test]
fn special_files_stay_where_they_are() {
    use std::os::unix::fs::FileTypeExt;
    let folder = tempfile::tempdir().unwrap();
    let [pipe, inner] = ["tuning.json", "folder"].map(|name| folder.path().join(name));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::create_dir(&inner).unwrap();
    let mut store = Store::default();
    store.merge(device("a"), some(7));
    for path in [&pipe, &inner] {
        assert!(Store::load(path).warnings()[0].contains("not a file"), "{:?}", Store::load(path).warnings());
        assert!(store.save(path, false).is_err() && store.save(path, true).is_err());
    }
    assert!(std::fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo() && inner.is_dir());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn hostile_files_are_named_and_ignored() {
    let tile = |text: &str| {
        let head = serde_json::to_string(&device("a")).unwrap();
        format!(r#"{{"schema_version":1,"devices":[{{"device":{head},"tiles":{{"conv":{text}}}}}]}}"#)
    };
    let whole = |text: &str| (text.as_bytes().to_vec(), false);
    let cases: Vec<(Vec<u8>, bool)> = vec![
        whole(""),
        whole("null"),
        whole("[]"),
        whole("\u{0}\u{1}"),
        whole("{\"schema_version\": -1}"),
        whole("{\"schema_version\": 1e400}"),
        whole(&"[".repeat(100_000)),
        (vec![0xff; 1000], false),
        (vec![b' '; MAX_BYTES as usize + 1], false),
        whole(r#"{"schema_version":1,"devices":[7]}"#),
        whole(r#"{"schema_version":1,"devices":[{"device":{"name":"a"}}]}"#),
        (tile("{}").into_bytes(), true),
        (tile("7").into_bytes(), true),
        (tile(r#"{"pixels":0,"planes":1,"workgroup":64}"#).into_bytes(), true),
        (tile(r#"{"pixels":7,"planes":1,"workgroup":0}"#).into_bytes(), true),
        (tile(r#"{"pixels":7,"planes":18446744073709551615,"workgroup":64}"#).into_bytes(), true),
        (tile(r#"{"pixels":7.5,"planes":1,"workgroup":64}"#).into_bytes(), true),
        (tile(r#"{"pixels":-7,"planes":1,"workgroup":64}"#).into_bytes(), true),
    ];
    for (bytes, has_device) in cases {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        let store = Store::parse(&bytes, "bad.json");
        assert_eq!(store.get(&device("a")).is_some(), has_device, "{text}");
        assert!(store.get(&device("a")).is_none_or(|choices| choices.tiles.is_empty()), "{text}");
        assert!(store.warnings().iter().any(|w| w.contains("bad.json")), "{text}");
    }
}

proptest! {
    #[test]
    fn damaged_files_never_panic(cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut store = Store::default();
        store.merge(device("a"), some(7));
        let mut bytes = store.to_json().into_bytes();
        for (at, value) in cuts {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let read = Store::parse(&bytes, "damaged.json");
        for device in read.devices() {
            let tiles = read.get(device).into_iter().flat_map(|choices| choices.tiles.values());
            tiles.for_each(|tile| assert!(tile.pixels > 0 && tile.planes > 0 && tile.workgroup > 0));
        }
    }
}
