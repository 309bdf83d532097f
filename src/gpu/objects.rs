//! Everything that is made on a device and handed to its queue goes through here and is counted, so
//! that "no object per frame, one submission" is a fact that tests hold the executor to.

use std::sync::atomic::{AtomicU64, Ordering};

use super::context::GpuContext;

/// How often a device was asked for something through a [`GpuContext`] and its clones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GpuCounts {
    /// Buffers, textures, views, bind groups, layouts, shaders, pipelines and query sets made.
    pub objects: u64,
    /// Command encoders made. A command buffer can be submitted only once, so every frame has one.
    pub encoders: u64,
    /// Submissions to the queue.
    pub submissions: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    objects: AtomicU64,
    encoders: AtomicU64,
    submissions: AtomicU64,
}

fn count(counter: &AtomicU64) {
    // Only the numbers matter, not what other memory was written before.
    counter.fetch_add(1, Ordering::Relaxed);
}

impl GpuContext {
    /// What was made and submitted so far.
    pub fn counts(&self) -> GpuCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { objects, encoders, submissions } = &*self.counters;
        GpuCounts { objects: read(objects), encoders: read(encoders), submissions: read(submissions) }
    }

    /// The device, to make an object with.
    pub(super) fn make(&self) -> &wgpu::Device {
        count(&self.counters.objects);
        &self.device
    }

    pub(super) fn encoder(&self, label: &str) -> wgpu::CommandEncoder {
        count(&self.counters.encoders);
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(label) })
    }

    pub(super) fn submit(&self, commands: Option<wgpu::CommandBuffer>) -> wgpu::SubmissionIndex {
        count(&self.counters.submissions);
        self.queue.submit(commands)
    }

    /// A buffer for shaders that the host can write and read back from.
    pub(super) fn storage(&self, label: &str, size: u64) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        self.buffer(label, size, usage)
    }

    /// A buffer that the host can read.
    pub(super) fn readback(&self, size: u64) -> wgpu::Buffer {
        self.buffer("readback", size, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)
    }

    pub(super) fn buffer(&self, label: &str, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        self.make().create_buffer(&descriptor)
    }
}

#[cfg(test)]
mod tests {
    /// An object that is made without being counted would be no object to the tests.
    #[test]
    fn nothing_is_made_or_submitted_elsewhere() {
        let sources = [
            include_str!("bench.rs"),
            include_str!("buffers.rs"),
            include_str!("clock.rs"),
            include_str!("context.rs"),
            include_str!("executor.rs"),
            include_str!("exit.rs"),
            include_str!("foreign.rs"),
            include_str!("inputs.rs"),
            include_str!("micro.rs"),
            include_str!("pack.rs"),
            include_str!("passes.rs"),
            include_str!("pipeline_cache.rs"),
            include_str!("pipelines.rs"),
            include_str!("profile.rs"),
            include_str!("readback.rs"),
            include_str!("sabotage.rs"),
            include_str!("scopes.rs"),
            include_str!("steps.rs"),
        ];
        let mut made = 0;
        for line in sources.iter().flat_map(|source| source.lines()) {
            assert!(!line.contains("queue.submit") && !line.contains("create_command_encoder"), "{line}");
            if line.contains(".create_") {
                made += 1;
                assert!(line.contains(".make().create_") || line.contains("texture.create_view"), "{line}");
            }
        }
        assert!(made >= 8, "{made}");
    }
}
