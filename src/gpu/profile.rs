//! How long each step takes on the GPU: every dispatch in a compute pass of its own, with timestamps
//! at both ends. Every device that has timestamps has them at pass boundaries.

use std::borrow::Borrow;
use std::time::Duration;

use super::executor::{Dispatch, GpuExecutor};
use super::readback::read;
use super::scopes::{guarded, settle};
use crate::error::{Error, Result};
use crate::kernels::Step;
use crate::picture::Picture;

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

impl GpuExecutor {
    /// Runs pictures as [`run_pictures`](Self::run_pictures) does and returns each step's time on the
    /// GPU instead of the outputs; preprocessing first, one or two steps per picture. Passes of their own cost
    /// the steps some overlap, so together they take longer than a frame.
    ///
    /// # Errors
    /// [`Error::Gpu`] if the device has no timestamps; otherwise as [`run_pictures`](Self::run_pictures).
    pub async fn profile_pictures<P: Borrow<Picture>>(&mut self, pictures: &[P]) -> Result<Vec<StepTime>> {
        self.context.check()?;
        let device = self.context.device.clone();
        let failed = |reason: &str| Error::Gpu { what: "timing the steps".to_owned(), reason: reason.to_owned() };
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Err(failed("the device has no timestamp queries"));
        }
        let most = 2 * pictures.len() + self.dispatches.len() + 1;
        let count = 2 * most as u32;
        if count > wgpu::QUERY_SET_MAX_QUERIES {
            return Err(failed("the network has more steps than there are timestamps; use a smaller batch"));
        }
        let ((submitted, readback), scope) = guarded(&device, || {
            let queries = self.context.make().create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("steps"),
                ty: wgpu::QueryType::Timestamp,
                count,
            });
            let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
            let size = u64::from(count) * 8;
            let resolved = self.context.buffer("timestamps", size, usage);
            let readback = self.context.readback(size);
            let submitted = self.upload_pictures(pictures).map(|on_gpu| {
                let mut encoder = self.context.encoder("steps");
                self.record_steps(&on_gpu, &queries, &mut encoder);
                let used = 2 * self.recorded(&on_gpu).count() as u32;
                encoder.resolve_query_set(&queries, 0..used, &resolved, 0);
                encoder.copy_buffer_to_buffer(&resolved, 0, &readback, 0, size);
                (self.context.submit(Some(encoder.finish())), on_gpu)
            });
            (submitted, readback)
        });
        let (submission, on_gpu) = submitted?;
        settle(scope, || "timing the steps".to_owned()).await?;
        let bytes = read(&self.context, &readback, submission).await?;
        let period = f64::from(self.context.queue.get_timestamp_period());
        let stamps: Vec<u64> =
            bytes.chunks_exact(8).map(|b| b.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))).collect();
        // A clock that was set back between two stamps counts as no time.
        let time = |pair: &[u64]| Duration::from_nanos((pair[1].saturating_sub(pair[0]) as f64 * period) as u64);
        let steps = self.recorded(&on_gpu).map(|(step, _)| step);
        let timed = steps.zip(stamps.chunks_exact(2)).map(|(step, pair)| StepTime {
            node: step.node.clone(),
            kernel: step.kernel.name,
            macs: step.macs,
            time: time(pair),
        });
        Ok(timed.collect())
    }

    /// All steps in order: those of the pictures, the plan's, and the one that finds the best classes.
    fn recorded<'a>(&'a self, on_gpu: &'a [usize]) -> impl Iterator<Item = (&'a Step, &'a Dispatch)> {
        let pictures = self.pictures.iter().flat_map(|input| on_gpu.iter().flat_map(|sample| input.passes(*sample)));
        let last = self.best.as_ref().and_then(|(exit, _)| exit.step().zip(exit.dispatch()));
        pictures
            .map(|(step, dispatch)| (step, dispatch))
            .chain(self.plan.steps.iter().zip(&self.dispatches))
            .chain(last)
    }

    /// A pass per step, stamped at both ends.
    fn record_steps(&self, on_gpu: &[usize], queries: &wgpu::QuerySet, encoder: &mut wgpu::CommandEncoder) {
        for ((_, dispatch), first) in self.recorded(on_gpu).zip((0..).step_by(2)) {
            let stamps = wgpu::ComputePassTimestampWrites {
                query_set: queries,
                beginning_of_pass_write_index: Some(first),
                end_of_pass_write_index: Some(first + 1),
            };
            let descriptor = wgpu::ComputePassDescriptor { label: Some("step"), timestamp_writes: Some(stamps) };
            dispatch.record(&mut encoder.begin_compute_pass(&descriptor));
        }
    }
}
