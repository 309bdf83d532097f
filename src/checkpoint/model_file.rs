//! The project's own model file: one safetensors file with a network's tensors and, in its
//! metadata, all else. Any safetensors reader can open it.
//!
//! | metadata key | value |
//! |---|---|
//! | `foveate.format` | version of this format: `1` |
//! | `foveate.graph` | JSON: name, nodes, parameter names, output, taps |
//! | `foveate.form` | `train` or `fused` |
//! | `foveate.preprocess` | JSON of [`Preprocess`] |
//! | `foveate.labels` | JSON array of class names; absent if they are not known |
//! | `foveate.source_sha256` | hash of the checkpoint that the weights come from |
//! | `foveate.precision` | `f32` |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ::safetensors::tensor::TensorView;
use ::safetensors::{Dtype, serialize};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Checkpoint, LoadedModel};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, NodeId, Param};
use crate::models::{Architecture, Form};
use crate::ops::Op;
use crate::preprocess::Preprocess;

/// Version of the format that is written, and the only one that is read.
pub const FORMAT_VERSION: &str = "1";

const FORMAT: &str = "foveate.format";
const GRAPH: &str = "foveate.graph";
const FORM: &str = "foveate.form";
const PREPROCESS: &str = "foveate.preprocess";
const LABELS: &str = "foveate.labels";
const SOURCE: &str = "foveate.source_sha256";
const PRECISION: &str = "foveate.precision";

/// The graph without its tensors. `params` are names of tensors by
/// [`ParamId`](crate::graph::ParamId).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Structure {
    name: String,
    nodes: Vec<Node>,
    params: Vec<String>,
    output: NodeId,
    taps: Vec<(String, NodeId)>,
}

/// Whether the file says that it is one of ours, of whatever version.
pub(super) fn is_model_file(metadata: &BTreeMap<String, String>) -> bool {
    metadata.contains_key(FORMAT)
}

/// The bytes of a model file; the same model always gives the same bytes.
///
/// # Errors
/// [`Error::Argument`] if the model cannot be written in this format.
pub fn save(model: &LoadedModel) -> Result<Vec<u8>> {
    let json = |value: serde_json::Result<String>| value.map_err(|error| Error::argument(format!("model: {error}")));
    let names = tensor_names(&model.graph);
    let structure = Structure {
        name: model.graph.name.clone(),
        nodes: model.graph.nodes().to_vec(),
        params: names.clone(),
        output: model.graph.output(),
        taps: model.graph.taps().to_vec(),
    };
    let form = if model.form == Form::Train { "train" } else { "fused" };
    let mut metadata = BTreeMap::from([
        (FORMAT, FORMAT_VERSION.to_owned()),
        (GRAPH, json(serde_json::to_string(&structure))?),
        (FORM, form.to_owned()),
        (PREPROCESS, json(serde_json::to_string(&model.preprocess))?),
        (SOURCE, model.source_sha256.clone()),
        (PRECISION, "f32".to_owned()),
    ]);
    if let Some(labels) = &model.labels {
        metadata.insert(LABELS, json(serde_json::to_string(labels))?);
    }
    let bytes: Vec<Vec<u8>> = model.graph.params().iter().map(|(_, p)| little_endian(p.tensor.data())).collect();
    let tensors = names.iter().zip(model.graph.params().iter()).zip(&bytes);
    let views = tensors.map(|((name, (_, param)), bytes)| {
        Ok((name, TensorView::new(Dtype::F32, param.tensor.shape().to_vec(), bytes).map_err(Error::argument)?))
    });
    let file = serialize(views.collect::<Result<Vec<_>>>()?, None).map_err(Error::argument)?;
    with_metadata(&file, &json(serde_json::to_string(&metadata))?)
}

/// Writes a file whole or not at all; see [`load_file`](super::load_file) for reading. A file that is there keeps its
/// permissions, a link goes on leading to its target.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
#[cfg(not(target_arch = "wasm32"))]
pub fn write_file(path: impl AsRef<std::path::Path>, bytes: &[u8]) -> Result<()> {
    crate::files::write(path.as_ref(), bytes)
}

/// Whether [`write_file`] could write a file, before work is done for it: its folder is there and takes new files, and
/// what is in its place is a file or nothing. Leaves everything as it was.
///
/// # Errors
/// [`Error::Io`] if it could not.
#[cfg(not(target_arch = "wasm32"))]
pub fn check_writable(path: impl AsRef<std::path::Path>) -> Result<()> {
    crate::files::check_writable(path.as_ref())
}

/// The model of a file that [`is_model_file`].
pub(super) fn from_checkpoint(
    mut checkpoint: Checkpoint,
    origin: &str,
    arch: Option<&Architecture>,
) -> Result<LoadedModel> {
    let fail = |reason: String| Error::Checkpoint { origin: origin.to_owned(), reason };
    let metadata = std::mem::take(&mut checkpoint.metadata);
    let text = |key: &str| metadata.get(key).ok_or_else(|| fail(format!("the metadata entry {key} is missing")));
    let version = text(FORMAT)?;
    if version != FORMAT_VERSION {
        let advice = "use the version of foveate that wrote it, or make the file anew from its checkpoint";
        return Err(fail(format!("has format version {version:?}, this program reads {FORMAT_VERSION:?}; {advice}")));
    }
    let precision = text(PRECISION)?;
    if precision != "f32" {
        return Err(fail(format!("holds weights of precision {precision:?}, this program reads f32")));
    }
    let structure: Structure = json(text(GRAPH)?, GRAPH).map_err(fail)?;
    if let Some(arch) = arch.filter(|arch| arch.name != structure.name) {
        return Err(fail(format!("is a model file of {}, which --arch {} cannot change", structure.name, arch.name)));
    }
    let form: Form = serde_json::from_value(text(FORM)?.as_str().into()).map_err(|e| fail(format!("{FORM}: {e}")))?;
    let preprocess: Preprocess = json(text(PREPROCESS)?, PREPROCESS).map_err(fail)?;
    preprocess.validate().map_err(|error| fail(error.to_string()))?;
    let labels: Option<Vec<String>> = metadata.get(LABELS).map(|t| json(t, LABELS)).transpose().map_err(fail)?;
    let source_sha256 = text(SOURCE)?.clone();
    let architecture = structure.name.clone();
    let graph = graph(structure, &mut checkpoint).map_err(fail)?;
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
