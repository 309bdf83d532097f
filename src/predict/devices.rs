//! Published peak rates of devices.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The table; every number has a source.
const TABLE: &str = include_str!("../../assets/devices.json");

/// A device by its published peak rates, which no program reaches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peak {
    /// A short name.
    pub name: String,
    /// Its name in full.
    pub device: String,
    /// Memory, in 10⁹ bytes a second.
    pub memory_gb_s: f64,
    /// Operations on 32-bit floats, two to a fused multiply-add, in 10⁹ a second; without matrix units, which
    /// WGSL does not reach.
    pub f32_gflop_s: f64,
    /// The same on 16-bit floats; `None` where none was found published.
    pub f16_gflop_s: Option<f64>,
    /// Where each of these numbers is from.
    pub sources: Vec<Source>,
}

/// Where a number is from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// `memory`, `f32` or `f16`.
    pub figure: String,
    /// The page.
    pub url: String,
    /// What the page says, and on whose authority.
    pub says: String,
}

/// All devices of the table.
///
/// # Errors
/// None, unless the program was built from a damaged table.
pub fn devices() -> Result<Vec<Peak>> {
    serde_json::from_str(TABLE).map_err(|error| Error::argument(format!("the table of devices: {error}")))
}

/// A device of the table by its short name, in any case.
///
/// # Errors
/// [`Error::Argument`] with the names that there are.
pub fn device(name: &str) -> Result<Peak> {
    let all = devices()?;
    let names: Vec<&str> = all.iter().map(|peak| peak.name.as_str()).collect();
    let unknown = Error::argument(format!("no rates are known of {name:?}; there is {}", names.join(", ")));
    all.iter().find(|peak| peak.name.eq_ignore_ascii_case(name.trim())).cloned().ok_or(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_has_rates_and_sources() {
        let all = devices().unwrap();
        assert!(all.len() >= 8);
        for peak in &all {
            let Peak { name, memory_gb_s, f32_gflop_s, f16_gflop_s, sources, .. } = peak;
            assert!((10.0..10_000.0).contains(memory_gb_s) && (100.0..1e6).contains(f32_gflop_s), "{name}");
            assert!(f16_gflop_s.is_none_or(|rate| rate >= *f32_gflop_s), "{name}");
            let of = |figure: &str| sources.iter().filter(|source| source.figure == figure).count();
            assert_eq!((of("memory"), of("f32"), of("f16")), (1, 1, usize::from(f16_gflop_s.is_some())), "{name}");
            assert!(sources.iter().all(|source| source.url.contains("://") && !source.says.is_empty()), "{name}");
            assert_eq!(device(&name.to_uppercase()).unwrap(), *peak);
        }
        assert!(device("pdp-11").unwrap_err().to_string().contains("iphone12"));
    }
}
