//! Graph → steps and memory: a pure function whose result is a plain, printable value.

mod excerpt;
mod layouts;
mod memory;

use std::fmt;

use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Shape};
use crate::int8::Program;
use crate::kernels::{Binding, Decision, Element, Lowered, Lowering, Place, Step, Storage, Target, TensorId};

pub use crate::kernels::{Output, TensorInfo, WeightBlob};

pub use excerpt::Excerpt;
pub use memory::{Memory, Slot};

/// What to run: steps in order, the tensors and weights they bind, and the memory behind both.
#[derive(Clone)]
pub struct Plan {
    /// Name of the network.
    pub name: String,
    /// Samples per run.
    pub batch: usize,
    /// The dispatches, in order.
    pub steps: Vec<Step>,
    /// Activation tensors, by [`TensorId`].
    pub tensors: Vec<TensorInfo>,
    /// Weights, by [`crate::kernels::WeightsId`].
    pub weights: Vec<WeightBlob>,
    /// Which tensors share which buffer.
    pub memory: Memory,
    /// The tensor that the input is written to: one plane, channels 0–2 and an unused fourth.
    pub input: TensorId,
    /// Shape of one input sample.
    pub input_shape: Shape,
    /// Values read back: the network's output first, then those asked for.
    pub outputs: Vec<Output>,
    /// Where there were several kernels to choose from.
    pub decisions: Vec<Decision>,
    /// Where the values of the nodes lie, in the order in which they come to be there.
    pub places: Vec<Place>,
}

impl Plan {
    /// Plans a graph for `batch` samples per run. `wanted` values are kept and read back besides
    /// the network's output.
    ///
    /// # Errors
    /// [`Error::Plan`] if a size overflows the shaders' 32-bit indices or no kernel takes a node; [`Error::Argument`] for a
    /// wanted node of another graph, or a target with subgroups of another size than [`Target::subgroup`] may have.
    pub fn new(graph: &Graph, batch: usize, wanted: &[NodeId]) -> Result<Plan> {
        Plan::for_target(graph, batch, wanted, Target::default())
    }

    /// As [`Plan::new`], for a device that is good at certain things.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn for_target(graph: &Graph, batch: usize, wanted: &[NodeId], target: Target) -> Result<Plan> {
        check_size(graph, batch)?;
        if let Some(id) = wanted.iter().find(|id| id.index() >= graph.nodes().len()) {
            return Err(Error::argument(format!("{}: there is no node {}", graph.name, id.0)));
        }
        Plan::lower(graph, None, batch, wanted, target)
    }

    /// Plans an integer program for `batch` samples per run. The plan's nodes are the program's values; `wanted` are
    /// nodes of the graph that it was made of, whose values are read back, in floats, besides the network's output.
    ///
    /// # Errors
    /// As [`Plan::new`]; [`Error::Argument`] for a wanted node that the program has no value for.
    pub fn for_program(program: &Program, batch: usize, wanted: &[NodeId], target: Target) -> Result<Plan> {
        let outline = program.outline();
        check_size(&outline, batch)?;
        let value = |id: &NodeId| program.values.get(id.index()).copied().flatten().map(|value| NodeId(value.0 as u32));
        let missing = |id: &NodeId| Error::argument(format!("{}: node {} has no value", program.name, id.0));
        let wanted = wanted.iter().map(|id| value(id).ok_or_else(|| missing(id))).collect::<Result<Vec<_>>>()?;
        Plan::lower(&outline, Some(program), batch, &wanted, target)
    }

    fn lower(
        graph: &Graph,
        program: Option<&Program>,
        batch: usize,
        wanted: &[NodeId],
        target: Target,
    ) -> Result<Plan> {
        if !Target::SUBGROUPS.contains(&target.subgroup) {
            let (found, known) = (target.subgroup, Target::SUBGROUPS);
            return Err(Error::argument(format!(
                "a target with subgroups of {found} invocations; there are {known:?}"
            )));
        }
        let read_back: Vec<NodeId> = [graph.output()].into_iter().chain(wanted.iter().copied()).collect();
        let layouts = layouts::assign(graph, program);
        let mut lowering = Lowering::new(graph, batch, target, &read_back, layouts)?;
        if let Some(program) = program {
            lowering = lowering.of_program(program);
        }
        for id in graph.ids().skip(1) {
            lowering.node(id)?;
        }
        let outputs = read_back.iter().map(|&id| lowering.output(id)).collect::<Result<Vec<_>>>()?;
        let Lowered { input, steps, tensors, weights, decisions, places } = lowering.finish();
        let memory = Memory::assign(&steps, &tensors, input, &outputs);
        let (name, input_shape) = (graph.name.clone(), graph.input_shape());
        Ok(Plan { name, batch, steps, tensors, weights, memory, input, input_shape, outputs, decisions, places })
    }

    /// The same plan with memory of its own for every tensor: what a run leaves in them can be
    /// [looked at](crate::gpu::GpuExecutor::read_tensor).
    pub fn without_reuse(self) -> Plan {
        Plan { memory: Memory::separate(&self.tensors), ..self }
    }

    /// Bytes of all weights.
    pub fn weight_bytes(&self) -> u64 {
        self.weights.iter().map(WeightBlob::bytes).sum()
    }

    /// Bytes of all values and weights that a step binds, each once, whatever caches make of that; of what is
    /// not the plan's, none.
    pub fn step_bytes(&self, step: &Step) -> u64 {
        let bound = step.bindings.iter().map(|binding| match binding {
            Binding::Tensor(id) => self.tensors.get(id.0 as usize).map_or(0, TensorInfo::bytes),
            Binding::Weights(id) => self.weights.get(id.0 as usize).map_or(0, WeightBlob::bytes),
            Binding::Picture | Binding::Tables | Binding::Lines | Binding::Best => 0,
        });
        bound.sum()
    }

    /// Multiply-accumulates of a run.
    pub fn macs(&self) -> u64 {
        self.steps.iter().map(|s| s.macs).sum()
    }
}

/// Everything multiplies by the batch; a plane of four channels takes at most 16 bytes a pixel.
fn check_size(graph: &Graph, batch: usize) -> Result<()> {
    if batch == 0 {
        return Err(Error::argument("a batch must hold at least one sample"));
    }
    for node in graph.nodes() {
        let values = node.shape.len().checked_next_multiple_of(4).and_then(|values| values.checked_mul(batch));
        let bytes = values.and_then(|values| values.checked_mul(16));
        if bytes.is_none_or(|bytes| bytes as u64 > 1 << 40) {
            let reason = format!("a batch of {batch} × {} is too large", node.shape);
            return Err(Error::Plan { node: node.name.clone(), reason });
        }
    }
    Ok(())
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, batch, steps) = (&self.name, self.batch, self.steps.len());
        let formats = || self.tensors.iter().map(|t| t.format).chain(self.weights.iter().map(|w| w.format));
        let held = |element| formats().any(|format| format.element == element);
        let f16 = if held(Element::F16) { ", 16-bit floats" } else { "" };
        let bytes = if held(Element::Snorm8) { ", weights of 8 bits" } else { "" };
        let integers = if held(Element::I8) { ", integers of 8 bits" } else { "" };
        writeln!(f, "{name}: batch {batch}, {steps} dispatches, {} MACs{f16}{bytes}{integers}", self.macs())?;
        let memory = &self.memory;
        let (peak, without) = (memory.bytes(), self.tensors.iter().map(TensorInfo::bytes).sum::<u64>());
        let slots = memory.slots.len();
        writeln!(
            f,
            "activations: {peak} bytes in {slots} buffers ({without} without reuse); weights: {} bytes",
            self.weight_bytes()
        )?;
        for (i, slot) in memory.slots.iter().enumerate() {
            let tensors: Vec<String> = slot.tensors.iter().map(|t| format!("t{}", t.0)).collect();
            let kind = match slot.format.storage {
                Storage::Buffer => "buffer",
                Storage::Texture => "texture",
            };
            writeln!(f, "{kind} {i}: {} bytes, {}", slot.bytes, tensors.join(" "))?;
        }
        for (i, step) in self.steps.iter().enumerate() {
            writeln!(f, "{i:3} {} [{}]", step, step.node)?;
        }
        for output in &self.outputs {
            let (id, tensor, plane) = (output.node.0, output.tensor.0, output.first_plane);
            writeln!(f, "read back %{id} {} from t{tensor} plane {plane} ({})", output.shape, output.layout)?;
        }
        Ok(())
    }
}
