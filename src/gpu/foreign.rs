//! Shaders that are not this crate's own, on memory that is not a plan's: replaying a layer from a file.

use super::buffers::{fill, row_bytes};
use super::context::GpuContext;
use super::pipelines::{entry, texture_format};
use super::readback::read;
use super::scopes::{guarded, settle};
use crate::error::{Error, Result};
use crate::kernels::{Access, Format, Storage, TEXTURE_WIDTH};

/// Memory that foreign steps bind.
pub(crate) struct ForeignMemory<'a> {
    /// How it is stored.
    pub format: Format,
    /// Its size; whole rows of textures.
    pub bytes: u64,
    /// What is put in it; the pattern of what nobody wrote if there are none.
    pub words: &'a [u32],
}

/// A dispatch of a foreign shader.
pub(crate) struct ForeignStep<'a> {
    /// Name in messages.
    pub label: &'a str,
    /// WGSL, with an entry point `main`.
    pub shader: &'a str,
    /// Workgroups.
    pub grid: [u32; 3],
    /// Binding number, how it is used, and which memory.
    pub bindings: Vec<(u32, Access, usize)>,
}

enum Memory {
    Buffer(wgpu::Buffer),
    Texture(wgpu::Texture, wgpu::TextureView),
}

/// Runs steps in order and returns the words that they leave in memory number `wanted`. With `checks` the shaders' runtime
/// checks are on: whatever they do, they stay within what they bind.
///
/// # Safety
/// Without `checks`, every shader's loops end and its indices stay within what it binds.
///
/// # Errors
/// [`Error::Limit`] if something does not fit the device, [`Error::Gpu`] if it refuses a shader, [`Error::DeviceLost`].
pub(crate) async unsafe fn run(
    context: &GpuContext,
    memories: &[ForeignMemory<'_>],
    steps: &[ForeignStep<'_>],
    wanted: usize,
    checks: bool,
) -> Result<Vec<u32>> {
    context.check()?;
    memories.iter().try_for_each(|memory| fits(context, memory))?;
    steps.iter().try_for_each(|step| fits_grid(context, step))?;
    let (made, scope) = guarded(&context.device, || memories.iter().map(|memory| make(context, memory)).collect());
    settle(context, scope, || "allocating the memory of the file".to_owned()).await?;
    let made: Vec<Memory> = made;
    for step in steps {
        let ((), scope) = guarded(&context.device, || {
            // SAFETY: the caller's.
            let pipeline = unsafe { pipeline(context, step, memories, checks) };
            let bindings = step.bindings.iter().filter_map(|(binding, _, memory)| {
                let resource = match made.get(*memory)? {
                    Memory::Buffer(buffer) => buffer.as_entire_binding(),
                    Memory::Texture(_, view) => wgpu::BindingResource::TextureView(view),
                };
                Some(wgpu::BindGroupEntry { binding: *binding, resource })
            });
            let entries: Vec<_> = bindings.collect();
            let layout = &pipeline.get_bind_group_layout(0);
            let descriptor = wgpu::BindGroupDescriptor { label: Some(step.label), layout, entries: &entries };
            let group = context.make().create_bind_group(&descriptor);
            let mut encoder = context.encoder("foreign step");
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            let [x, y, z] = step.grid;
            pass.dispatch_workgroups(x, y, z);
            drop(pass);
            context.submit(Some(encoder.finish()));
        });
        settle(context, scope, || format!("the shader {:?} of the file", step.label)).await?;
    }
    let memory = made.get(wanted).zip(memories.get(wanted));
    let (made, memory) = memory.ok_or_else(|| Error::argument("the memory that is wanted is not there"))?;
    let ((readback, submission), scope) = guarded(&context.device, || {
        let readback = context.readback(memory.bytes);
        let mut encoder = context.encoder("reading");
        match made {
            Memory::Buffer(buffer) => encoder.copy_buffer_to_buffer(buffer, 0, &readback, 0, memory.bytes),
            Memory::Texture(texture, _) => {
                let row = row_bytes(memory.format.element);
                let layout = wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: u32::try_from(row).ok(),
                    rows_per_image: None,
                };
                let to = wgpu::TexelCopyBufferInfo { buffer: &readback, layout };
                encoder.copy_texture_to_buffer(texture.as_image_copy(), to, texture.size());
            }
        }
        let submission = context.submit(Some(encoder.finish()));
        (readback, submission)
    });
    settle(context, scope, || format!("reading {} bytes", memory.bytes)).await?;
    Ok(bytemuck::pod_collect_to_vec(&read(context, &readback, submission).await?))
}

fn fits(context: &GpuContext, memory: &ForeignMemory<'_>) -> Result<()> {
    let limits = &context.limits;
    let (limit, limit_name) = match memory.format.storage {
        Storage::Buffer => {
            (limits.max_storage_buffer_binding_size.min(limits.max_buffer_size), "max_storage_buffer_binding_size")
        }
        Storage::Texture => {
            (u64::from(limits.max_texture_dimension_2d) * row_bytes(memory.format.element), "max_texture_dimension_2d")
        }
    };
    if memory.bytes <= limit && memory.words.len() as u64 * 4 <= memory.bytes {
        return Ok(());
    }
    let (what, needed, device) = ("a value of the file".to_owned(), memory.bytes, context.summary().to_string());
    Err(Error::Limit { what, needed, device, limit, limit_name, hint: "try another device".to_owned() })
}

fn fits_grid(context: &GpuContext, step: &ForeignStep<'_>) -> Result<()> {
    let limit = context.limits.max_compute_workgroups_per_dimension;
    let most = step.grid.into_iter().max().unwrap_or(0);
    if most <= limit {
        return Ok(());
    }
    Err(Error::Limit {
        what: format!("the dispatch of {:?}", step.label),
        needed: most.into(),
        device: context.summary().to_string(),
        limit: limit.into(),
        limit_name: "max_compute_workgroups_per_dimension",
        hint: "try another device".to_owned(),
    })
}

fn make(context: &GpuContext, memory: &ForeignMemory<'_>) -> Memory {
    match memory.format.storage {
        Storage::Buffer => {
            let buffer = context.storage("foreign", memory.bytes);
            context.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(memory.words));
            Memory::Buffer(buffer)
        }
        Storage::Texture => {
            let element = memory.format.element;
            let rows = memory.bytes / row_bytes(element);
            let texture = context.make().create_texture(&wgpu::TextureDescriptor {
                label: Some("foreign"),
                size: wgpu::Extent3d {
                    width: TEXTURE_WIDTH as u32,
                    height: u32::try_from(rows).unwrap_or(u32::MAX),
                    depth_or_array_layers: 1,
                },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: texture_format(element),
                usage: wgpu::TextureUsages::TEXTURE_BINDING
                    | wgpu::TextureUsages::COPY_DST
                    | wgpu::TextureUsages::COPY_SRC
                    | if storable(memory.format) {
                        wgpu::TextureUsages::STORAGE_BINDING
                    } else {
                        wgpu::TextureUsages::empty()
                    },
                view_formats: &[],
            });
            fill(context, &texture, element, memory.words);
            let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
            Memory::Texture(texture, view)
        }
    }
}

/// Whether kernels write textures of that format.
fn storable(format: Format) -> bool {
    use crate::kernels::Element::{F16, F32, I8};
    matches!(format.element, F32 | F16 | I8)
}

/// # Safety
/// As [`run`].
unsafe fn pipeline(
    context: &GpuContext,
    step: &ForeignStep<'_>,
    memories: &[ForeignMemory<'_>],
    checks: bool,
) -> wgpu::ComputePipeline {
    let label = Some(step.label);
    let module = wgpu::ShaderModuleDescriptor { label, source: wgpu::ShaderSource::Wgsl(step.shader.into()) };
    let module = if checks {
        context.make().create_shader_module(module)
    } else {
        // SAFETY: the caller's.
        unsafe { context.make().create_shader_module_trusted(module, wgpu::ShaderRuntimeChecks::unchecked()) }
    };
    let entries: Vec<_> = (step.bindings.iter())
        .filter_map(|(binding, access, memory)| Some(entry(*binding, *access, memories.get(*memory)?.format)))
        .collect();
    let layout = context.make().create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
    let layout = context.make().create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label,
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    context.make().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label,
        layout: Some(&layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            // What a shader of ours never reads before it wrote it, a foreign one might.
            zero_initialize_workgroup_memory: checks,
            ..Default::default()
        },
        cache: None,
    })
}
