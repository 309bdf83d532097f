//! The executor.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::isa::Isa;
use super::plain;
use super::prepared::{Prepared, Workspace};
use crate::cpu::{StepTime, output, parallel};
use crate::error::{Error, Result};
use crate::graph::{NodeId, Shape};
use crate::int8::program::{Program, ValueId};
use crate::int8::reference::Data;
use crate::tensor::Tensor;

/// Runs an integer program on the CPU.
///
/// All instruction sets, threads and batches give the same integers.
#[derive(Clone)]
pub struct Int8Executor {
    program: Arc<Program>,
    isa: Isa,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    prepared: OnceLock<Prepared>,
    /// Memory that no run is using.
    idle: Mutex<Vec<Workspace>>,
}

impl fmt::Debug for Int8Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Int8Executor").field("program", &self.program.name).field("isa", &self.isa).finish()
    }
}

impl Int8Executor {
    /// An executor for this program, with the fastest instructions of this machine.
    pub fn new(program: impl Into<Arc<Program>>) -> Self {
        Int8Executor { program: program.into(), isa: Isa::best(), state: Arc::default() }
    }

    /// Names of the instruction sets that this machine has, the fastest last.
    pub fn instruction_sets() -> Vec<&'static str> {
        Isa::available().into_iter().map(Isa::name).collect()
    }

    /// Name of the fastest of them.
    pub fn best_instruction_set() -> &'static str {
        Isa::best().name()
    }

    /// The same program with other instructions; for tests, since results are the same. `None` if this machine does
    /// not have them.
    pub fn with_instruction_set(&self, name: &str) -> Option<Self> {
        let isa = Isa::available().into_iter().rfind(|isa| isa.name() == name)?;
        Some(Int8Executor { program: self.program.clone(), isa, state: Arc::default() })
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Name of the instructions that it uses.
    pub fn instruction_set(&self) -> &'static str {
        self.isa.name()
    }

    /// Packs weights and lays out memory now, not in the first run.
    pub fn prepare(&self) {
        self.prepared();
    }

    fn prepared(&self) -> &Prepared {
        self.state.prepared.get_or_init(|| Prepared::new(&self.program, self.isa, parallel::threads(), false))
    }

    /// The output's value in floats, `[n, c, h, w]`, for the input `[n, c, h, w]`.
    ///
    /// # Errors
    /// [`Error::Argument`] if the input has another shape than the network's.
    pub fn run(&self, input: &Tensor) -> Result<Tensor> {
        let n = self.check_input(input)?;
        let (prepared, program, threads) = (self.prepared(), &*self.program, parallel::threads());
        let shape = program.node(program.output).shape;
        let mut result = output(n, shape);
        let len = input.len() / n;
        let one = |sample: usize, threads: usize, out: &mut [f32]| -> Result<()> {
            let image = &input.data()[sample * len..(sample + 1) * len];
            self.with_memory(|memory| {
                prepared.run(program, image, threads, memory)?;
                let place = prepared.place(program.output);
                let value = plain::floats(program, program.output, place, memory).ok_or_else(|| missing(program))?;
                out.copy_from_slice(value.data());
                Ok(())
            })
        };
        // As many samples as there are threads run side by side; what is left over is shared by all.
        let side_by_side = if threads > 1 { n / threads * threads } else { 0 };
        let (alone, shared) = result.data_mut().split_at_mut(side_by_side * shape.len());
        let failed = Mutex::new(None);
        parallel::for_each_chunk(alone, shape.len(), |sample, out| {
            if let Err(error) = one(sample, 1, out) {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        });
        if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        for (i, out) in shared.chunks_exact_mut(shape.len()).enumerate() {
            one(side_by_side + i, threads, out)?;
        }
        Ok(result)
    }

    /// Runs the first sample with a stop after each step: the output, and each step's time in order.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_timed(&self, input: &Tensor) -> Result<(Tensor, Vec<StepTime>)> {
        let n = self.check_input(input)?;
        let (prepared, program) = (self.prepared(), &*self.program);
        let image = &input.data()[..input.len() / n];
        self.with_memory(|memory| {
            let times = prepared.run_timed(program, image, parallel::threads(), memory)?;
            let place = prepared.place(program.output);
            let value = plain::floats(program, program.output, place, memory).ok_or_else(|| missing(program))?;
            Ok((value, times))
        })
    }

    /// Like [`run`](Self::run), and also the values of the wanted nodes of the graph, in floats.
    ///
    /// # Errors
    /// As [`run`](Self::run); also if there is no such node.
    pub fn run_with(&self, input: &Tensor, wanted: &[NodeId]) -> Result<(Tensor, Vec<Tensor>)> {
        let n = self.check_input(input)?;
        let program = &*self.program;
        let value_of = |id: &NodeId| program.values.get(id.index()).copied().flatten();
        let mut values = wanted.iter().map(value_of).collect::<Option<Vec<_>>>().ok_or_else(|| missing(program))?;
        values.push(program.output);
        let prepared = Prepared::new(program, self.isa, parallel::threads(), true);
        let mut outputs: Vec<Tensor> = values.iter().map(|id| output(n, program.node(*id).shape)).collect();
        let mut memory = Workspace::default();
        let len = input.len() / n;
        for (sample, image) in input.data().chunks_exact(len).enumerate() {
            prepared.run(program, image, parallel::threads(), &mut memory)?;
            for (id, output) in values.iter().zip(&mut outputs) {
                let value =
                    plain::floats(program, *id, prepared.place(*id), &memory).ok_or_else(|| missing(program))?;
                output.data_mut()[sample * value.len()..][..value.len()].copy_from_slice(value.data());
            }
        }
        let output = outputs.pop().ok_or_else(|| missing(program))?;
        Ok((output, outputs))
    }

    /// All values of one sample (`[1, c, h, w]`) as they are held, by [`ValueId`]: what other executors are held to.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn values(&self, input: &Tensor) -> Result<Vec<Data>> {
        let n = self.check_input(input)?;
        let program = &*self.program;
        let prepared = Prepared::new(program, self.isa, parallel::threads(), true);
        let mut memory = Workspace::default();
        let image = &input.data()[..input.len() / n];
        prepared.run(program, image, parallel::threads(), &mut memory)?;
        let value = |i: usize| {
            let id = ValueId(i);
            if i == 0 {
                return Some(Data::F32(image.to_vec()));
            }
            let floats = || Some(Data::F32(memory.floats.get(id)?.data().to_vec()));
            plain::integers(prepared.place(id), &memory).or_else(floats)
        };
        (0..program.nodes.len()).map(value).collect::<Option<Vec<_>>>().ok_or_else(|| missing(program))
    }

    fn check_input(&self, input: &Tensor) -> Result<usize> {
        let Shape { channels, height, width } = self.program.nodes[0].shape;
        match input.shape() {
            &[n, c, h, w] if n > 0 && (c, h, w) == (channels, height, width) => Ok(n),
            other => {
                let expected = format!("[n, {channels}, {height}, {width}] with n ≥ 1");
                let name = &self.program.name;
                Err(Error::argument(format!("{name}: the input has shape {other:?}, expected {expected}")))
            }
        }
    }

    /// Lends memory for a run, and takes it back.
    fn with_memory<R>(&self, work: impl FnOnce(&mut Workspace) -> R) -> R {
        let idle = &self.state.idle;
        let mut memory = idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let result = work(&mut memory);
        idle.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        result
    }
}

fn missing(program: &Program) -> Error {
    Error::argument(format!("{}: a value that is wanted is missing", program.name))
}
