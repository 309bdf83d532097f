//! Zip archives: one entry is changed and the archive put together again, with the right sums.

use super::super::forge::{Entry, entry, zip};
use super::{Rng, bytes, pickle};

/// `None` if it is no archive of stored entries.
pub fn change(file: &[u8], rng: &mut Rng) -> Option<Vec<u8>> {
    let entries = read(file);
    // Entries that overlap would take more room each time that they are written apart.
    let length: usize = entries.iter().map(|(_, data)| data.len()).sum();
    if entries.is_empty() || length > file.len() {
        return None;
    }
    let at = match entries.iter().position(|(name, _)| name.ends_with("data.pkl")) {
        Some(pickle) if rng.below(4) > 0 => pickle,
        _ => rng.below(entries.len()),
    };
    let (name, data) = entries[at];
    let data = if name.ends_with(".pkl") { pickle::change(data, rng) } else { bytes::change(data, rng) };
    let renamed = format!("{name}{}", rng.below(4));
    let mut parts: Vec<Entry> = entries.iter().map(|(name, data)| entry(name, data)).collect();
    parts[at].data = &data;
    match rng.below(12) {
        0 => parts[at].size = Some(rng.number()),
        1 => parts[at].offset = Some(rng.number()),
        2 => parts[at].name = &renamed,
        3 => parts[at].name = entries[rng.below(entries.len())].0,
        4 => drop(parts.remove(at)),
        5 => parts[at].method = 8,
        _ => {}
    }
    Some(zip(&parts))
}

/// Names and bytes of what the directory lists, as far as it makes sense.
fn read(file: &[u8]) -> Vec<(&str, &[u8])> {
    let mut entries = Vec::new();
    let mut at = 0;
    while let Some(found) = file.get(at..).and_then(|rest| rest.windows(4).position(|w| w == b"PK\x01\x02")) {
        at += found;
        entries.extend(one(file, at));
        at += 4;
    }
    entries
}

fn one(file: &[u8], at: usize) -> Option<(&str, &[u8])> {
    let u16 = |at: usize| Some(usize::from(u16::from_le_bytes(*file.get(at..)?.first_chunk()?)));
    let u32 = |at: usize| Some(u32::from_le_bytes(*file.get(at..)?.first_chunk()?) as usize);
    let (size, offset) = (u32(at + 24)?, u32(at + 42)?);
    let name = std::str::from_utf8(file.get(at + 46..)?.get(..u16(at + 28)?)?).ok()?;
    let start = offset + 30 + u16(offset + 26)? + u16(offset + 28)?;
    Some((name, file.get(start..)?.get(..size)?))
}
