//! Which device a session asks for, and which it got.

use std::fmt;

use super::model::Precision;
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
    pub(super) fn request(&self) -> Option<DeviceRequest> {
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

impl DeviceKind {
    /// How a network of that precision is computed, where that is not what the precision says.
    pub(super) fn arithmetic(self, precision: Precision) -> Option<String> {
        let words = match (self, precision) {
            (_, Precision::F32 | Precision::F16) => return None,
            (_, Precision::W8) => "w8: weights of 8 bits, computed in f32",
            (DeviceKind::Cpu, Precision::W8a8) => "w8a8 in f32, values rounded to 8 bits between operators",
            (DeviceKind::Gpu, Precision::W8a8) => "weights of w8a8 in f32, activations not rounded",
        };
        Some(words.to_owned())
    }
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
    /// How a quantised network is computed there; `None` for networks of floats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arithmetic: Option<String>,
    /// Why this device.
    #[serde(skip)]
    pub reason: String,
}

impl DeviceInfo {
    pub(super) fn cpu(reason: impl Into<String>) -> Self {
        let threads = crate::cpu::threads();
        let name = format!("CPU executor, {threads} thread{}", if threads == 1 { "" } else { "s" });
        let (kind, backend, driver) =
            (DeviceKind::Cpu, "none".into(), concat!("foveate ", env!("CARGO_PKG_VERSION")).into());
        DeviceInfo { kind, backend, name, driver, arithmetic: None, reason: reason.into() }
    }

    pub(super) fn gpu(adapter: &AdapterSummary, reason: impl Into<String>) -> Self {
        let driver = format!("{} {}", adapter.driver, adapter.driver_info).trim().to_owned();
        let (kind, backend, name) = (DeviceKind::Gpu, adapter.backend.to_owned(), adapter.name.clone());
        DeviceInfo { kind, backend, name, driver, arithmetic: None, reason: reason.into() }
    }
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            DeviceKind::Cpu => f.write_str(&self.name)?,
            DeviceKind::Gpu => write!(f, "{}, {}, {}", self.name, self.backend, self.driver)?,
        }
        if let Some(arithmetic) = &self.arithmetic {
            write!(f, ", {arithmetic}")?;
        }
        write!(f, " ({})", self.reason)
    }
}
