//! A network on the CPU: in floats or in integers, with its pictures prepared there too.

use std::time::Duration;

use web_time::Instant;

use super::model::{Model, Precision};
use crate::cpu::{CpuExecutor, Int8Executor, StepTime};
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::int8;
use crate::picture::Picture;
use crate::preprocess::Preprocess;
use crate::quant::Scheme;
use crate::tensor::Tensor;

/// What computes a network on the CPU.
pub(crate) struct Processor {
    executor: Executor,
    preprocess: Preprocess,
    /// Nodes whose values every run returns beside the output.
    wanted: Vec<NodeId>,
}

enum Executor {
    Floats(Box<CpuExecutor>),
    Integers(Box<Int8Executor>, Graph),
}

/// What a run returns.
pub(crate) struct Outputs {
    /// The network's output, `[n, classes, 1, 1]`.
    pub output: Tensor,
    /// The wanted values, `[n, c, h, w]`, in order.
    pub wanted: Vec<Tensor>,
}

impl From<(Tensor, Vec<Tensor>)> for Outputs {
    fn from((output, wanted): (Tensor, Vec<Tensor>)) -> Self {
        Outputs { output, wanted }
    }
}

impl Processor {
    /// Packs a model's weights, of which the precision `asked` for is told where it is not what it computes in.
    /// The second value is what is to be said about that.
    ///
    /// # Errors
    /// If the network has a value that cannot be addressed, or scales that do not belong to it.
    pub fn new(model: &Model, asked: Precision, wanted: Vec<NodeId>) -> Result<(Self, Option<String>)> {
        let preprocess = model.preprocess().clone();
        if let Some(quantization) = model.quantization().filter(|q| q.scheme() == Scheme::W8a8) {
            let executor = Box::new(Int8Executor::new(int8::lower(model.graph(), quantization)?));
            if wanted.is_empty() {
                executor.prepare();
            }
            let executor = Executor::Integers(executor, model.graph().clone());
            let note = format!("in integers ({})", Int8Executor::best_instruction_set());
            return Ok((Processor { executor, preprocess, wanted }, Some(note)));
        }
        let executor = Box::new(CpuExecutor::new(model.graph().clone())?);
        if wanted.is_empty() {
            executor.prepare();
        }
        let note = match (asked, model.precision()) {
            (Precision::F16, _) => Some("the CPU executor computes in f32"),
            (_, Precision::W8) => Some("the CPU executor holds the weights of 8 bits as the f32 values they stand for"),
            _ => None,
        };
        Ok((Processor { executor: Executor::Floats(executor), preprocess, wanted }, note.map(str::to_owned)))
    }

    /// The network's input of some pictures.
    pub fn prepare(&self, pictures: &[&Picture]) -> Result<Tensor> {
        self.preprocess.apply_batch(pictures)
    }

    /// The output alone, and how long the network took for it. Prepared kernels run, which keep nothing else.
    pub fn run(&self, input: &Tensor) -> Result<(Tensor, Duration)> {
        let start = Instant::now();
        let output = match &self.executor {
            Executor::Floats(executor) => executor.run(input)?,
            Executor::Integers(executor, _) => executor.run(input)?,
        };
        Ok((output, start.elapsed()))
    }

    /// The output and the wanted values.
    pub fn run_all(&self, input: &Tensor) -> Result<Outputs> {
        if self.wanted.is_empty() {
            return Ok(Outputs { output: self.run(input)?.0, wanted: Vec::new() });
        }
        match &self.executor {
            Executor::Floats(executor) => executor.run_with(input, &self.wanted).map(Outputs::from),
            Executor::Integers(executor, _) => executor.run_with(input, &self.wanted).map(Outputs::from),
        }
    }

    /// Each step's time for one picture, its preparation first.
    pub fn profile(&self, picture: &Picture) -> Result<Vec<crate::gpu::StepTime>> {
        let start = Instant::now();
        let input = self.preprocess.apply(picture)?;
        let first = start.elapsed();
        let (graph, steps) = match &self.executor {
            Executor::Floats(executor) => (executor.graph(), executor.run_timed(&input)?.1),
            Executor::Integers(executor, graph) => (graph, executor.run_timed(&input)?.1),
        };
        Ok(profiled(graph, first, steps))
    }
}

/// The CPU's steps, after the picture's preparation.
fn profiled(graph: &Graph, preprocess: Duration, steps: Vec<StepTime>) -> Vec<crate::gpu::StepTime> {
    let step = |node: String, kernel, macs, time| crate::gpu::StepTime { node, kernel, macs, time };
    let steps = steps
        .into_iter()
        .map(|one| step(graph.node(one.node).name.clone(), one.kernel, graph.node_macs(one.node), one.time));
    std::iter::once(step("input".into(), "preprocess", 0, preprocess)).chain(steps).collect()
}
