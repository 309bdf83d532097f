//! The fast path: a program of packed kernels, and memory for its runs.

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::StepTime;
use crate::cpu::blocked::{Program, Workspace};
use crate::cpu::{batch, output, parallel};
use crate::graph::Graph;
use crate::tensor::Tensor;

/// The program, made at its first use, and memory that no run is using.
#[derive(Default)]
pub(in crate::cpu) struct Prepared {
    /// Nothing inside: the graph does not suit the fast path.
    program: OnceLock<Option<Program>>,
    idle: Mutex<Vec<Workspace>>,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("made", &self.program.get().is_some()).finish_non_exhaustive()
    }
}

impl Prepared {
    pub(in crate::cpu) fn prepare(&self, graph: &Graph) -> Option<&Program> {
        self.program.get_or_init(|| Program::new(graph, parallel::threads())).as_ref()
    }

    /// All samples of `input`. As many as there are threads run side by side, without waiting for
    /// each other; what is left over is shared by all threads.
    pub(in crate::cpu) fn run(&self, graph: &Graph, input: &Tensor) -> Option<Tensor> {
        let program = self.prepare(graph)?;
        let shape = graph.node(graph.output()).shape;
        let (n, threads) = (batch(input), parallel::threads());
        let mut result = output(n, shape);
        let side_by_side = if threads > 1 { n / threads * threads } else { 0 };
        let len = input.len() / n;
        let image = |sample: usize| &input.data()[sample * len..(sample + 1) * len];
        let (alone, shared) = result.data_mut().split_at_mut(side_by_side * shape.len());
        parallel::for_each_chunk(alone, shape.len(), |sample, out| {
            self.with_memory(|memory| program.run(graph, image(sample), 1, memory, out));
        });
        self.with_memory(|memory| {
            for (i, out) in shared.chunks_exact_mut(shape.len()).enumerate() {
                program.run(graph, image(side_by_side + i), threads, memory, out);
            }
        });
        Some(result)
    }

    pub(in crate::cpu) fn run_timed(&self, graph: &Graph, input: &Tensor) -> Option<(Tensor, Vec<StepTime>)> {
        let program = self.prepare(graph)?;
        let mut result = output(1, graph.node(graph.output()).shape);
        let image = &input.data()[..input.len() / batch(input)];
        let out = result.data_mut();
        let times = self.with_memory(|memory| program.run_timed(graph, image, parallel::threads(), memory, out));
        Some((result, times))
    }

    /// Lends memory for a run, and takes it back.
    fn with_memory<R>(&self, work: impl FnOnce(&mut Workspace) -> R) -> R {
        let mut memory = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let result = work(&mut memory);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        result
    }
}
