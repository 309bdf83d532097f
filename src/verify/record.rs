//! Which kernels a driver computes rightly and which not, as it turned out, driver by driver. Nothing that such a file
//! may hold is fatal: what cannot be used is left out.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::gpu::GpuContext;
use crate::kernels::Step;
use crate::tune::DeviceKey;

/// Version of the format.
#[cfg(not(target_arch = "wasm32"))]
const SCHEMA_VERSION: u32 = 1;
/// Bytes of a file that are looked at.
#[cfg(not(target_arch = "wasm32"))]
const MAX_BYTES: u64 = 16 << 20;
/// Devices in a file, kernels of a device.
#[cfg(not(target_arch = "wasm32"))]
const MAX_DEVICES: usize = 256;
#[cfg(not(target_arch = "wasm32"))]
const MAX_VARIANTS: usize = 50_000;
/// Bytes of a reason.
const MAX_TEXT: usize = 1024;

/// What was found on devices.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record {
    devices: Vec<Known>,
}

/// A device. Variants go by the hash of their shader's text, so that another version of a kernel is another variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    device: DeviceKey,
    #[serde(default)]
    right: BTreeSet<String>,
    /// With the reason.
    #[serde(default)]
    wrong: BTreeMap<String, String>,
}

/// A kernel with its constants and formats, as a record names it: the hash of what the driver compiles.
pub(crate) fn variant_id(context: &GpuContext, step: &Step, safe_shaders: bool) -> String {
    let mut hash = Sha256::new();
    hash.update([u8::from(safe_shaders)]);
    hash.update(context.shader(step));
    hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

impl Record {
    /// Reads what [`to_json`](Self::to_json) wrote.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn parse(json: &[u8]) -> Self {
        let mut record = Record::default();
        let Ok(value) = crate::json::tree(json) else { return record };
        if value.get("schema_version") != Some(&SCHEMA_VERSION.into()) {
            return record;
        }
        let devices = value.get("devices").and_then(|devices| devices.as_array());
        for device in devices.into_iter().flatten().take(MAX_DEVICES) {
            let Ok(mut known) = Known::deserialize(device) else { continue };
            known.wrong.retain(|id, reason| id.len().max(reason.len()) <= MAX_TEXT);
            if known.right.len() + known.wrong.len() <= MAX_VARIANTS {
                record.devices.push(known);
            }
        }
        record
    }

    /// Reads a file; one that is not there or cannot be used holds nothing.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(path: &std::path::Path) -> Self {
        crate::files::read_own("cannot read", path, MAX_BYTES).map(|bytes| Record::parse(&bytes)).unwrap_or_default()
    }

    /// Merges this into a file, whatever has been written to it since it was read.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be written.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: &std::path::Path) -> crate::Result<()> {
        let mut merged = Record::load(path);
        merged.merge(self);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|source| crate::Error::io("cannot create the folder", folder, source))?;
        }
        crate::files::write(path, merged.to_json().as_bytes())
    }

    /// As JSON.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_json(&self) -> String {
        let document = serde_json::json!({ "schema_version": SCHEMA_VERSION, "devices": self.devices });
        // Keys are strings and values plain: nothing that JSON could not hold.
        serde_json::to_string(&document).unwrap_or_default() + "\n"
    }

    /// Adds what another record holds.
    pub fn merge(&mut self, other: &Record) {
        for known in &other.devices {
            let into = self.of(&known.device);
            for id in &known.right {
                into.wrong.remove(id);
                into.right.insert(id.clone());
            }
            for (id, reason) in &known.wrong {
                into.right.remove(id);
                into.wrong.insert(id.clone(), reason.clone());
            }
        }
    }

    /// How many devices it knows of.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn devices(&self) -> usize {
        self.devices.len()
    }

    /// Whether a variant is right, if that is known.
    pub fn get(&self, device: &DeviceKey, id: &str) -> Option<bool> {
        let known = self.devices.iter().find(|known| known.device == *device)?;
        if known.wrong.contains_key(id) {
            return Some(false);
        }
        known.right.contains(id).then_some(true)
    }

    /// Notes that variants are right, or wrong for a reason.
    pub fn note(&mut self, device: &DeviceKey, ids: impl IntoIterator<Item = String>, wrong: Option<&str>) {
        let known = self.of(device);
        for id in ids {
            match wrong {
                Some(reason) => drop(known.wrong.insert(id, reason.chars().take(MAX_TEXT / 4).collect())),
                None => drop(known.right.insert(id)),
            }
        }
    }

    fn of(&mut self, device: &DeviceKey) -> &mut Known {
        let at = self.devices.iter().position(|known| known.device == *device).unwrap_or_else(|| {
            let device = device.clone();
            self.devices.push(Known { device, right: BTreeSet::new(), wrong: BTreeMap::new() });
            self.devices.len() - 1
        });
        &mut self.devices[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> DeviceKey {
        let text = || name.to_owned();
        let (backend, driver, driver_info) = (text(), text(), text());
        DeviceKey { backend, name: text(), vendor: 1, device: 2, driver, driver_info, features: vec![] }
    }

    #[test]
    fn what_was_noted_comes_back_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/kernels.json");
        let mut record = Record::default();
        record.note(&device("a"), ["one".to_owned(), "two".to_owned()], None);
        record.note(&device("a"), ["three".to_owned()], Some("relative error 1.0"));
        record.save(&path).unwrap();
        let mut other = Record::default();
        other.note(&device("b"), ["one".to_owned()], Some("NaN"));
        other.save(&path).unwrap();
        let read = Record::load(&path);
        let known = |name: &str, id: &str| read.get(&device(name), id);
        assert_eq!([known("a", "one"), known("a", "three"), known("a", "four")], [Some(true), Some(false), None]);
        assert_eq!([known("b", "one"), known("b", "two"), known("c", "one")], [Some(false), None, None]);
    }

    #[test]
    fn what_cannot_be_used_is_left_out() {
        for json in ["", "{", "[]", "{\"schema_version\": 2}", "{\"schema_version\": 1, \"devices\": 7}"] {
            assert_eq!(Record::parse(json.as_bytes()), Record::default(), "{json}");
        }
        let mut record = Record::default();
        record.note(&device("a"), ["one".to_owned()], None);
        let json = record.to_json().replace("\"devices\":[", "\"devices\":[3,{\"device\":{}},");
        assert_eq!(Record::parse(json.as_bytes()), record);
    }
}
