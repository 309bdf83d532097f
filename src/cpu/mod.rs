//! The CPU executor: the fallback where there is no GPU, and the yardstick for the GPU's tests.
//!
//! One file per operator implements `CpuKernel` for it; algorithms that several of them share
//! (matrix product, convolution of a plane, epilogue, threads) have files of their own. Values are
//! `[n, c, h, w]` tensors, vectors have `h = w = 1`.

mod activate;
mod add;
mod avg_pool;
mod batch_norm;
#[cfg_attr(foveate_module = "gpu", allow(dead_code, reason = "that module has no fast path"))]
mod blocked;
mod chunk_conv;
mod concat;
mod conv2d;
mod copy_conv;
mod dense;
mod depthwise;
mod epilogue;
mod gate;
mod global_avg_pool;
mod input;
mod int8;
mod linear;
mod matmul;
mod parallel;
mod prepared;
mod scale;
mod settle;
pub(crate) mod simd;
mod slice;
mod values;
mod visit;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Params, Shape};
use crate::ops::*;
use crate::tensor::Tensor;

pub use int8::Int8Executor;
pub use parallel::threads;
use prepared::Prepared;
pub use prepared::StepTime;
pub use settle::settle_batch_norms;
use values::Values;
pub use visit::Visitor;
pub(crate) use visit::compute_alone;

/// How the CPU computes an operator.
trait CpuKernel {
    /// The operator applied to `inputs` (`[n, c, h, w]`, of the shapes that
    /// [`Operator::infer`] accepted); `shape` is the output's shape per sample.
    fn run(&self, inputs: &[&Tensor], shape: Shape, params: &Params) -> Tensor;
}

macro_rules! define_kernel {
    ($($op:ident),*) => {
        fn kernel(op: &Op) -> &dyn CpuKernel {
            match op { $(Op::$op(op) => op),* }
        }
    };
}
crate::with_each_op!(define_kernel);

/// Runs a graph on the CPU.
///
/// Any graph runs: in training form, fused, or anything between. Work is spread over rayon's
/// global thread pool natively and done by the calling thread on wasm.
///
/// [`run`](Self::run) takes the fast path: before the first run (or by [`prepare`](Self::prepare)) a
/// kernel is chosen for every node, weights are packed in the order of their use and memory is
/// laid out; later runs use all of that again. The other functions compute node by node with
/// general implementations.
#[derive(Clone, Debug)]
pub struct CpuExecutor {
    graph: Arc<Graph>,
    prepared: Arc<Prepared>,
}

impl CpuExecutor {
    /// An executor for this graph.
    ///
    /// # Errors
    /// [`Error::Argument`] if the graph's output is not one of its nodes, or a value is larger
    /// than the address space.
    pub fn new(graph: impl Into<Arc<Graph>>) -> Result<Self> {
        let graph = graph.into();
        check_nodes(&graph, &[graph.output()])?;
        for node in graph.nodes() {
            byte_len(1, node.shape)
                .ok_or_else(|| Error::argument(format!("node {:?}: {} is too large", node.name, node.shape)))?;
        }
        Ok(CpuExecutor { graph, prepared: Arc::default() })
    }

    /// The graph that it runs.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The output's value `[n, c, h, w]` (vectors: `h = w = 1`) for the input `[n, c, h, w]`,
    /// whose `c`, `h`, `w` are those of [`Graph::input_shape`].
    ///
    /// # Errors
    /// [`Error::Argument`] if the input has another shape.
    pub fn run(&self, input: &Tensor) -> Result<Tensor> {
        check_input(&self.graph, input)?;
        match self.prepared.run(&self.graph, input) {
            Some(output) => Ok(output),
            None => Ok(self.run_with(input, &[])?.0),
        }
    }

    /// Packs weights and lays out memory now, not in the first [`run`](Self::run).
    pub fn prepare(&self) {
        self.prepared.prepare(&self.graph);
    }

    /// Runs the first sample of `input` as [`run`](Self::run) does, but with a stop after each step: the
    /// output, and each step's time in order. Nothing is timed where the fast path does not suit the graph.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_timed(&self, input: &Tensor) -> Result<(Tensor, Vec<StepTime>)> {
        check_input(&self.graph, input)?;
        match self.prepared.run_timed(&self.graph, input) {
            Some(timed) => Ok(timed),
            None => Ok((self.run_with(input, &[])?.0, Vec::new())),
        }
    }

    /// Like [`run`](Self::run), and also returns the values of the `wanted` nodes, in their order.
    ///
    /// # Errors
    /// [`Error::Argument`] if the input has another shape or a wanted node does not exist.
    pub fn run_with(&self, input: &Tensor, wanted: &[NodeId]) -> Result<(Tensor, Vec<Tensor>)> {
        let graph = &*self.graph;
        check_nodes(graph, wanted)?;
        check_input(graph, input)?;
        let roots: Vec<NodeId> = wanted.iter().copied().chain([graph.output()]).collect();
        let mut values = Values::new(graph, &roots, input);
        for id in graph.ids().skip(1).filter(|id| values.is_needed(*id)).collect::<Vec<_>>() {
            let value = compute(graph, id, &values)?;
            values.put(graph, id, value);
        }
        let wanted = wanted.iter().map(|id| values.take(graph, *id)).collect::<Result<_>>()?;
        Ok((values.take(graph, graph.output())?, wanted))
    }
}

impl CpuExecutor {
    /// Computes the given nodes, each from the *given* values of the others instead of the computed
    /// ones: readers of a node in `forced` get the tensor beside it. Returns the computed values, in
    /// order. This shows the error that each part of a network makes by itself, where running
    /// through would show the errors of all parts before it, amplified.
    ///
    /// # Errors
    /// As [`run_with`](Self::run_with), and [`Error::Argument`] if a given value has another shape than its node's.
    pub fn run_forced(&self, input: &Tensor, forced: &[(NodeId, &Tensor)]) -> Result<Vec<Tensor>> {
        let graph = &*self.graph;
        let roots: Vec<NodeId> = forced.iter().map(|(id, _)| *id).collect();
        check_nodes(graph, &roots)?;
        check_input(graph, input)?;
        for (id, given) in forced {
            let (name, shape) = (&graph.node(*id).name, graph.node(*id).shape);
            let wanted = [&input.shape()[..1], &[shape.channels, shape.height, shape.width]].concat();
            if given.shape() != wanted {
                let (found, network) = (given.shape(), &graph.name);
                return Err(Error::argument(format!(
                    "{network}: node {name:?} has the shape {wanted:?}, not {found:?}"
                )));
            }
        }
        let mut values = Values::new(graph, &roots, input);
        let mut computed = vec![None; forced.len()];
        for id in graph.ids().skip(1).filter(|id| values.is_needed(*id)).collect::<Vec<_>>() {
            let mut value = compute(graph, id, &values)?;
            for (slot, (_, given)) in computed.iter_mut().zip(forced).filter(|(_, (forced, _))| *forced == id) {
                *slot = Some(std::mem::replace(&mut value, (*given).clone()));
            }
            values.put(graph, id, value);
        }
        let name = &graph.name;
        let all = computed.into_iter().collect::<Option<Vec<_>>>();
        all.ok_or_else(|| Error::argument(format!("{name}: a forced node is the input, or is named twice")))
    }
}

/// Computes one node from the values of its inputs.
fn compute(graph: &Graph, id: NodeId, values: &Values) -> Result<Tensor> {
    let node = graph.node(id);
    let inputs = values.inputs(graph, id)?;
    Ok(kernel(&node.op).run(&inputs, node.shape, graph.params()))
}

/// The input must be `[n, c, h, w]` with the graph's `c`, `h`, `w`, and small enough for every
/// value of that batch to be addressable.
fn check_input(graph: &Graph, input: &Tensor) -> Result<()> {
    let Shape { channels, height, width } = graph.input_shape();
    let batch = match input.shape() {
        &[n, c, h, w] if n > 0 && (c, h, w) == (channels, height, width) => n,
        other => {
            let name = &graph.name;
            let expected = format!("[n, {channels}, {height}, {width}] with n ≥ 1");
            return Err(Error::argument(format!("{name}: the input has shape {other:?}, expected {expected}")));
        }
    };
    match graph.nodes().iter().find(|node| byte_len(batch, node.shape).is_none()) {
        Some(node) => Err(Error::argument(format!("node {:?}: {batch} × {} is too large", node.name, node.shape))),
        None => Ok(()),
    }
}

fn check_nodes(graph: &Graph, ids: &[NodeId]) -> Result<()> {
    let count = graph.nodes().len();
    match ids.iter().find(|id| id.index() >= count) {
        Some(id) => Err(Error::argument(format!("{}: there is no node {}, only {count} nodes", graph.name, id.0))),
        None => Ok(()),
    }
}

/// Bytes of a value, if that is a possible size.
fn byte_len(batch: usize, shape: Shape) -> Option<usize> {
    let sizes = [batch, shape.channels, shape.height, shape.width];
    sizes.iter().try_fold(size_of::<f32>(), |len, &d| len.checked_mul(d)).filter(|len| isize::try_from(*len).is_ok())
}

/// Number of samples of a value.
fn batch(x: &Tensor) -> usize {
    x.shape().first().copied().unwrap_or(0)
}

/// Pixels (height, width) of a value.
fn extent(x: &Tensor) -> [usize; 2] {
    match x.shape() {
        &[_, _, height, width] => [height, width],
        _ => [1, 1],
    }
}

/// A value of `n` samples, all zeros, for a kernel to fill.
fn output(n: usize, shape: Shape) -> Tensor {
    Tensor::zeros([n, shape.channels, shape.height, shape.width])
}

#[cfg(test)]
mod tests;
