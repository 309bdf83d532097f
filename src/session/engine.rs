//! The executor behind a session: GPU or CPU, the same calls.

use std::sync::Arc;
use std::time::Duration;

use super::device::DeviceInfo;
use super::model::{Model, Precision};
use super::processor::Outputs;
#[cfg(not(foveate_module = "gpu"))]
use super::processor::Processor;
use super::self_test;
use super::trial::{Built, DriverTests, Trial};
use super::tuning::{Tuning, describe};
use crate::error::{Error, Result};
use crate::gpu::{
    Device, ExecutorOptions, GpuContext, GpuExecutor, Pending, PendingTop, PictureSource, PipelineCache, Queue,
    Sabotage, StepTime, Watch,
};
use crate::graph::NodeId;
use crate::int8::{self, Program};
use crate::kernels::{Choices, MAX_TOP, Target};
#[cfg(not(foveate_module = "gpu"))]
use crate::picture::Picture;
use crate::plan::Plan;
use crate::tensor::Tensor;

pub(super) enum Engine {
    #[cfg(not(foveate_module = "gpu"))]
    Cpu(Box<Processor>),
    Gpu(Box<GpuExecutor>),
}

/// A run under way, or done.
pub(super) enum Underway {
    /// Of which the best classes are read back.
    Ranked(PendingTop),
    /// Of which all outputs are read back.
    Whole(Pending),
    #[cfg_attr(foveate_module = "gpu", allow(dead_code))]
    /// The CPU's output, and how long the network took for it.
    Done(Tensor, Duration),
}

/// What to make of a model, whatever the device.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// Pictures per run.
    pub batch: usize,
    /// Whether shaders keep their runtime checks.
    pub safe_shaders: bool,
    /// Pipelines that were compiled before.
    pub pipelines: Option<PipelineCache>,
    /// Who is told how far compiling is.
    pub watch: Watch,
    /// Which tuned choices to take.
    pub tuning: Tuning,
    /// The nodes whose values every run returns beside the output.
    pub wanted: Vec<NodeId>,
    /// When the driver's kernels are tested.
    #[cfg_attr(
        all(target_arch = "wasm32", feature = "web"),
        expect(dead_code, reason = "the browser package tests no drivers")
    )]
    pub driver_tests: DriverTests,
    /// Bytes of the device's memory that it may take.
    pub memory_budget: Option<u64>,
    /// What tests do to the device.
    pub sabotage: Sabotage,
    /// The number format that was asked for. Weights of eight bits are the model's already.
    pub precision: Precision,
}

/// An engine, where it runs, what it computes in, and what was tuned.
pub(super) struct Started {
    pub engine: Engine,
    pub device: DeviceInfo,
    pub precision: Precision,
    pub note: Option<String>,
    pub choices: Arc<Choices>,
}

impl Engine {
    /// In that module of the browser package, which leaves the CPU to another.
    #[cfg(foveate_module = "gpu")]
    pub(super) fn cpu(_: &Model, _: &Setup, reason: impl Into<String>) -> Result<Started> {
        Err(Error::argument(format!("this module computes on a GPU alone: {}", reason.into())))
    }

    /// On the CPU, for the `reason`.
    #[cfg(not(foveate_module = "gpu"))]
    pub(super) fn cpu(model: &Model, setup: &Setup, reason: impl Into<String>) -> Result<Started> {
        let (processor, note) = Processor::new(model, setup.precision, setup.wanted.clone())?;
        let (device, precision) = (DeviceInfo::cpu(reason), model.precision());
        Ok(Started { engine: Engine::Cpu(Box::new(processor)), device, precision, note, choices: Arc::default() })
    }

    /// Plans the network for the device and builds its pipelines; what is tuned is added to `device`. Integers and
    /// 16-bit floats have to pass a test on the device; f32 takes their place if they do not.
    pub(super) async fn gpu(
        context: &GpuContext,
        mut device: DeviceInfo,
        model: &Model,
        setup: &Setup,
    ) -> Result<Started> {
        let mut held = model.precision();
        let mut note = match held {
            Precision::W8 => Some("weights of 8 bits, activations in f32".to_owned()),
            Precision::F32 | Precision::F16 | Precision::W8a8 => None,
        };
        if let Some(quantization) = model.quantization().filter(|_| held == Precision::W8a8) {
            let program = int8::lower(model.graph(), quantization)?;
            match integers(context, model, setup, program, device.clone()).await? {
                Ok(started) => return Ok(started),
                Err(failed) => {
                    let instead = "weights of 8 bits, activations in f32 and not rounded instead";
                    (held, note) = (Precision::W8, Some(format!("{failed}: {instead}")));
                }
            }
        }
        if setup.precision == Precision::F16 {
            let mut halves = device.clone();
            let built = match executor(context, model, setup, true, &mut halves).await {
                Ok((mut executor, choices)) => {
                    let tested = self_test::f16(&mut executor, model).await?;
                    tested
                        .map(|passed| (executor, choices, passed))
                        .map_err(|failed| format!("failed their self-test ({failed})"))
                }
                // Where floats of 32 bits are computed rightly, there is no reason to give up.
                Err(error @ Error::Gpu { .. }) => Err(format!("cannot be computed on it ({error})")),
                Err(error) => return Err(error),
            };
            match built {
                Ok((executor, choices, passed)) => {
                    let device = halves;
                    let (engine, note) = (Engine::Gpu(Box::new(executor)), Some(format!("self-test passed: {passed}")));
                    return Ok(Started { engine, device, precision: Precision::F16, note, choices });
                }
                Err(failed) => note = Some(format!("16-bit floats {failed}: f32 instead")),
            }
        }
        let (executor, choices) = executor(context, model, setup, false, &mut device).await?;
        Ok(Started { engine: Engine::Gpu(Box::new(executor)), device, precision: held, note, choices })
    }

    pub(super) async fn borrowed(device: Device, queue: Queue, model: &Model, setup: &Setup) -> Result<Started> {
        let context = GpuContext::from_device(device, queue).sabotaged(setup.sabotage.clone());
        let device = DeviceInfo::gpu(context.summary(), "the caller's device");
        Engine::gpu(&context, device, model, setup).await
    }

    pub(super) fn compiled(&self) -> Option<Vec<u8>> {
        match self {
            #[cfg(not(foveate_module = "gpu"))]
            Engine::Cpu(_) => None,
            Engine::Gpu(executor) => executor.compiled(),
        }
    }

    /// For up to a batch of pictures, the network's output and the wanted values, a row for each.
    pub(super) async fn run_pictures(&mut self, pictures: &[PictureSource<'_>]) -> Result<Outputs> {
        match self {
            #[cfg(not(foveate_module = "gpu"))]
            Engine::Cpu(processor) => processor.run_all(&processor.prepare(&in_memory(pictures)?)?),
            Engine::Gpu(executor) => Outputs::of_gpu(executor.run_pictures(pictures).await?),
        }
    }

    /// Starts a run on up to a batch of pictures, of which the `count` best classes are wanted: the device
    /// finds them where it can. The CPU's is done when this returns.
    pub(super) fn submit(&mut self, pictures: &[PictureSource<'_>], count: usize) -> Result<Underway> {
        match self {
            Engine::Gpu(executor) if executor.ranks() && count <= MAX_TOP => {
                executor.submit_top_pictures(pictures).map(Underway::Ranked)
            }
            Engine::Gpu(executor) => executor.submit_pictures(pictures).map(Underway::Whole),
            #[cfg(not(foveate_module = "gpu"))]
            Engine::Cpu(processor) => {
                let (output, took) = processor.run(&processor.prepare(&in_memory(pictures)?)?)?;
                Ok(Underway::Done(output, took))
            }
        }
    }

    /// The GPU's executor, if it is one.
    pub(super) fn as_gpu(&mut self) -> Option<&mut GpuExecutor> {
        match self {
            Engine::Gpu(executor) => Some(executor),
            #[cfg(not(foveate_module = "gpu"))]
            Engine::Cpu(_) => None,
        }
    }

    pub(super) async fn profile(&mut self, picture: PictureSource<'_>) -> Result<Vec<StepTime>> {
        match self {
            #[cfg(not(foveate_module = "gpu"))]
            Engine::Cpu(processor) => processor.profile(picture.in_memory()?),
            Engine::Gpu(executor) => executor.profile_pictures(&[picture]).await,
        }
    }

    pub(super) async fn run_tensor(&mut self, input: &Tensor) -> Result<Outputs> {
        match self {
            #[cfg(not(foveate_module = "gpu"))]
            Engine::Cpu(processor) => processor.run_all(input),
            Engine::Gpu(executor) => Outputs::of_gpu(executor.run_tensor(input).await?),
        }
    }
}

/// In integers, if the device computes the same as the CPU; if not, the reason.
async fn integers(
    context: &GpuContext,
    model: &Model,
    setup: &Setup,
    program: Program,
    mut device: DeviceInfo,
) -> Result<std::result::Result<Started, String>> {
    let float_nodes = program.float_nodes();
    let mut executor = match executor_of_integers(context, model, setup, &program, &mut device).await {
        Ok(executor) => executor,
        // A device that takes no integer products may still take floats.
        Err(error @ (Error::Gpu { .. } | Error::Plan { .. })) => {
            return Ok(Err(format!("integers cannot be computed on it ({error})")));
        }
        Err(error) => return Err(error),
    };
    let passed = match self_test::integers(&mut executor, model, program).await? {
        Ok(passed) => passed,
        Err(failed) => return Ok(Err(format!("integers failed their self-test ({failed})"))),
    };
    let kept = match float_nodes {
        0 => String::new(),
        1 => ", one node in f32".to_owned(),
        nodes => format!(", {nodes} nodes in f32"),
    };
    Ok(Ok(Started {
        engine: Engine::Gpu(Box::new(executor)),
        device,
        precision: Precision::W8a8,
        note: Some(format!("in integers{kept}; self-test passed: {passed}")),
        choices: Arc::default(),
    }))
}

/// The executor of an integer program, whose tiles rules choose.
async fn executor_of_integers(
    context: &GpuContext,
    model: &Model,
    setup: &Setup,
    program: &Program,
    device: &mut DeviceInfo,
) -> Result<GpuExecutor> {
    let target = Target { choices: Arc::default(), ..context.target() };
    let Setup { batch, wanted, .. } = setup;
    let plan = |target: &Target| Plan::for_program(program, *batch, wanted, target.clone());
    let trial = Trial { context, model, program: Some(program), setup };
    let built = trial.build(target, &options(model, setup), &plan).await?;
    device.worked_around(built.detours, built.found);
    Ok(built.executor)
}

fn options(model: &Model, setup: &Setup) -> ExecutorOptions {
    let preprocess = Some(model.preprocess().clone());
    let (safe_shaders, pipelines) = (setup.safe_shaders, setup.pipelines.clone());
    let watch = setup.watch.clone();
    ExecutorOptions {
        preprocess,
        safe_shaders,
        pipelines,
        watch,
        memory_budget: setup.memory_budget,
        top: true,
        canaries: false,
    }
}

/// The executor with the choices that it was planned by.
async fn executor(
    context: &GpuContext,
    model: &Model,
    setup: &Setup,
    f16: bool,
    device: &mut DeviceInfo,
) -> Result<(GpuExecutor, Arc<Choices>)> {
    let Setup { batch, safe_shaders, wanted, tuning, .. } = setup;
    let options = options(model, setup);
    let target = Target { f16, ..context.target() };
    let mut target = tuning.choose(target, context, model, *batch, *safe_shaders).await?;
    loop {
        let plan = |target: &Target| Plan::for_target(model.graph(), *batch, wanted, target.clone());
        let trial = Trial { context, model, program: None, setup };
        match trial.build(target.clone(), &options, &plan).await {
            Ok(Built { executor, target: taken, found, detours }) => {
                // Ways around a driver's faults are not tuned ones.
                device.tuning = if detours == 0 { describe(executor.plan(), &taken.choices) } else { None };
                device.worked_around(detours, found);
                return Ok((executor, taken.choices));
            }
            // Choices may come from a file that anybody wrote: without them it has to work.
            Err(error) if *target.choices != Choices::default() && !matches!(error, Error::DeviceLost { .. }) => {
                log::warn!("tuned tiles are not used: {error}");
                target.choices = Arc::default();
            }
            Err(error) => return Err(error),
        }
    }
}

/// Pictures that the CPU can read.
#[cfg(not(foveate_module = "gpu"))]
fn in_memory<'a>(pictures: &[PictureSource<'a>]) -> Result<Vec<&'a Picture>> {
    pictures.iter().map(PictureSource::in_memory).collect()
}

impl Outputs {
    fn of_gpu(tensors: Vec<Tensor>) -> Result<Self> {
        let mut tensors = tensors.into_iter();
        let output = tensors.next().ok_or_else(|| Error::argument("the network made no output"))?;
        Ok(Outputs { output, wanted: tensors.collect() })
    }
}
