//! Runs the shaders and takes the best of several.

use std::time::Duration;

use super::Ceilings;
use super::shaders::{self, Shader, WORKGROUP};
use crate::error::{Error, Result};
use crate::gpu::{GpuContext, Micro, Ran};

/// How to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Bytes of the buffers that are read and copied: more than caches hold, or a multiple of what they do.
    pub bytes: u64,
    /// How long a timed run takes at least.
    pub least: Duration,
    /// Timed runs of each kernel, of which the fastest counts: what disturbs a run only makes it slower.
    pub runs: usize,
}

impl Options {
    /// For a device: less for processors that do a GPU's work.
    pub fn new(context: &GpuContext) -> Options {
        let software = context.summary().is_software();
        let (bytes, least) = if software { (64 << 20, 30) } else { (512 << 20, 10) };
        Options { bytes, least: Duration::from_millis(least), runs: if software { 5 } else { 10 } }
    }
}

/// Rounds of a chain of operations in a dispatch, long against what starting it costs.
const ROUNDS: u32 = 256;
/// Vec4s that an invocation reads.
const EACH: u32 = 16;
/// The most dispatches in one pass.
const MOST: u32 = 10_000;

/// Measures a device's ceilings; a few seconds.
///
/// # Errors
/// [`Error::Gpu`] if the device refuses, [`Error::DeviceLost`].
pub async fn measure(context: &GpuContext, options: &Options) -> Result<Ceilings> {
    let (read_gb_s, timestamps) = memory(context, options, &shaders::READ, 1).await?;
    let (copy_gb_s, _) = memory(context, options, &shaders::COPY, 2).await?;
    let f32_gflop_s = compute(context, options, &shaders::F32, 64).await?;
    let f16_gflop_s = match Micro::has_f16(context) {
        true => Some(compute(context, options, &shaders::F16, 64).await?),
        false => None,
    };
    let dot4_gop_s = compute(context, options, &shaders::DOT4, 256).await?;
    let (dispatch_us, round_trip_us) = costs(context, options).await?;
    let ceilings =
        Ceilings { read_gb_s, copy_gb_s, f32_gflop_s, f16_gflop_s, dot4_gop_s, dispatch_us, round_trip_us, timestamps };
    if !ceilings.is_sane() {
        let reason = format!("its clock says what cannot be: {ceilings:?}");
        return Err(Error::Gpu { what: "measuring the device's ceilings".to_owned(), reason });
    }
    Ok(ceilings)
}

/// Bytes moved in 10⁹ a second, and whether by the device's clock.
async fn memory(context: &GpuContext, options: &Options, shader: &Shader, ways: u64) -> Result<(f64, bool)> {
    let vec4s = Micro::buffer_bytes(context, options.bytes) / 16;
    let most = u64::from(context.summary().limits.max_compute_workgroups_per_dimension.min(65_535));
    let group = u64::from(WORKGROUP * EACH);
    let groups = (vec4s / group).clamp(1, most) as u32;
    let (threads, moved) = (groups * WORKGROUP, u64::from(groups) * group * 16);
    let text = shader.with(&[threads, EACH]);
    // SAFETY: THREADS · EACH vec4s are read, and written by the copy, which both buffers have; the reading
    // shader writes the first at most.
    let mut micro = unsafe { Micro::new(context, shader.name, &text, moved, moved).await? };
    let (best, stamped) = fastest(&mut micro, groups, options).await?;
    Ok(((moved * ways) as f64 / best / 1e9, stamped))
}

/// Operations in 10⁹ a second, `each` to a round of an invocation.
async fn compute(context: &GpuContext, options: &Options, shader: &Shader, each: u64) -> Result<f64> {
    // Enough for the largest GPU to hide what an operation takes.
    let groups = if context.summary().is_software() { 64 } else { 4096 };
    let threads = u64::from(groups * WORKGROUP);
    let text = shader.with(&[ROUNDS]);
    // SAFETY: the first vec4 is read, one for each invocation is written.
    let mut micro = unsafe { Micro::new(context, shader.name, &text, 16, threads * 16).await? };
    let (best, _) = fastest(&mut micro, groups, options).await?;
    Ok((threads * u64::from(ROUNDS) * each) as f64 / best / 1e9)
}

/// Seconds of a dispatch at best, and whether by the device's clock.
async fn fastest(micro: &mut Micro, groups: u32, options: &Options) -> Result<(f64, bool)> {
    // The first run compiles and touches memory for the first time.
    micro.run(groups, 1).await?;
    let mut repetitions = 1;
    let mut ran = micro.run(groups, repetitions).await?;
    while ran.time() < options.least && repetitions < MOST {
        repetitions = enough(ran, repetitions, options.least);
        ran = micro.run(groups, repetitions).await?;
    }
    let mut best = ran;
    for _ in 1..options.runs.max(1) {
        let ran = micro.run(groups, repetitions).await?;
        if ran.time() < best.time() {
            best = ran;
        }
    }
    Ok((best.time().as_secs_f64().max(1e-9) / f64::from(repetitions), best.gpu.is_some()))
}

/// More repetitions, so that they take long enough.
fn enough(ran: Ran, repetitions: u32, least: Duration) -> u32 {
    let factor = 1.2 * least.as_secs_f64() / ran.time().as_secs_f64().max(1e-7);
    ((f64::from(repetitions) * factor.clamp(2.0, 100.0)) as u32).clamp(repetitions + 1, MOST)
}

/// Microseconds of a dispatch, and of a submission until its result is here.
async fn costs(context: &GpuContext, options: &Options) -> Result<(f64, f64)> {
    const DISPATCHES: u32 = 200;
    let text = shaders::EMPTY.with(&[]);
    // SAFETY: the first vec4 of both is touched.
    let mut micro = unsafe { Micro::new(context, shaders::EMPTY.name, &text, 16, 16).await? };
    micro.run(1, 1).await?;
    let (mut once, mut many) = (Vec::new(), Vec::new());
    for _ in 0..options.runs.max(1) * 5 {
        once.push(micro.run(1, 1).await?);
        many.push(micro.run(1, 1 + DISPATCHES).await?);
    }
    let median = |times: Vec<Duration>| {
        let mut us: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e6).collect();
        us.sort_by(f64::total_cmp);
        crate::bench::quantile(&us, 0.5)
    };
    let time = |runs: &[Ran]| median(runs.iter().map(Ran::time).collect());
    let dispatch = ((time(&many) - time(&once)) / f64::from(DISPATCHES)).max(0.0);
    Ok((dispatch, median(once.iter().map(|ran| ran.wall).collect())))
}
