//! What was found, as a table.

use std::collections::BTreeSet;

use foveate::verify::{Against, Bound, Check, Distance, Replayed, Report};

use super::super::table::{Align, Table};

/// A row for each device, a column for each number format, and a verdict.
pub fn lines(report: &Report) -> Vec<String> {
    let mut table = Table::new([
        ("device", Align::Left),
        ("format", Align::Left),
        ("layers", Align::Right),
        ("worst layer", Align::Left),
        ("logits", Align::Left),
        ("picture", Align::Left),
        ("verdict", Align::Left),
    ]);
    for device in &report.devices {
        for (at, check) in device.checks.iter().enumerate() {
            let name = if at == 0 { device.adapter.to_string() } else { String::new() };
            table.row([
                name,
                check.precision.to_string(),
                if check.layers > 0 { check.layers.to_string() } else { String::new() },
                worst(check),
                logits(check),
                check.picture_levels.map(|levels| format!("{levels:.2} levels")).unwrap_or_default(),
                verdict(check),
            ]);
        }
    }
    let mut lines = table.lines();
    lines.extend(halves(report));
    let devices = report.devices.len();
    let off: BTreeSet<String> = (report.devices.iter())
        .filter(|device| device.checks.iter().any(|check| !check.agrees))
        .map(|device| device.adapter.to_string())
        .collect();
    lines.push(match (report.agrees, devices) {
        (true, 1) => format!("{}: the device computes what the CPU does", report.model),
        (true, _) => format!("{}: all {devices} devices compute what the CPU does", report.model),
        (false, _) => format!("{}: NOT what the CPU computes: {}", report.model, Vec::from_iter(off).join("; ")),
    });
    lines
}

/// Which bound logits in f16 had, and why, where it is not that of every network.
fn halves(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for (device, check) in
        report.devices.iter().flat_map(|device| device.checks.iter().map(move |check| (device, check)))
    {
        let halves = check.network.as_ref().and_then(|network| network.halves.as_ref());
        if let Some(halves) = halves.filter(|halves| halves.against != Against::F32) {
            let found = halves.distance.map_or("not finite".to_owned(), |distance| format!("{distance:.1e} off"));
            lines.push(format!("{}, {}: logits {found}; {}", device.adapter, check.precision, halves.reason));
        }
    }
    lines
}

fn worst(check: &Check) -> String {
    match (check.wrong.first(), &check.worst) {
        (Some(fault), _) => format!("{}: {}", fault.node, short(&fault.distance)),
        (None, Some(fault)) => short(&fault.distance),
        (None, None) if check.layers > 0 => "bit for bit".to_owned(),
        (None, None) => String::new(),
    }
}

fn logits(check: &Check) -> String {
    let Some(network) = &check.network else { return String::new() };
    match (network.bound, network.of_largest) {
        (Bound::Exact, _) | (_, None) => short(&network.distance),
        (_, Some(_)) if network.distance.differing == 0 => short(&network.distance),
        (_, Some(apart)) => format!("{apart:.1e} of the largest"),
    }
}

fn short(distance: &Distance) -> String {
    match distance.relative {
        _ if distance.differing == 0 => "bit for bit".to_owned(),
        Some(relative) => format!("{relative:.1e}"),
        None => format!("{} not finite", distance.not_finite),
    }
}

fn verdict(check: &Check) -> String {
    if check.agrees {
        return "agrees".to_owned();
    }
    let mut reasons = Vec::new();
    if check.error.is_some() {
        reasons.push("FAILED".to_owned());
    }
    match check.wrong.len() {
        0 => {}
        1 => reasons.push("1 LAYER OFF".to_owned()),
        layers => reasons.push(format!("{layers} LAYERS OFF")),
    }
    if check.network.as_ref().is_some_and(|network| !network.agrees) {
        reasons.push("LOGITS OFF".to_owned());
    }
    if check.picture_levels.is_some_and(|levels| levels > 0.5) {
        reasons.push("PICTURE OFF".to_owned());
    }
    if check.ranking == Some(false) {
        reasons.push("RANKING OFF".to_owned());
    }
    reasons.join(", ")
}

/// A line for each device that ran a layer's file.
pub fn replayed(devices: &[Replayed]) -> Vec<String> {
    let line = |replayed: &Replayed| {
        let device = &replayed.adapter;
        match (&replayed.replay, &replayed.error) {
            (Some(replay), _) => {
                let verdict = if replay.agrees { "agrees" } else { "OFF" };
                let bits = if replay.same_bits { "; the very bits of the device that the file comes from" } else { "" };
                format!("{device}: {verdict}: {}, allowed: {}{bits}", replay.distance, replay.bound)
            }
            (None, error) => format!("{device}: FAILED: {}", error.as_deref().unwrap_or_default()),
        }
    };
    devices.iter().map(line).collect()
}
