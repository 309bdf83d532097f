//! The executor behind a session: GPU or CPU, the same calls.

use super::device::DeviceInfo;
use super::model::Model;
use crate::cpu::CpuExecutor;
use crate::error::{Error, Result};
use crate::gpu::{Device, ExecutorOptions, GpuContext, GpuExecutor, Queue};
use crate::picture::Picture;
use crate::plan::Plan;
use crate::preprocess::Preprocess;
use crate::tensor::Tensor;

pub(super) enum Engine {
    Cpu { executor: Box<CpuExecutor>, preprocess: Preprocess },
    Gpu(Box<GpuExecutor>),
}

impl Engine {
    pub(super) fn cpu(model: &Model) -> Result<Self> {
        let executor = Box::new(CpuExecutor::new(model.graph().clone())?);
        Ok(Engine::Cpu { executor, preprocess: model.preprocess().clone() })
    }

    /// Plans the network for the device and builds its pipelines.
    pub(super) async fn gpu(context: &GpuContext, model: &Model, batch: usize, safe_shaders: bool) -> Result<Self> {
        let plan = Plan::for_target(model.graph(), batch, &[], context.target())?;
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
    ) -> Result<(Self, DeviceInfo)> {
        let context = GpuContext::from_device(device, queue);
        let info = DeviceInfo::gpu(context.summary(), "the caller's device");
        Ok((Engine::gpu(&context, model, batch, safe_shaders).await?, info))
    }

    /// The network's output for up to a batch of pictures, a row for each.
    pub(super) async fn run_pictures(&mut self, pictures: &[Picture]) -> Result<Tensor> {
        match self {
            Engine::Cpu { executor, preprocess } => executor.run(&preprocess.apply_batch(pictures)?),
            Engine::Gpu(executor) => first(executor.run_pictures(pictures).await?),
        }
    }

    pub(super) async fn run_tensor(&mut self, input: &Tensor) -> Result<Tensor> {
        match self {
            Engine::Cpu { executor, .. } => executor.run(input),
            Engine::Gpu(executor) => first(executor.run_tensor(input).await?),
        }
    }
}

fn first(outputs: Vec<Tensor>) -> Result<Tensor> {
    outputs.into_iter().next().ok_or_else(|| Error::argument("the network made no output"))
}
