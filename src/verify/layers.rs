//! A network layer by layer: the steps that make one value, on the CPU's values of what they read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::compare::{Bound, Distance};
use super::reference::Reference;
use super::words::{POISON, decode, encode};
use crate::error::{Error, Result};
use crate::gpu::GpuExecutor;
use crate::graph::NodeId;
use crate::kernels::{Access, Binding, Element, Layout, Step, Storage, TensorId};
use crate::plan::Plan;

/// The largest 16-bit float.
const F16_LARGEST: f64 = 65504.0;

/// Planes of a tensor that hold planes of a node's value.
struct Spot {
    node: NodeId,
    layout: Layout,
    /// How often each channel stands there.
    times: usize,
    /// Whether integers have become the floats that they stand for.
    floats: bool,
    /// First plane within the value, first within the tensor, and how many.
    from: usize,
    to: usize,
    planes: usize,
}

/// Steps that make one tensor together, usually one step: those before the last make what only they read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layer {
    pub steps: Range<usize>,
    pub tensor: TensorId,
    pub bound: Bound,
}

/// A plan with what its tensors have to hold.
pub(crate) struct Layers<'a> {
    pub plan: &'a Plan,
    reference: &'a Reference,
    spots: BTreeMap<TensorId, Vec<Spot>>,
}

/// The tensor that a step writes, and those that it reads.
pub(crate) fn written(step: &Step) -> Option<TensorId> {
    bound(step, Access::Write).next()
}

fn bound(step: &Step, access: Access) -> impl Iterator<Item = TensorId> + '_ {
    let bindings = step.arguments().zip(&step.bindings);
    bindings.filter(move |(argument, _)| argument.access == access).filter_map(|(_, binding)| match binding {
        Binding::Tensor(tensor) => Some(*tensor),
        _ => None,
    })
}

impl<'a> Layers<'a> {
    pub fn new(plan: &'a Plan, reference: &'a Reference) -> Self {
        let mut spots: BTreeMap<TensorId, Vec<Spot>> = BTreeMap::new();
        for place in &plan.places {
            let mut from = 0;
            for piece in &place.pieces {
                spots.entry(piece.tensor).or_default().push(Spot {
                    node: place.node,
                    layout: place.layout.clone(),
                    times: place.times,
                    floats: false,
                    from,
                    to: piece.first_plane,
                    planes: piece.planes,
                });
                from += piece.planes;
            }
        }
        // What is read back may be a copy, of another format, that no place names.
        for output in &plan.outputs {
            spots.entry(output.tensor).or_insert_with(|| {
                let (node, layout, planes) = (output.node, output.layout.clone(), output.layout.planes());
                vec![Spot { node, layout, times: 1, floats: true, from: 0, to: output.first_plane, planes }]
            });
        }
        Layers { plan, reference, spots }
    }

    /// What the CPU makes of it.
    pub fn reference(&self) -> &'a Reference {
        self.reference
    }

    /// All layers, in order.
    pub fn all(&self) -> Vec<Layer> {
        let mut last = BTreeMap::new();
        for (at, step) in self.plan.steps.iter().enumerate() {
            written(step).map(|tensor| last.insert(tensor, at));
        }
        let (mut layers, mut first) = (Vec::new(), 0);
        for (at, step) in self.plan.steps.iter().enumerate() {
            let Some(tensor) = written(step) else { continue };
            if last.get(&tensor) == Some(&at) && self.spots.contains_key(&tensor) {
                let steps = first..at + 1;
                let bound = self.bound(&steps, tensor);
                layers.push(Layer { steps, tensor, bound });
                first = at + 1;
            }
        }
        layers
    }

    fn bound(&self, steps: &Range<usize>, tensor: TensorId) -> Bound {
        let element = |tensor: TensorId| self.plan.tensors.get(tensor.0 as usize).map(|info| info.format.element);
        if element(tensor).is_some_and(Element::is_integer) {
            return Bound::Exact;
        }
        let steps = self.plan.steps.get(steps.clone()).unwrap_or_default();
        let halves = steps.iter().flat_map(|step| &step.formats).any(|format| format.element == Element::F16);
        if halves { Bound::F16 } else { Bound::F32 }
    }

    /// The steps of a layer.
    pub fn steps(&self, layer: &Layer) -> &'a [Step] {
        self.plan.steps.get(layer.steps.clone()).unwrap_or_default()
    }

    /// The tensors that a layer reads whose values are known: its inputs.
    pub fn inputs(&self, layer: &Layer) -> BTreeSet<TensorId> {
        let read = self.steps(layer).iter().flat_map(|step| bound(step, Access::Read));
        let outputs: BTreeSet<TensorId> = self.outputs(layer).collect();
        read.filter(|tensor| self.spots.contains_key(tensor) && !outputs.contains(tensor)).collect()
    }

    /// The tensors that a layer writes.
    pub fn outputs(&self, layer: &Layer) -> impl Iterator<Item = TensorId> + '_ {
        self.steps(layer).iter().filter_map(written)
    }

    /// The node whose value a layer makes; of several, the last.
    pub fn node(&self, layer: &Layer) -> Option<NodeId> {
        self.spots.get(&layer.tensor)?.iter().map(|spot| spot.node).max_by_key(|node| node.index())
    }

    /// What a tensor has to hold, `[plane][batch · pixel]` of four channels; NaN where anything will do.
    pub fn expected(&self, tensor: TensorId) -> Vec<f64> {
        let Some(info) = self.plan.tensors.get(tensor.0 as usize) else { return Vec::new() };
        let mut values = vec![f64::NAN; info.vec4s() as usize * 4];
        for spot in self.spots.get(&tensor).into_iter().flatten() {
            let Spot { node, layout, times, floats, from, to, planes } = spot;
            let packed = self.reference.packed(*node, layout, *times, self.plan.batch, *floats);
            let each = info.pixels * 4;
            let Some(part) = packed.get(from * each..(from + planes) * each) else { continue };
            if let Some(into) = values.get_mut(to * each..(to + planes) * each) {
                // Several values may share a plane, each with channels that the others do not have.
                into.iter_mut().zip(part).filter(|(_, v)| !v.is_nan()).for_each(|(to, v)| *to = *v);
            }
        }
        values
    }

    /// Whether 16-bit floats hold all that a layer reads and makes, where it is stored so: else what comes out says
    /// nothing of the kernel.
    pub fn representable(&self, layer: &Layer) -> bool {
        let halves = |tensor: &TensorId| {
            self.plan.tensors.get(tensor.0 as usize).is_some_and(|info| info.format.element == Element::F16)
        };
        let mut stored = self.inputs(layer).into_iter().chain([layer.tensor]).filter(halves);
        stored.all(|tensor| self.expected(tensor).iter().all(|v| v.is_nan() || v.abs() <= F16_LARGEST))
    }

    /// What a tensor has to hold as its words; zero where anything will do.
    pub fn words(&self, tensor: TensorId) -> Vec<u32> {
        let element = self.plan.tensors.get(tensor.0 as usize).map(|info| info.format.element).unwrap_or_default();
        encode(element, &self.expected(tensor))
    }

    /// Where a value of a tensor belongs: node, channel, row, column, sample.
    pub fn location(&self, tensor: TensorId, at: usize) -> Option<Location> {
        let info = self.plan.tensors.get(tensor.0 as usize)?;
        let (plane, lane) = (at / 4 / info.pixels.max(1), at % 4);
        let spot = self.spots.get(&tensor)?.iter().find(|spot| (spot.to..spot.to + spot.planes).contains(&plane))?;
        let physical = (plane - spot.to + spot.from) * 4 + lane;
        let channel = spot.layout.physical().get(physical).copied().flatten()? / spot.times.max(1);
        let (.., shape) = self.reference.about(spot.node)?;
        let (pixels, width) = (shape.pixels().max(1), shape.width.max(1));
        let pixel = (at / 4) % info.pixels.max(1);
        let (sample, pixel) = (pixel / pixels, pixel % pixels);
        Some(Location { sample, channel, row: pixel / width, column: pixel % width })
    }

    /// Runs a layer on the CPU's values and compares. Also returns the words that the device left.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn check(&self, executor: &GpuExecutor, layer: &Layer) -> Result<(Distance, Vec<u32>)> {
        // What is written first may lie where an input lies that nobody reads any more then.
        for tensor in self.outputs(layer).collect::<BTreeSet<_>>() {
            let info = self.plan.tensors.get(tensor.0 as usize);
            let info = info.ok_or_else(|| Error::argument("a step writes a tensor that is not the plan's"))?;
            let words = info.vec4s() * info.format.element.bytes() / 4;
            executor.write_tensor(tensor, &vec![POISON; words as usize]).await?;
        }
        for tensor in self.inputs(layer) {
            executor.write_tensor(tensor, &self.words(tensor)).await?;
        }
        executor.run_steps(layer.steps.clone()).await?;
        let words = executor.read_tensor(layer.tensor).await?;
        let info = &self.plan.tensors[layer.tensor.0 as usize];
        let found = decode(info.format.element, &words);
        Ok((Distance::of(&found, &self.expected(layer.tensor)), words))
    }
}

/// Where a value belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Location {
    /// Picture of the batch.
    pub sample: usize,
    /// Channel of the node's value.
    pub channel: usize,
    /// Row of the map.
    pub row: usize,
    /// Column of the map.
    pub column: usize,
}

/// Which code of a kernel a step runs, in words: tile, formats, how weights get to invocations.
pub(crate) fn variant(step: &Step) -> String {
    let mut parts = Vec::new();
    parts.extend(step.tile.map(|tile| tile.to_string()));
    for (argument, format) in step.arguments().zip(&step.formats) {
        let storage = if format.storage == Storage::Texture { "texture" } else { "buffer" };
        parts.push(format!("{} {storage} {}", argument.name, format.element.name()));
    }
    if step.uses_subgroups() {
        parts.push("subgroups".to_owned());
    }
    if step.unrolled {
        parts.push("unrolled".to_owned());
    }
    parts.join(", ")
}
