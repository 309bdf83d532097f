//! The executor behind a session: GPU or CPU, the same calls.

use web_time::Instant;

use super::device::DeviceInfo;
use super::model::Model;
use crate::cpu::CpuExecutor;
use crate::error::{Error, Result};
use crate::gpu::{Device, ExecutorOptions, GpuContext, GpuExecutor, Queue, StepTime};
use crate::graph::NodeId;
use crate::picture::Picture;
use crate::plan::Plan;
use crate::preprocess::Preprocess;
use crate::quant::{Part, Scheme, Simulated, Simulation};
use crate::tensor::Tensor;

pub(super) enum Engine {
    Cpu {
        executor: Box<CpuExecutor>,
        preprocess: Preprocess,
        wanted: Vec<NodeId>,
    },
    /// Values rounded to 8 bits between float operators.
    Simulated {
        executor: Box<Simulated>,
        preprocess: Preprocess,
        wanted: Vec<NodeId>,
    },
    Gpu(Box<GpuExecutor>),
}

impl Engine {
    /// `wanted` are the nodes whose values every run returns beside the output.
    pub(super) fn cpu(model: &Model, wanted: &[NodeId]) -> Result<Self> {
        if let Some(quantization) = model.quantization().filter(|q| q.scheme() == Scheme::W8a8) {
            let simulation = Simulation::quantized_only(model.graph().clone(), quantization.clone())?;
            let executor = Box::new(simulation.with(Part::Everything)?);
            return Ok(Engine::Simulated { executor, preprocess: model.preprocess().clone(), wanted: wanted.to_vec() });
        }
        let executor = Box::new(CpuExecutor::new(model.graph().clone())?);
        if wanted.is_empty() {
            executor.prepare();
        }
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
                run_on_cpu(executor, &preprocess.apply_batch(pictures)?, wanted)
            }
            Engine::Simulated { executor, preprocess, wanted } => {
                executor.run_with(&preprocess.apply_batch(pictures)?, wanted).map(Outputs::from)
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
            Engine::Simulated { executor, preprocess, .. } => {
                let start = Instant::now();
                executor.run(&preprocess.apply(picture)?)?;
                let kernel = "w8a8 rounded in f32";
                Ok(vec![StepTime { node: "network".into(), kernel, macs: 0, time: start.elapsed() }])
            }
            Engine::Gpu(executor) => executor.profile_pictures(std::slice::from_ref(picture)).await,
        }
    }

    pub(super) async fn run_tensor(&mut self, input: &Tensor) -> Result<Outputs> {
        match self {
            Engine::Cpu { executor, wanted, .. } => run_on_cpu(executor, input, wanted),
            Engine::Simulated { executor, wanted, .. } => executor.run_with(input, wanted).map(Outputs::from),
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
