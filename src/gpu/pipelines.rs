//! Pipelines, one for each distinct shader text.

use std::collections::HashMap;

use super::context::GpuContext;
use super::scopes::{ScopeError, guarded, settle};
use super::watch::Watch;
use crate::error::Result;
use crate::kernels::{Access, Element, Format, Step, Storage};

/// The pipelines of a plan; steps of equal shader text share one.
pub(super) struct Pipelines {
    built: Vec<Built>,
    index: HashMap<String, usize>,
}

/// Pipelines that are begun before the first is waited for: natively all. A browser's page gets its turn while one
/// is waited for, and its driver is busy with the others meanwhile.
const AT_ONCE: usize = if cfg!(target_arch = "wasm32") { 4 } else { usize::MAX };

struct Built {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

impl Pipelines {
    /// Compiles the shaders of all steps, on all cores natively.
    ///
    /// # Errors
    /// [`Error::Gpu`](crate::Error::Gpu) naming kernel and node if the driver refuses one.
    pub async fn compile<'a>(
        context: &GpuContext,
        steps: impl IntoIterator<Item = &'a Step>,
        safe_shaders: bool,
        cache: Option<&wgpu::PipelineCache>,
        watch: &Watch,
    ) -> Result<Self> {
        let mut index = HashMap::new();
        let mut distinct: Vec<&Step> = Vec::new();
        for step in steps {
            index.entry(step.shader()).or_insert_with(|| {
                distinct.push(step);
                distinct.len() - 1
            });
        }
        let compile = |step: &&Step| guarded(&context.device, || build(context, step, safe_shaders, cache));
        // GL has one context, which pipelines would wait for, and not for ever (wgpu's lock gives up after a
        // second on Windows).
        let side_by_side = context.summary().backend != "gl";
        let mut built = Vec::with_capacity(distinct.len());
        watch.tell(0, distinct.len());
        for group in distinct.chunks(AT_ONCE) {
            let results = each(group, side_by_side, compile);
            for ((pipeline, scope), step) in results.into_iter().zip(group) {
                settle(context, scope, || format!("kernel {} of node {:?}", step.kernel.name, step.node)).await?;
                built.push(pipeline);
                watch.tell(built.len(), distinct.len());
            }
        }
        Ok(Pipelines { built, index })
    }

    /// Number of distinct pipelines.
    pub fn len(&self) -> usize {
        self.built.len()
    }

    /// The step's pipeline and the layout of its bind group, if it was among those compiled.
    pub fn get(&self, step: &Step) -> Option<(&wgpu::ComputePipeline, &wgpu::BindGroupLayout)> {
        let built = self.built.get(*self.index.get(&step.shader())?)?;
        Some((&built.pipeline, &built.layout))
    }
}

fn build(context: &GpuContext, step: &Step, safe_shaders: bool, cache: Option<&wgpu::PipelineCache>) -> Built {
    let kernel = step.kernel;
    let label = Some(kernel.name);
    let module = wgpu::ShaderModuleDescriptor { label, source: wgpu::ShaderSource::Wgsl(context.shader(step).into()) };
    let module = if safe_shaders {
        context.make().create_shader_module(module)
    } else {
        // SAFETY: the text is this crate's own, and choices from files only pick among declared tiles.
        // tests/bounds.rs executes the integers of every kernel, for every invocation of the shapes
        // that it covers: loops end and indices stay within what is bound. Other tests run kernels with
        // canaries behind their buffers.
        unsafe { context.make().create_shader_module_trusted(module, wgpu::ShaderRuntimeChecks::unchecked()) }
    };
    let arguments = kernel.arguments.iter().zip(&step.formats);
    let entries: Vec<_> =
        arguments.map(|(argument, format)| entry(argument.binding, argument.access, *format)).collect();
    let layout = context.make().create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
    let pipeline_layout = context.make().create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label,
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let pipeline = context.make().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label,
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            // Kernels write workgroup memory before they read it.
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache,
    });
    Built { pipeline, layout }
}

/// The texels that hold vec4s of that number format.
pub(super) fn texture_format(element: Element) -> wgpu::TextureFormat {
    match element {
        Element::F32 => wgpu::TextureFormat::Rgba32Float,
        Element::F16 => wgpu::TextureFormat::Rgba16Float,
        Element::Snorm8 => wgpu::TextureFormat::Rgba8Snorm,
        Element::I8 => wgpu::TextureFormat::R32Uint,
        Element::I8Block => wgpu::TextureFormat::Rgba32Uint,
        Element::I32 => wgpu::TextureFormat::Rgba32Sint,
    }
}

/// What a kernel binds under a number.
pub(super) fn entry(binding: u32, access: Access, format: Format) -> wgpu::BindGroupLayoutEntry {
    let ty = match (format.storage, access) {
        (Storage::Buffer, access) => wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only: access == Access::Read },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        (Storage::Texture, Access::Read) => wgpu::BindingType::Texture {
            sample_type: match format.element.is_integer() {
                true => wgpu::TextureSampleType::Uint,
                false => wgpu::TextureSampleType::Float { filterable: false },
            },
            view_dimension: wgpu::TextureViewDimension::D2,
            multisampled: false,
        },
        (Storage::Texture, Access::Write) => wgpu::BindingType::StorageTexture {
            access: wgpu::StorageTextureAccess::WriteOnly,
            format: texture_format(format.element),
            view_dimension: wgpu::TextureViewDimension::D2,
        },
    };
    wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None }
}

type Outcome = (Built, ScopeError);

#[cfg(not(target_arch = "wasm32"))]
fn each<T: Sync>(items: &[T], side_by_side: bool, work: impl Fn(&T) -> Outcome + Send + Sync) -> Vec<Outcome> {
    use rayon::prelude::*;
    if !side_by_side {
        return items.iter().map(work).collect();
    }
    items.par_iter().map(work).collect()
}

#[cfg(target_arch = "wasm32")]
fn each<T>(items: &[T], _side_by_side: bool, work: impl Fn(&T) -> Outcome) -> Vec<Outcome> {
    items.iter().map(work).collect()
}
