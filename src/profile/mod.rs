//! Where a network's time goes: every step with its time, its work, and how far that is from what the
//! device can do.

mod spans;
mod trace;

pub use spans::{Span, spans};
pub use trace::trace;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use web_time::Instant;

use crate::bench::{Device, Summary, quantile};
use crate::error::{Error, Result};
use crate::gpu::{GpuExecutor, StepTime, Stepwise, TimedStep};
use crate::kernels::{KERNELS, Step};
use crate::picture::Picture;
use crate::roofline::{Bound, Ceilings, Work};
use crate::session::Session;

/// The version of the schema that this program writes. Older ones are read.
pub const SCHEMA_VERSION: u32 = 2;

/// What [`Profile::kind`] says, so that a file of another program is not taken for one of these.
pub const KIND: &str = "foveate-profile";

/// How to profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Runs before the first one that counts.
    pub warm_ups: usize,
    /// Runs whose medians are taken.
    pub runs: usize,
    /// How long to go on; one run is finished, however long it takes.
    pub most: Duration,
    /// How steps are told apart on a GPU; the best way that it has if `None`.
    pub stepwise: Option<Stepwise>,
}

impl Default for Options {
    fn default() -> Self {
        Options { warm_ups: 5, runs: 25, most: Duration::from_secs(30), stepwise: None }
    }
}

/// What clock the times are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Timestamps between the dispatches of the frame's one pass.
    InsidePass,
    /// Timestamps at the boundaries of a pass for each step.
    Passes,
    /// Each step repeated, by the wall's clock.
    Repeated,
    /// The CPU executor's steps, by the wall's clock.
    Cpu,
}

impl From<Stepwise> for Method {
    fn from(stepwise: Stepwise) -> Self {
        match stepwise {
            Stepwise::InsidePass => Method::InsidePass,
            Stepwise::Passes => Method::Passes,
            Stepwise::Repeated => Method::Repeated,
        }
    }
}

/// A network's profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// [`KIND`].
    pub kind: String,
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Name of the network.
    pub model: String,
    /// `f32`, `f16`, `w8`, `w8a8`.
    pub precision: String,
    /// Samples to a run.
    pub batch: usize,
    /// Where it ran.
    pub device: Device,
    /// How steps were told apart.
    pub method: Method,
    /// Runs whose medians these are.
    pub runs: usize,
    /// The device's ceilings, if they are known.
    pub ceilings: Option<Ceilings>,
    /// The whole run's time by the device's clock, not taken apart, in microseconds; `None` without one.
    pub frame_us: Option<f64>,
    /// The steps, in order: at most 100,000, more than any network has.
    #[serde(deserialize_with = "crate::json::at_most::<100_000, _, _>")]
    pub layers: Vec<Layer>,
}

/// A step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Layer {
    /// The graph's node.
    pub node: String,
    /// The kernel.
    pub kernel: String,
    /// Pixels × planes of four channels that an invocation computes, and invocations of a workgroup; `None`
    /// for kernels with one way only, and on the CPU.
    pub tile: Option<String>,
    /// How what it binds is stored, a letter each; empty on the CPU.
    pub formats: String,
    /// Median time, in microseconds.
    pub us: f64,
    /// Its part of all steps' time, 0 to 1.
    pub share: f64,
    /// Multiply-accumulates, for the whole batch.
    pub macs: u64,
    /// Bytes of all that it reads and writes, once; 0 if not known.
    pub bytes: u64,
    /// Whether it multiplies with `dot4I8Packed`, and is held to that ceiling; since version 2.
    pub dot4: bool,
    /// Operations in 10⁹ a second, two to a multiply-accumulate.
    pub gflop_s: f64,
    /// Bytes in 10⁹ a second.
    pub gb_s: f64,
    /// What the device could at best, as a part of its time: 1 is at the ceiling. Above 1 where caches serve
    /// what the ceiling of memory was measured without.
    pub roofline: Option<f64>,
    /// What holds it back at best.
    pub bound: Option<Bound>,
}

impl Profile {
    /// Reads a profile from JSON. `origin` is what the bytes are called in messages.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is none, or one of another version.
    pub fn parse(bytes: &[u8], origin: &str) -> Result<Profile> {
        /// What all versions have.
        #[derive(Deserialize)]
        struct Head {
            kind: String,
            schema_version: u32,
        }
        let none = |why: &dyn std::fmt::Display| {
            Error::argument(format!("{origin} is no profile ({why}); `foveate profile -o FILE` writes them"))
        };
        let head: Head = serde_json::from_slice(bytes).map_err(|error| none(&error))?;
        if head.kind != KIND {
            return Err(none(&format_args!("its kind is {:?}", head.kind)));
        }
        if !(1..=SCHEMA_VERSION).contains(&head.schema_version) {
            let version = head.schema_version;
            return Err(Error::argument(format!(
                "{origin} has schema version {version}, this program reads versions 1 to {SCHEMA_VERSION}"
            )));
        }
        let mut profile: Profile = serde_json::from_slice(bytes).map_err(|error| none(&error))?;
        let sane = |layer: &Layer| {
            let numbers = [layer.us, layer.share, layer.gflop_s, layer.gb_s, layer.roofline.unwrap_or(0.0)];
            numbers.iter().all(|number| (0.0..1e18).contains(number))
        };
        if !profile.layers.iter().all(sane) {
            return Err(none(&"a layer's numbers are none that can be measured"));
        }
        if profile.ceilings.is_some_and(|ceilings| !ceilings.is_sane()) {
            return Err(none(&"its ceilings are none that can be measured"));
        }
        if head.schema_version == 1 {
            profile.hold_to_ceilings_anew();
        }
        profile.schema_version = SCHEMA_VERSION;
        Ok(profile)
    }

    /// Version 1 held every kernel of integers to the ceiling of `dot4I8Packed`, also those that multiply one
    /// by one.
    fn hold_to_ceilings_anew(&mut self) {
        let total = self.sum_us();
        for layer in &mut self.layers {
            let dot4 = KERNELS.iter().any(|kernel| kernel.name == layer.kernel && kernel.multiplies_bytes());
            let us = layer.us;
            *layer = rate(Layer { dot4, ..std::mem::take(layer) }, us, total, self.ceilings.as_ref());
        }
    }

    /// All steps' time, in microseconds.
    pub fn sum_us(&self) -> f64 {
        self.layers.iter().map(|layer| layer.us).sum()
    }
}

/// Profiles a session on pictures, as many as its batch. With `ceilings`, layers say how near to them they
/// come.
///
/// # Errors
/// [`Error::Argument`] if there are other than 1 to batch pictures; [`Error::Gpu`] for a way to tell steps
/// apart that the device does not have; otherwise as [`Session::run_batch`].
pub async fn profile(
    session: &mut Session,
    device: Device,
    pictures: &[Picture],
    ceilings: Option<Ceilings>,
    options: &Options,
) -> Result<Profile> {
    let (model, precision, batch) =
        (session.model().name().to_owned(), session.precision().to_string(), session.batch());
    let on_gpu = session.gpu().map(|executor| executor.stepwise());
    let stepwise = on_gpu.map(|best| options.stepwise.unwrap_or(best));
    let method = stepwise.map_or(Method::Cpu, Method::from);
    let mut samples: Vec<(Layer, Vec<f64>)> = Vec::new();
    let (start, mut warm_ups, mut runs) = (Instant::now(), 0, 0);
    while runs == 0 || (runs < options.runs && start.elapsed() < options.most) {
        let layers = match (session.gpu(), stepwise) {
            (Some(executor), Some(stepwise)) => on_the_gpu(executor, pictures, stepwise).await?,
            _ => on_the_cpu(session, pictures).await?,
        };
        // Where a run takes long, so does warming up, and one is enough.
        if warm_ups < options.warm_ups && (warm_ups == 0 || start.elapsed() < options.most / 4) {
            warm_ups += 1;
            continue;
        }
        runs += 1;
        if samples.is_empty() {
            samples = layers.iter().map(|(layer, _)| (layer.clone(), Vec::new())).collect();
        }
        for ((_, times), (_, time)) in samples.iter_mut().zip(&layers) {
            times.push(time.as_nanos() as f64 / 1e3);
        }
    }
    let median = |times: &[f64]| Summary::of(times).map_or(0.0, |summary| summary.p50);
    let total: f64 = samples.iter().map(|(_, times)| median(times)).sum();
    let rated = |(layer, times): (Layer, Vec<f64>)| rate(layer, median(&times), total, ceilings.as_ref());
    let layers = samples.into_iter().map(rated).collect();
    let frame_us = whole(session, pictures, options).await?;
    let (kind, schema_version) = (KIND.to_owned(), SCHEMA_VERSION);
    Ok(Profile { kind, schema_version, model, precision, batch, device, method, runs, ceilings, frame_us, layers })
}

async fn on_the_gpu(
    executor: &mut GpuExecutor,
    pictures: &[Picture],
    stepwise: Stepwise,
) -> Result<Vec<(Layer, Duration)>> {
    let timed = executor.time_steps(pictures, stepwise).await?;
    let layer = |timed: TimedStep| {
        let Step { node, kernel, macs, tile, formats, .. } = timed.step;
        let layer = Layer {
            node,
            kernel: kernel.name.to_owned(),
            tile: tile.map(|tile| format!("{}×{}/{}", tile.pixels, tile.planes, tile.workgroup)),
            formats: formats.iter().map(|format| format.key()).collect(),
            macs,
            bytes: timed.bytes,
            dot4: kernel.multiplies_bytes(),
            ..Layer::default()
        };
        (layer, timed.time)
    };
    Ok(timed.into_iter().map(layer).collect())
}

async fn on_the_cpu(session: &mut Session, pictures: &[Picture]) -> Result<Vec<(Layer, Duration)>> {
    let [picture] = pictures else {
        return Err(Error::argument("the CPU executor's steps are timed with one picture to a run"));
    };
    let layer = |StepTime { node, kernel, macs, time }: StepTime| {
        (Layer { node, kernel: kernel.to_owned(), macs, ..Layer::default() }, time)
    };
    Ok(session.profile(picture).await?.into_iter().map(layer).collect())
}

/// A whole run's median by the device's clock.
async fn whole(session: &mut Session, pictures: &[Picture], options: &Options) -> Result<Option<f64>> {
    if !session.stamp_runs(true).await? {
        return Ok(None);
    }
    let mut us = Vec::with_capacity(options.runs);
    let start = Instant::now();
    while us.is_empty() || (us.len() < options.runs && start.elapsed() < options.most / 2) {
        let before = us.len();
        session.submit(pictures, 1)?.wait().await?;
        us.extend(session.gpu_time().await?.filter(|time| !time.is_zero()).map(|time| time.as_secs_f64() * 1e6));
        if us.len() == before {
            // The clock stands still.
            break;
        }
    }
    session.stamp_runs(false).await?;
    us.sort_by(f64::total_cmp);
    Ok((!us.is_empty()).then(|| quantile(&us, 0.5)))
}

fn rate(layer: Layer, us: f64, total: f64, ceilings: Option<&Ceilings>) -> Layer {
    // 10⁹ a second are 10³ a microsecond.
    let per = |count: f64| if us > 0.0 { count / us / 1e3 } else { 0.0 };
    let work = Work { macs: layer.macs, bytes: layer.bytes, dot4: layer.dot4 };
    let floor = ceilings.filter(|_| layer.bytes > 0 && us > 0.0).map(|ceilings| ceilings.floor(work));
    Layer {
        us,
        share: if total > 0.0 { us / total } else { 0.0 },
        gflop_s: per(2.0 * layer.macs as f64),
        gb_s: per(layer.bytes as f64),
        roofline: floor.map(|(floor, _)| floor / us),
        bound: floor.map(|(_, bound)| bound),
        ..layer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_from_work_and_time() {
        let ceilings =
            Ceilings { read_gb_s: 10.0, copy_gb_s: 8.0, f32_gflop_s: 100.0, dot4_gop_s: 400.0, ..Ceilings::default() };
        let layer = Layer { macs: 1_000_000, bytes: 100_000, ..Layer::default() };
        // At best 20 µs of arithmetic, or 10 µs of memory.
        let rated = rate(layer.clone(), 40.0, 160.0, Some(&ceilings));
        assert_eq!((rated.share, rated.gflop_s, rated.gb_s), (0.25, 50.0, 2.5));
        assert_eq!((rated.roofline, rated.bound), (Some(0.5), Some(Bound::Compute)));
        let integers = rate(Layer { dot4: true, ..layer.clone() }, 40.0, 160.0, Some(&ceilings));
        assert_eq!((integers.roofline, integers.bound), (Some(0.25), Some(Bound::Memory)));
        let stopped = rate(layer, 0.0, 0.0, Some(&ceilings));
        assert_eq!((stopped.share, stopped.gflop_s, stopped.roofline), (0.0, 0.0, None));
    }
}
