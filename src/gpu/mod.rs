//! The GPU executor: the only place that names `wgpu`.
//!
//! [`adapters`] lists what there is and [`select_adapter`] picks one (or says why none fits);
//! [`GpuContext`] is a device with its queue, our own or the caller's; [`GpuExecutor`] runs a
//! [`Plan`](crate::plan::Plan) on it. Everything is async and the same natively and on the web.
//! Natively, awaiting a result is what polls the device: the future waits in `Device::poll` for
//! its own submission.

mod adapter;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
mod background;
mod bench;
mod buffers;
mod clock;
mod context;
mod executor;
mod exit;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
mod external;
mod foreign;
mod inputs;
mod limits;
mod micro;
mod objects;
mod pack;
mod passes;
mod pipeline_cache;
mod pipelines;
mod profile;
mod readback;
mod sabotage;
mod scopes;
mod source;
mod steps;
mod watch;

pub use adapter::{
    AdapterChoice, AdapterFeatures, AdapterLimits, AdapterSummary, DeviceRequest, adapters, parse_backend,
    select_adapter, select_adapter_of,
};
pub use bench::{Bench, Compiled};
pub use context::GpuContext;
pub use executor::{ExecutorOptions, GpuExecutor, Timings};
#[cfg(all(target_arch = "wasm32", feature = "web"))]
pub use external::Arrival;
pub(crate) use foreign::{ForeignMemory, ForeignStep, run as run_foreign};
pub use micro::{Micro, Ran};
pub use objects::GpuCounts;
pub use pipeline_cache::PipelineCache;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use pipeline_cache::{unwrap as unwrap_pipelines, wrap as wrap_pipelines};
pub use profile::{StepTime, Stepwise, TimedStep};
pub use readback::{Pending, PendingTop};
#[doc(hidden)]
pub use sabotage::{Moment, Sabotage};
pub use source::PictureSource;
pub use watch::Watch;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
pub use wgpu::ExternalImageSource;
pub use wgpu::{Backend, Device, Queue};
