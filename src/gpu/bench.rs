//! Steps on their own: values in, run them many times, time it, values out. For tuning.
//!
//! Repetitions are recorded in one compute pass, so that a clock which ticks every 100 µs, as in
//! browsers, times kernels of a few. The device's own clock is used where it has one and that proves
//! to run; else the wall's, which also counts what it takes to hand over the work.

use std::time::Duration;

use web_time::Instant;

use super::buffers::Buffers;
use super::context::GpuContext;
use super::executor::{Dispatch, dispatch};
use super::limits;
use super::passes::Record;
use super::pipelines::Pipelines;
use super::scopes::{guarded, settle};
use super::watch::Watch;
use crate::error::{Error, Result};
use crate::kernels::{Step, TensorId};
use crate::plan::Plan;

/// The memory of a plan, and a clock.
pub struct Bench {
    context: GpuContext,
    plan: Plan,
    buffers: Buffers,
    safe_shaders: bool,
    /// Whether the device's clock is to be used.
    stamps: bool,
    /// Copied back by runs without timestamps, to know when they are done.
    done: wgpu::Buffer,
}

/// Compiled steps.
pub struct Compiled {
    dispatches: Vec<Dispatch>,
    /// How long that took. Some drivers put most of it off to the first run.
    pub took: Duration,
}

impl Bench {
    /// Allocates a plan's memory and uploads its weights.
    ///
    /// # Errors
    /// [`Error::Limit`] or [`Error::Gpu`] if it does not fit
    /// the device, [`Error::DeviceLost`].
    pub async fn new(context: &GpuContext, plan: Plan, safe_shaders: bool) -> Result<Self> {
        context.check()?;
        limits::check(&plan, [], 0, context)?;
        let buffers = Buffers::new(context, &plan, false).await?;
        let (done, scope) = guarded(&context.device, || context.buffer("done", 16, wgpu::BufferUsages::COPY_SRC));
        settle(context, scope, || "allocating 16 bytes".to_owned()).await?;
        let stamps = context.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        Ok(Bench { context: context.clone(), plan, buffers, safe_shaders, stamps, done })
    }

    /// Whether a device's limits allow a step.
    pub fn fits(context: &GpuContext, step: &Step) -> bool {
        limits::check_step(step, context).is_ok()
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How long a timed run should take at least for the clock to tell apart what differs by a
    /// hundredth.
    pub fn least(&self) -> Duration {
        // Browsers round both clocks to 100 µs; handing over work takes up to that natively.
        let coarse = cfg!(target_arch = "wasm32") || !self.stamps;
        Duration::from_millis(if coarse { 10 } else { 1 })
    }

    /// Puts values into a tensor, `[plane][batch · pixel]` of four channels.
    ///
    /// # Errors
    /// [`Error::Argument`] if the plan has no such tensor, [`Error::Gpu`] if the values are more than it holds or
    /// memory is short.
    pub async fn write(&self, tensor: TensorId, values: &[f32]) -> Result<()> {
        self.check(tensor)?;
        let write = || {
            self.buffers.write(&self.context, &self.plan, tensor, values);
            self.context.submit(None);
        };
        let ((), scope) = guarded(&self.context.device, write);
        settle(&self.context, scope, || format!("uploading values of {}", self.plan.name)).await
    }

    /// A tensor's values, as [`write`](Self::write) takes them; there may be more behind them.
    ///
    /// # Errors
    /// [`Error::Argument`] if the plan has no such tensor, [`Error::Gpu`] if memory is short, [`Error::DeviceLost`].
    pub async fn read(&self, tensor: TensorId) -> Result<Vec<f32>> {
        self.check(tensor)?;
        self.buffers.read(&self.context, &self.plan, tensor).await
    }

    fn check(&self, tensor: TensorId) -> Result<()> {
        match self.plan.tensors.get(tensor.0 as usize) {
            Some(_) => Ok(()),
            None => Err(Error::argument(format!("{}: there is no tensor {}", self.plan.name, tensor.0))),
        }
    }

    /// Compiles steps that bind this plan's tensors and weights.
    ///
    /// # Errors
    /// [`Error::Limit`] if the device's limits do not allow one, [`Error::Gpu`] if it refuses one otherwise,
    /// [`Error::Plan`] for a step that binds what this plan has not.
    pub async fn compile(&self, steps: &[Step]) -> Result<Compiled> {
        self.context.check()?;
        steps.iter().try_for_each(|step| limits::check_step(step, &self.context))?;
        let start = Instant::now();
        let pipelines = Pipelines::compile(&self.context, steps, self.safe_shaders, None, &Watch::default()).await?;
        let bind = |step: &Step| dispatch(&self.context, &self.plan, step, &self.buffers, &pipelines, &|_| None);
        let (dispatches, scope) = guarded(&self.context.device, || steps.iter().map(bind).collect::<Result<Vec<_>>>());
        settle(&self.context, scope, || format!("binding the buffers of {}", self.plan.name)).await?;
        Ok(Compiled { dispatches: dispatches?, took: start.elapsed() })
    }

    /// Runs steps in order, all of them `repetitions` times, and returns how long that took.
    ///
    /// # Errors
    /// [`Error::Gpu`] if the device refuses, [`Error::DeviceLost`].
    pub async fn run(&mut self, steps: &[&Compiled], repetitions: u32) -> Result<Duration> {
        let dispatches = || steps.iter().flat_map(|steps| &steps.dispatches);
        let record = |pass: &mut wgpu::ComputePass<'_>| {
            (0..repetitions).for_each(|_| dispatches().for_each(|dispatch| dispatch.record(pass)));
        };
        let (stamps, wall) = self.passes(&[&record]).await?;
        let Some(took) = stamps.as_ref().and_then(|stamps| stamps.first()) else { return Ok(wall) };
        // Some drivers offer a clock that stands still, or counts in units of its own.
        if took.is_zero() || *took > wall * 2 {
            self.stamps = false;
            return Ok(wall);
        }
        Ok(*took)
    }

    /// Runs each step once, in a pass of its own, and returns how long each took; `None` without a
    /// clock on the device.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn profile(&self, steps: &Compiled) -> Result<Option<Vec<Duration>>> {
        let records: Vec<_> =
            steps.dispatches.iter().map(|step| |pass: &mut wgpu::ComputePass<'_>| step.record(pass)).collect();
        let passes: Vec<&Record<'_>> = records.iter().map(|record| record as &Record<'_>).collect();
        let (stamps, _) = self.passes(&passes).await?;
        Ok(stamps.filter(|times| times.iter().any(|time| !time.is_zero())))
    }

    /// As [`passes`](super::passes::passes).
    async fn passes(&self, passes: &[&Record<'_>]) -> Result<(Option<Vec<Duration>>, Duration)> {
        super::passes::passes(&self.context, self.stamps, &self.done, passes).await
    }
}
