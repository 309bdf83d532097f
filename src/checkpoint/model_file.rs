//! The project's own model file: one safetensors file with a network's tensors and, in its
//! metadata, all else. Any safetensors reader can open it.
//!
//! | metadata key | value |
//! |---|---|
//! | `foveate.format` | version of this format: `1`, or `2` for quantised networks |
//! | `foveate.graph` | JSON: name, nodes, parameter names, output, taps |
//! | `foveate.form` | `train` or `fused` |
//! | `foveate.preprocess` | JSON of [`Preprocess`] |
//! | `foveate.labels` | JSON array of class names; absent if they are not known |
//! | `foveate.source_sha256` | hash of the checkpoint that the weights come from |
//! | `foveate.precision` | `f32`; version 2: `w8` or `w8a8` |
//! | `foveate.quantization` | version 2: JSON of the options, and of the calibration pictures' number and hash |
//!
//! In version 2 the tensors of quantised weights are I8 (−127 to 127), and besides there are, as F32:
//!
//! | tensor | values |
//! |---|---|
//! | `weight_scale:PARAMETER` | one per output channel, or a single one: weight = integer · scale |
//! | `activation_scale:NODE` | the scale of the node's value, if it is held in 8 bits |
//! | `inner_scale:NODE` | the scale of the value between `wide` and `tall` of a token mixer |
//! | `channel_factors:NODE` | per channel, what the value has to be multiplied with to be the unquantised network's |

mod scales;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ::safetensors::tensor::TensorView;
use ::safetensors::{Dtype, serialize};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Checkpoint, LoadedModel};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, NodeId, Param};
use crate::models::Form;
use crate::ops::Op;
use crate::preprocess::Preprocess;
use crate::quant::Quantization;
use scales::Recipe;

/// Version of the format that networks of floats are written in.
pub const FORMAT_VERSION: &str = "1";

/// Version of the format that quantised networks are written in. Both are read.
pub const QUANTIZED_VERSION: &str = "2";

const FORMAT: &str = "foveate.format";
const GRAPH: &str = "foveate.graph";
const FORM: &str = "foveate.form";
const PREPROCESS: &str = "foveate.preprocess";
const LABELS: &str = "foveate.labels";
const SOURCE: &str = "foveate.source_sha256";
const PRECISION: &str = "foveate.precision";
const QUANTIZATION: &str = "foveate.quantization";

/// The graph without its tensors. `params` are names of tensors by
/// [`ParamId`](crate::graph::ParamId).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Structure {
    name: String,
    nodes: Vec<Node>,
    #[serde(deserialize_with = "crate::json::at_most::<1_000_000, _, _>")]
    params: Vec<String>,
    output: NodeId,
    taps: Vec<(String, NodeId)>,
}

/// Class names.
#[derive(Deserialize)]
struct Labels(#[serde(deserialize_with = "crate::json::at_most::<1_000_000, _, _>")] Vec<String>);

/// Whether the file says that it is one of ours, of whatever version.
pub(super) fn is_model_file(metadata: &BTreeMap<String, String>) -> bool {
    metadata.contains_key(FORMAT)
}

/// Reads a model file, and nothing else; [`load`](super::load) reads checkpoints too. `origin` names it in messages.
///
/// # Errors
/// [`Error::Checkpoint`] if it is damaged, or no model file.
pub fn read(bytes: &[u8], origin: &str) -> Result<LoadedModel> {
    let checkpoint = Checkpoint::safetensors(bytes, origin)?;
    if !is_model_file(&checkpoint.metadata) {
        let reason = "is not a model file of foveate's own".to_owned();
        return Err(Error::Checkpoint { origin: origin.to_owned(), reason });
    }
    from_checkpoint(checkpoint, origin, None)
}

/// The bytes of a model file; the same model always gives the same bytes.
///
/// # Errors
/// [`Error::Argument`] if the model cannot be written in this format.
pub fn save(model: &LoadedModel) -> Result<Vec<u8>> {
    let json = |value: serde_json::Result<String>| value.map_err(|error| Error::argument(format!("model: {error}")));
    let names = tensor_names(&model.graph);
    let quantization = model.quantization.as_ref();
    quantization.map_or(Ok(()), |quantization| quantization.check(&model.graph))?;
    let structure = Structure {
        name: model.graph.name.clone(),
        nodes: model.graph.nodes().to_vec(),
        params: names.clone(),
        output: model.graph.output(),
        taps: model.graph.taps().to_vec(),
    };
    let form = if model.form == Form::Train { "train" } else { "fused" };
    let mut metadata = BTreeMap::from([
        (FORMAT, if quantization.is_some() { QUANTIZED_VERSION } else { FORMAT_VERSION }.to_owned()),
        (GRAPH, json(serde_json::to_string(&structure))?),
        (FORM, form.to_owned()),
        (PREPROCESS, json(serde_json::to_string(&model.preprocess))?),
        (SOURCE, model.source_sha256.clone()),
        (PRECISION, quantization.map_or("f32".to_owned(), |quantization| quantization.scheme().to_string())),
    ]);
    if let Some(Quantization { options, calibration, .. }) = quantization {
        let recipe = Recipe { options: options.clone(), calibration: calibration.clone() };
        metadata.insert(QUANTIZATION, json(serde_json::to_string(&recipe))?);
    }
    if let Some(labels) = &model.labels {
        metadata.insert(LABELS, json(serde_json::to_string(labels))?);
    }
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::with_capacity(names.len());
    for ((id, param), name) in model.graph.params().iter().zip(&names) {
        let integers = quantization.and_then(|quantization| quantization.integers(&model.graph, id));
        let (dtype, bytes) = match integers {
            Some(integers) => (Dtype::I8, bytemuck::cast_vec(integers)),
            None => (Dtype::F32, little_endian(param.tensor.data())),
        };
        tensors.push((name.clone(), dtype, param.tensor.shape().to_vec(), bytes));
    }
    let scales = quantization.map(|quantization| scales::tensors(&model.graph, &names, quantization));
    for (name, values) in scales.into_iter().flatten() {
        if names.contains(&name) {
            return Err(Error::argument(format!("model: a parameter is called {name:?}, which is a name for scales")));
        }
        tensors.push((name, Dtype::F32, vec![values.len()], little_endian(&values)));
    }
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        Ok((name, TensorView::new(*dtype, shape.clone(), bytes).map_err(Error::argument)?))
    });
    let file = serialize(views.collect::<Result<Vec<_>>>()?, None).map_err(Error::argument)?;
    with_metadata(&file, &json(serde_json::to_string(&metadata))?)
}

/// Writes a file whole or not at all; see [`load_file`](super::load_file) for reading. A file that is there keeps its
/// permissions, a link goes on leading to its target. A pipe or a device is written into as it is.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
#[cfg(not(target_arch = "wasm32"))]
pub fn write_file(path: impl AsRef<std::path::Path>, bytes: &[u8]) -> Result<()> {
    crate::files::output(path.as_ref(), bytes)
}

/// Whether [`write_file`] could write a file, before work is done for it: its folder is there and takes new files, and
/// what is in its place is a file, a pipe, a device or nothing. Leaves everything as it was.
///
/// # Errors
/// [`Error::Io`] if it could not.
#[cfg(not(target_arch = "wasm32"))]
pub fn check_writable(path: impl AsRef<std::path::Path>) -> Result<()> {
    crate::files::check_output(path.as_ref())
}

/// The model of a file that [`is_model_file`].
pub(super) fn from_checkpoint(mut checkpoint: Checkpoint, origin: &str, arch: Option<&str>) -> Result<LoadedModel> {
    let fail = |reason: String| Error::Checkpoint { origin: origin.to_owned(), reason };
    let metadata = std::mem::take(&mut checkpoint.metadata);
    let text = |key: &str| metadata.get(key).ok_or_else(|| fail(format!("the metadata entry {key} is missing")));
    let version = text(FORMAT)?;
    let quantized = version == QUANTIZED_VERSION;
    if !quantized && version != FORMAT_VERSION {
        let advice = "use the version of foveate that wrote it, or make the file anew from its checkpoint";
        let known = format!("{FORMAT_VERSION:?} and {QUANTIZED_VERSION:?}");
        return Err(fail(format!("has format version {version:?}, this program reads {known}; {advice}")));
    }
    let precision = text(PRECISION)?;
    let recipe: Option<Recipe> =
        if quantized { Some(json(text(QUANTIZATION)?, QUANTIZATION).map_err(fail)?) } else { None };
    let expected = recipe.as_ref().map_or("f32".to_owned(), |recipe| recipe.options.scheme.to_string());
    if *precision != expected {
        return Err(fail(format!("says that its weights are of precision {precision:?}, but they are {expected}")));
    }
    let structure: Structure = json(text(GRAPH)?, GRAPH).map_err(fail)?;
    if let Some(arch) = arch.filter(|arch| *arch != structure.name) {
        return Err(fail(format!("is a model file of {}, which --arch {arch} cannot change", structure.name)));
    }
    let form: Form = serde_json::from_value(text(FORM)?.as_str().into()).map_err(|e| fail(format!("{FORM}: {e}")))?;
    let preprocess: Preprocess = json(text(PREPROCESS)?, PREPROCESS).map_err(fail)?;
    preprocess.validate().map_err(|error| fail(error.to_string()))?;
    let labels: Option<Labels> = metadata.get(LABELS).map(|t| json(t, LABELS)).transpose().map_err(fail)?;
    let labels = labels.map(|Labels(names)| names);
    let source_sha256 = text(SOURCE)?.clone();
    let architecture = structure.name.clone();
    let mut graph = graph(structure, &mut checkpoint).map_err(fail)?;
    let quantization = match recipe {
        Some(recipe) => Some(quantization(&mut graph, form, &mut checkpoint, recipe).map_err(fail)?),
        None => None,
    };
    let classes = graph.node(graph.output()).shape.channels;
    if let Some(labels) = labels.as_ref().filter(|labels| labels.len() != classes) {
        return Err(fail(format!("names {} classes, but the network has {classes}", labels.len())));
    }
    if let Some(unused) = checkpoint.tensors.keys().next() {
        return Err(fail(format!("{} tensors belong to no parameter, such as {unused:?}", checkpoint.tensors.len())));
    }
    Ok(LoadedModel {
        graph,
        architecture,
        form,
        quantization,
        preprocess,
        labels,
        source_sha256,
        file: Some(checkpoint.facts),
        renamed: Vec::new(),
        ignored: checkpoint.dropped,
        notes: Vec::new(),
    })
}

fn graph(structure: Structure, checkpoint: &mut Checkpoint) -> Result<Graph, String> {
    let take = |name: String| match checkpoint.tensors.remove(&name) {
        Some(tensor) => Ok(Param { name, tensor: Arc::new(tensor), scales: None }),
        None => Err(format!("the tensor of parameter {name:?} is missing or claimed twice")),
    };
    let params = structure.params.into_iter().map(take).collect::<Result<Vec<_>, _>>()?;
    let graph = Graph::from_parts(structure.name, structure.nodes, params, structure.output, structure.taps)
        .map_err(|error| error.to_string())?;
    for node in graph.nodes() {
        if let Op::BatchNorm(norm) = &node.op
            && graph.params().tensor(norm.variance).data().iter().any(|v| *v < 0.0)
        {
            return Err(format!("node {:?} has a negative variance", node.name));
        }
    }
    Ok(graph)
}

fn quantization(
    graph: &mut Graph,
    form: Form,
    checkpoint: &mut Checkpoint,
    recipe: Recipe,
) -> Result<Quantization, String> {
    if form != Form::Fused {
        return Err("is quantised, but not fused".into());
    }
    let quantization = scales::take(graph, checkpoint, recipe)?;
    scales::dequantize(graph, &quantization)?;
    quantization.check(graph).map_err(|error| error.to_string())?;
    Ok(quantization)
}

fn json<T: DeserializeOwned>(text: &str, key: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("the metadata entry {key} is damaged: {error}"))
}

/// Unique names for the parameters: their own, with a number where two are the same.
fn tensor_names(graph: &Graph) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut names = Vec::with_capacity(graph.params().len());
    for (_, param) in graph.params().iter() {
        let numbered = (2..).map(|n| format!("{}#{n}", param.name));
        let name = std::iter::once(param.name.clone()).chain(numbered).find(|name| !taken.contains(name));
        names.extend(name.inspect(|name| {
            taken.insert(name.clone());
        }));
    }
    names
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Puts metadata into the header of a file without any. The crate would write it in the random
/// order of a hash map, and the same model has to give the same bytes.
fn with_metadata(file: &[u8], metadata: &str) -> Result<Vec<u8>> {
    let broken = || Error::argument("the safetensors writer made a file without a header");
    let (length, rest) = file.split_first_chunk::<8>().ok_or_else(broken)?;
    let (header, data) = rest.split_at_checked(u64::from_le_bytes(*length) as usize).ok_or_else(broken)?;
    let tensors = header.strip_prefix(b"{").ok_or_else(broken)?.trim_ascii_end();
    let comma: &[u8] = if tensors == b"}" { b"" } else { b"," };
    let mut header = [b"{\"__metadata__\":", metadata.as_bytes(), comma, tensors].concat();
    // The data starts at a multiple of 8, as the crate has it.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes()[..], &header, data].concat())
}
