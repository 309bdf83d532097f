//! How long each step takes on the GPU: timestamps between the dispatches of the one pass where a device
//! has them there; every device that has timestamps has them at pass boundaries, so a pass for each step
//! elsewhere; and without any the wall's clock over repeated dispatches.

use std::time::Duration;

use super::executor::{Dispatch, GpuExecutor};
use super::inputs::Entering;
use super::passes::{between, passes};
use super::readback::read;
use super::scopes::{guarded, settle};
use super::source::PictureSource;
use crate::error::{Error, Result};
use crate::kernels::{Binding, Step};

/// A step's time.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct StepTime {
    /// The graph's node.
    pub node: String,
    /// The kernel.
    pub kernel: &'static str,
    /// Multiply-accumulates, for the whole batch.
    pub macs: u64,
    /// GPU time.
    pub time: Duration,
}

/// How steps are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stepwise {
    /// Timestamps between the dispatches of the frame's one pass.
    InsidePass,
    /// Timestamps at the boundaries of a pass for each step; passes cost the steps some overlap.
    Passes,
    /// Each step repeated in a submission of its own, by the wall's clock, less what a single one takes.
    Repeated,
}

/// A step and its time.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedStep {
    /// The step.
    pub step: Step,
    /// Bytes of all that it binds, once.
    pub bytes: u64,
    /// Its time.
    pub time: Duration,
}

/// How long repeated dispatches are to take together, so that the wall's clock can tell.
const REPEATED: Duration = Duration::from_millis(10);
/// The most repetitions.
const MOST: f64 = 2000.0;

impl GpuExecutor {
    /// Runs pictures as [`run_pictures`](Self::run_pictures) does and returns each step's time on the
    /// GPU instead of the outputs; preprocessing first, one or two steps per picture. Passes of their own cost
    /// the steps some overlap, so together they take longer than a frame.
    ///
    /// # Errors
    /// [`Error::Gpu`] if the device has no timestamps; otherwise as [`run_pictures`](Self::run_pictures).
    pub async fn profile_pictures<'a, P>(&mut self, pictures: &'a [P]) -> Result<Vec<StepTime>>
    where
        PictureSource<'a>: From<&'a P>,
    {
        let timed = self.time_steps(pictures, Stepwise::Passes).await?;
        let step = |timed: TimedStep| {
            let Step { node, kernel, macs, .. } = timed.step;
            StepTime { node, kernel: kernel.name, macs, time: timed.time }
        };
        Ok(timed.into_iter().map(step).collect())
    }

    /// The best way that the device has to tell steps apart.
    pub fn stepwise(&self) -> Stepwise {
        let has = |feature| self.context.device.features().contains(feature);
        match has(wgpu::Features::TIMESTAMP_QUERY) {
            true if has(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES) => Stepwise::InsidePass,
            true => Stepwise::Passes,
            false => Stepwise::Repeated,
        }
    }

    /// Runs pictures and returns every step with its time, in the order in which they run: those of the
    /// pictures' preprocessing, the plan's, and the one that finds the best classes.
    ///
    /// # Errors
    /// [`Error::Gpu`] if the device has no timestamps there; otherwise as
    /// [`run_pictures`](Self::run_pictures).
    pub async fn time_steps<'a, P>(&mut self, pictures: &'a [P], how: Stepwise) -> Result<Vec<TimedStep>>
    where
        PictureSource<'a>: From<&'a P>,
    {
        self.context.check()?;
        let (entering, scope) = guarded(&self.context.device.clone(), || {
            let entering = self.upload_pictures(pictures)?;
            let mut encoder = self.context.encoder("pictures");
            self.pictures.iter().for_each(|input| input.record_copies(&entering, &mut encoder));
            self.context.submit(Some(encoder.finish()));
            Ok::<_, Error>(entering)
        });
        let entering = entering?;
        settle(&self.context, scope, || "uploading the pictures".to_owned()).await?;
        let times = match how {
            Stepwise::InsidePass | Stepwise::Passes => self.stamped(&entering, how).await?,
            Stepwise::Repeated => self.repeated(&entering).await?,
        };
        let steps = self.recorded(&entering).map(|(step, _)| step).zip(times);
        Ok(steps
            .map(|(step, time)| TimedStep { step: step.clone(), bytes: self.bytes(step, pictures), time })
            .collect())
    }

    /// All steps in order: those of the pictures, the plan's, and the one that finds the best classes.
    fn recorded<'a>(&'a self, entering: &'a [Entering]) -> impl Iterator<Item = (&'a Step, &'a Dispatch)> {
        let pictures =
            self.pictures.iter().flat_map(|input| entering.iter().flat_map(|entering| input.passes(entering)));
        let last = self.best.as_ref().and_then(|(exit, _)| exit.step().zip(exit.dispatch()));
        pictures
            .map(|(step, dispatch)| (step, dispatch))
            .chain(self.plan.steps.iter().zip(&self.dispatches))
            .chain(last)
    }

    /// Bytes of all that a step binds: every value and weight once, and the picture.
    fn bytes<'a, P>(&self, step: &Step, pictures: &'a [P]) -> u64
    where
        PictureSource<'a>: From<&'a P>,
    {
        // Pictures of a batch have one size as a rule. Tables of resampling take a few kilobytes.
        let picture = if step.bindings.contains(&Binding::Picture) { pictures.first() } else { None };
        let bytes = |[width, height]: [u32; 2]| u64::from(width) * u64::from(height) * 4;
        self.plan.step_bytes(step) + picture.map_or(0, |picture| bytes(PictureSource::from(picture).size()))
    }

    /// Each step's time by timestamps.
    async fn stamped(&self, entering: &[Entering], how: Stepwise) -> Result<Vec<Duration>> {
        let context = &self.context;
        let failed = |reason: &str| Error::Gpu { what: "timing the steps".to_owned(), reason: reason.to_owned() };
        let (inside, steps) = (how == Stepwise::InsidePass, self.recorded(entering).count() as u32);
        let needed =
            if inside { wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES } else { wgpu::Features::TIMESTAMP_QUERY };
        if !context.device.features().contains(needed) {
            return Err(failed("the device has no timestamp queries there"));
        }
        let count = if inside { steps + 1 } else { 2 * steps };
        if count > wgpu::QUERY_SET_MAX_QUERIES {
            return Err(failed("the network has more steps than there are timestamps; use a smaller batch"));
        }
        let size = u64::from(count) * 8;
        let ((submission, readback), scope) = guarded(&context.device, || {
            let (label, ty) = (Some("steps"), wgpu::QueryType::Timestamp);
            let queries = context.make().create_query_set(&wgpu::QuerySetDescriptor { label, ty, count });
            let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
            let (resolved, readback) = (context.buffer("timestamps", size, usage), context.readback(size));
            let mut encoder = context.encoder("steps");
            if inside {
                self.record_between(entering, &queries, &mut encoder);
            } else {
                self.record_passes(entering, &queries, &mut encoder);
            }
            encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
            encoder.copy_buffer_to_buffer(&resolved, 0, &readback, 0, size);
            (context.submit(Some(encoder.finish())), readback)
        });
        settle(&self.context, scope, || "timing the steps".to_owned()).await?;
        let bytes = read(context, &readback, submission).await?;
        let stamps: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
        let period = f64::from(context.queue.get_timestamp_period());
        let pairs = if inside { stamps.windows(2).collect() } else { stamps.chunks_exact(2).collect::<Vec<_>>() };
        Ok(pairs.into_iter().map(|pair| between(pair, period)).collect())
    }

    /// One pass, stamped between steps.
    fn record_between(&self, entering: &[Entering], queries: &wgpu::QuerySet, encoder: &mut wgpu::CommandEncoder) {
        let descriptor = wgpu::ComputePassDescriptor { label: Some("steps"), timestamp_writes: None };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        pass.write_timestamp(queries, 0);
        for ((_, dispatch), stamp) in self.recorded(entering).zip(1..) {
            dispatch.record(&mut pass);
            pass.write_timestamp(queries, stamp);
        }
    }

    /// A pass per step, stamped at both ends.
    fn record_passes(&self, entering: &[Entering], queries: &wgpu::QuerySet, encoder: &mut wgpu::CommandEncoder) {
        for ((_, dispatch), first) in self.recorded(entering).zip((0..).step_by(2)) {
            let stamps = wgpu::ComputePassTimestampWrites {
                query_set: queries,
                beginning_of_pass_write_index: Some(first),
                end_of_pass_write_index: Some(first + 1),
            };
            let descriptor = wgpu::ComputePassDescriptor { label: Some("step"), timestamp_writes: Some(stamps) };
            dispatch.record(&mut encoder.begin_compute_pass(&descriptor));
        }
    }

    /// Each step's time by the wall's clock.
    async fn repeated(&self, entering: &[Entering]) -> Result<Vec<Duration>> {
        let make = || self.context.buffer("done", 16, wgpu::BufferUsages::COPY_SRC);
        let (done, scope) = guarded(&self.context.device, make);
        settle(&self.context, scope, || "allocating 16 bytes".to_owned()).await?;
        let mut times = Vec::new();
        for (_, dispatch) in self.recorded(entering) {
            let time = async |repetitions: u32| -> Result<Duration> {
                let record = |pass: &mut wgpu::ComputePass<'_>| (0..repetitions).for_each(|_| dispatch.record(pass));
                Ok(passes(&self.context, false, &done, &[&record]).await?.1)
            };
            let once = time(1).await?;
            // What it takes to hand over work is in the single one too, so this is too few rather than too many.
            let more = (REPEATED.as_secs_f64() / once.as_secs_f64().max(1e-9)).clamp(1.0, MOST) as u32;
            times.push(time(1 + more).await?.saturating_sub(once) / more);
        }
        Ok(times)
    }
}
