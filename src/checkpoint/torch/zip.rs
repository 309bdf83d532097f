//! A reader of zip archives as PyTorch writes them: stored entries, each a slice of the file.
//!
//! Layouts are those of the zip format's "APPNOTE", sections 4.3.7 to 4.3.16; numbers are
//! little-endian.

use std::collections::HashMap;

use super::pickle::Fallible;
use super::shown;

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END64: &[u8] = b"PK\x06\x06";
const LOCATOR64: &[u8] = b"PK\x06\x07";

/// Sizes of the records without their variable parts.
const LOCAL_SIZE: u64 = 30;
const CENTRAL_SIZE: u64 = 46;
const END_SIZE: usize = 22;
const LOCATOR64_SIZE: u64 = 20;

/// Flags of entries that are encrypted.
const ENCRYPTED: u16 = 1 | 1 << 6;

/// The directory of an archive.
pub struct Archive<'a> {
    bytes: &'a [u8],
    entries: HashMap<&'a str, Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    flags: u16,
    method: u16,
    crc: u32,
    compressed: u64,
    size: u64,
    /// Where the local header is.
    offset: u64,
}

impl<'a> Archive<'a> {
    /// Reads the directory; the entries' own headers and sums are checked when they are read.
    pub fn open(bytes: &'a [u8]) -> Fallible<Self> {
        let end = end_of_directory(bytes)?;
        let directory = Bytes(bytes).slice(end.offset, end.size, "the directory")?;
        let mut entries = HashMap::new();
        let mut at = 0;
        for _ in 0..end.count {
            let (name, entry, length) = central(directory, at)?;
            if entries.insert(name, entry).is_some() {
                return Err(format!("the archive has two entries {}", shown(name)));
            }
            at += length;
        }
        Ok(Archive { bytes, entries })
    }

    /// Bytes of the whole archive.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// The names of all entries, in no order.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.entries.keys().copied()
    }

    /// The bytes of an entry, their sum checked; `None` if there is no such entry.
    pub fn read(&self, name: &str) -> Fallible<Option<&'a [u8]>> {
        let Some((name, entry)) = self.entries.get_key_value(name) else { return Ok(None) };
        let named = shown(name);
        if entry.flags & ENCRYPTED != 0 {
            return Err(format!("entry {named} is encrypted"));
        }
        if entry.method != 0 || entry.compressed != entry.size {
            let method = entry.method;
            return Err(format!(
                "entry {named} is compressed (method {method}), which PyTorch never does: pack the archive anew \
                 without compression (zip -0)"
            ));
        }
        let bytes = Bytes(self.bytes);
        let what = format!("the header of entry {named}");
        let header = Bytes(bytes.slice(entry.offset, LOCAL_SIZE, &what)?);
        if header.slice(0, 4, &what)? != LOCAL {
            return Err(format!("there is no entry {named} where the directory says"));
        }
        let (name_length, extra_length) = (header.u16(26)?, header.u16(28)?);
        let name_at = after(entry.offset, LOCAL_SIZE)?;
        if bytes.slice(name_at, name_length.into(), &what)? != name.as_bytes() {
            return Err(format!("entry {named} has another name in its own header"));
        }
        let start = after(name_at, u64::from(name_length) + u64::from(extra_length))?;
        let data = bytes.slice(start, entry.size, &format!("entry {named}"))?;
        let crc = checksum(data);
        if crc != entry.crc {
            let expected = entry.crc;
            return Err(format!("entry {named} is damaged: its CRC-32 is {crc:08x}, not {expected:08x}"));
        }
        Ok(Some(data))
    }
}

/// The CRC-32 of an entry.
#[cfg(not(feature = "web"))]
fn checksum(data: &[u8]) -> u32 {
    crc32fast::hash(data)
}

/// The CRC-32 of an entry, without the 16 KB of tables that make it faster: they do not compress.
#[cfg(feature = "web")]
fn checksum(data: &[u8]) -> u32 {
    let table: [u32; 256] = std::array::from_fn(|byte| {
        (0..8).fold(byte as u32, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    !data.iter().fold(!0, |crc, byte| crc >> 8 ^ table[(crc as u8 ^ byte) as usize])
}

/// Where the directory is.
struct Directory {
    count: u64,
    size: u64,
    offset: u64,
}

fn end_of_directory(bytes: &[u8]) -> Fallible<Directory> {
    // The record ends the file but for a comment of at most 65,535 bytes.
    let first = bytes.len().saturating_sub(END_SIZE + usize::from(u16::MAX));
    let last = bytes.len().saturating_sub(END_SIZE);
    let fits = |at: &usize| {
        let comment = Bytes(bytes).u16(*at as u64 + 20).unwrap_or(u16::MAX);
        bytes.get(*at..).is_some_and(|tail| tail.starts_with(END) && tail.len() == END_SIZE + usize::from(comment))
    };
    let at = (first..=last).rev().find(fits);
    let at = at.ok_or("is a zip archive without a directory at its end: the file is truncated or damaged")? as u64;
    let whole = Bytes(bytes);
    let end = Directory {
        count: whole.u16(at + 10)?.into(),
        size: whole.u32(at + 12)?.into(),
        offset: whole.u32(at + 16)?.into(),
    };
    let saturated =
        end.count == u64::from(u16::MAX) || end.size == u64::from(u32::MAX) || end.offset == u64::from(u32::MAX);
    let locator = at.checked_sub(LOCATOR64_SIZE).filter(|_| saturated);
    match locator {
        Some(locator) if whole.slice(locator, 4, "the directory's end")? == LOCATOR64 => {
            let at = whole.u64(after(locator, 8)?)?;
            if whole.slice(at, 4, "the directory's end")? != END64 {
                return Err("the archive's directory is not where its end says".into());
            }
            let field = |offset| whole.u64(after(at, offset)?);
            Ok(Directory { count: field(32)?, size: field(40)?, offset: field(48)? })
        }
        _ => Ok(end),
    }
}

/// The entry at a place of the directory: its name, what is said of it, the length of the record.
fn central(directory: &[u8], at: u64) -> Fallible<(&str, Entry, u64)> {
    let bytes = Bytes(directory);
    let what = "the archive's directory";
    let record = Bytes(bytes.slice(at, CENTRAL_SIZE, what)?);
    if record.slice(0, 4, what)? != CENTRAL {
        return Err("the archive's directory is damaged".into());
    }
    let (name, extra, comment) = (record.u16(28)?.into(), u64::from(record.u16(30)?), u64::from(record.u16(32)?));
    let name_at = at + CENTRAL_SIZE;
    let fields = bytes.slice(name_at + name, extra, what)?;
    let name_bytes = bytes.slice(name_at, name, what)?;
    let name_text = std::str::from_utf8(name_bytes).map_err(|_| "the name of an entry is not valid UTF-8")?;
    let mut entry = Entry {
        flags: record.u16(8)?,
        method: record.u16(10)?,
        crc: record.u32(16)?,
        compressed: record.u32(20)?.into(),
        size: record.u32(24)?.into(),
        offset: record.u32(42)?.into(),
    };
    widen(&mut entry, fields)?;
    Ok((name_text, entry, CENTRAL_SIZE + name + extra + comment))
}

/// Takes the numbers that do not fit 32 bits from the zip64 field, which holds only those.
fn widen(entry: &mut Entry, fields: &[u8]) -> Fallible<()> {
    let mut rest = fields;
    while let Some((&[a, b, c, d], after)) = rest.split_first_chunk::<4>() {
        let (id, length) = (u16::from_le_bytes([a, b]), usize::from(u16::from_le_bytes([c, d])));
        let field = after.get(..length).ok_or("the archive's directory is damaged")?;
        if id == 1 {
            let wide = Bytes(field);
            let mut at = 0;
            for number in [&mut entry.size, &mut entry.compressed, &mut entry.offset] {
                if *number == u64::from(u32::MAX) {
                    *number = wide.u64(at)?;
                    at += 8;
                }
            }
        }
        rest = after.get(length..).unwrap_or_default();
    }
    Ok(())
}

fn after(offset: u64, more: u64) -> Fallible<u64> {
    offset.checked_add(more).ok_or_else(|| "the archive's directory is damaged: a place is beyond any file".into())
}

/// Bytes with checked places.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn slice(self, start: u64, length: u64, what: &str) -> Fallible<&'a [u8]> {
        let range =
            start.checked_add(length).and_then(|end| Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?));
        range.and_then(|range| self.0.get(range)).ok_or_else(|| {
            format!(
                "{what} is said to be {length} bytes at {start}, but there are {}: the archive is damaged",
                self.0.len()
            )
        })
    }

    fn array<const N: usize>(self, at: u64) -> Fallible<[u8; N]> {
        let slice = self.slice(at, N as u64, "a number of the archive's directory")?;
        slice.try_into().map_err(|_| "the archive is damaged".to_owned())
    }

    fn u16(self, at: u64) -> Fallible<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    fn u32(self, at: u64) -> Fallible<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    fn u64(self, at: u64) -> Fallible<u64> {
        self.array(at).map(u64::from_le_bytes)
    }
}
