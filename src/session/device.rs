//! Which device a session asks for, and which it got.

use std::fmt;

use crate::gpu::{AdapterSummary, DeviceRequest};

/// Which device to run on.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum DeviceChoice {
    /// A discrete GPU, else an integrated one, else the CPU executor.
    #[default]
    Auto,
    /// A GPU, or an error.
    Gpu,
    /// The CPU executor.
    Cpu,
    /// The adapter whose name contains this, in any case; software adapters too.
    Named(String),
    /// The adapter of this index in `foveate adapters`; software adapters too.
    Index(usize),
}

impl DeviceChoice {
    /// From what a user writes: `auto`, `gpu`, `cpu`, an index, or part of a name.
    pub fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "auto" => DeviceChoice::Auto,
            "gpu" => DeviceChoice::Gpu,
            "cpu" => DeviceChoice::Cpu,
            _ => text.parse().map_or_else(|_| DeviceChoice::Named(text.to_owned()), DeviceChoice::Index),
        }
    }

    /// What to ask of the GPU side; `None` for the CPU executor.
    pub fn request(&self) -> Option<DeviceRequest> {
        match self {
            DeviceChoice::Auto => Some(DeviceRequest::Auto),
            DeviceChoice::Gpu => Some(DeviceRequest::Gpu),
            DeviceChoice::Cpu => None,
            DeviceChoice::Named(name) => Some(DeviceRequest::Named(name.clone())),
            DeviceChoice::Index(index) => Some(DeviceRequest::Index(*index)),
        }
    }
}

/// GPU or CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// Through wgpu; software adapters too.
    Gpu,
    /// The CPU executor.
    Cpu,
}

/// Where a session runs, and why there.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct DeviceInfo {
    /// GPU or CPU.
    pub kind: DeviceKind,
    /// `vulkan`, `metal`, `dx12`, `gl`, `webgpu`; `none` for the CPU executor.
    pub backend: String,
    /// The adapter's name.
    pub name: String,
    /// Driver and version, as the adapter says.
    pub driver: String,
    /// Why this device.
    #[serde(skip)]
    pub reason: String,
    /// How much of the plan was tuned for it, `tuned: 12 of 24 dispatches`; absent if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuning: Option<String>,
    /// How many ways around kernels were taken that the driver computes wrongly; 0 if none.
    #[serde(skip_serializing_if = "is_zero")]
    pub detours: usize,
    /// What was found wrong with the driver while loading, a sentence each: what was known before is not said again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl DeviceInfo {
    pub(super) fn cpu(reason: impl Into<String>) -> Self {
        let threads = crate::cpu::threads();
        let name = format!("CPU executor, {threads} thread{}", if threads == 1 { "" } else { "s" });
        let (kind, backend, driver) =
            (DeviceKind::Cpu, "none".into(), concat!("foveate ", env!("CARGO_PKG_VERSION")).into());
        DeviceInfo { kind, backend, name, driver, reason: reason.into(), tuning: None, detours: 0, faults: vec![] }
    }

    pub(super) fn gpu(adapter: &AdapterSummary, reason: impl Into<String>) -> Self {
        let driver = format!("{} {}", adapter.driver, adapter.driver_info).trim().to_owned();
        let (kind, backend, name) = (DeviceKind::Gpu, adapter.backend.to_owned(), adapter.name.clone());
        DeviceInfo { kind, backend, name, driver, reason: reason.into(), tuning: None, detours: 0, faults: vec![] }
    }

    /// Adds what had to be worked around.
    pub(super) fn worked_around(&mut self, detours: usize, faults: Vec<String>) {
        self.detours += detours;
        self.faults.extend(faults);
    }
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            DeviceKind::Cpu => write!(f, "{} ({})", self.name, self.reason),
            DeviceKind::Gpu => {
                write!(f, "{}, {}, {} ({})", self.name, self.backend, self.driver, self.reason)?;
                self.tuning.iter().try_for_each(|tuning| write!(f, "; {tuning}"))?;
                match self.detours {
                    0 => Ok(()),
                    1 => write!(f, "; a kernel that its driver computes wrongly is gone around"),
                    detours => {
                        write!(f, "; kernels that its driver computes wrongly are gone around ({detours} times)")
                    }
                }
            }
        }
    }
}
