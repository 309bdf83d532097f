//! Runs a plan: one encoder, one pass and one submission per frame.

use std::borrow::Borrow;
use std::sync::Arc;
use std::time::Duration;

use web_time::Instant;

use super::buffers::Buffers;
use super::context::GpuContext;
use super::inputs::PictureInput;
use super::limits;
use super::pack;
use super::pipelines::Pipelines;
use super::readback::{Pending, Ring};
use super::scopes::{guarded, settle};
use crate::error::{Error, Result};
use crate::graph::Shape;
use crate::kernels::{Argument, Layout, Step};
use crate::picture::Picture;
use crate::plan::{Output, Plan};
use crate::preprocess::Preprocess;
use crate::tensor::Tensor;

/// How to build a [`GpuExecutor`].
#[derive(Clone, Debug, Default)]
pub struct ExecutorOptions {
    /// What is done to pictures; without it only tensors can be run.
    pub preprocess: Option<Preprocess>,
    /// Let the driver's compiler keep bounds checks and loop bounds. Several times slower; for
    /// looking into faults.
    pub safe_shaders: bool,
    /// Fill all activation memory with NaN before each run and put a pattern behind every buffer,
    /// for [`GpuExecutor::check_canaries`]. For tests.
    pub canaries: bool,
}

/// How long making an executor took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Allocating buffers and handing the weights to the queue.
    pub upload: Duration,
    /// Compiling shaders and building bind groups.
    pub compile: Duration,
}

/// A plan on a device, ready to run.
///
/// After the first run nothing is allocated here any more, except when a picture is larger than
/// those before or more than three frames are under way.
pub struct GpuExecutor {
    pub(super) context: GpuContext,
    pub(super) plan: Plan,
    input_layout: Layout,
    buffers: Buffers,
    pipelines: Pipelines,
    pub(super) dispatches: Vec<Dispatch>,
    copies: Vec<Copy>,
    pub(super) pictures: Option<PictureInput>,
    ring: Ring,
    outputs: Arc<Vec<Output>>,
    packed: Vec<f32>,
    timings: Timings,
}

/// A step, ready to be recorded.
pub(super) struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    grid: [u32; 3],
}

impl Dispatch {
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        let [x, y, z] = self.grid;
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
}

/// An output's way into the readback buffer.
struct Copy {
    source: wgpu::Buffer,
    source_offset: u64,
    target_offset: u64,
    bytes: u64,
}

impl GpuExecutor {
    /// Checks the plan against the device's limits, allocates, uploads and compiles.
    ///
    /// # Errors
    /// [`Error::Limit`] with numbers if something does not fit, before anything is allocated;
    /// [`Error::Gpu`] naming kernel and node if the driver refuses; [`Error::DeviceLost`].
    pub async fn new(context: &GpuContext, mut plan: Plan, options: ExecutorOptions) -> Result<Self> {
        context.check()?;
        let pictures = options.preprocess.map(|spec| PictureInput::new(spec, &plan)).transpose()?;
        let first = pictures.as_ref().map(PictureInput::step);
        let readback = plan.outputs.iter().map(|output| output_bytes(&plan, output)).sum();
        limits::check(&plan, first, readback, context)?;

        let start = Instant::now();
        let buffers = Buffers::new(context, &plan, options.canaries).await?;
        let upload = start.elapsed();

        let start = Instant::now();
        let steps = plan.steps.iter().chain(first);
        let pipelines = Pipelines::compile(context, steps, options.safe_shaders).await?;
        let bind = || plan.steps.iter().map(|step| dispatch(context, &plan, step, &buffers, &pipelines)).collect();
        let (dispatches, scope) = guarded(&context.device, bind);
        settle(scope, || format!("binding the buffers of {}", plan.name)).await?;
        let dispatches: Vec<Dispatch> = Result::<_>::from_iter::<Vec<Result<Dispatch>>>(dispatches)?;
        let (ring, scope) = guarded(&context.device, || Ring::new(&context.device, readback));
        settle(scope, || format!("allocating {readback} bytes for outputs")).await?;
        let compile = start.elapsed();
        context.check()?;

        // The device has them now; the graph keeps them for a rebuild.
        plan.weights.iter_mut().for_each(|weights| weights.words = Arc::default());
        let copies = copies(&plan, &buffers)?;
        let outputs = Arc::new(plan.outputs.clone());
        let input_layout = Layout::new([plan.input_shape.channels]);
        let (context, packed, timings) = (context.clone(), Vec::new(), Timings { upload, compile });
        Ok(GpuExecutor {
            context,
            plan,
            input_layout,
            buffers,
            pipelines,
            dispatches,
            copies,
            pictures,
            ring,
            outputs,
            packed,
            timings,
        })
    }

    /// The device that it runs on.
    pub fn context(&self) -> &GpuContext {
        &self.context
    }

    /// What it runs. Its weights have gone to the device: their words are empty here.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Number of distinct pipelines.
    pub fn pipeline_count(&self) -> usize {
        self.pipelines.len()
    }

    /// How long making it took.
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// Runs `[n, c, h, w]`, n from 1 to the plan's batch, and returns the plan's outputs, each
    /// `[n, c, h, w]`.
    ///
    /// # Errors
    /// As [`submit_tensor`](Self::submit_tensor) and [`Pending::wait`].
    pub async fn run_tensor(&mut self, input: &Tensor) -> Result<Vec<Tensor>> {
        self.submit_tensor(input)?.wait().await
    }

    /// Runs 1 to the plan's batch of pictures, each of any size, and returns the plan's outputs,
    /// each `[n, c, h, w]`.
    ///
    /// # Errors
    /// As [`submit_pictures`](Self::submit_pictures) and [`Pending::wait`].
    pub async fn run_pictures<P: Borrow<Picture>>(&mut self, pictures: &[P]) -> Result<Vec<Tensor>> {
        self.submit_pictures(pictures)?.wait().await
    }

    /// Starts a run without waiting for it; the next may be started before the outputs are read.
    ///
    /// # Errors
    /// [`Error::Argument`] if the input has another shape, [`Error::DeviceLost`].
    pub fn submit_tensor(&mut self, input: &Tensor) -> Result<Pending> {
        let Shape { channels, height, width } = self.plan.input_shape;
        let batch = self.plan.batch;
        let samples = match input.shape() {
            &[n, c, h, w] if (1..=batch).contains(&n) && (c, h, w) == (channels, height, width) => n,
            other => {
                let name = &self.plan.name;
                let expected = format!("[n, {channels}, {height}, {width}] with n from 1 to {batch}");
                return Err(Error::argument(format!("{name}: the input has shape {other:?}, expected {expected}")));
            }
        };
        self.frame(samples, |executor| {
            pack::pack(input, &executor.input_layout, batch, &mut executor.packed);
            let buffer = executor.buffers.tensor(&executor.plan, executor.plan.input)?;
            executor.context.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&executor.packed));
            Ok(Vec::new())
        })
    }

    /// Starts a run on pictures; their preprocessing is recorded in front of the network.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are none or too many, if the executor was made without
    /// preprocessing, or if it cannot be applied to one of them; [`Error::DeviceLost`].
    pub fn submit_pictures<P: Borrow<Picture>>(&mut self, pictures: &[P]) -> Result<Pending> {
        self.frame(pictures.len(), |executor| executor.upload_pictures(pictures))
    }

    /// Hands pictures to the queue; returns the samples that are to be preprocessed on the GPU.
    pub(super) fn upload_pictures<P: Borrow<Picture>>(&mut self, pictures: &[P]) -> Result<Vec<usize>> {
        let (batch, name) = (self.plan.batch, &self.plan.name);
        if !(1..=batch).contains(&pictures.len()) {
            let count = pictures.len();
            return Err(Error::argument(format!("{name}: got {count} pictures, expected 1 to {batch}")));
        }
        if self.pictures.is_none() {
            return Err(Error::argument(format!("{name}: the executor was made without preprocessing")));
        }
        let GpuExecutor { context, plan, buffers, pipelines, pictures: input, .. } = self;
        let mut on_gpu = Vec::with_capacity(pictures.len());
        if let Some(input) = input {
            for (sample, picture) in pictures.iter().enumerate() {
                if input.upload(sample, picture.borrow(), context, plan, buffers, pipelines)? {
                    on_gpu.push(sample);
                }
            }
        }
        Ok(on_gpu)
    }

    /// Where [`ExecutorOptions::canaries`] is on: whether no kernel wrote beyond its buffer.
    ///
    /// # Errors
    /// [`Error::Gpu`] naming the values whose buffer was overrun.
    pub async fn check_canaries(&self) -> Result<()> {
        self.buffers.check_canaries(&self.context, &self.plan).await
    }

    /// One frame: `upload` hands the inputs to the queue and returns the samples whose pictures
    /// are to be preprocessed on the GPU.
    fn frame(&mut self, samples: usize, upload: impl FnOnce(&mut Self) -> Result<Vec<usize>>) -> Result<Pending> {
        self.context.check()?;
        let device = self.context.device.clone();
        let (submitted, scope) = guarded(&device, || {
            self.buffers.poison(&self.context);
            let on_gpu = upload(self)?;
            let buffer = self.ring.take(&device);
            let commands = self.record(&on_gpu, &buffer);
            Ok((self.context.queue.submit([commands]), buffer))
        });
        let (submission, buffer) = submitted?;
        let (context, ring, outputs) = (self.context.clone(), self.ring.clone(), self.outputs.clone());
        Ok(Pending { context, ring, buffer, submission, scope, outputs, batch: self.plan.batch, samples })
    }

    fn record(&self, on_gpu: &[usize], readback: &wgpu::Buffer) -> wgpu::CommandBuffer {
        let descriptor = wgpu::CommandEncoderDescriptor { label: Some("frame") };
        let mut encoder = self.context.device.create_command_encoder(&descriptor);
        let descriptor = wgpu::ComputePassDescriptor { label: Some("network"), timestamp_writes: None };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        if let Some(pictures) = &self.pictures {
            on_gpu.iter().for_each(|sample| pictures.record(*sample, &mut pass));
        }
        self.dispatches.iter().for_each(|dispatch| dispatch.record(&mut pass));
        drop(pass);
        for copy in &self.copies {
            let Copy { source, source_offset, target_offset, bytes } = copy;
            encoder.copy_buffer_to_buffer(source, *source_offset, readback, *target_offset, *bytes);
        }
        encoder.finish()
    }
}

pub(super) fn dispatch(
    context: &GpuContext,
    plan: &Plan,
    step: &Step,
    buffers: &Buffers,
    pipelines: &Pipelines,
) -> Result<Dispatch> {
    let fail = |reason: &str| Error::Plan { node: step.node.clone(), reason: reason.to_owned() };
    let (pipeline, layout) = pipelines.get(step).ok_or_else(|| fail("its kernel has not been compiled"))?;
    let entry = |(argument, binding): (&&Argument, _)| {
        let resource = buffers.binding(plan, binding).ok_or_else(|| fail("it binds a picture"))?;
        Ok(wgpu::BindGroupEntry { binding: argument.binding, resource })
    };
    let entries = step.kernel.arguments.iter().zip(&step.bindings).map(entry).collect::<Result<Vec<_>>>()?;
    let descriptor = wgpu::BindGroupDescriptor { label: Some(step.kernel.name), layout, entries: &entries };
    let bind_group = context.device.create_bind_group(&descriptor);
    Ok(Dispatch { pipeline: pipeline.clone(), bind_group, grid: step.grid })
}

/// Bytes of one plane of an output, batch included.
fn plane_bytes(plan: &Plan, output: &Output) -> u64 {
    (plan.batch * output.shape.pixels() * 16) as u64
}

fn output_bytes(plan: &Plan, output: &Output) -> u64 {
    output.layout.planes() as u64 * plane_bytes(plan, output)
}

fn copies(plan: &Plan, buffers: &Buffers) -> Result<Vec<Copy>> {
    let mut target_offset = 0;
    let copy = |output: &Output| {
        let (bytes, source) = (output_bytes(plan, output), buffers.tensor(plan, output.tensor)?.clone());
        let source_offset = output.first_plane as u64 * plane_bytes(plan, output);
        let copy = Copy { source, source_offset, target_offset, bytes };
        target_offset += bytes;
        Ok(copy)
    };
    plan.outputs.iter().map(copy).collect()
}
