//! The executor behind a session: GPU or CPU, the same calls.

use super::device::DeviceInfo;
use super::model::Model;
use crate::cpu::CpuExecutor;
use crate::error::{Error, Result};
use crate::gpu::{Device, ExecutorOptions, GpuContext, GpuExecutor, Queue, StepTime};
use crate::graph::NodeId;
use crate::picture::Picture;
use crate::plan::Plan;
use crate::preprocess::Preprocess;
use crate::tensor::Tensor;

pub(super) enum Engine {
    Cpu { executor: Box<CpuExecutor>, preprocess: Preprocess, wanted: Vec<NodeId> },
    Gpu(Box<GpuExecutor>),
}

impl Engine {
    /// `wanted` are the nodes whose values every run returns beside the output.
    pub(super) fn cpu(model: &Model, wanted: &[NodeId]) -> Result<Self> {
        let executor = Box::new(CpuExecutor::new(model.graph().clone())?);
        Ok(Engine::Cpu { executor, preprocess: model.preprocess().clone(), wanted: wanted.to_vec() })
    }

    /// Plans the network for the device and builds its pipelines.
    pub(super) async fn gpu(
        context: &GpuContext,
        model: &Model,
        batch: usize,
        safe_shaders: bool,
        wanted: &[NodeId],
    ) -> Result<Self> {
        let plan = Plan::for_target(model.graph(), batch, wanted, context.target())?;
        let preprocess = Some(model.preprocess().clone());
        let options = ExecutorOptions { preprocess, safe_shaders, canaries: false };
        Ok(Engine::Gpu(Box::new(GpuExecutor::new(context, plan, options).await?)))
    }

    pub(super) async fn borrowed(
        device: Device,
        queue: Queue,
        model: &Model,
        batch: usize,
        safe_shaders: bool,
        wanted: &[NodeId],
    ) -> Result<(Self, DeviceInfo)> {
        let context = GpuContext::from_device(device, queue);
        let info = DeviceInfo::gpu(context.summary(), "the caller's device");
        Ok((Engine::gpu(&context, model, batch, safe_shaders, wanted).await?, info))
    }

    /// For up to a batch of pictures, the network's output and the wanted values, a row for each.
    pub(super) async fn run_pictures(&mut self, pictures: &[Picture]) -> Result<Outputs> {
        match self {
            Engine::Cpu { executor, preprocess, wanted } => {
                executor.run_with(&preprocess.apply_batch(pictures)?, wanted).map(Outputs::from)
            }
            Engine::Gpu(executor) => Outputs::of_gpu(executor.run_pictures(pictures).await?),
        }
    }

    pub(super) async fn profile(&mut self, picture: &Picture) -> Result<Vec<StepTime>> {
        match self {
            Engine::Cpu { .. } => {
                Err(Error::argument("steps are timed on a GPU only; this session runs on the CPU executor"))
            }
            Engine::Gpu(executor) => executor.profile_pictures(std::slice::from_ref(picture)).await,
        }
    }

    pub(super) async fn run_tensor(&mut self, input: &Tensor) -> Result<Outputs> {
        match self {
            Engine::Cpu { executor, wanted, .. } => executor.run_with(input, wanted).map(Outputs::from),
            Engine::Gpu(executor) => Outputs::of_gpu(executor.run_tensor(input).await?),
        }
    }
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
