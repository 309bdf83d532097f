//! Runs a plan: one encoder, one pass and one submission per frame.

use std::sync::Arc;
use std::time::Duration;

use web_time::Instant;

use super::buffers::Buffers;
use super::clock::Clock;
use super::context::GpuContext;
use super::exit::{self, Exit};
use super::inputs::{Entering, PictureInput, Place};
use super::limits;
use super::pack;
use super::pipeline_cache::{OpenCache, PipelineCache};
use super::pipelines::Pipelines;
use super::readback::{Frame, Pending, PendingTop, RING};
use super::sabotage::Moment;
use super::scopes::{guarded, settle};
use super::source::PictureSource;
use super::watch::Watch;
use crate::error::{Error, Result};
use crate::graph::Shape;
use crate::kernels::{Argument, Binding, Layout, Ranking, Step, TensorId, TopRecord, top_step};
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
    /// Be ready to find the best classes on the device ([`GpuExecutor::top_pictures`]), where the
    /// network's output is a vector of classes.
    pub top: bool,
    /// What compiled pipelines are kept in from one process to the next; used where the device can
    /// (Vulkan), no error elsewhere.
    pub pipelines: Option<PipelineCache>,
    /// Bytes that weights, values and results may take on the device together; what needs more is refused before
    /// anything is allocated.
    pub memory_budget: Option<u64>,
    /// Is told how far compiling is.
    pub watch: Watch,
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
    pub(super) buffers: Buffers,
    pipelines: Pipelines,
    pub(super) dispatches: Vec<Dispatch>,
    pub(super) pictures: Option<PictureInput>,
    /// The way out for the outputs.
    whole: Exit,
    /// The way out for the best classes.
    pub(super) best: Option<(Exit, TopRecord)>,
    outputs: Arc<Vec<Output>>,
    packed: Vec<f32>,
    timings: Timings,
    cache: Option<OpenCache>,
    /// Stamps frames, if they are to be.
    pub(super) clock: Option<Clock>,
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

impl GpuExecutor {
    /// Checks the plan against the device's limits, allocates, uploads and compiles.
    ///
    /// # Errors
    /// [`Error::Limit`] with numbers if something does not fit, before anything is allocated;
    /// [`Error::Gpu`] naming kernel and node if the driver refuses; [`Error::DeviceLost`].
    pub async fn new(context: &GpuContext, mut plan: Plan, options: ExecutorOptions) -> Result<Self> {
        context.passing(Moment::Load);
        context.check()?;
        let pictures = options.preprocess.map(|spec| PictureInput::new(spec, &plan)).transpose()?;
        let top = if options.top { plan.outputs.first().and_then(|output| top_step(output, plan.batch)) } else { None };
        let readback = plan.outputs.iter().map(|output| exit::output_bytes(&plan, output)).sum();
        let first = || pictures.iter().flat_map(PictureInput::steps);
        let beside = || first().chain(top.iter().map(|(step, _)| step));
        limits::check(&plan, beside(), readback, context)?;
        if let Some(budget) = options.memory_budget {
            limits::check_budget(&plan, readback * RING as u64, budget, context)?;
        }

        let start = Instant::now();
        let buffers = Buffers::new(context, &plan, options.canaries).await?;
        let upload = start.elapsed();
        context.passing(Moment::Compile);

        let start = Instant::now();
        let cache = options.pipelines.and_then(|kept| OpenCache::new(context, kept));
        let steps = plan.steps.iter().chain(beside());
        let kept = cache.as_ref().map(OpenCache::cache);
        let pipelines = Pipelines::compile(context, steps, options.safe_shaders, kept, &options.watch).await?;
        if let Some(cache) = &cache {
            cache.keep();
        }
        let bind = |step: &Step| dispatch(context, &plan, step, &buffers, &pipelines, &|_| None);
        let (dispatches, scope) = guarded(&context.device, || plan.steps.iter().map(bind).collect::<Result<Vec<_>>>());
        settle(context, scope, || format!("binding the buffers of {}", plan.name)).await?;
        let dispatches = dispatches?;
        let exits = || {
            let whole = Exit::whole(context, &plan, &buffers, readback)?;
            let best = top.map(|(step, record)| {
                let exit = Exit::best(context, &plan, step, &record, &buffers, &pipelines);
                exit.map(|exit| (exit, record))
            });
            Result::Ok((whole, best.transpose()?))
        };
        let (exits, scope) = guarded(&context.device, exits);
        settle(context, scope, || format!("allocating {readback} bytes for outputs")).await?;
        let (whole, best) = exits?;
        let compile = start.elapsed();
        context.check()?;

        // The device has them now; the graph keeps them for a rebuild.
        plan.weights.iter_mut().for_each(|weights| weights.words = Arc::default());
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
            pictures,
            whole,
            best,
            outputs,
            packed,
            timings,
            cache,
            clock: None,
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

    /// The compiled pipelines, to be given to [`PipelineCache::Bytes`] the next time; `None` where the
    /// device has no such thing or [`ExecutorOptions::pipelines`] was not given.
    pub fn compiled(&self) -> Option<Vec<u8>> {
        self.cache.as_ref()?.bytes()
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
    pub async fn run_pictures<'a, P>(&mut self, pictures: &'a [P]) -> Result<Vec<Tensor>>
    where
        PictureSource<'a>: From<&'a P>,
    {
        self.submit_pictures(pictures)?.wait().await
    }

    /// As [`run_pictures`](Self::run_pictures), but returns only the best classes of each picture,
    /// found on the device: a few hundred bytes are read back.
    ///
    /// # Errors
    /// As [`submit_top_pictures`](Self::submit_top_pictures) and [`PendingTop::wait`].
    pub async fn top_pictures<'a, P>(&mut self, pictures: &'a [P]) -> Result<Vec<Ranking>>
    where
        PictureSource<'a>: From<&'a P>,
    {
        self.submit_top_pictures(pictures)?.wait().await
    }

    /// As [`run_tensor`](Self::run_tensor), but returns only the best classes of each sample.
    ///
    /// # Errors
    /// As [`submit_tensor`](Self::submit_tensor) and [`PendingTop::wait`]; [`Error::Argument`] if the
    /// executor does not [rank](Self::ranks).
    pub async fn top_tensor(&mut self, input: &Tensor) -> Result<Vec<Ranking>> {
        let samples = self.check_tensor(input)?;
        self.frame_top(samples, |executor| executor.upload_tensor(input))?.wait().await
    }

    /// Whether the best classes can be found on the device: [`ExecutorOptions::top`] was on and the
    /// network's output is a vector of at most a few thousand classes.
    pub fn ranks(&self) -> bool {
        self.best.is_some()
    }

    /// Starts a run without waiting for it; the next may be started before the outputs are read.
    ///
    /// # Errors
    /// [`Error::Argument`] if the input has another shape, [`Error::DeviceLost`].
    pub fn submit_tensor(&mut self, input: &Tensor) -> Result<Pending> {
        let samples = self.check_tensor(input)?;
        self.frame_whole(samples, |executor| executor.upload_tensor(input))
    }

    /// Starts a run on pictures; their preprocessing is recorded in front of the network.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are none or too many, if the executor was made without
    /// preprocessing, or if it cannot be applied to one of them; [`Error::DeviceLost`].
    pub fn submit_pictures<'a, P>(&mut self, pictures: &'a [P]) -> Result<Pending>
    where
        PictureSource<'a>: From<&'a P>,
    {
        self.frame_whole(pictures.len(), |executor| executor.upload_pictures(pictures))
    }

    /// Starts a run on pictures of which only the best classes will be read back.
    ///
    /// # Errors
    /// As [`submit_pictures`](Self::submit_pictures); [`Error::Argument`] if the executor does not
    /// [rank](Self::ranks).
    pub fn submit_top_pictures<'a, P>(&mut self, pictures: &'a [P]) -> Result<PendingTop>
    where
        PictureSource<'a>: From<&'a P>,
    {
        self.frame_top(pictures.len(), |executor| executor.upload_pictures(pictures))
    }

    /// The number of samples of an input that has the right shape.
    fn check_tensor(&self, input: &Tensor) -> Result<usize> {
        let Shape { channels, height, width } = self.plan.input_shape;
        let batch = self.plan.batch;
        match input.shape() {
            &[n, c, h, w] if (1..=batch).contains(&n) && (c, h, w) == (channels, height, width) => Ok(n),
            other => {
                let name = &self.plan.name;
                let expected = format!("[n, {channels}, {height}, {width}] with n from 1 to {batch}");
                Err(Error::argument(format!("{name}: the input has shape {other:?}, expected {expected}")))
            }
        }
    }

    /// Hands a tensor to the queue; no sample is to be preprocessed.
    fn upload_tensor(&mut self, input: &Tensor) -> Result<Vec<Entering>> {
        pack::pack(input, &self.input_layout, self.plan.batch, &mut self.packed);
        let buffer = self.buffers.tensor(&self.plan, self.plan.input)?;
        self.context.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&self.packed));
        Ok(Vec::new())
    }

    /// Hands pictures in memory to the queue; returns the samples that are to be preprocessed on the GPU.
    pub(super) fn upload_pictures<'a, P>(&mut self, pictures: &'a [P]) -> Result<Vec<Entering>>
    where
        PictureSource<'a>: From<&'a P>,
    {
        let (batch, name) = (self.plan.batch, &self.plan.name);
        if !(1..=batch).contains(&pictures.len()) {
            let count = pictures.len();
            return Err(Error::argument(format!("{name}: got {count} pictures, expected 1 to {batch}")));
        }
        if self.pictures.is_none() {
            return Err(Error::argument(format!("{name}: the executor was made without preprocessing")));
        }
        let GpuExecutor { context, plan, buffers, pipelines, pictures: input, .. } = self;
        let mut entering = Vec::with_capacity(pictures.len());
        let place = Place { context, plan, buffers, pipelines };
        if let Some(input) = input {
            for (sample, picture) in pictures.iter().enumerate() {
                entering.extend(input.upload(sample, picture.into(), place)?);
            }
        }
        Ok(entering)
    }

    /// What the last run left in a tensor, in the words of its format and with the rest of a texture's last row; that
    /// of another value where memory is used again ([`Plan::without_reuse`]). For tests.
    ///
    /// # Errors
    /// [`Error::Argument`] if the plan has no such tensor, [`Error::Gpu`] if memory is short, [`Error::DeviceLost`].
    pub async fn read_tensor(&self, tensor: TensorId) -> Result<Vec<u32>> {
        if tensor.0 as usize >= self.plan.tensors.len() {
            return Err(Error::argument(format!("{}: there is no tensor {}", self.plan.name, tensor.0)));
        }
        let bytes = self.buffers.read_bytes(&self.context, &self.plan, tensor).await?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// Where [`ExecutorOptions::canaries`] is on: whether no kernel wrote beyond its buffer.
    ///
    /// # Errors
    /// [`Error::Gpu`] naming the values whose buffer was overrun.
    pub async fn check_canaries(&self) -> Result<()> {
        self.buffers.check_canaries(&self.context, &self.plan).await
    }

    fn frame_whole(
        &mut self,
        samples: usize,
        upload: impl FnOnce(&mut Self) -> Result<Vec<Entering>>,
    ) -> Result<Pending> {
        let frame = self.frame(upload, |executor| &executor.whole)?;
        Ok(Pending { frame, outputs: self.outputs.clone(), batch: self.plan.batch, samples })
    }

    fn frame_top(
        &mut self,
        samples: usize,
        upload: impl FnOnce(&mut Self) -> Result<Vec<Entering>>,
    ) -> Result<PendingTop> {
        let Some((_, record)) = self.best else {
            let name = &self.plan.name;
            return Err(Error::argument(format!("{name}: the executor was not made to find the best classes")));
        };
        let frame = self.frame(upload, |executor| executor.best.as_ref().map_or(&executor.whole, |(exit, _)| exit))?;
        Ok(PendingTop { frame, record, samples })
    }

    /// One frame: `upload` hands the inputs to the queue and returns the samples whose pictures
    /// are to be preprocessed on the GPU; the results take the way out that `exit` names.
    fn frame(
        &mut self,
        upload: impl FnOnce(&mut Self) -> Result<Vec<Entering>>,
        exit: impl FnOnce(&Self) -> &Exit,
    ) -> Result<Frame> {
        self.context.passing(Moment::Run);
        self.context.check()?;
        let device = self.context.device.clone();
        let (submitted, scope) = guarded(&device, || {
            self.buffers.poison(&self.context, &self.plan);
            let entering = upload(self)?;
            let exit = exit(self);
            let buffer = exit.ring.take(&self.context);
            let commands = self.record(&entering, exit, &buffer);
            let submitted = Instant::now();
            Ok((self.context.submit(Some(commands)), buffer, exit.ring.clone(), submitted))
        });
        let (submission, buffer, ring, submitted) = submitted?;
        if let Some(clock) = &mut self.clock {
            clock.stamped = Some(submission.clone());
        }
        Ok(Frame { context: self.context.clone(), ring, buffer, submission, submitted, scope })
    }

    fn record(&self, entering: &[Entering], exit: &Exit, readback: &wgpu::Buffer) -> wgpu::CommandBuffer {
        let mut encoder = self.context.encoder("frame");
        self.pictures.iter().for_each(|pictures| pictures.record_copies(entering, &mut encoder));
        let timestamp_writes = self.clock.as_ref().map(Clock::writes);
        let descriptor = wgpu::ComputePassDescriptor { label: Some("network"), timestamp_writes };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        if let Some(pictures) = &self.pictures {
            let passes = entering.iter().flat_map(|entering| pictures.passes(entering));
            passes.for_each(|(_, dispatch)| dispatch.record(&mut pass));
        }
        self.dispatches.iter().chain(exit.dispatch()).for_each(|dispatch| dispatch.record(&mut pass));
        drop(pass);
        exit.copy(&mut encoder, readback);
        self.clock.iter().for_each(|clock| clock.copy(&mut encoder));
        encoder.finish()
    }
}

/// A step with its buffers bound. `beside` is what it binds that is not the plan's.
pub(super) fn dispatch<'b>(
    context: &GpuContext,
    plan: &Plan,
    step: &Step,
    buffers: &Buffers,
    pipelines: &Pipelines,
    beside: &dyn Fn(&Binding) -> Option<&'b wgpu::Buffer>,
) -> Result<Dispatch> {
    let fail = |reason: &str| Error::Plan { node: step.node.clone(), reason: reason.to_owned() };
    let (pipeline, layout) = pipelines.get(step).ok_or_else(|| fail("its kernel has not been compiled"))?;
    let entry = |(argument, binding): (&Argument, _)| {
        let resource = buffers.binding(plan, binding).or_else(|| Some(beside(binding)?.as_entire_binding()));
        let resource = resource.ok_or_else(|| fail("it binds what is not the plan's"))?;
        Ok(wgpu::BindGroupEntry { binding: argument.binding, resource })
    };
    let entries = step.arguments().zip(&step.bindings).map(entry).collect::<Result<Vec<_>>>()?;
    let descriptor = wgpu::BindGroupDescriptor { label: Some(step.kernel.name), layout, entries: &entries };
    let bind_group = context.make().create_bind_group(&descriptor);
    Ok(Dispatch { pipeline: pipeline.clone(), bind_group, grid: step.grid })
}
