//! The ceilings that were measured, device by device, as JSON. Nothing that such a file may hold is fatal.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Ceilings;
use crate::tune::DeviceKey;

/// Version of the format.
const SCHEMA_VERSION: u64 = 1;
/// Bytes of a file that are looked at.
#[cfg(not(target_arch = "wasm32"))]
const MAX_BYTES: u64 = 1 << 20;
/// Devices that are kept.
const MAX_DEVICES: usize = 256;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    device: DeviceKey,
    ceilings: Ceilings,
}

/// Ceilings of devices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    entries: Vec<Entry>,
}

impl Known {
    /// Reads what [`to_json`](Self::to_json) wrote; what cannot be used is left out: it is measured anew.
    pub fn parse(json: &[u8]) -> Self {
        let value: Value = crate::json::tree(json).unwrap_or_default();
        if value.get("schema_version").and_then(Value::as_u64) != Some(SCHEMA_VERSION) {
            return Known::default();
        }
        let devices = value.get("devices").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let usable = devices.iter().filter_map(|entry| Entry::deserialize(entry).ok());
        Known { entries: usable.filter(|entry| entry.ceilings.is_sane()).take(MAX_DEVICES).collect() }
    }

    /// Reads a file as [`parse`](Self::parse) does; one that cannot be read holds nothing.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(path: impl AsRef<std::path::Path>) -> Self {
        crate::files::read_own("cannot read", path.as_ref(), MAX_BYTES)
            .map(|bytes| Known::parse(&bytes))
            .unwrap_or_default()
    }

    /// Adds a device to a file, whatever else is in it.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be written.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn remember(path: impl AsRef<std::path::Path>, device: DeviceKey, ceilings: Ceilings) -> crate::Result<()> {
        let path = path.as_ref();
        let mut known = Known::load(path);
        known.set(device, ceilings);
        crate::files::write(path, known.to_json().as_bytes())
    }

    /// The ceilings of a device.
    pub fn get(&self, device: &DeviceKey) -> Option<&Ceilings> {
        self.entries.iter().find(|entry| entry.device == *device).map(|entry| &entry.ceilings)
    }

    /// Replaces the ceilings of a device.
    pub fn set(&mut self, device: DeviceKey, ceilings: Ceilings) {
        self.entries.retain(|entry| entry.device != device);
        self.entries.push(Entry { device, ceilings });
        let over = self.entries.len().saturating_sub(MAX_DEVICES);
        self.entries.drain(..over);
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        let document = serde_json::json!({ "schema_version": SCHEMA_VERSION, "devices": self.entries });
        serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> DeviceKey {
        let text = |text: &str| text.to_owned();
        let (backend, driver, driver_info) = (text("vulkan"), text("d"), text("1"));
        DeviceKey { backend, name: text(name), vendor: 0, device: 0, driver, driver_info, features: vec![] }
    }

    fn ceilings(rate: f64) -> Ceilings {
        let (read_gb_s, copy_gb_s, f32_gflop_s, dot4_gop_s) = (rate, rate, rate, rate);
        Ceilings { read_gb_s, copy_gb_s, f32_gflop_s, dot4_gop_s, ..Ceilings::default() }
    }

    #[test]
    fn what_was_written_is_read_and_the_new_replaces_the_old() {
        let mut known = Known::default();
        known.set(device("a"), ceilings(1.0));
        known.set(device("b"), ceilings(2.0));
        known.set(device("a"), ceilings(3.0));
        let read = Known::parse(known.to_json().as_bytes());
        assert_eq!(read, known);
        assert_eq!(read.get(&device("a")), Some(&ceilings(3.0)));
        assert_eq!(read.get(&device("c")), None);
    }

    #[test]
    fn hostile_files_hold_nothing() {
        let mut bad = Known::default();
        bad.set(device("a"), ceilings(-1.0));
        let deep = "[".repeat(100_000);
        let old = r#"{"schema_version": 9, "devices": []}"#;
        let odd = r#"{"schema_version": 1, "devices": [3, {"device": {}, "ceilings": 1}]}"#;
        for text in ["", "null", "{", &deep, old, odd, &bad.to_json()] {
            assert_eq!(Known::parse(text.as_bytes()), Known::default(), "{text:.60}");
        }
    }
}
