//! Tuning: which tiles and kernels are fastest on a device, by measuring.
//!
//! [`tune`] plans a network with every kernel that could compute its nodes, collects the distinct steps,
//! and times the tiles of each ([`Step::candidates`](crate::kernels::Step::candidates)), the most
//! promising first, as repeated dispatches within one pass. Every candidate computes a seeded input
//! first and is compared with the CPU executor; one that differs is never taken, and reported. Then the
//! kernels of every decision are compared, each with its best tiles, the two best of everything are
//! timed within the network, and last the network itself without and with what was chosen.
//!
//! The result is [`Choices`](crate::kernels::Choices), plain data for [`Target::choices`](crate::kernels::Target::choices). A
//! [`Store`] keeps them, device by device, as JSON; [`builtin`] has tables for software drivers.
//!
//! On software drivers compiling takes longer than running: there a candidate's time for compiling
//! counts too ([`Options::repay`]).

mod builtin;
mod device;
mod estimate;
mod network;
mod outcome;
mod reference;
mod search;
mod space;
mod stats;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
mod store;
mod tuner;

use std::ops::ControlFlow;
use std::time::Duration;

pub use builtin::{Table, builtin};
pub use outcome::{NetworkTimes, Outcome, Rejected, TunedKernel, TunedTile};
pub(crate) use stats::Samples;
pub use store::{DeviceKey, Store};

use crate::error::{Error, Result};
use crate::gpu::GpuContext;
use crate::graph::Graph;
use crate::kernels::Target;
use crate::verify::{F16_LAYER, F32_LAYER};

/// How to tune.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Samples per run.
    pub batch: usize,
    /// How long it may take. It is looked at between candidates: what has been begun is finished.
    pub budget: Duration,
    /// Largest relative L2 distance between a step's result and the CPU's; 5·10⁻⁵, and 5·10⁻³ where values are
    /// stored as 16-bit floats.
    pub bound: f64,
    /// Runs of the network within which a longer time for compiling has to be made good; `None` if it
    /// does not count, as where drivers keep what they have compiled.
    pub repay: Option<f64>,
    /// A candidate that takes longer than that to compile, and longer than the default, is not taken, however
    /// fast it is.
    pub max_compile: Duration,
    /// Seed of the input.
    pub seed: u64,
    /// Leaves the shaders' runtime checks on.
    pub safe_shaders: bool,
}

impl Options {
    /// A batch of 1 and a minute. Compiling counts on software drivers, where it has to be made good
    /// within 200 runs.
    pub fn new(target: &Target) -> Self {
        Options {
            batch: 1,
            budget: Duration::from_secs(60),
            bound: if target.f16 { F16_LAYER } else { F32_LAYER },
            repay: target.software.then_some(200.0),
            max_compile: Duration::from_secs(if target.software { 2 } else { 10 }),
            seed: 0,
            safe_shaders: false,
        }
    }
}

/// How far tuning is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress<'a> {
    /// The share of the budget that is spent, 0 to 1.
    pub spent: f64,
    /// What is being measured.
    pub what: &'a str,
}

/// Is told before each candidate how far tuning is, and may end it.
pub type Watch<'a> = dyn FnMut(Progress<'_>) -> ControlFlow<()> + Send + 'a;

/// Finds the fastest tiles and kernels for a network on a device. `target` says how to plan for it; what
/// it has as [`choices`](Target::choices) is tried first. Where the budget ends early, what was measured
/// until then decides.
///
/// # Errors
/// If the network cannot be planned, does not fit the device without tuning, or the device is lost
/// before anything was measured. Later failures end tuning and are told by [`Outcome::interrupted`]:
/// what was tuned until then is not lost.
pub async fn tune(
    context: &GpuContext,
    graph: &Graph,
    target: &Target,
    options: &Options,
    watch: &mut Watch<'_>,
) -> Result<Outcome> {
    if options.batch == 0 {
        return Err(Error::argument("a batch must hold at least one sample"));
    }
    tuner::run(context, graph, target, options, watch).await
}
