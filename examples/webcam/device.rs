//! The device that frames, network and window share.

use std::sync::Arc;

use foveate::gpu::{AdapterSummary, Backend, DeviceRequest, GpuContext, select_adapter_of};
use foveate::{DeviceChoice, wgpu};
use pollster::block_on;

/// What was opened.
pub struct Opened {
    /// Shared by all who use it; a lost device is told from the one in its place by it.
    pub context: Arc<GpuContext>,
    pub adapter: wgpu::Adapter,
}

/// Opens a device as `--device` and `--backend` say, one that can draw on the surface if there is one. For the network
/// on the CPU, any that can draw.
///
/// # Errors
/// A sentence with what there is.
pub fn open(
    instance: &wgpu::Instance,
    surface: Option<&wgpu::Surface<'_>>,
    choice: &DeviceChoice,
    backend: Option<Backend>,
) -> Result<Opened, String> {
    let fits = |adapter: &wgpu::Adapter| surface.is_none_or(|surface| adapter.is_surface_supported(surface));
    let request = choice.request().unwrap_or(DeviceRequest::Gpu);
    let mut chosen = block_on(select_adapter_of(instance, &request, backend, &fits));
    if chosen.is_err() && surface.is_some() && matches!(choice, DeviceChoice::Auto | DeviceChoice::Cpu) {
        // A window has to be drawn by something: a software adapter will do.
        chosen = block_on(select_adapter_of(instance, &DeviceRequest::Named(String::new()), backend, &fits));
    }
    let chosen = chosen.map_err(|e| e.to_string())?;
    let context = block_on(GpuContext::request(&chosen)).map_err(|e| e.to_string())?;
    Ok(Opened { context: Arc::new(context), adapter: chosen.adapter().clone() })
}

/// A line about an adapter.
pub fn line(summary: &AdapterSummary) -> String {
    format!("{} on {}", summary.name, summary.backend)
}

/// Any device, software drivers too; without one tests say nothing, unless `REQUIRE_GPU` is set.
#[cfg(test)]
pub fn for_tests() -> Option<(wgpu::Instance, Arc<GpuContext>)> {
    let name = std::env::var("WEBCAM_DEVICE").unwrap_or_default();
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    match open(&instance, None, &DeviceChoice::parse(&name), None) {
        Ok(opened) => Some((instance, opened.context)),
        Err(reason) => {
            assert!(std::env::var_os("REQUIRE_GPU").is_none(), "{reason}, and REQUIRE_GPU is set");
            None
        }
    }
}
