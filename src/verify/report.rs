//! What verifying found, as plain values that go into a bug report.

use serde::{Deserialize, Serialize};

use super::compare::{Bound, Distance};
use super::halves::Halves;
use super::layers::Location;
use crate::gpu::AdapterSummary;
use crate::session::Precision;

/// Version of the JSON.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// This crate's version.
    pub foveate: &'static str,
    /// Operating system and processor, as the compiler names them.
    pub system: String,
    /// Name of the network.
    pub model: String,
    /// SHA-256 of the checkpoint, or where random weights come from.
    pub source: String,
    /// Pictures per run.
    pub batch: usize,
    /// Whether every device agrees in every number format.
    pub agrees: bool,
    /// Device by device.
    pub devices: Vec<Device>,
}

/// A device, in every number format that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Device {
    /// The adapter with driver, features and limits.
    pub adapter: AdapterSummary,
    /// One for each number format.
    pub checks: Vec<Check>,
}

/// How a device computes a network in one number format.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The number format.
    pub precision: Precision,
    /// Whether all is within its bound.
    pub agrees: bool,
    /// What kept it from being looked at, if anything.
    pub error: Option<String>,
    /// Dispatches of the plan.
    pub dispatches: usize,
    /// Layers that were compared: one or a few dispatches each, on the CPU's values.
    pub layers: usize,
    /// The layers that are off, in order.
    pub wrong: Vec<Fault>,
    /// Of the layers within their bound, the one that comes nearest to it; of exact ones, none.
    pub worst: Option<Fault>,
    /// The whole network from input to logits.
    pub network: Option<Network>,
    /// Preparing pictures: the largest difference in grey levels, half a level at most.
    pub picture_levels: Option<f64>,
    /// Whether the best classes found on the device are those of its own logits; absent if the host finds them.
    pub ranking: Option<bool>,
}

/// How far a layer is off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Position of its first dispatch in the plan.
    pub dispatch: usize,
    /// Name of the node.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// Shape of its value, per sample.
    pub shape: String,
    /// The kernels that compute it.
    pub kernels: Vec<String>,
    /// Which code of each: tile, memory, number formats.
    pub variant: String,
    /// The dispatches with all constants.
    pub steps: Vec<String>,
    /// How far.
    pub distance: Distance,
    /// How far is allowed.
    pub bound: Bound,
    /// Where it is furthest off.
    pub at: Option<Location>,
}

/// How far the logits are off.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Network {
    /// How far.
    pub distance: Distance,
    /// The largest difference relative to the largest logit.
    pub of_largest: Option<f64>,
    /// What is allowed: bit for bit; of f32 and w8, `of_largest`; of w8a8 with float nodes, the relative L2 distance; of
    /// f16, [`Halves::distance`].
    pub bound: Bound,
    /// Whether every picture's best class is the same, or as good within the bound.
    pub same_top1: bool,
    /// Whether that is within the bound.
    pub agrees: bool,
    /// In f16: what the logits were judged by, and why.
    pub halves: Option<Halves>,
}

impl Check {
    /// One that could not be looked at.
    pub fn failed(precision: Precision, reason: String) -> Self {
        Check {
            precision,
            agrees: false,
            error: Some(reason),
            dispatches: 0,
            layers: 0,
            wrong: Vec::new(),
            worst: None,
            network: None,
            picture_levels: None,
            ranking: None,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Fault { node, op, shape, kernels, variant, distance, bound, .. } = self;
        write!(f, "{node} ({op} {shape}): {distance}, allowed: {bound}; kernel {} ({variant})", kernels.join(" + "))?;
        if let Some(Location { sample, channel, row, column }) = self.at.filter(|_| distance.differing > 0) {
            let (found, expected) = (&distance.found, distance.expected);
            write!(f, "; furthest off in channel {channel}, row {row}, column {column}")?;
            if sample > 0 {
                write!(f, ", picture {sample}")?;
            }
            write!(f, ": {found}, expected {expected}")?;
        }
        Ok(())
    }
}
