//! Kernels that a driver computes wrongly are found while a session is loaded, and gone around.
//!
//! Every kernel variant of the plan that this driver has not been seen to compute rightly runs once, in one of its own
//! layers at its real size and with the pipeline that the session will use, on the values that the CPU executor has for a
//! picture. What is wrong is remembered, and the network is planned again with other tiles, another kernel, or in the other
//! kind of memory.

// The browser package has no way to ask for it, and does not carry it.
#[cfg(not(all(target_arch = "wasm32", feature = "web")))]
mod detours;
#[cfg(not(all(target_arch = "wasm32", feature = "web")))]
mod tested;

use super::engine::Setup;
use super::model::Model;
use crate::error::Result;
use crate::gpu::{ExecutorOptions, GpuContext, GpuExecutor};
use crate::int8::Program;
use crate::kernels::Target;
use crate::plan::Plan;

/// When a driver's kernels are tested while a session is loaded, and where the results are kept.
#[derive(Clone, Debug, Default)]
pub struct DriverTests {
    /// When.
    pub when: TestDriver,
    /// The file that results are kept in, from one process to the next. One that cannot be read or written is no error.
    /// Without it they are kept as long as the process lives.
    #[cfg(not(target_arch = "wasm32"))]
    pub file: Option<std::path::PathBuf>,
}

/// When a driver's kernels are tested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TestDriver {
    /// On drivers that the crate's own tests do not run on: all but Mesa's software drivers and SwiftShader. Not in a
    /// browser, where computing what to expect takes the page's only thread.
    #[default]
    Unknown,
    /// On every driver.
    Always,
    /// Never.
    Never,
}

/// An executor without a kernel that is known to be wrong.
pub(super) struct Built {
    pub executor: GpuExecutor,
    pub target: Target,
    /// What was found just now, a sentence each.
    pub found: Vec<String>,
    /// Ways around known kernels that were taken.
    pub detours: usize,
}

/// A network on its way to an executor.
#[cfg_attr(
    all(target_arch = "wasm32", feature = "web"),
    expect(dead_code, reason = "the browser package tests no drivers")
)]
pub(super) struct Trial<'a> {
    pub context: &'a GpuContext,
    pub model: &'a Model,
    pub program: Option<&'a Program>,
    pub setup: &'a Setup,
}

impl Trial<'_> {
    /// Plans and builds, again and again if need be.
    ///
    /// # Errors
    /// Those of planning and building; [`Error::Gpu`](crate::Error::Gpu) if there is no way around a kernel.
    pub async fn build(
        &self,
        target: Target,
        options: &ExecutorOptions,
        plan: &(dyn Fn(&Target) -> Result<Plan> + Sync),
    ) -> Result<Built> {
        #[cfg(not(all(target_arch = "wasm32", feature = "web")))]
        if self.wanted() {
            return self.build_tested(target, options, plan).await;
        }
        let executor = GpuExecutor::new(self.context, plan(&target)?, options.clone()).await?;
        Ok(Built { executor, target, found: Vec::new(), detours: 0 })
    }
}
