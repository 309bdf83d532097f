//! Files of `torch.save` before PyTorch 1.6: pickles one after the other (magic number, version of
//! the protocol, byte order, the object itself, the keys of its storages), then the storages in the
//! order of their keys, each a count of eight bytes and its numbers.

use std::collections::HashMap;

use super::File;
use super::pickle::{self, Fallible, Pickle, Value, lookup};
use super::shown;
use super::storages::Storages;

/// 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;

/// Reads the pickles, and finds the storages behind them.
pub fn read(bytes: &[u8]) -> Fallible<File<'_>> {
    let mut rest = bytes;
    let magic = next(&mut rest)?;
    if magic.root != Value::Long(&MAGIC) {
        // Plain `pickle.dump` of a state dict of NumPy arrays.
        if magic.heap.has_arrays() && rest.is_empty() {
            return Ok(File { pickle: magic, storages: Storages::found(HashMap::new(), false) });
        }
        return Err("is a Python pickle, but neither one that torch.save has written nor one of NumPy arrays".into());
    }
    match next(&mut rest)?.root {
        Value::Int(PROTOCOL) => {}
        Value::Int(other) => return Err(format!("has version {other} of the legacy format; {PROTOCOL} is known")),
        _ => return Err("does not say which version of the legacy format it has".into()),
    }
    let system = next(&mut rest)?;
    let little = lookup(system.heap.dict(system.root).unwrap_or_default(), "little_endian");
    let big_endian = match little {
        Some(Value::Bool(little)) => !little,
        _ => return Err("does not say in which byte order its numbers are".into()),
    };
    let pickle = next(&mut rest)?;
    let keys = next(&mut rest)?;
    let found = storages(&pickle, &keys, rest, big_endian)?;
    Ok(File { pickle, storages: Storages::found(found, big_endian) })
}

/// Reads one pickle and goes on to what follows it.
fn next<'a>(rest: &mut &'a [u8]) -> Fallible<Pickle<'a>> {
    let pickle = pickle::read(rest)?;
    *rest = rest.get(pickle.length..).unwrap_or_default();
    Ok(pickle)
}

fn storages<'a>(
    pickle: &Pickle<'a>,
    keys: &Pickle<'a>,
    mut rest: &'a [u8],
    big_endian: bool,
) -> Fallible<HashMap<&'a str, &'a [u8]>> {
    let sizes: HashMap<&str, u64> = pickle.storages.iter().map(|s| (s.key, s.dtype.size())).collect();
    let mut found = HashMap::new();
    for key in keys.heap.sequence(keys.root).ok_or("has no list of its storages")? {
        let Value::Text(key) = *key else { return Err("has a storage whose key is no text".into()) };
        let size = sizes.get(key).ok_or_else(|| format!("has a storage {} of which nothing is known", shown(key)))?;
        let (count, after) = rest.split_first_chunk::<8>().ok_or_else(|| truncated(key))?;
        let count = if big_endian { u64::from_be_bytes(*count) } else { u64::from_le_bytes(*count) };
        let length = count.checked_mul(*size).and_then(|n| usize::try_from(n).ok());
        let (bytes, after) = length.and_then(|n| after.split_at_checked(n)).ok_or_else(|| truncated(key))?;
        found.insert(key, bytes);
        rest = after;
    }
    Ok(found)
}

fn truncated(key: &str) -> String {
    format!("ends within storage {}: the file is truncated or damaged", shown(key))
}
