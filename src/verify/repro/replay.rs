//! Running a layer from a file.

use serde::Serialize;

use super::super::compare::{Bound, Distance};
use super::super::report::{Fault, SCHEMA_VERSION};
use super::super::words::decode;
use super::{Repro, Stage};
use crate::error::Result;
use crate::gpu::{AdapterSummary, ForeignMemory, ForeignStep, GpuContext, run_foreign};

/// What a device makes of a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replay {
    /// Whether it is within the layer's bound.
    pub agrees: bool,
    /// How far it is off.
    pub distance: Distance,
    /// What is allowed.
    pub bound: Bound,
    /// Whether it left the very bits that the device left where the file comes from.
    pub same_bits: bool,
}

/// A device and what it made of a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replayed {
    /// The adapter with driver, features and limits.
    pub adapter: AdapterSummary,
    /// What it made of it.
    pub replay: Option<Replay>,
    /// What kept it from that.
    pub error: Option<String>,
}

/// A layer's file on some devices.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplayReport {
    /// Version of the JSON.
    pub schema_version: u32,
    /// This crate's version.
    pub foveate: &'static str,
    /// Where the file comes from, in words.
    pub origin: String,
    /// How far the layer was off there.
    pub fault: Fault,
    /// Whether shaders ran with their runtime checks.
    pub checks: bool,
    /// Whether every device agrees.
    pub agrees: bool,
    /// Device by device.
    pub devices: Vec<Replayed>,
}

impl ReplayReport {
    /// What some devices made of a layer.
    pub fn new(repro: &Repro, checks: bool, devices: Vec<Replayed>) -> Self {
        let right = |replayed: &Replayed| replayed.replay.as_ref().is_some_and(|replay| replay.agrees);
        ReplayReport {
            schema_version: SCHEMA_VERSION,
            foveate: env!("CARGO_PKG_VERSION"),
            origin: repro.origin(),
            fault: repro.fault().clone(),
            checks,
            agrees: !devices.is_empty() && devices.iter().all(right),
            devices,
        }
    }
}

impl Repro {
    /// Runs the layer with the shaders' runtime checks on, so that a file of somebody else's cannot reach any other memory.
    /// How long its shaders run is up to them.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) if it does not fit the device, [`Error::Gpu`](crate::Error::Gpu) if that refuses
    /// a shader, [`Error::DeviceLost`](crate::Error::DeviceLost).
    pub async fn replay(&self, context: &GpuContext) -> Result<Replay> {
        // SAFETY: checks are on.
        unsafe { self.run(context, true) }.await
    }

    /// The same without the checks, as sessions run their own shaders: what a driver makes of a shader may depend on that.
    ///
    /// # Safety
    /// The file is to be trusted: its shaders' loops end, and their indices stay within what they bind.
    ///
    /// # Errors
    /// As [`replay`](Self::replay).
    pub async unsafe fn replay_unchecked(&self, context: &GpuContext) -> Result<Replay> {
        // SAFETY: the caller's.
        unsafe { self.run(context, false) }.await
    }

    /// # Safety
    /// Without `checks`, as [`replay_unchecked`](Self::replay_unchecked).
    async unsafe fn run(&self, context: &GpuContext, checks: bool) -> Result<Replay> {
        let about = &self.about;
        let held: Vec<Vec<u32>> = (self.words.iter().enumerate())
            .map(|(at, words)| if words.is_empty() { self.poisoned(at) } else { words.clone() })
            .collect();
        let memories: Vec<ForeignMemory<'_>> = (about.memories.iter().zip(&held))
            .map(|(memory, words)| ForeignMemory { format: memory.format, bytes: memory.bytes, words })
            .collect();
        fn step(stage: &Stage) -> ForeignStep<'_> {
            let Stage { kernel, shader, grid, bindings } = stage;
            let bindings = bindings.iter().map(|bound| (bound.binding, bound.access, bound.memory)).collect();
            ForeignStep { label: kernel, shader, grid: *grid, bindings }
        }
        let steps: Vec<ForeignStep<'_>> = about.steps.iter().map(step).collect();
        // SAFETY: the caller's.
        let words = unsafe { run_foreign(context, &memories, &steps, about.wanted, checks) }.await?;
        let distance = Distance::of(&decode(about.element(), &words), &self.expected);
        let bound = about.fault.bound;
        let same_bits = !self.found.is_empty() && words.get(..self.found.len()) == Some(&self.found[..]);
        Ok(Replay { agrees: distance.within(bound), distance, bound, same_bits })
    }
}
