//! A shader by itself, between one buffer to read and one to write: for measuring what a device can do.

use std::time::Duration;

use super::context::GpuContext;
use super::passes::passes;
use super::scopes::{guarded, settle};
use crate::error::{Error, Result};

/// A compiled shader with its two buffers, which are zero at first: binding 0 is read, binding 1 written.
pub struct Micro {
    context: GpuContext,
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    written: wgpu::Buffer,
    stamps: bool,
}

/// How long a run took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ran {
    /// By the device's clock; `None` if it has none that runs.
    pub gpu: Option<Duration>,
    /// From handing it to the queue until a word of the result was in the program's memory.
    pub wall: Duration,
}

impl Ran {
    /// By the better clock.
    pub fn time(&self) -> Duration {
        self.gpu.unwrap_or(self.wall)
    }
}

impl Micro {
    /// Whether the device computes in 16-bit floats (`enable f16;`).
    pub fn has_f16(context: &GpuContext) -> bool {
        context.device.features().contains(wgpu::Features::SHADER_F16)
    }

    /// The largest buffer that can be bound, at most `wanted` bytes, in whole mebibytes; at least one.
    pub fn buffer_bytes(context: &GpuContext, wanted: u64) -> u64 {
        let most = context.limits.max_storage_buffer_binding_size.min(context.limits.max_buffer_size);
        (wanted.min(most) >> 20 << 20).max(1 << 20)
    }

    /// Compiles WGSL whose entry point is `main`, without runtime checks.
    ///
    /// # Safety
    /// The text must keep within the bounds of its buffers, for every grid that it is run with, and end.
    ///
    /// # Errors
    /// [`Error::Gpu`] if the driver refuses it or memory is short, [`Error::DeviceLost`].
    pub(crate) async unsafe fn new(
        context: &GpuContext,
        label: &'static str,
        text: &str,
        read_bytes: u64,
        write_bytes: u64,
    ) -> Result<Micro> {
        context.check()?;
        let (made, scope) = guarded(&context.device, || {
            let label = Some(label);
            let descriptor = wgpu::ShaderModuleDescriptor { label, source: wgpu::ShaderSource::Wgsl(text.into()) };
            let checks = wgpu::ShaderRuntimeChecks::unchecked();
            // SAFETY: the caller's promise.
            let module = unsafe { context.make().create_shader_module_trusted(descriptor, checks) };
            let entry = |binding, read_only| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Storage { read_only },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            };
            let entries = [entry(0, true), entry(1, false)];
            let layout = wgpu::BindGroupLayoutDescriptor { label, entries: &entries };
            let layout = context.make().create_bind_group_layout(&layout);
            let bound = [Some(&layout)];
            let whole = wgpu::PipelineLayoutDescriptor { label, bind_group_layouts: &bound, immediate_size: 0 };
            let whole = context.make().create_pipeline_layout(&whole);
            let pipeline = context.make().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label,
                layout: Some(&whole),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            });
            let (read, written) = (context.storage("read", read_bytes), context.storage("written", write_bytes));
            let entries = [
                wgpu::BindGroupEntry { binding: 0, resource: read.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: written.as_entire_binding() },
            ];
            let descriptor = wgpu::BindGroupDescriptor { label, layout: &layout, entries: &entries };
            let bind_group = context.make().create_bind_group(&descriptor);
            (pipeline, bind_group, written)
        });
        settle(context, scope, || format!("compiling {label}")).await?;
        let (pipeline, bind_group, written) = made;
        let stamps = context.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        Ok(Micro { context: context.clone(), pipeline, bind_group, written, stamps })
    }

    /// Runs `workgroups` of it, `repetitions` times in one pass; each waits for the one before.
    ///
    /// # Errors
    /// [`Error::Argument`] for more workgroups than the device allows; [`Error::Gpu`] if it refuses,
    /// [`Error::DeviceLost`].
    pub async fn run(&mut self, workgroups: u32, repetitions: u32) -> Result<Ran> {
        let most = self.context.limits.max_compute_workgroups_per_dimension;
        if workgroups > most {
            return Err(Error::argument(format!("{workgroups} workgroups; the device allows {most}")));
        }
        let record = |pass: &mut wgpu::ComputePass<'_>| {
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &self.bind_group, &[]);
            (0..repetitions).for_each(|_| pass.dispatch_workgroups(workgroups, 1, 1));
        };
        let (times, wall) = passes(&self.context, self.stamps, &self.written, &[&record]).await?;
        let gpu = times.and_then(|times| times.first().copied());
        // Some drivers offer a clock that stands still, or counts in units of its own.
        self.stamps = gpu.is_some_and(|gpu| gpu <= wall * 2);
        Ok(Ran { gpu: gpu.filter(|gpu| !gpu.is_zero() && self.stamps), wall })
    }
}
