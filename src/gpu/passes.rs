//! Compute passes in a submission of their own, timed by the device's clock and by the wall's.

use std::time::Duration;

use web_time::Instant;

use super::context::GpuContext;
use super::readback::read;
use super::scopes::{guarded, settle};
use crate::error::Result;

/// What records a pass. Natively whoever waits for it may change threads; browsers' handles cannot.
#[cfg(not(target_arch = "wasm32"))]
pub(super) type Record<'a> = dyn Fn(&mut wgpu::ComputePass<'_>) + Sync + 'a;
/// What records a pass.
#[cfg(target_arch = "wasm32")]
pub(super) type Record<'a> = dyn Fn(&mut wgpu::ComputePass<'_>) + 'a;

/// Submits passes; how long each took by the device's clock, if that is to be used and there are not more of
/// them than a query set holds, and all of them by the wall's, until a word of `done` was read back.
///
/// # Errors
/// [`Error::Gpu`](crate::Error::Gpu) if the device refuses, [`Error::DeviceLost`](crate::Error::DeviceLost).
pub(super) async fn passes(
    context: &GpuContext,
    stamps: bool,
    done: &wgpu::Buffer,
    passes: &[&Record<'_>],
) -> Result<(Option<Vec<Duration>>, Duration)> {
    context.check()?;
    let device = &context.device;
    let count = 2 * passes.len() as u32;
    let stamped = stamps && (1..=wgpu::QUERY_SET_MAX_QUERIES).contains(&count);
    let size = if stamped { u64::from(count) * 8 } else { done.size().min(16) };
    let ((commands, readback), scope) = guarded(device, || {
        let readback = context.readback(size);
        let mut encoder = context.encoder("passes");
        let queries = stamped.then(|| {
            let (label, ty) = (Some("passes"), wgpu::QueryType::Timestamp);
            context.make().create_query_set(&wgpu::QuerySetDescriptor { label, ty, count })
        });
        for (i, record) in (0..).step_by(2).zip(passes) {
            let timestamp_writes = queries.as_ref().map(|query_set| wgpu::ComputePassTimestampWrites {
                query_set,
                beginning_of_pass_write_index: Some(i),
                end_of_pass_write_index: Some(i + 1),
            });
            let descriptor = wgpu::ComputePassDescriptor { label: Some("passes"), timestamp_writes };
            record(&mut encoder.begin_compute_pass(&descriptor));
        }
        match &queries {
            Some(queries) => {
                let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
                let resolved = context.buffer("timestamps", size, usage);
                encoder.resolve_query_set(queries, 0..count, &resolved, 0);
                encoder.copy_buffer_to_buffer(&resolved, 0, &readback, 0, size);
            }
            None => encoder.copy_buffer_to_buffer(done, 0, &readback, 0, size),
        }
        (encoder.finish(), readback)
    });
    settle(context, scope, || "recording passes to be timed".to_owned()).await?;
    let start = Instant::now();
    let (submission, scope) = guarded(device, || context.submit(Some(commands)));
    let bytes = read(context, &readback, submission).await?;
    let wall = start.elapsed();
    settle(context, scope, || "running passes to be timed".to_owned()).await?;
    if !stamped {
        return Ok((None, wall));
    }
    let stamps: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
    let period = f64::from(context.queue.get_timestamp_period());
    Ok((Some(stamps.chunks_exact(2).map(|pair| between(pair, period)).collect()), wall))
}

/// The time between two stamps. A clock that was set back between them counts as no time.
pub(super) fn between(pair: &[u64], period: f64) -> Duration {
    let ticks = pair.get(1).zip(pair.first()).map_or(0, |(end, start)| end.saturating_sub(*start));
    Duration::from_nanos((ticks as f64 * period) as u64)
}
