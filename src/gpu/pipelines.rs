//! Pipelines, one for each distinct shader text.

use std::collections::HashMap;

use super::context::GpuContext;
use super::scopes::{ScopeError, guarded, settle};
use super::watch::Watch;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
use crate::error::Error;
use crate::error::Result;
use crate::kernels::{Access, Element, Format, Step, Storage};

/// The pipelines of a plan; steps of equal shaders share one.
pub(super) struct Pipelines {
    built: Vec<Built>,
    index: HashMap<String, usize>,
}

/// Shaders that are handed over before a browser's page gets its turn; natively all.
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
            index.entry(step.shader_key()).or_insert_with(|| {
                distinct.push(step);
                distinct.len() - 1
            });
        }
        let built = built(context, &distinct, safe_shaders, cache, watch).await?;
        Ok(Pipelines { built, index })
    }

    /// Number of distinct pipelines.
    pub fn len(&self) -> usize {
        self.built.len()
    }

    /// The step's pipeline and the layout of its bind group, if it was among those compiled.
    pub fn get(&self, step: &Step) -> Option<(&wgpu::ComputePipeline, &wgpu::BindGroupLayout)> {
        let built = self.built.get(*self.index.get(&step.shader_key())?)?;
        Some((&built.pipeline, &built.layout))
    }
}

/// Builds a pipeline for each step, in their order.
async fn built(
    context: &GpuContext,
    steps: &[&Step],
    safe_shaders: bool,
    cache: Option<&wgpu::PipelineCache>,
    watch: &Watch,
) -> Result<Vec<Built>> {
    watch.tell(0, steps.len());
    #[cfg(all(target_arch = "wasm32", feature = "web"))]
    if let Some(built) = built_in_background(context, steps, safe_shaders, watch).await? {
        return Ok(built);
    }
    let build =
        |step: &&Step| guarded(&context.device, || Parts::new(context, step, safe_shaders).build(context, cache));
    // GL has one context, which pipelines would wait for, and not for ever (wgpu's lock gives up after a
    // second on Windows).
    let side_by_side = context.summary().backend != "gl";
    let mut built = Vec::with_capacity(steps.len());
    for group in steps.chunks(AT_ONCE) {
        let results = each(group, side_by_side, build);
        for ((pipeline, scope), step) in results.into_iter().zip(group) {
            settle(context, scope, || named(step)).await?;
            built.push(pipeline);
            watch.tell(built.len(), steps.len());
        }
    }
    Ok(built)
}

/// The same all at once; `None` if this browser cannot.
#[cfg(all(target_arch = "wasm32", feature = "web"))]
async fn built_in_background(
    context: &GpuContext,
    steps: &[&Step],
    safe_shaders: bool,
    watch: &Watch,
) -> Result<Option<Vec<Built>>> {
    use super::background;
    let (mut parts, mut begun) = (Vec::with_capacity(steps.len()), Vec::with_capacity(steps.len()));
    for group in steps.chunks(AT_ONCE) {
        let mut scopes = Vec::with_capacity(group.len());
        for step in group {
            let (promises, scope) = guarded(&context.device, || {
                let made = Parts::new(context, step, safe_shaders);
                let promises = background::begin(|| drop(made.pipeline(context, None)));
                parts.push(made);
                promises
            });
            // Exactly one, or what is handed out later would be another's.
            let Some(promises) = promises.filter(|promises| promises.len() == 1) else { return Ok(None) };
            begun.extend(promises);
            scopes.push((scope, step));
        }
        for (scope, step) in scopes {
            settle(context, scope, || named(step)).await?;
        }
    }
    let mut ready = Vec::with_capacity(steps.len());
    for (begun, step) in begun.into_iter().zip(steps) {
        ready.push(begun.ready().await.map_err(|reason| Error::Gpu { what: named(step), reason })?);
        watch.tell(ready.len(), steps.len());
    }
    let build = |parts: Vec<Parts>| parts.into_iter().map(|parts| parts.build(context, None)).collect();
    Ok(background::finish(ready, || build(parts)))
}

fn named(step: &Step) -> String {
    format!("kernel {} of node {:?}", step.kernel.name, step.node)
}

/// What a pipeline is made of.
struct Parts {
    label: &'static str,
    module: wgpu::ShaderModule,
    bindings: wgpu::BindGroupLayout,
    layout: wgpu::PipelineLayout,
}

impl Parts {
    fn new(context: &GpuContext, step: &Step, safe_shaders: bool) -> Self {
        let name = step.kernel.name;
        let label = Some(name);
        let source = wgpu::ShaderSource::Wgsl(context.shader(step).into());
        let module = wgpu::ShaderModuleDescriptor { label, source };
        let module = if safe_shaders {
            context.make().create_shader_module(module)
        } else {
            // SAFETY: the text is this crate's own, and choices from files only pick among declared tiles.
            // tests/bounds.rs executes the integers of every kernel, for every invocation of the shapes
            // that it covers: loops end and indices stay within what is bound. Other tests run kernels with
            // canaries behind their buffers.
            unsafe { context.make().create_shader_module_trusted(module, wgpu::ShaderRuntimeChecks::unchecked()) }
        };
        let arguments = step.arguments().zip(&step.formats);
        let entries: Vec<_> =
            arguments.map(|(argument, format)| entry(argument.binding, argument.access, *format)).collect();
        let bindings = wgpu::BindGroupLayoutDescriptor { label, entries: &entries };
        let bindings = context.make().create_bind_group_layout(&bindings);
        let layout = context.make().create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: 0,
        });
        Parts { label: name, module, bindings, layout }
    }

    fn pipeline(&self, context: &GpuContext, cache: Option<&wgpu::PipelineCache>) -> wgpu::ComputePipeline {
        context.make().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(self.label),
            layout: Some(&self.layout),
            module: &self.module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Kernels write workgroup memory before they read it.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache,
        })
    }

    fn build(self, context: &GpuContext, cache: Option<&wgpu::PipelineCache>) -> Built {
        Built { pipeline: self.pipeline(context, cache), layout: self.bindings }
    }
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
