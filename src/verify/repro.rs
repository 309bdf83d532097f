//! One layer in one file: shaders, inputs, weights and what they have to make. A safetensors file whose metadata entry
//! `foveate_repro` is the description as JSON, so that other programs read it too.
//!
//! The tensors are `memory.N`, 32-bit words of the number format that the description has for that memory; `expected`,
//! 64-bit floats, NaN where anything will do; and `found`, words that the device left where the file comes from.

#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
mod read;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
mod replay;

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};
use serde::{Deserialize, Serialize};

use super::layers::{Layer, Layers, written};
use super::report::Fault;
use super::words::POISON;
use crate::error::{Error, Result};
use crate::gpu::GpuContext;
use crate::json;
use crate::kernels::{Access, Binding, Format, TensorId};
use crate::session::Precision;

pub use replay::{Replay, ReplayReport, Replayed};

/// The metadata entry that makes a safetensors file one of these.
const KEY: &str = "foveate_repro";
/// Version of the description.
const SCHEMA_VERSION: u32 = 1;

/// A layer of a network with all that it takes to run it, and what it has to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Repro {
    about: About,
    /// The words in each memory; none where steps write.
    words: Vec<Vec<u32>>,
    /// What has to lie in the wanted memory; NaN where anything will do.
    expected: Vec<f64>,
    /// What the device left there that the layer was taken from.
    found: Vec<u32>,
}

/// The description.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct About {
    schema_version: u32,
    /// Version of the crate that wrote it.
    foveate: String,
    network: String,
    precision: Precision,
    /// Where it was taken from.
    adapter: Adapter,
    fault: Fault,
    #[serde(deserialize_with = "json::at_most::<{ read::MAX_MEMORIES }, _, _>")]
    memories: Vec<Memory>,
    #[serde(deserialize_with = "json::at_most::<{ read::MAX_STEPS }, _, _>")]
    steps: Vec<Stage>,
    /// The memory whose contents count.
    wanted: usize,
}

/// A device, as far as a bug report needs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Adapter {
    backend: String,
    name: String,
    driver: String,
    driver_info: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Memory {
    name: String,
    format: Format,
    bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Stage {
    kernel: String,
    /// WGSL.
    shader: String,
    grid: [u32; 3],
    #[serde(deserialize_with = "json::at_most::<{ read::MAX_BINDINGS }, _, _>")]
    bindings: Vec<Bound>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Bound {
    binding: u32,
    access: Access,
    memory: usize,
}

impl Repro {
    /// A layer as it ran on a device, which left `found`.
    pub(super) fn new(
        context: &GpuContext,
        precision: Precision,
        layers: &Layers<'_>,
        layer: &Layer,
        fault: &Fault,
        found: &[u32],
    ) -> Self {
        let plan = layers.plan;
        let inputs = layers.inputs(layer);
        let (mut memories, mut words) = (Vec::new(), Vec::new());
        let mut known: BTreeMap<Place, usize> = BTreeMap::new();
        let mut steps = Vec::new();
        for step in layers.steps(layer) {
            let mut bindings = Vec::new();
            for (argument, binding) in step.arguments().zip(&step.bindings) {
                let place = match binding {
                    Binding::Tensor(tensor) => Place::Tensor(*tensor),
                    Binding::Weights(weights) => Place::Weights(weights.0),
                    Binding::Picture | Binding::Tables | Binding::Lines | Binding::Best => continue,
                };
                let memory = *known.entry(place).or_insert_with(|| {
                    let (memory, held) = match place {
                        Place::Tensor(tensor) => {
                            let info = &plan.tensors[tensor.0 as usize];
                            let held = if inputs.contains(&tensor) { layers.words(tensor) } else { Vec::new() };
                            (Memory { name: info.name.clone(), format: info.format, bytes: info.bytes() }, held)
                        }
                        Place::Weights(weights) => {
                            let blob = &plan.weights[weights as usize];
                            let memory = Memory { name: blob.name.clone(), format: blob.format, bytes: blob.bytes() };
                            (memory, blob.words.to_vec())
                        }
                    };
                    memories.push(memory);
                    words.push(held);
                    memories.len() - 1
                });
                bindings.push(Bound { binding: argument.binding, access: argument.access, memory });
            }
            let (kernel, shader) = (step.kernel.name.to_owned(), context.shader(step));
            steps.push(Stage { kernel, shader, grid: step.grid, bindings });
        }
        let last = layers.steps(layer).last().and_then(written);
        let wanted = last.and_then(|tensor| known.get(&Place::Tensor(tensor)).copied()).unwrap_or(0);
        let summary = context.summary();
        let adapter = Adapter {
            backend: summary.backend.to_owned(),
            name: summary.name.clone(),
            driver: summary.driver.clone(),
            driver_info: summary.driver_info.clone(),
        };
        let about = About {
            schema_version: SCHEMA_VERSION,
            foveate: env!("CARGO_PKG_VERSION").to_owned(),
            network: plan.name.clone(),
            precision,
            adapter,
            fault: fault.clone(),
            memories,
            steps,
            wanted,
        };
        let expected = layers.expected(layer.tensor);
        // The rest of a texture's last row is nobody's.
        let used = found.len() * expected.len() / super::words::decode(about.element(), found).len().max(1);
        Repro { about, words, expected, found: found.get(..used).unwrap_or(found).to_vec() }
    }

    /// As a file.
    ///
    /// # Errors
    /// None that the layer could be the reason of.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut tensors: Vec<(String, Dtype, usize, Vec<u8>)> = Vec::new();
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        for (at, held) in self.words.iter().enumerate().filter(|(_, held)| !held.is_empty()) {
            tensors.push((format!("memory.{at}"), Dtype::U32, held.len(), words(held)));
        }
        let expected = self.expected.iter().flat_map(|v| v.to_le_bytes()).collect();
        tensors.push(("expected".to_owned(), Dtype::F64, self.expected.len(), expected));
        tensors.push(("found".to_owned(), Dtype::U32, self.found.len(), words(&self.found)));
        let views = tensors.iter().map(|(name, dtype, len, bytes)| {
            Ok((name.as_str(), TensorView::new(*dtype, vec![*len], bytes).map_err(Error::argument)?))
        });
        let about = serde_json::to_string(&self.about).map_err(Error::argument)?;
        let metadata = HashMap::from([(KEY.to_owned(), about)]);
        serialize(views.collect::<Result<Vec<_>>>()?, Some(metadata)).map_err(Error::argument)
    }

    /// How far it was off where it comes from.
    pub fn fault(&self) -> &Fault {
        &self.about.fault
    }

    /// Network, number format and device that it comes from, for people.
    pub fn origin(&self) -> String {
        let About { network, precision, adapter, foveate, .. } = &self.about;
        let Adapter { backend, name, driver, driver_info } = adapter;
        format!("{network} in {precision}, by foveate {foveate} on {name}, {backend}, {driver} {driver_info}")
    }

    fn poisoned(&self, memory: usize) -> Vec<u32> {
        let bytes = self.about.memories.get(memory).map_or(0, |memory| memory.bytes);
        vec![POISON; usize::try_from(bytes / 4).unwrap_or(0)]
    }
}

impl About {
    fn element(&self) -> crate::kernels::Element {
        self.memories.get(self.wanted).map(|memory| memory.format.element).unwrap_or_default()
    }
}

/// What a step binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Tensor(TensorId),
    Weights(u32),
}
