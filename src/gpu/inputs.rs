//! Pictures on their way in: per sample a buffer of pixels, a buffer of resampling tables, and the
//! dispatch that makes the network's input of them.

use super::buffers::{Buffers, storage};
use super::context::GpuContext;
use super::pack;
use super::pipelines::Pipelines;
use crate::error::{Error, Result};
use crate::graph::Shape;
use crate::kernels::{Argument, Binding, Layout, Step, preprocess_step, preprocess_tables};
use crate::picture::Picture;
use crate::plan::Plan;
use crate::preprocess::Preprocess;

/// Preprocessing in front of a plan.
pub(super) struct PictureInput {
    spec: Preprocess,
    step: Step,
    samples: Vec<Option<Sample>>,
}

/// What is kept for one sample of the batch; grown when a larger picture comes.
struct Sample {
    picture: wgpu::Buffer,
    tables: wgpu::Buffer,
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    /// Size of the picture that the tables are for.
    size: (u32, u32),
}

/// Taps of one output pixel beyond which the CPU preprocesses. It does so one axis after the other;
/// the kernel does both at once, so its work grows with the square of the reduction. LLVM's software
/// drivers silently stop a shader's loops after 65,535 turns, and a real GPU's watchdog might too.
const MAX_TAPS: u64 = 1 << 14;

impl PictureInput {
    /// # Errors
    /// [`Error::Argument`] if the preprocessing does not make the plan's input.
    pub fn new(spec: Preprocess, plan: &Plan) -> Result<Self> {
        spec.validate()?;
        let Shape { channels, height, width } = plan.input_shape;
        if channels != 3 || [height, width] != spec.crop.map(|side| side as usize) {
            let ([rows, columns], name) = (spec.crop, &plan.name);
            let input = plan.input_shape;
            return Err(Error::argument(format!(
                "{name} takes {input} (channels × rows × columns), but its preprocessing makes 3×{rows}×{columns}"
            )));
        }
        let step = preprocess_step(plan.input, spec.crop);
        Ok(PictureInput { spec, step, samples: (0..plan.batch).map(|_| None).collect() })
    }

    /// The dispatch, the same for every sample.
    pub fn step(&self) -> &Step {
        &self.step
    }

    /// Uploads the picture of one sample; `true` if the dispatch is then to be recorded. A picture
    /// beyond the device's buffer limit is preprocessed on the CPU instead.
    pub fn upload(
        &mut self,
        sample: usize,
        picture: &Picture,
        context: &GpuContext,
        plan: &Plan,
        buffers: &Buffers,
        pipelines: &Pipelines,
    ) -> Result<bool> {
        let size = (picture.width(), picture.height());
        let limit = context.limits.max_storage_buffer_binding_size.min(context.limits.max_buffer_size);
        let known = self.samples.get(sample).and_then(Option::as_ref);
        let tables = match known {
            Some(known) if known.size == size => None,
            _ => {
                let taps = self.spec.tables(size.0, size.1)?;
                if u64::from(taps.horizontal.width()) * u64::from(taps.vertical.width()) > MAX_TAPS {
                    self.upload_from_cpu(sample, picture, context, plan, buffers)?;
                    return Ok(false);
                }
                Some(preprocess_tables(&self.spec, size.0, size.1, sample as u32)?)
            }
        };
        let bytes = picture.rgba().len() as u64;
        let table_bytes = tables.as_ref().map_or(0, |tables| tables.len() as u64 * 4);
        if bytes > limit || table_bytes > limit {
            self.upload_from_cpu(sample, picture, context, plan, buffers)?;
            return Ok(false);
        }
        let fits = known.is_some_and(|known| known.picture.size() >= bytes && known.tables.size() >= table_bytes);
        if !fits {
            let tables = known.map_or(0, |known| known.tables.size()).max(table_bytes);
            let made =
                self.allocate([bytes, tables].map(|size| grown(size, limit)), size, context, plan, buffers, pipelines)?;
            if let Some(slot) = self.samples.get_mut(sample) {
                *slot = Some(made);
            }
        }
        let Some(Some(slot)) = self.samples.get_mut(sample) else {
            return Err(Error::argument(format!("sample {sample} is beyond the batch of {}", plan.batch)));
        };
        context.queue.write_buffer(&slot.picture, 0, picture.rgba());
        if let Some(tables) = tables {
            context.queue.write_buffer(&slot.tables, 0, bytemuck::cast_slice(&tables));
        }
        slot.size = size;
        Ok(true)
    }

    /// Records the dispatch of one sample, whose picture was uploaded.
    pub fn record(&self, sample: usize, pass: &mut wgpu::ComputePass<'_>) {
        let slot = self.samples.get(sample).and_then(Option::as_ref);
        if let Some(slot) = slot {
            let [x, y, z] = self.step.grid;
            pass.set_pipeline(&slot.pipeline);
            pass.set_bind_group(0, &slot.bind_group, &[]);
            pass.dispatch_workgroups(x, y, z);
        }
    }

    fn upload_from_cpu(
        &self,
        sample: usize,
        picture: &Picture,
        context: &GpuContext,
        plan: &Plan,
        buffers: &Buffers,
    ) -> Result<()> {
        let input = self.spec.apply(picture)?;
        let mut packed = Vec::new();
        pack::pack(&input, &Layout::new([plan.input_shape.channels]), 1, &mut packed);
        // Three channels are one plane, in which samples lie one behind the other.
        let bytes: &[u8] = bytemuck::cast_slice(&packed);
        context.queue.write_buffer(buffers.tensor(plan, plan.input)?, (sample * bytes.len()) as u64, bytes);
        Ok(())
    }

    fn allocate(
        &self,
        [picture, tables]: [u64; 2],
        size: (u32, u32),
        context: &GpuContext,
        plan: &Plan,
        buffers: &Buffers,
        pipelines: &Pipelines,
    ) -> Result<Sample> {
        let picture = storage(context, "picture", picture);
        let tables = storage(context, "resampling tables", tables);
        let not_compiled = || Error::Plan { node: self.step.node.clone(), reason: "it has no pipeline".to_owned() };
        let (pipeline, layout) = pipelines.get(&self.step).ok_or_else(not_compiled)?;
        let entry = |(argument, binding): (&&Argument, &Binding)| {
            let resource = match binding {
                Binding::Picture => picture.as_entire_binding(),
                Binding::Tables => tables.as_entire_binding(),
                other => buffers.binding(plan, other).ok_or_else(not_compiled)?,
            };
            Ok(wgpu::BindGroupEntry { binding: argument.binding, resource })
        };
        let entries =
            self.step.kernel.arguments.iter().zip(&self.step.bindings).map(entry).collect::<Result<Vec<_>>>()?;
        let descriptor = wgpu::BindGroupDescriptor { label: Some("preprocess"), layout, entries: &entries };
        let bind_group = context.device.create_bind_group(&descriptor);
        drop(entries);
        Ok(Sample { picture, tables, pipeline: pipeline.clone(), bind_group, size })
    }
}

/// A size with room for somewhat larger pictures, in whole kibibytes.
fn grown(bytes: u64, limit: u64) -> u64 {
    (bytes + bytes / 4).next_multiple_of(1024).min(limit - limit % 4)
}
