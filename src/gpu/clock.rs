//! The device's own time of a whole frame: timestamps at both ends of its one pass.

use std::time::Duration;

use super::context::GpuContext;
use super::executor::GpuExecutor;
use super::passes::between;
use super::readback::read;
use super::scopes::{guarded, settle};
use crate::error::Result;

/// Two timestamps, and the way back for them.
pub(super) struct Clock {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    stamps: wgpu::Buffer,
    /// The last frame that was stamped and not yet asked for.
    pub stamped: Option<wgpu::SubmissionIndex>,
}

/// Bytes of two timestamps.
const BYTES: u64 = 16;

impl Clock {
    fn new(context: &GpuContext) -> Self {
        let (label, ty, count) = (Some("frame"), wgpu::QueryType::Timestamp, 2);
        let queries = context.make().create_query_set(&wgpu::QuerySetDescriptor { label, ty, count });
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let (resolved, stamps) = (context.buffer("frame's timestamps", BYTES, usage), context.readback(BYTES));
        Clock { queries, resolved, stamps, stamped: None }
    }

    /// What the frame's pass has to write.
    pub fn writes(&self) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        }
    }

    /// Records their way back.
    pub fn copy(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.stamps, 0, BYTES);
    }
}

impl GpuExecutor {
    /// Stamps every frame from now on, or no longer. `false` if the device has no timestamps, or it was not
    /// asked to.
    ///
    /// # Errors
    /// [`Error::Gpu`](crate::Error::Gpu) if memory is short.
    pub async fn stamp_frames(&mut self, on: bool) -> Result<bool> {
        self.clock = None;
        if !on || self.timestamp_period().is_none() {
            return Ok(false);
        }
        let (clock, scope) = guarded(&self.context.device, || Clock::new(&self.context));
        settle(&self.context, scope, || "making two timestamps".to_owned()).await?;
        self.clock = Some(clock);
        Ok(true)
    }

    /// Nanoseconds to a tick of the device's clock; `None` if it has none.
    pub fn timestamp_period(&self) -> Option<f64> {
        let has = self.context.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        has.then(|| f64::from(self.context.queue.get_timestamp_period()))
    }

    /// How long the device took for the last frame, from the beginning of its first dispatch to the end of
    /// its last; preprocessing belongs to it, uploads and readback do not. `None` if no frame was
    /// [stamped](Self::stamp_frames) since the last call. Frames under way at once overwrite each other's stamps.
    ///
    /// # Errors
    /// [`Error::DeviceLost`](crate::Error::DeviceLost).
    pub async fn frame_time(&mut self) -> Result<Option<Duration>> {
        let period = self.timestamp_period();
        let Some((clock, period)) = self.clock.as_mut().zip(period) else { return Ok(None) };
        let Some(submission) = clock.stamped.take() else { return Ok(None) };
        let bytes = read(&self.context, &clock.stamps, submission).await?;
        let stamps: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
        Ok(Some(between(&stamps, period)))
    }
}
