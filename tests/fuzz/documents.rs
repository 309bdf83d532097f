//! What is done with texts and JSON: as in `bodies.rs`, every answer is right but a panic, and memory
//! beyond a small multiple of the input.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use foveate::bench::{Clock, Record, compare, sustained};
use foveate::dataset::{ClassIndex, Dataset};
use foveate::kernels::Choices;
use foveate::plan::Plan;
use foveate::predict::{Demand, Efficiency, Peak, devices, predict};
use foveate::profile::{Profile, spans, trace};
use foveate::registry::Registry;
use foveate::roofline::Known;
use foveate::tune::{Store, Table};
use foveate::verify::Repro;
use foveate::{Graph, Model, kernels::Target, labels, readers};

use super::bodies::{self, chosen, limited};

/// A network whose plan has decisions, and kernels with tiles.
static NETWORK: LazyLock<Graph> =
    LazyLock::new(|| Model::random("repvgg-cifar", 1, false).expect("a named network").graph().clone());

/// What plans of [`NETWORK`] can be told: the keys that choices are looked up by.
pub static KEYS: LazyLock<Choices> = LazyLock::new(|| {
    let plan = Plan::new(&NETWORK, 1, &[]).expect("a small network");
    let tiled = plan.steps.iter().filter_map(|step| Some((step.key(), step.tile?)));
    let decided = plan.decisions.iter().map(|decision| (decision.key.clone(), decision.taken.to_owned()));
    Choices { tiles: tiled.collect(), kernels: decided.collect() }
});

/// What is predicted from profiles: that network, on the devices that are built in.
static DEMAND: LazyLock<Demand> = LazyLock::new(|| Demand::of(&NETWORK, 1, false).expect("a small network"));
static DEVICES: LazyLock<Vec<Peak>> = LazyLock::new(|| devices().expect("the table that is built in"));

/// Reads what was tuned, a table of tiles, and measured ceilings; plans with every choice there is.
pub fn tuning(bytes: &[u8]) -> bool {
    // Parsed JSON is a tree: see `hostile_documents_take_little_memory`.
    LazyLock::force(&KEYS);
    let plans = chosen(bytes);
    limited(bytes, || {
        let store = Store::parse(bytes, "input");
        assert!(store.warnings().iter().all(|warning| warning.contains("input") && warning.len() < 500));
        assert_eq!(Store::parse(store.to_json().as_bytes(), "input").to_json(), store.to_json());
        for device in store.devices() {
            assert!(store.get(device).is_some() && !device.to_string().is_empty());
            if let Some(choices) = store.get(device).filter(|_| plans) {
                planned(choices);
            }
        }
        let table = std::str::from_utf8(bytes).ok().and_then(Table::parse);
        if let Some(table) = &table {
            assert!(Table::parse(&table.to_json()).is_some());
            if plans {
                planned(&table.choices);
            }
        }
        let known = Known::parse(bytes);
        // Numbers of many digits come back as their neighbours, so no more can be asked for.
        drop(Known::parse(known.to_json().as_bytes()));
        store.devices().next().is_some() || table.is_some() || known != Known::default()
    })
}

/// Whatever is chosen, a plan is made whose tiles are among those that its kernels declare.
fn planned(choices: &Choices) {
    if !choices.tiles.keys().any(|key| KEYS.tiles.contains_key(key))
        && !choices.kernels.keys().any(|key| KEYS.kernels.contains_key(key))
    {
        return;
    }
    let target = Target { choices: Arc::new(choices.clone()), ..Target::default() };
    let plan = Plan::for_target(&NETWORK, 1, &[], target).expect("choices that cannot be used are passed over");
    for step in &plan.steps {
        assert!(step.tile.is_none_or(|tile| step.candidates().contains(&tile)));
    }
}

/// Reads a benchmark's record and a profile, and does with them what reports do.
pub fn benchmark(bytes: &[u8]) -> bool {
    let _ = (LazyLock::force(&DEMAND), LazyLock::force(&DEVICES));
    limited(bytes, || {
        let record = Record::parse(bytes, "input").is_ok_and(|record| reported(&record));
        let profile = Profile::parse(bytes, "input").is_ok_and(|profile| shown(&profile));
        record || profile
    })
}

fn reported(record: &Record) -> bool {
    let again = record.to_json().map(|json| Record::parse(json.as_bytes(), "again"));
    assert!(again.expect("what JSON said, JSON can say").is_ok());
    for clock in [Clock::EndToEnd, Clock::Gpu] {
        if let Ok(comparison) = compare(record, record, clock, 0.05) {
            assert!(comparison.changes.len() + comparison.missing.len() <= record.results.len());
        }
    }
    record.results.iter().for_each(|measured| assert!(sustained(measured, 10).len() <= 10));
    true
}

fn shown(profile: &Profile) -> bool {
    assert!(spans(profile).len() >= profile.layers.len());
    serde_json::from_str::<serde_json::Value>(&trace(profile)).expect("a trace is JSON");
    if let Some(efficiency) = Efficiency::of(profile) {
        assert!(efficiency.kernels.values().all(|part| (0.0..=1.0).contains(part)));
        for peak in DEVICES.iter() {
            let foretold = predict(&DEMAND, peak, std::slice::from_ref(&efficiency));
            assert!(!format!("{foretold:?}").contains("NaN"), "{foretold:?}");
        }
    }
    true
}

/// Reads a list of published weights, and puts it over the one that is built in.
pub fn registry(bytes: &[u8]) -> bool {
    limited(bytes, || {
        let Some(registry) = std::str::from_utf8(bytes).ok().and_then(|text| Registry::parse(text, "input").ok())
        else {
            return false;
        };
        for entry in registry.entries() {
            // The name of a file in the cache's folder, and of nothing outside it.
            let path = Path::new(&entry.file);
            assert!(path.components().count() == 1 && path.file_name().is_some_and(|name| name == path.as_os_str()));
            assert!(!entry.file.contains(['/', '\\', ':', '\0']) && !entry.file.starts_with('.'), "{:?}", entry.file);
            assert!(registry.get(&entry.name).is_some() && entry.limit() > 0);
            entry.options().and_then(|_| entry.architecture()).expect("entries were checked");
        }
        let files = registry.entries().len();
        let both = registry.over(Registry::builtin().expect("the list that is built in"));
        assert!(both.entries().len() >= files);
        drop(both.resolve("repnext-m1"));
        files > 0
    })
}

/// Reads class names, and a truth file with them as classes.
pub fn names(bytes: &[u8]) -> bool {
    limited(bytes, || {
        let (first, second) = bytes.split_at(bytes.iter().position(|b| *b == 0).unwrap_or(0));
        let labels = labels::parse(if first.is_empty() { bytes } else { first }, "input");
        if let Ok(labels) = &labels {
            assert!(labels.iter().all(|label| label.trim() == label && !label.contains('\n')));
        }
        let classes = ClassIndex::new(10, labels.as_deref().ok().filter(|labels| labels.len() == 10));
        let truth = Dataset::parse_truth("folder", second.get(1..).unwrap_or(bytes), "input", &classes);
        match &truth {
            Ok(set) => assert!(set.samples().iter().all(|sample| sample.class < 10)),
            Err(error) => assert!(error.to_string().len() < 2000, "{error}"),
        }
        truth.is_ok() || (labels.is_ok() && first.is_empty())
    })
}

/// Reads a layer's file, and writes it again.
pub fn repro(bytes: &[u8]) -> bool {
    limited(bytes, || match Repro::from_bytes(bytes, "input") {
        Ok(repro) => {
            assert!(!repro.origin().is_empty() && !repro.fault().to_string().is_empty());
            let written = repro.to_bytes().expect("what was read can be written");
            let again = Repro::from_bytes(&written, "again").expect("what was written can be read");
            // Numbers of many digits come back as their neighbours, so no more can be asked for.
            assert_eq!((again.origin(), &again.fault().node), (repro.origin(), &repro.fault().node));
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    })
}

/// Reads what is known of drivers, and compiled pipelines.
pub fn cache(bytes: &[u8]) -> bool {
    limited(bytes, || {
        let (written, devices) = readers::drivers(bytes);
        assert_eq!(readers::drivers(written.as_bytes()), (written, devices));
        let compiled = readers::pipelines(bytes);
        // What a driver is shown is what the file's hash is of.
        assert!(compiled.is_none_or(|compiled| readers::pipelines_file(compiled) == bytes));
        devices > 0 || compiled.is_some()
    })
}

/// A model file whose metadata is plain JSON: an object with the metadata's entries and the tensors'
/// headers, a zero, and the tensors' bytes. What is no string in it becomes one, so that changes of
/// JSON reach the graph without being undone by quoting.
pub fn metadata(bytes: &[u8]) -> bool {
    from_open(bytes).is_some_and(|file| bodies::model_file(&file))
}

fn from_open(bytes: &[u8]) -> Option<Vec<u8>> {
    let split = bytes.iter().position(|b| *b == 0)?;
    let mut header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&bytes[..split]).ok()?;
    let metadata = header.get_mut("__metadata__")?.as_object_mut()?;
    for value in metadata.values_mut().filter(|value| !value.is_string()) {
        *value = value.to_string().into();
    }
    let header = serde_json::to_vec(&header).ok()?;
    Some([&(header.len() as u64).to_le_bytes()[..], &header, &bytes[split + 1..]].concat())
}

/// What [`metadata`] takes, of a model file; `None` if it is none.
pub fn opened(file: &[u8]) -> Option<Vec<u8>> {
    let (length, rest) = file.split_first_chunk::<8>()?;
    let (header, data) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let mut header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(header).ok()?;
    for value in header.get_mut("__metadata__")?.as_object_mut()?.values_mut() {
        // Numbers that are strings in the file, such as the format's version, stay strings.
        let inner = value.as_str().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
        if let Some(inner) = inner.filter(|inner| inner.is_object() || inner.is_array()) {
            *value = inner;
        }
    }
    Some([&serde_json::to_vec(&header).ok()?[..], b"\0", data].concat())
}
