//! Which adapters there are, and which one to take.

use serde::Serialize;

use crate::error::{Error, Result};

/// What `foveate adapters` shows of an adapter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdapterSummary {
    /// Position in [`adapters`]; `None` for a device that the caller brought.
    pub index: Option<usize>,
    /// `vulkan`, `metal`, `dx12`, `gl` or `webgpu`.
    pub backend: &'static str,
    /// The device's name; browsers may leave it empty.
    pub name: String,
    /// `discrete GPU`, `integrated GPU`, `virtual GPU`, `software` or `GPU`.
    pub kind: &'static str,
    /// Name of the driver.
    pub driver: String,
    /// Version of the driver, in its own words.
    pub driver_info: String,
    /// Optional features that kernels can use.
    pub features: AdapterFeatures,
    /// Limits that bound the size of a network.
    pub limits: AdapterLimits,
}

/// The optional features that kernels can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AdapterFeatures {
    /// 16-bit floats in shaders (`shader-f16`).
    pub shader_f16: bool,
    /// Subgroup operations (`subgroups`).
    pub subgroups: bool,
    /// GPU timestamps at pass boundaries (`timestamp-query`).
    pub timestamp_query: bool,
    /// `dot4I8Packed` compiles (`packed_4x8_integer_dot_product`); whether it is fast is not said.
    pub dot4: bool,
}

/// The limits that bound the size of a network, under their WebGPU names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AdapterLimits {
    /// Bytes of one buffer.
    pub max_buffer_size: u64,
    /// Bytes of one buffer that a shader can see.
    pub max_storage_buffer_binding_size: u64,
    /// Storage buffers of one shader.
    pub max_storage_buffers_per_shader_stage: u32,
    /// Bytes of workgroup memory.
    pub max_compute_workgroup_storage_size: u32,
    /// Invocations of one workgroup.
    pub max_compute_invocations_per_workgroup: u32,
    /// Workgroups of a dispatch along each dimension.
    pub max_compute_workgroups_per_dimension: u32,
}

impl AdapterSummary {
    pub(super) fn new(
        index: Option<usize>,
        info: &wgpu::AdapterInfo,
        features: wgpu::Features,
        limits: &wgpu::Limits,
        dot4: bool,
    ) -> Self {
        AdapterSummary {
            index,
            backend: backend_name(info.backend),
            name: info.name.clone(),
            kind: kind(info.device_type),
            driver: info.driver.clone(),
            driver_info: info.driver_info.clone(),
            features: AdapterFeatures {
                shader_f16: features.contains(wgpu::Features::SHADER_F16),
                subgroups: features.contains(wgpu::Features::SUBGROUP),
                timestamp_query: features.contains(wgpu::Features::TIMESTAMP_QUERY),
                dot4,
            },
            limits: AdapterLimits {
                max_buffer_size: limits.max_buffer_size,
                max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
                max_storage_buffers_per_shader_stage: limits.max_storage_buffers_per_shader_stage,
                max_compute_workgroup_storage_size: limits.max_compute_workgroup_storage_size,
                max_compute_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
                max_compute_workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
            },
        }
    }

    /// Whether it computes on the CPU.
    pub fn is_software(&self) -> bool {
        self.kind == SOFTWARE
    }
}

impl std::fmt::Display for AdapterSummary {
    /// `0: vulkan NVIDIA T4 (discrete GPU)`, without the number for a borrowed device.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(index) = self.index {
            write!(f, "{index}: ")?;
        }
        let name = if self.name.is_empty() { "unnamed" } else { &self.name };
        write!(f, "{} {name} ({})", self.backend, self.kind)
    }
}

/// Which device somebody asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceRequest {
    /// The best GPU. Whoever asks falls back to the CPU executor if there is none.
    #[default]
    Auto,
    /// The best GPU, or an error.
    Gpu,
    /// The best adapter whose name or driver contains this, in any case; also a software one.
    Named(String),
    /// The adapter at this position of [`adapters`]; also a software one.
    Index(usize),
}

/// An adapter, and why it was chosen.
#[derive(Clone, Debug)]
pub struct AdapterChoice {
    pub(super) adapter: wgpu::Adapter,
    /// What it is.
    pub summary: AdapterSummary,
    /// Why this one, for printing.
    pub reason: String,
}

const SOFTWARE: &str = "software";

fn kind(device_type: wgpu::DeviceType) -> &'static str {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete GPU",
        wgpu::DeviceType::IntegratedGpu => "integrated GPU",
        wgpu::DeviceType::VirtualGpu => "virtual GPU",
        wgpu::DeviceType::Cpu => SOFTWARE,
        // What browsers say, and GL where the driver does not tell.
        wgpu::DeviceType::Other => "GPU",
    }
}

fn backend_name(backend: wgpu::Backend) -> &'static str {
    match backend {
        wgpu::Backend::Noop => "noop",
        wgpu::Backend::Vulkan => "vulkan",
        wgpu::Backend::Metal => "metal",
        wgpu::Backend::Dx12 => "dx12",
        wgpu::Backend::Gl => "gl",
        wgpu::Backend::BrowserWebGpu => "webgpu",
    }
}

/// The backend of that name: `vulkan`, `metal`, `dx12`, `gl` or `webgpu`.
///
/// # Errors
/// [`Error::Argument`] for any other name.
pub fn parse_backend(name: &str) -> Result<wgpu::Backend> {
    use wgpu::Backend::{BrowserWebGpu, Dx12, Gl, Metal, Vulkan};
    [Vulkan, Metal, Dx12, Gl, BrowserWebGpu]
        .into_iter()
        .find(|backend| backend_name(*backend).eq_ignore_ascii_case(name))
        .ok_or_else(|| Error::argument(format!("unknown backend {name:?}; use vulkan, metal, dx12, gl or webgpu")))
}

/// All adapters, in wgpu's order. `WGPU_BACKEND` and wgpu's other variables are honoured.
pub async fn adapters() -> Vec<AdapterChoice> {
    let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    let older = older_compiler(&descriptor);
    let mut all = adapters_of(&wgpu::Instance::new(descriptor)).await;
    if let Some(older) = older.filter(|_| all.iter().all(|choice| choice.summary.backend != "dx12")) {
        all.extend(adapters_of(&wgpu::Instance::new(older)).await);
        for (index, choice) in all.iter_mut().enumerate() {
            choice.summary.index = Some(index);
        }
    }
    all
}

/// DX12 with the shader compiler that comes with Windows (FXC). Where the newer one (DXC) is installed, wgpu takes
/// it, and leaves out the devices that cannot run what it makes (shader model 6): they are looked for again.
fn older_compiler(asked: &wgpu::InstanceDescriptor) -> Option<wgpu::InstanceDescriptor> {
    let either = matches!(asked.backend_options.dx12.shader_compiler, wgpu::Dx12Compiler::Auto);
    (cfg!(windows) && either && asked.backends.contains(wgpu::Backends::DX12)).then(|| {
        let mut older = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
        older.backends = wgpu::Backends::DX12;
        older.backend_options.dx12.shader_compiler = wgpu::Dx12Compiler::Fxc;
        older
    })
}

async fn adapters_of(instance: &wgpu::Instance) -> Vec<AdapterChoice> {
    let dot4 = instance.wgsl_language_features().contains(wgpu::WgslLanguageFeatures::Packed4x8IntegerDotProduct);
    let found = instance.enumerate_adapters(wgpu::Backends::all()).await;
    let describe = |(index, adapter): (usize, wgpu::Adapter)| {
        let (info, features, limits) = (adapter.get_info(), adapter.features(), adapter.limits());
        let summary = AdapterSummary::new(Some(index), &info, features, &limits, dot4);
        AdapterChoice { adapter, summary, reason: String::new() }
    };
    found.into_iter().enumerate().map(describe).collect()
}

/// The adapter that fits a request best: discrete, then integrated, then other GPUs, and GL last
/// among equals. A software adapter is taken only when asked for by name or index.
///
/// `WGPU_ADAPTER_NAME` stands in for a name where none is asked for, and `WGPU_POWER_PREF=low`
/// prefers an integrated GPU.
///
/// # Errors
/// [`Error::Device`], with a list of what there is, if nothing fits.
pub async fn select_adapter(request: &DeviceRequest, backend: Option<wgpu::Backend>) -> Result<AdapterChoice> {
    among(adapters().await, request, backend)
}

/// As [`select_adapter`], of the caller's instance and among those that `fits` takes: for programs that draw with the
/// device too, which has to support their surface.
///
/// # Errors
/// As [`select_adapter`].
pub async fn select_adapter_of(
    instance: &wgpu::Instance,
    request: &DeviceRequest,
    backend: Option<wgpu::Backend>,
    fits: impl Fn(&wgpu::Adapter) -> bool,
) -> Result<AdapterChoice> {
    let mut all = adapters_of(instance).await;
    all.retain(|choice| fits(&choice.adapter));
    among(all, request, backend)
}

fn among(all: Vec<AdapterChoice>, request: &DeviceRequest, backend: Option<wgpu::Backend>) -> Result<AdapterChoice> {
    let from_env = std::env::var("WGPU_ADAPTER_NAME").ok().filter(|name| !name.is_empty());
    let request = match (request, from_env) {
        (DeviceRequest::Auto | DeviceRequest::Gpu, Some(name)) => &DeviceRequest::Named(name),
        _ => request,
    };
    let low_power = wgpu::PowerPreference::from_env() == Some(wgpu::PowerPreference::LowPower);
    let summaries: Vec<&AdapterSummary> = all.iter().map(|choice| &choice.summary).collect();
    let backend = backend.map(backend_name);
    let (at, reason) = select(&summaries, request, backend, low_power)?;
    let mut choice = all.into_iter().nth(at).ok_or_else(|| Error::Device { reason: "no adapter".to_owned() })?;
    choice.reason = reason;
    Ok(choice)
}

impl AdapterChoice {
    /// The adapter itself, for what else the program does with it.
    pub fn adapter(&self) -> &wgpu::Adapter {
        &self.adapter
    }
}

/// Position and reason of the adapter to take.
fn select(
    all: &[&AdapterSummary],
    request: &DeviceRequest,
    backend: Option<&str>,
    low_power: bool,
) -> Result<(usize, String)> {
    let rank = |summary: &AdapterSummary| {
        let gpus = if low_power {
            ["integrated GPU", "discrete GPU", "virtual GPU", "GPU"]
        } else {
            ["discrete GPU", "integrated GPU", "virtual GPU", "GPU"]
        };
        let kind = gpus.iter().position(|kind| *kind == summary.kind).unwrap_or(gpus.len());
        (kind, summary.backend == "gl")
    };
    let wanted = |(_, summary): &(usize, &&AdapterSummary)| {
        let holds = |text: &str, part: &str| text.to_lowercase().contains(&part.to_lowercase());
        backend.is_none_or(|backend| summary.backend == backend)
            && match request {
                DeviceRequest::Auto | DeviceRequest::Gpu => !summary.is_software(),
                DeviceRequest::Named(part) => holds(&summary.name, part) || holds(&summary.driver, part),
                DeviceRequest::Index(index) => summary.index == Some(*index),
            }
    };
    let best = all.iter().enumerate().filter(wanted).min_by_key(|(_, summary)| rank(summary));
    let (at, summary) = best.ok_or_else(|| nothing_fits(all, request, backend))?;
    let among = backend.map_or(String::new(), |backend| format!(" on {backend}"));
    let reason = match request {
        DeviceRequest::Auto | DeviceRequest::Gpu => format!("the best GPU{among}: a {}", summary.kind),
        DeviceRequest::Named(part) => format!("asked for by the name {part:?}{among}"),
        DeviceRequest::Index(index) => format!("asked for by the index {index}"),
    };
    Ok((at, reason))
}

fn nothing_fits(all: &[&AdapterSummary], request: &DeviceRequest, backend: Option<&str>) -> Error {
    let wanted = match request {
        DeviceRequest::Auto | DeviceRequest::Gpu => "GPU".to_owned(),
        DeviceRequest::Named(part) => format!("adapter with {part:?} in its name"),
        DeviceRequest::Index(index) => format!("adapter with the index {index}"),
    };
    let among = backend.map_or(String::new(), |backend| format!(" on the backend {backend}"));
    let list: Vec<String> = all.iter().map(|summary| summary.to_string()).collect();
    let reason = if list.is_empty() {
        format!("no {wanted}{among}: no graphics driver was found at all; the CPU executor runs without one")
    } else {
        format!(
            "no {wanted}{among}; there is: {}; ask for one by index or part of its name (software adapters only so), \
             or use the CPU executor",
            list.join(", ")
        )
    };
    Error::Device { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(index: usize, backend: &'static str, name: &str, kind: &'static str) -> AdapterSummary {
        let limits = wgpu::Limits::default();
        let info = wgpu::AdapterInfo::new(wgpu::DeviceType::Cpu, wgpu::Backend::Vulkan);
        let summary = AdapterSummary::new(Some(index), &info, wgpu::Features::empty(), &limits, true);
        AdapterSummary { backend, name: name.to_owned(), kind, ..summary }
    }

    #[test]
    fn discrete_then_integrated_and_software_only_by_name_or_index() {
        let all = [
            summary(0, "vulkan", "llvmpipe (LLVM 15)", SOFTWARE),
            summary(1, "gl", "Iris", "integrated GPU"),
            summary(2, "vulkan", "Iris", "integrated GPU"),
            summary(3, "vulkan", "T4", "discrete GPU"),
        ];
        let all: Vec<&AdapterSummary> = all.iter().collect();
        let at = |request, backend, low| select(&all, &request, backend, low).map(|(at, _)| at);
        assert_eq!(at(DeviceRequest::Auto, None, false).unwrap(), 3);
        assert_eq!(at(DeviceRequest::Gpu, None, true).unwrap(), 2);
        assert_eq!(at(DeviceRequest::Auto, Some("gl"), false).unwrap(), 1);
        assert_eq!(at(DeviceRequest::Named("LLVMPIPE".into()), None, false).unwrap(), 0);
        assert_eq!(at(DeviceRequest::Index(0), None, false).unwrap(), 0);
        assert_eq!(select(&all[..1], &DeviceRequest::Index(0), Some("vulkan"), false).unwrap().0, 0);
        let refused = select(&all[..1], &DeviceRequest::Auto, None, false).unwrap_err().to_string();
        assert!(refused.contains("no GPU") && refused.contains("0: vulkan llvmpipe"), "{refused}");
        let refused = at(DeviceRequest::Index(3), Some("gl"), false).unwrap_err().to_string();
        assert!(refused.contains("index 3 on the backend gl"), "{refused}");
        let refused = select(&[], &DeviceRequest::Gpu, None, false).unwrap_err().to_string();
        assert!(refused.contains("no graphics driver"), "{refused}");
    }

    #[test]
    fn backends_are_known_by_name() {
        assert_eq!(parse_backend("Vulkan").unwrap(), wgpu::Backend::Vulkan);
        assert!(parse_backend("cuda").unwrap_err().to_string().contains("\"cuda\""));
    }
}
