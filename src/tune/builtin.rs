//! Tables that come with the crate, for drivers that are the same everywhere: those that compute on the
//! CPU. Where something was tuned on the device itself, that goes before.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::store;
use crate::gpu::AdapterSummary;
use crate::kernels::Choices;

/// The tables of `assets/tuning`. Browsers do not say which driver they use, so none is for them.
#[cfg(not(target_arch = "wasm32"))]
const TABLES: &[&str] = &[include_str!("../../assets/tuning/llvmpipe.json")];
#[cfg(target_arch = "wasm32")]
const TABLES: &[&str] = &[];

/// A table of choices for a kind of driver; `foveate tune -o FILE` writes one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Version of the format: 1.
    pub schema_version: u32,
    /// Names of drivers, any of which is part of the adapter's or its driver's name in any case.
    pub drivers: Vec<String>,
    /// On what it was measured.
    pub measured: String,
    /// What is faster than what is done without tuning.
    #[serde(flatten)]
    pub choices: Choices,
}

impl Table {
    /// Reads a table; `None` if it is none.
    pub fn parse(json: &str) -> Option<Table> {
        let value: Value = crate::json::tree(json.as_bytes()).ok()?;
        let (choices, _) = store::choices(&value);
        let mut table = Table::deserialize(value).ok()?;
        table.choices = choices;
        (table.schema_version == 1).then_some(table)
    }

    /// Whether it is for an adapter.
    pub fn is_for(&self, adapter: &AdapterSummary) -> bool {
        let names = [&adapter.name, &adapter.driver].map(|name| name.to_lowercase());
        let holds = |driver: &String| names.iter().any(|name| name.contains(&driver.to_lowercase()));
        self.drivers.iter().any(|driver| !driver.is_empty() && holds(driver))
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        // Strings and numbers: nothing that JSON could not hold.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// What the crate's own tables say about an adapter; empty if none is for it.
pub fn builtin(adapter: &AdapterSummary) -> Choices {
    let mut tables = TABLES.iter().filter_map(|json| Table::parse(json)).filter(|table| table.is_for(adapter));
    tables.next().map(|table| table.choices).unwrap_or_default()
}

#[cfg(test)]
#[path = "builtin/tests.rs"]
mod tests;
