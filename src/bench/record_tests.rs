//! The schema of records and profiles: what `assets/benchmarks/README.md` says of it, and files of older versions.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::profile::{self, Layer, Method, Profile};
use crate::roofline::{Bound, Ceilings};

const PAGE: &str = include_str!("../../assets/benchmarks/README.md");
const OLD: &[u8] = include_bytes!("../../tests/data/bench/v1.json");
const OLD_PROFILE: &[u8] = include_bytes!("../../tests/data/bench/profile-v1.json");

/// The paths of all values, `results[].batch` and the like.
fn paths(value: &Value, at: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            let dot = if at.is_empty() { "" } else { "." };
            paths(value, &format!("{at}{dot}{name}"), into);
        }),
        Value::Array(items) => items.iter().for_each(|item| paths(item, &format!("{at}[]"), into)),
        _ => drop(into.insert(at.to_owned())),
    }
}

/// The fields named in the tables under a heading.
fn documented(heading: &str) -> Vec<String> {
    let section = PAGE.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let names =
        rows.flat_map(|row| row.split('|').nth(1).unwrap().split(',').map(|name| name.trim().trim_matches('`')));
    names.map(str::to_owned).collect()
}

fn samples() -> Option<Samples> {
    Samples::new(vec![1.0, 2.0])
}

/// A record in which nothing is missing.
fn full() -> Record {
    let machine = Machine { power: Some("mains".into()), browser: Some("b".into()), ..Machine::default() };
    let clocks = Clocks { gpu: samples(), submit_to_readback: samples(), end_to_end: samples() };
    let measured = Measured {
        note: Some("n".into()),
        device: Device { timestamp_ns: Some(1.0), ..Device::default() },
        quantize_ms: Some(1.0),
        clocks,
        began_s: Some(vec![0.0, 1.0]),
        runs_per_second: Some(1.0),
        error: Some("e".into()),
        ..Measured::default()
    };
    let record = Record::new(machine, Protocol::of(Mode::Latency), 1);
    Record { git: Some("g".into()), note: Some("n".into()), results: vec![measured], ..record }
}

#[test]
fn every_field_of_a_record_is_documented_and_none_else() {
    let mut found = BTreeSet::new();
    paths(&serde_json::to_value(full()).unwrap(), "", &mut found);
    let (clocks, mut named): (Vec<String>, BTreeSet<String>) = {
        let all = documented("Records");
        let of_clock = |name: &String| name == "us[]" || name.starts_with("summary.");
        let (of, others): (Vec<String>, Vec<String>) = all.into_iter().partition(of_clock);
        (of, others.into_iter().collect())
    };
    assert_eq!(clocks.len(), 9);
    for clock in ["gpu", "submit_to_readback", "end_to_end"] {
        let clock = format!("results[].clocks.{clock}");
        assert!(named.remove(&clock), "{clock}");
        named.extend(clocks.iter().map(|field| format!("{clock}.{field}")));
    }
    assert_eq!(found, named);
    assert!(PAGE.contains(&format!("describes version {SCHEMA_VERSION}")));
}

#[test]
fn every_field_of_a_profile_is_documented_and_none_else() {
    let layer = Layer { tile: Some("t".into()), roofline: Some(1.0), bound: Some(Bound::Memory), ..Layer::default() };
    let profile = Profile {
        kind: profile::KIND.into(),
        schema_version: profile::SCHEMA_VERSION,
        model: "m".into(),
        precision: "f32".into(),
        batch: 1,
        device: Device::default(),
        method: Method::Passes,
        runs: 1,
        ceilings: Some(Ceilings { f16_gflop_s: Some(1.0), ..Ceilings::default() }),
        frame_us: Some(1.0),
        layers: vec![layer],
    };
    let mut value = serde_json::to_value(profile).unwrap();
    value["device"] = Value::from("as in records");
    let mut found = BTreeSet::new();
    paths(&value, "", &mut found);
    assert_eq!(found, documented("Profiles").into_iter().collect());
    assert_eq!(profile::SCHEMA_VERSION, SCHEMA_VERSION, "the page speaks of one version");
}

#[test]
fn what_is_written_is_read() {
    let record = full();
    assert_eq!(Record::parse(record.to_json().unwrap().as_bytes(), "it").unwrap(), record);
}

#[test]
fn records_of_version_1_are_read() {
    let old: Value = serde_json::from_slice(OLD).unwrap();
    assert_eq!(old["schema_version"], 1);
    let record = Record::parse(OLD, "v1.json").unwrap();
    assert_eq!((record.schema_version, record.note.clone(), record.results.len()), (SCHEMA_VERSION, None, 2));
    for (result, old) in record.results.iter().zip(old["results"].as_array().unwrap()) {
        assert_eq!((result.quantize_ms, result.device.name.as_str()), (None, old["device"]["name"].as_str().unwrap()));
        let us = &result.clocks.end_to_end.as_ref().unwrap().us;
        assert_eq!(serde_json::to_value(us).unwrap(), old["clocks"]["end_to_end"]["us"]);
    }
    let newer = String::from_utf8(OLD.to_vec()).unwrap().replace("\"schema_version\":1", "\"schema_version\":3");
    let error = Record::parse(newer.as_bytes(), "v3.json").unwrap_err().to_string();
    assert!(error.contains("v3.json has schema version 3"), "{error}");
}

#[test]
fn profiles_of_version_1_are_held_to_their_ceilings_anew() {
    let old: Value = serde_json::from_slice(OLD_PROFILE).unwrap();
    assert_eq!(old["schema_version"], 1);
    let profile = Profile::parse(OLD_PROFILE, "profile-v1.json").unwrap();
    let ceilings = profile.ceilings.unwrap();
    // Products in floats were held to the ceiling of bytes, where they were held back by arithmetic.
    let mut mended = 0;
    for (layer, old) in profile.layers.iter().zip(old["layers"].as_array().unwrap()) {
        let before = old["roofline"].as_f64().unwrap();
        let after = layer.roofline.unwrap();
        assert!(!layer.dot4 && layer.us == old["us"].as_f64().unwrap());
        if layer.kernel == "int8/conv_float" && layer.bound == Some(Bound::Compute) {
            let ratio = ceilings.dot4_gop_s / ceilings.f32_gflop_s;
            assert!((after / before - ratio).abs() < 1e-9, "{}: {before} {after}", layer.node);
            mended += 1;
        }
    }
    assert!(mended > 3, "{mended}");
    let newer =
        String::from_utf8(OLD_PROFILE.to_vec()).unwrap().replace("\"schema_version\":1", "\"schema_version\":3");
    assert!(Profile::parse(newer.as_bytes(), "it").unwrap_err().to_string().contains("versions 1 to 2"));
}
