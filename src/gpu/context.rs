//! A device with its queue: requested by us, or borrowed from the caller.

use std::sync::{Arc, Mutex, PoisonError};

use super::adapter::{AdapterChoice, AdapterSummary};
use super::objects::Counters;
use super::sabotage::Sabotage;
use crate::error::{Error, Result};
use crate::kernels::Target;
use crate::tune::{self, DeviceKey};

/// A device with its queue, and whether it still lives.
#[derive(Clone, Debug)]
pub struct GpuContext {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) limits: wgpu::Limits,
    summary: AdapterSummary,
    borrowed: bool,
    lost: Arc<Mutex<Option<String>>>,
    pub(super) counters: Arc<Counters>,
    pub(super) sabotage: Sabotage,
}

impl GpuContext {
    /// Requests a device with the adapter's own limits for buffers, bindings and workgroups, and
    /// those optional features that kernels can use.
    ///
    /// # Errors
    /// [`Error::Device`] if the adapter refuses.
    pub async fn request(choice: &AdapterChoice) -> Result<Self> {
        let adapter = &choice.adapter;
        let optional = wgpu::Features::SHADER_F16
            | wgpu::Features::SUBGROUP
            | wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES
            | wgpu::Features::PIPELINE_CACHE;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("foveate"),
            required_features: adapter.features() & optional,
            required_limits: required_limits(&adapter.limits()),
            ..Default::default()
        };
        let refused = |e: wgpu::RequestDeviceError| Error::Device {
            reason: format!(
                "{} refused to make a device: {e} (wgpu logs more: FOVEATE_LOG=1 shows it); try another one",
                choice.summary
            ),
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(refused)?;
        let lost = Arc::new(Mutex::new(None));
        let flag = lost.clone();
        device.set_device_lost_callback(move |reason, message| {
            let message = if message.is_empty() { format!("{reason:?}") } else { message };
            flag.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
        });
        // Without a handler wgpu panics. Errors that matter are caught in scopes; this is the rest.
        device.on_uncaptured_error(Arc::new(|error| log::error!("uncaptured GPU error: {error}")));
        let limits = device.limits();
        Ok(GpuContext {
            device,
            queue,
            limits,
            summary: choice.summary.clone(),
            borrowed: false,
            lost,
            counters: Arc::default(),
            sabotage: Sabotage::default(),
        })
    }

    /// Uses the caller's device. Its error and loss handlers are left alone, so a loss is noticed
    /// when a run fails, and nothing is ever rebuilt behind the caller's back.
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let (info, limits) = (device.adapter_info(), device.limits());
        // Which language features there are is the instance's to say, and the caller has that;
        // natively every one does.
        let dot4 = cfg!(not(target_arch = "wasm32"));
        let summary = AdapterSummary::new(None, &info, device.features(), &limits, dot4);
        GpuContext {
            device,
            queue,
            limits,
            summary,
            borrowed: true,
            lost: Arc::default(),
            counters: Arc::default(),
            sabotage: Sabotage::default(),
        }
    }

    /// What it runs on. Features and limits are the adapter's; for a borrowed device, the device's.
    pub fn summary(&self) -> &AdapterSummary {
        &self.summary
    }

    /// What the device is good at, with the crate's own table for its driver where there is one.
    pub fn target(&self) -> Target {
        let AdapterSummary { backend, name, driver, .. } = &self.summary;
        let target = match self.summary.is_software() {
            false => Target::default(),
            true => Target::for_software(backend, [name, driver], self.subgroup().unwrap_or(0)),
        };
        Target { choices: Arc::new(tune::builtin(&self.summary)), ..target }
    }

    /// The size of every subgroup, where kernels can rely on it.
    fn subgroup(&self) -> Option<u32> {
        let info = self.device.adapter_info();
        let size = Some(info.subgroup_min_size).filter(|size| *size == info.subgroup_max_size)?;
        (matches!(size, 4 | 8) && self.device.features().contains(wgpu::Features::SUBGROUP)).then_some(size)
    }

    /// What choices are remembered by that were tuned on this device.
    pub fn tuning_key(&self) -> DeviceKey {
        let info = self.device.adapter_info();
        let AdapterSummary { backend, name, driver, driver_info, .. } = self.summary.clone();
        let features = self.device.features();
        let usable = wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP;
        let mut features: Vec<String> = (features & usable).iter_names().map(|(name, _)| name.to_owned()).collect();
        crate::order::sort_by(&mut features, Ord::cmp);
        let (vendor, device) = (info.vendor, info.device);
        DeviceKey { backend: backend.to_owned(), name, vendor, device, driver, driver_info, features }
    }

    /// Whether the device is the caller's.
    pub fn is_borrowed(&self) -> bool {
        self.borrowed
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.device
    }

    /// The device's queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// Why the device was lost, if it is known to be.
    pub fn lost(&self) -> Option<String> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// # Errors
    /// [`Error::DeviceLost`] if the device is known to be lost.
    pub(super) fn check(&self) -> Result<()> {
        self.lost().map_or(Ok(()), |reason| Err(Error::DeviceLost { reason }))
    }

    /// The error of a call that failed because the device is gone; remembered for later calls.
    pub(super) fn loss(&self, otherwise: &str) -> Error {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        Error::DeviceLost { reason: lost.get_or_insert_with(|| otherwise.to_owned()).clone() }
    }
}

/// WebGPU's default limits (or what the adapter has, if less), but all that the adapter has of
/// those that bound a network.
fn required_limits(adapter: &wgpu::Limits) -> wgpu::Limits {
    wgpu::Limits {
        max_buffer_size: adapter.max_buffer_size,
        max_storage_buffer_binding_size: adapter.max_storage_buffer_binding_size,
        max_storage_buffers_per_shader_stage: adapter.max_storage_buffers_per_shader_stage,
        max_bindings_per_bind_group: adapter.max_bindings_per_bind_group,
        max_compute_workgroup_storage_size: adapter.max_compute_workgroup_storage_size,
        max_compute_invocations_per_workgroup: adapter.max_compute_invocations_per_workgroup,
        max_compute_workgroup_size_x: adapter.max_compute_workgroup_size_x,
        max_compute_workgroup_size_y: adapter.max_compute_workgroup_size_y,
        max_compute_workgroup_size_z: adapter.max_compute_workgroup_size_z,
        max_compute_workgroups_per_dimension: adapter.max_compute_workgroups_per_dimension,
        ..wgpu::Limits::default().or_worse_values_from(adapter)
    }
}
