//! What was tuned, device by device, as JSON. Nothing that such a file may hold is fatal: what cannot be
//! used is left out, with a warning.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kernels::{Choices, Tile};

/// Version of the format.
const SCHEMA_VERSION: u64 = 1;
/// Bytes of a file that are looked at.
pub(super) const MAX_BYTES: u64 = 16 << 20;
/// Devices in a file, and choices of a device.
const MAX_DEVICES: usize = 256;
const MAX_CHOICES: usize = 20_000;
/// Bytes of a key or a name.
const MAX_TEXT: usize = 2048;
/// Beyond any kernel: WGSL does not grant an invocation so many registers.
const MAX_SIDE: u64 = 1024;

/// What choices are valid for: another driver, or another version of it, has to be tuned anew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceKey {
    /// `vulkan`, `metal`, `dx12`, `gl` or `webgpu`.
    pub backend: String,
    /// The adapter's name.
    pub name: String,
    /// PCI vendor, 0 if unknown.
    pub vendor: u32,
    /// PCI device, 0 if unknown.
    pub device: u32,
    /// Name of the driver.
    pub driver: String,
    /// Version of the driver, in its own words.
    pub driver_info: String,
    /// Optional features of the device that kernels can use, by their WebGPU names.
    pub features: Vec<String>,
}

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeviceKey { backend, name, driver, driver_info, .. } = self;
        write!(f, "{name}, {backend}, {}", format!("{driver} {driver_info}").trim())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Entry {
    device: DeviceKey,
    #[serde(flatten)]
    choices: Choices,
}

/// Choices for devices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Store {
    entries: Vec<Entry>,
    warnings: Vec<String>,
}

impl Store {
    /// Reads what [`to_json`](Self::to_json) wrote. What cannot be used is left out and told by
    /// [`warnings`](Self::warnings), in which `origin` names the file.
    pub fn parse(json: &[u8], origin: &str) -> Self {
        let mut store = Store::default();
        let read = if json.len() as u64 > MAX_BYTES {
            Err(format!("larger than {} MiB", MAX_BYTES >> 20))
        } else {
            crate::json::tree(json).map_err(|error| format!("no JSON: {error}"))
        };
        let value = match read {
            Ok(value) => value,
            Err(reason) => {
                store.warn(origin, &reason);
                return store;
            }
        };
        match value.get("schema_version").and_then(Value::as_u64) {
            Some(SCHEMA_VERSION) => store.fill(&value, origin),
            Some(other) => store.warn(origin, &format!("written by another version (schema {other})")),
            None => store.warn(origin, "it has no schema_version"),
        }
        store
    }

    /// Reads a file as [`parse`](Self::parse) does; a file that is not there holds nothing.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(path: impl AsRef<std::path::Path>) -> Self {
        use crate::error::Error;
        let path = path.as_ref();
        match crate::files::read_own("cannot read", path, MAX_BYTES) {
            Ok(bytes) => Store::parse(&bytes, &path.display().to_string()),
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Store::default(),
            Err(error) => Store { warnings: vec![format!("{error}: nothing tuned is used")], ..Store::default() },
        }
    }

    /// Merges the choices into a file, whatever has been written to it since it was read: beside it
    /// first, then renamed. With `reset`, what the file has for the same devices is forgotten. A file that
    /// cannot be used is kept beside it with `.old` at its end.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be written.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: impl AsRef<std::path::Path>, reset: bool) -> crate::Result<()> {
        let path = path.as_ref();
        let mut merged = Store::load(path);
        // A device would be gone for everybody.
        if merged.entries.is_empty() && !merged.warnings.is_empty() && path.is_file() {
            let mut old = path.as_os_str().to_owned();
            old.push(".old");
            // One that cannot be moved away cannot be replaced either, and writing says why.
            let _ = std::fs::rename(path, old);
        }
        for Entry { device, choices } in &self.entries {
            if reset {
                merged.remove(device);
            }
            merged.merge(device.clone(), choices.clone());
        }
        crate::files::write(path, merged.to_json().as_bytes())
    }

    fn warn(&mut self, origin: &str, reason: &str) {
        self.warnings.push(format!("{origin}: {reason}: nothing tuned is used from it; `foveate tune` writes it anew"));
    }

    fn fill(&mut self, value: &Value, origin: &str) {
        let devices = value.get("devices").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut unusable = devices.len().saturating_sub(MAX_DEVICES);
        for device in devices.iter().take(MAX_DEVICES) {
            let key = device.get("device").and_then(|key| DeviceKey::deserialize(key).ok());
            match key {
                Some(key) => {
                    let (choices, bad) = choices(device);
                    unusable += bad;
                    self.merge(key, choices);
                }
                None => unusable += 1,
            }
        }
        if unusable > 0 {
            self.warnings.push(format!("{origin}: {unusable} entries of it cannot be used and are ignored"));
        }
    }

    /// What could not be used of the files that were read.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What was tuned for a device.
    pub fn get(&self, device: &DeviceKey) -> Option<&Choices> {
        self.entries.iter().find(|entry| entry.device == *device).map(|entry| &entry.choices)
    }

    /// The devices that there are choices for.
    pub fn devices(&self) -> impl Iterator<Item = &DeviceKey> {
        self.entries.iter().map(|entry| &entry.device)
    }

    /// Adds choices for a device; of two for the same step the new one stays.
    pub fn merge(&mut self, device: DeviceKey, choices: Choices) {
        match self.entries.iter_mut().find(|entry| entry.device == device) {
            Some(entry) => {
                entry.choices.kernels.extend(choices.kernels);
                entry.choices.tiles.extend(choices.tiles);
            }
            None => self.entries.push(Entry { device, choices }),
        }
    }

    /// Forgets all choices for a device.
    pub fn remove(&mut self, device: &DeviceKey) {
        self.entries.retain(|entry| entry.device != *device);
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        let document = serde_json::json!({ "schema_version": SCHEMA_VERSION, "devices": self.entries });
        // Keys are strings and values plain: nothing that JSON could not hold.
        serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
    }
}

/// The usable choices of an entry, and how many are not.
pub(super) fn choices(entry: &Value) -> (Choices, usize) {
    let mut found = Choices::default();
    let mut bad = 0;
    let members = |name: &str| entry.get(name).and_then(Value::as_object).into_iter().flatten();
    for (key, value) in members("kernels") {
        match value.as_str().filter(|name| name.len().max(key.len()) <= MAX_TEXT && found.kernels.len() < MAX_CHOICES) {
            Some(name) => drop(found.kernels.insert(key.clone(), name.to_owned())),
            None => bad += 1,
        }
    }
    for (key, value) in members("tiles") {
        match tile(value).filter(|_| key.len() <= MAX_TEXT && found.tiles.len() < MAX_CHOICES) {
            Some(tile) => drop(found.tiles.insert(key.clone(), tile)),
            None => bad += 1,
        }
    }
    let wrong = |name: &str| entry.get(name).is_some_and(|value| !value.is_object());
    (found, bad + usize::from(wrong("kernels")) + usize::from(wrong("tiles")))
}

/// A tile of sizes that a kernel might take; whether this one does is for planning to say.
fn tile(value: &Value) -> Option<Tile> {
    let side = |name: &str| value.get(name)?.as_u64().filter(|side| (1..=MAX_SIDE).contains(side));
    let tile = Tile {
        pixels: usize::try_from(side("pixels")?).ok()?,
        planes: usize::try_from(side("planes")?).ok()?,
        workgroup: u32::try_from(side("workgroup")?).ok()?,
    };
    Some(tile)
}

#[cfg(test)]
#[path = "store/tests.rs"]
mod tests;
