//! The bytes of storages: entries of an archive, or one after the other behind a legacy pickle.

use std::collections::HashMap;

use super::pickle::{Fallible, StorageRef};
use super::shown;
use super::zip::Archive;

/// Where the numbers of tensors are.
pub struct Storages<'a> {
    source: Source<'a>,
    /// Bytes by key. An archive's entries come here when first asked for, so that each is summed
    /// but once.
    by_key: HashMap<&'a str, &'a [u8]>,
    big_endian: bool,
    /// Bytes of the archive's entries that were read.
    read: usize,
}

enum Source<'a> {
    /// The archive and what precedes the key in the names of entries.
    Archive(Archive<'a>, String),
    Legacy,
}

impl<'a> Storages<'a> {
    /// Storages that are entries of an archive, `folder` and key.
    pub fn of_archive(archive: Archive<'a>, folder: String, big_endian: bool) -> Self {
        Storages { source: Source::Archive(archive, folder), by_key: HashMap::new(), big_endian, read: 0 }
    }

    /// Storages that were found.
    pub fn found(by_key: HashMap<&'a str, &'a [u8]>, big_endian: bool) -> Self {
        Storages { source: Source::Legacy, by_key, big_endian, read: 0 }
    }

    /// Whether numbers are stored most significant byte first.
    pub fn big_endian(&self) -> bool {
        self.big_endian
    }

    /// The bytes of a storage, at least as many as its elements take.
    pub fn bytes(&mut self, storage: &StorageRef<'a>) -> Fallible<&'a [u8]> {
        let key = storage.key;
        let bytes = match (self.by_key.get(key), &self.source) {
            (Some(bytes), _) => Some(*bytes),
            (None, Source::Archive(archive, folder)) => {
                let bytes = archive.read(&format!("{folder}{key}"))?;
                // Each is summed: many that lie within each other would take for ever.
                self.read = self.read.saturating_add(bytes.map_or(0, <[u8]>::len));
                if self.read > archive.length() {
                    return Err("is in an archive whose entries overlap: they are larger than the file".into());
                }
                bytes
            }
            (None, Source::Legacy) => None,
        };
        let bytes = bytes.ok_or_else(|| format!("is stored under {}, which the file lacks", shown(key)))?;
        self.by_key.insert(key, bytes);
        let needed = storage.count.checked_mul(storage.dtype.size());
        if needed.is_none_or(|needed| needed > bytes.len() as u64) {
            let (found, count) = (bytes.len(), storage.count);
            return Err(format!("wants a storage of {count} elements, but {} holds {found} bytes", shown(key)));
        }
        Ok(bytes)
    }
}
