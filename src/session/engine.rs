//! The executor behind a session: GPU or CPU, the same calls.

use std::sync::Arc;

use web_time::Instant;

use super::device::DeviceInfo;
use super::model::Model;
use super::tuning::{Tuning, describe};
use crate::cpu::CpuExecutor;
use crate::error::{Error, Result};
use crate::gpu::{Device, ExecutorOptions, GpuContext, GpuExecutor, Queue, StepTime};
use crate::graph::NodeId;
use crate::kernels::Choices;
use crate::picture::Picture;
use crate::plan::Plan;
use crate::preprocess::Preprocess;
use crate::tensor::Tensor;

pub(super) enum Engine {
    Cpu { executor: Box<CpuExecutor>, preprocess: Preprocess, wanted: Vec<NodeId> },
    Gpu(Box<GpuExecutor>),
}

/// An engine, and what it was opened with.
pub(super) struct Opened {
    pub engine: Engine,
    pub info: DeviceInfo,
    pub choices: Arc<Choices>,
}

impl Engine {
    /// `wanted` are the nodes whose values every run returns beside the output.
    pub(super) fn cpu(model: &Model, wanted: &[NodeId], reason: impl Into<String>) -> Result<Opened> {
        let executor = Box::new(CpuExecutor::new(model.graph().clone())?);
        if wanted.is_empty() {
            executor.prepare();
        }
        let engine = Engine::Cpu { executor, preprocess: model.preprocess().clone(), wanted: wanted.to_vec() };
        Ok(Opened { engine, info: DeviceInfo::cpu(reason), choices: Arc::default() })
    }

    /// Plans the network for the device and builds its pipelines; what is tuned is added to `info`.
    pub(super) async fn gpu(
        context: &GpuContext,
        mut info: DeviceInfo,
        model: &Model,
        batch: usize,
        safe_shaders: bool,
        wanted: &[NodeId],
        tuning: &Tuning,
    ) -> Result<Opened> {
        let preprocess = Some(model.preprocess().clone());
        let options = ExecutorOptions { preprocess, safe_shaders, canaries: false };
        let mut target = tuning.target(context, model, batch, safe_shaders).await?;
        loop {
            let plan = Plan::for_target(model.graph(), batch, wanted, target.clone())?;
            info.tuning = describe(&plan, &target.choices);
            match GpuExecutor::new(context, plan, options.clone()).await {
                Ok(executor) => {
                    return Ok(Opened { engine: Engine::Gpu(Box::new(executor)), info, choices: target.choices });
                }
                // Choices may come from a file that anybody wrote: without them it has to work.
                Err(error) if info.tuning.is_some() && !matches!(error, Error::DeviceLost { .. }) => {
                    log::warn!("tuned tiles are not used: {error}");
                    target.choices = Arc::default();
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) async fn borrowed(
        device: Device,
        queue: Queue,
        model: &Model,
        batch: usize,
        safe_shaders: bool,
        wanted: &[NodeId],
        tuning: &Tuning,
    ) -> Result<Opened> {
        let context = GpuContext::from_device(device, queue);
        let info = DeviceInfo::gpu(context.summary(), "the caller's device");
        Engine::gpu(&context, info, model, batch, safe_shaders, wanted, tuning).await
    }

    /// For up to a batch of pictures, the network's output and the wanted values, a row for each.
    pub(super) async fn run_pictures(&mut self, pictures: &[Picture]) -> Result<Outputs> {
        match self {
            Engine::Cpu { executor, preprocess, wanted } => {
                run_on_cpu(executor, &preprocess.apply_batch(pictures)?, wanted)
            }
            Engine::Gpu(executor) => Outputs::of_gpu(executor.run_pictures(pictures).await?),
        }
    }

    pub(super) async fn profile(&mut self, picture: &Picture) -> Result<Vec<StepTime>> {
        match self {
            Engine::Cpu { executor, preprocess, .. } => {
                let start = Instant::now();
                let input = preprocess.apply(picture)?;
                let step = StepTime { node: "input".into(), kernel: "preprocess", macs: 0, time: start.elapsed() };
                let graph = executor.graph();
                let steps = executor.run_timed(&input)?.1.into_iter().map(|step| StepTime {
                    node: graph.node(step.node).name.clone(),
                    kernel: step.kernel,
                    macs: graph.node_macs(step.node),
                    time: step.time,
                });
                Ok(std::iter::once(step).chain(steps).collect())
            }
            Engine::Gpu(executor) => executor.profile_pictures(std::slice::from_ref(picture)).await,
        }
    }

    pub(super) async fn run_tensor(&mut self, input: &Tensor) -> Result<Outputs> {
        match self {
            Engine::Cpu { executor, wanted, .. } => run_on_cpu(executor, input, wanted),
            Engine::Gpu(executor) => Outputs::of_gpu(executor.run_tensor(input).await?),
        }
    }
}

/// Without wanted values the prepared kernels run, which keep none but the output.
fn run_on_cpu(executor: &CpuExecutor, input: &Tensor, wanted: &[NodeId]) -> Result<Outputs> {
    if wanted.is_empty() {
        return Ok(Outputs { output: executor.run(input)?, wanted: Vec::new() });
    }
    executor.run_with(input, wanted).map(Outputs::from)
}

/// What a run returns.
pub(super) struct Outputs {
    /// The network's output, `[n, classes, 1, 1]`.
    pub output: Tensor,
    /// The wanted values, `[n, c, h, w]`, in order.
    pub wanted: Vec<Tensor>,
}

impl Outputs {
    fn of_gpu(tensors: Vec<Tensor>) -> Result<Self> {
        let mut tensors = tensors.into_iter();
        let output = tensors.next().ok_or_else(|| Error::argument("the network made no output"))?;
        Ok(Outputs { output, wanted: tensors.collect() })
    }
}

impl From<(Tensor, Vec<Tensor>)> for Outputs {
    fn from((output, wanted): (Tensor, Vec<Tensor>)) -> Self {
        Outputs { output, wanted }
    }
}
