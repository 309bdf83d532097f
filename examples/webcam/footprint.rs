//! What the program holds, counted: none of it may grow from frame to frame.

use foveate::wgpu;
use serde::Serialize;

/// The state after so many frames.
#[derive(Clone, Debug, Serialize)]
pub struct Footprint {
    pub frames: u64,
    /// Memory of the process, where the system says.
    pub resident_bytes: Option<u64>,
    /// In wgpu's registries; none on the CPU executor.
    pub gpu_objects: Option<Objects>,
}

impl Footprint {
    /// Counts now. Comparable only while no thread is at work on a frame.
    pub fn after(frames: u64, gpu: Option<&wgpu::Instance>) -> Footprint {
        Footprint { frames, resident_bytes: resident(), gpu_objects: gpu.and_then(Objects::of) }
    }
}

/// Live GPU objects by kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Objects {
    buffers: usize,
    textures: usize,
    texture_views: usize,
    samplers: usize,
    query_sets: usize,
    bind_group_layouts: usize,
    bind_groups: usize,
    shader_modules: usize,
    pipeline_layouts: usize,
    compute_pipelines: usize,
    render_pipelines: usize,
    command_encoders: usize,
    command_buffers: usize,
}

impl Objects {
    fn of(instance: &wgpu::Instance) -> Option<Objects> {
        let hub = instance.generate_report()?.hub;
        Some(Objects {
            buffers: hub.buffers.num_allocated,
            textures: hub.textures.num_allocated,
            texture_views: hub.texture_views.num_allocated,
            samplers: hub.samplers.num_allocated,
            query_sets: hub.query_sets.num_allocated,
            bind_group_layouts: hub.bind_group_layouts.num_allocated,
            bind_groups: hub.bind_groups.num_allocated,
            shader_modules: hub.shader_modules.num_allocated,
            pipeline_layouts: hub.pipeline_layouts.num_allocated,
            compute_pipelines: hub.compute_pipelines.num_allocated,
            render_pipelines: hub.render_pipelines.num_allocated,
            command_encoders: hub.command_encoders.num_allocated,
            command_buffers: hub.command_buffers.num_allocated,
        })
    }
}

/// On Linux from procfs; no standard interface says it elsewhere.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?;
    kibibytes.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_counted_while_they_live() {
        let Some((instance, context)) = crate::device::for_tests() else { return };
        let objects = || Objects::of(&instance).unwrap();
        let before = objects();
        let usage = wgpu::BufferUsages::COPY_DST;
        let buffer = context.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 64,
            usage,
            mapped_at_creation: false,
        });
        assert_eq!(objects().buffers, before.buffers + 1);
        drop(buffer);
        assert_eq!(objects(), before);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn resident_memory_is_read() {
        assert!(resident().unwrap() > 1 << 20);
    }
}
