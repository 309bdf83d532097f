//! The files that a report is made of, and the devices in them.

use std::path::Path;

use foveate::Result;
use foveate::bench::{self, Device, Key, Measured, Record};
use foveate::profile::{self, Profile};
use foveate::registry::Registry;
use serde::Deserialize;

/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 30;

/// What a file holds, and what it is called.
pub struct Named<T> {
    pub label: String,
    pub item: T,
}

/// All files.
pub struct Gathered {
    pub records: Vec<Named<Record>>,
    pub profiles: Vec<Named<Profile>>,
    /// A name for every device, in the order in which they come.
    pub devices: Vec<String>,
    registry: Option<Registry>,
}

/// A result with where it is from.
pub struct Found<'a> {
    pub key: Key,
    pub measured: &'a Measured,
    /// What its file is called.
    pub file: &'a str,
    /// Index into [`Gathered::devices`].
    pub device: usize,
}

impl Gathered {
    /// Reads files of both kinds.
    ///
    /// # Errors
    /// A file that cannot be read, or is none of these.
    pub fn read(files: &[impl AsRef<Path>]) -> Result<Gathered> {
        let mut gathered = Gathered {
            records: Vec::new(),
            profiles: Vec::new(),
            devices: Vec::new(),
            registry: Registry::builtin().ok(),
        };
        for file in files {
            let file = file.as_ref();
            let (bytes, origin) = (read(file)?, file.display().to_string());
            let label = file.file_stem().map_or(origin.clone(), |stem| stem.to_string_lossy().into_owned());
            match kind(&bytes).as_deref() {
                Some(profile::KIND) => {
                    gathered.profiles.push(Named { label, item: Profile::parse(&bytes, &origin)? });
                }
                _ => gathered.records.push(Named { label, item: Record::parse(&bytes, &origin)? }),
            }
        }
        let records = gathered.records.iter().flat_map(|record| &record.item.results).map(|m| &m.device);
        let all: Vec<String> = records.chain(gathered.profiles.iter().map(|p| &p.item.device)).map(name).collect();
        for name in all {
            if !gathered.devices.contains(&name) {
                gathered.devices.push(name);
            }
        }
        Ok(gathered)
    }

    /// All results that have times.
    pub fn results(&self) -> impl Iterator<Item = Found<'_>> {
        let all = self.records.iter().flat_map(|Named { label, item }| item.results.iter().map(move |m| (label, m)));
        all.filter(|(_, measured)| measured.clocks.end_to_end.is_some()).map(|(file, measured)| Found {
            key: Key::of(measured),
            measured,
            file,
            device: self.device(&measured.device),
        })
    }

    /// A device's place in the list.
    pub fn device(&self, device: &Device) -> usize {
        let name = name(device);
        self.devices.iter().position(|known| *known == name).unwrap_or(0)
    }

    /// The published top-1 accuracy of a network, in percent.
    pub fn top1(&self, model: &str) -> Option<f64> {
        let entries = self.registry.as_ref()?.entries();
        entries.iter().find(|entry| entry.default && entry.architecture == model)?.top1
    }
}

fn name(device: &Device) -> String {
    match device.backend.as_str() {
        "" | "none" => device.name.clone(),
        backend => format!("{}, {backend}", device.name),
    }
}

/// A benchmark's record.
///
/// # Errors
/// As [`Gathered::read`].
pub fn record(file: &Path) -> Result<Record> {
    Record::parse(&read(file)?, &file.display().to_string())
}

/// A whole file, if it is not too large.
///
/// # Errors
/// If it cannot be read, or is larger than a gigabyte.
pub fn read(file: &Path) -> Result<Vec<u8>> {
    foveate::files::read("cannot read", file, MAX_BYTES)
}

/// What kind of file the bytes say that they are.
fn kind(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Head {
        kind: String,
    }
    serde_json::from_slice::<Head>(bytes).ok().map(|head| head.kind).filter(|kind| *kind != bench::KIND)
}
