//! The fuzz targets of `tests/fuzz` as a plain test: every seed, and a fixed number of changes of
//! each, are read without a panic and within bounded memory.

mod cases;
#[path = "fuzz/lib.rs"]
mod fuzz;
#[path = "fuzz/seeds.rs"]
mod seeds;

use std::sync::{Mutex, MutexGuard, PoisonError};

use fuzz::forge::Pickle;
use fuzz::{Kind, memory, mutate};
use seeds::Seed;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// Inputs per kind that are made by changing seeds.
const CHANGES: usize = 10_000;

/// The allocator counts for the whole process, so tests take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs an input; if that panics, leaves the input where it can be looked at.
fn run(kind: Kind, bytes: &[u8], what: &str) -> bool {
    std::panic::catch_unwind(|| kind.run(bytes)).unwrap_or_else(|_| {
        let path = std::env::temp_dir().join(format!("foveate-{}-{what}", kind.name()));
        std::fs::write(&path, bytes).unwrap();
        panic!("{}: {what} panicked; the input is in {}", kind.name(), path.display());
    })
}

fn check(kind: Kind) {
    let _turn = alone();
    let seeds = seeds::of(kind);
    assert!(seeds.iter().filter(|seed| seed.accepted).count() > 3, "{} seeds", seeds.len());
    for Seed { name, bytes, accepted } in &seeds {
        assert_eq!(run(kind, bytes, name), *accepted, "{}: {name}", kind.name());
    }
    // Large files come last: what they show, small ones mostly show too, sooner.
    let small: Vec<&Seed> = seeds.iter().filter(|seed| seed.bytes.len() < 30_000).collect();
    assert!(small.len() > 3);
    let (mut accepted, mut refused) = (0, 0);
    for i in 0..CHANGES {
        let from = if i % 8 == 0 { &seeds[i / 8 % seeds.len()] } else { small[i % small.len()] };
        let other = small[(i * 7 + 1) % small.len()];
        let bytes = match i % 10 {
            9 => mutate::splice(&from.bytes, &other.bytes, i as u64),
            _ => mutate::mutate(kind, &from.bytes, i as u64),
        };
        let counter = if run(kind, &bytes, &format!("change-{i}")) { &mut accepted } else { &mut refused };
        *counter += 1;
    }
    // Changes that are all refused at the door, or that change nothing, would show nothing.
    assert!(
        accepted > CHANGES / 50 && refused > CHANGES / 20,
        "{}: {accepted} accepted, {refused} refused",
        kind.name()
    );
    println!("{}: {} seeds, {accepted} changes accepted, {refused} refused", kind.name(), seeds.len());
}

#[test]
fn safetensors_files() {
    check(Kind::Safetensors);
}

#[test]
fn zip_archives_of_pytorch() {
    check(Kind::TorchZip);
}

#[test]
fn pickles() {
    check(Kind::Pickle);
}

#[test]
fn pictures() {
    check(Kind::Picture);
}

#[test]
fn model_files() {
    check(Kind::ModelFile);
}

#[test]
fn metadata_of_model_files() {
    check(Kind::Metadata);
}

#[test]
fn tuning_files() {
    check(Kind::Tuning);
}

#[test]
fn benchmarks_and_profiles() {
    check(Kind::Benchmark);
}

#[test]
fn lists_of_weights() {
    check(Kind::Registry);
}

#[test]
fn labels_and_truth_files() {
    check(Kind::Names);
}

#[test]
fn layers_to_run_elsewhere() {
    check(Kind::Repro);
}

#[test]
fn files_of_the_cache() {
    check(Kind::Cache);
}

/// What `tests/checkpoint/hostile_pickles.rs` shows to be inert or refused, here for its memory.
#[test]
fn hostile_pickles_take_little_memory() {
    const DEPTH: usize = 300_000;
    let _turn = alone();
    let nested = |open: &[u8], close: &[u8]| [&open.repeat(DEPTH)[..], b"N", &close.repeat(DEPTH)].concat();
    let laughs = (0..60u32).fold(Pickle(b"N".to_vec()).put(0), |p, level| {
        (0..10).fold(p.raw(b"]("), |p, _| p.get(level)).raw(b"e").put(level + 1)
    });
    let sizes = [i64::MAX, 1 << 62, 1 << 32, -1];
    let sizes = sizes.map(|n| Pickle(b"}".to_vec()).text("w").tensor(n, 0, &[n, n], &[n, 1]).raw(b"s").0);
    let lengths = [&b"\x8d"[..], b"\x8e", b"\x96"].map(|opcode| [opcode, &(1u64 << 63).to_le_bytes()].concat());
    let call = Pickle(Vec::new()).global("os", "system").text("false").raw(b"\x85R").0;
    let deep = [
        nested(b"]", b"a"),
        nested(b"(", b"t"),
        nested(b"", b"\x85"),
        nested(b"(", b"l"),
        nested(b"}N", b"s"),
        nested(b"", b"}"),
        nested(b"cos\nsystem\n", b"\x85R"),
        nested(b"c__torch__\nA\n)\x81}X\x01\0\0\0m", b"sb"),
        nested(b"", b"2"),
        nested(b"(", b"0"),
        nested(b"", b"q\0"),
        (0..DEPTH as u32).fold(Pickle(b"N".to_vec()), Pickle::put).0,
    ];
    let programs = deep.into_iter().chain(sizes).chain(lengths).chain([call, laughs.0]);
    let mut seen = 0;
    for program in programs {
        let pickle = [b"\x80\x02", &program[..], b"."].concat();
        assert!(!run(Kind::Pickle, &pickle, &format!("hostile-{seen}")));
        seen += 1;
    }
    assert_eq!(seen, 21);
}

/// Megabytes of what takes most memory for its text, in each kind of document: at most 32 times as much.
#[test]
fn hostile_documents_take_little_memory() {
    use foveate::dataset::{ClassIndex, Dataset};
    const SIZE: usize = 4 << 20;
    let _turn = alone();
    let filled = |head: &str, part: &str, tail: &str| format!("{head}{}{tail}", part.repeat(SIZE / part.len()));
    let mut seen = 0;
    let mut check = |text: &str, what: &str, read: &dyn Fn(&[u8]) -> bool| {
        let accepted = memory::bounded(32 * text.len(), what, || read(text.as_bytes()));
        assert!(!accepted, "{what}");
        seen += 1;
    };
    let store = |json: &[u8]| foveate::tune::Store::parse(json, "f").devices().next().is_some();
    let known = |json: &[u8]| foveate::roofline::Known::parse(json) != Default::default();
    let record = |json: &[u8]| foveate::bench::Record::parse(json, "f").is_ok();
    let profile = |json: &[u8]| foveate::profile::Profile::parse(json, "f").is_ok();
    let labels = |text: &[u8]| foveate::labels::parse(text, "f").is_ok();
    let truth = |text: &[u8]| Dataset::parse_truth("d", text, "f", &ClassIndex::new(10, None)).is_ok();
    for part in ["{},", "[],", "{\"\":0},", "0,", "\"\",", "[[0]],"] {
        let text = filled(r#"{"schema_version": 1, "devices": ["#, part, "0]}");
        check(&text, part, &store);
        check(&text, part, &known);
    }
    let head = |kind: &str| format!(r#"{{"kind": "{kind}", "schema_version": 2, "#);
    for part in ["{},", "{\"clocks\":{}},"] {
        check(&filled(&(head(foveate::bench::KIND) + "\"results\": ["), part, "{}]}"), part, &record);
        check(&filled(&(head(foveate::profile::KIND) + "\"layers\": ["), part, "{}]}"), part, &profile);
    }
    check(&filled("", "\n", "a"), "lines", &labels);
    for part in ["x\n", "\t\n", "a\t0\n", "\u{fffd}\t99\n"] {
        check(&filled("", part, ""), part, &truth);
    }
    assert_eq!(seen, 21);
}

#[test]
fn memory_is_counted() {
    let _turn = alone();
    // Much, for the thread of a test that has just ended may still be letting go of some.
    const MIB: usize = 1 << 20;
    let held = memory::live();
    let bytes = std::hint::black_box(vec![1u8; 128 * MIB]);
    assert!(memory::live() >= held + bytes.len() / 2);
    drop(bytes);
    memory::bounded(128 * MIB, "64 MiB", || std::hint::black_box(vec![1u8; 64 * MIB]).len());
    let allocate = || std::hint::black_box(vec![1u8; 128 * MIB]).len();
    let over = std::panic::catch_unwind(|| memory::bounded(64 * MIB, "128 MiB", allocate));
    assert!(over.is_err());
}

#[test]
fn changes_are_many_and_always_the_same() {
    let _turn = alone();
    for kind in Kind::ALL {
        let seed = &seeds::of(kind)[0].bytes;
        let changed: std::collections::BTreeSet<Vec<u8>> = (0..50).map(|i| mutate::mutate(kind, seed, i)).collect();
        assert!(changed.len() > 30, "{kind:?}");
        assert_eq!(mutate::mutate(kind, seed, 7), mutate::mutate(kind, seed, 7));
    }
}

/// Writes the seeds where `cargo fuzz run` looks for inputs: see `tests/fuzz/README.md`.
#[test]
#[ignore = "writes files for cargo-fuzz"]
fn write_the_corpus() {
    let _turn = alone();
    for kind in Kind::ALL {
        let folder = seeds::fuzz_folder().join("corpus").join(kind.name());
        std::fs::create_dir_all(&folder).unwrap();
        for Seed { name, bytes, .. } in seeds::of(kind) {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
}
