//! The part of a model file that quantised networks have besides: integers, scales and how they
//! came about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::graph::{Graph, NodeId, ParamId};
use crate::quant::{Calibration, Options, Quantization, Scheme, grid};
use crate::tensor::Tensor;

/// What the metadata entry `foveate.quantization` holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recipe {
    pub options: Options,
    pub calibration: Option<Calibration>,
}

/// Name of the tensor that holds the scales of a weight.
fn weight(name: &str) -> String {
    format!("weight_scale:{name}")
}

/// Name of the tensor that holds the scale of a node's value.
fn activation(name: &str) -> String {
    format!("activation_scale:{name}")
}

/// Name of the tensor that holds the scale of the value inside a token mixer.
fn between(name: &str) -> String {
    format!("inner_scale:{name}")
}

/// Name of the tensor that holds the factors of a value's channels.
fn factors(name: &str) -> String {
    format!("channel_factors:{name}")
}

/// The tensors of scales and factors by name. `names` are the parameters' in the file.
pub(super) fn tensors(graph: &Graph, names: &[String], quantization: &Quantization) -> Vec<(String, Vec<f32>)> {
    let mut tensors = Vec::new();
    for ((id, _), name) in graph.params().iter().zip(names) {
        tensors.extend(quantization.weight(id).map(|scales| (weight(name), scales.to_vec())));
    }
    for id in graph.ids() {
        let name = &graph.node(id).name;
        tensors.extend(quantization.activation(id).map(|scale| (activation(name), vec![scale])));
        tensors.extend(quantization.between(id).map(|scale| (between(name), vec![scale])));
        tensors.extend(quantization.factors(id).map(|all| (factors(name), all.to_vec())));
    }
    tensors
}

/// Takes the scales out of the checkpoint's tensors. Those that are missing are for
/// [`Quantization::check`] to name, once the graph is whole.
pub(super) fn take(graph: &Graph, checkpoint: &mut Checkpoint, recipe: Recipe) -> Result<Quantization, String> {
    let Recipe { options, calibration } = recipe;
    let find = |name: &String| {
        graph.find(name).ok_or_else(|| format!("the layer {name:?}, which is to stay float, is not in the graph"))
    };
    let float = options.keep_float.iter().map(find).collect::<Result<BTreeSet<NodeId>, _>>()?;
    let mut quantization = Quantization::new(options, float);
    quantization.calibration = calibration;
    let mut list = |name: String| checkpoint.tensors.remove(&name).map(|tensor| checked(name, tensor)).transpose();
    for (id, param) in graph.params().iter() {
        if let Some(scales) = list(weight(&param.name))? {
            quantization.weights.insert(id, scales);
        }
    }
    for id in graph.ids() {
        let name = &graph.node(id).name;
        if let Some(scale) = single(activation(name), &mut list)? {
            quantization.activations.insert(id, scale);
        }
        if let Some(scale) = single(between(name), &mut list)? {
            quantization.between.insert(id, scale);
        }
        if let Some(all) = list(factors(name))? {
            quantization.factors.insert(id, all);
        }
    }
    if quantization.scheme() == Scheme::W8a8 && quantization.calibration.is_none() {
        return Err("holds activation scales but not what they were calibrated with".into());
    }
    Ok(quantization)
}

/// Scales are positive.
fn checked(name: String, tensor: Tensor) -> Result<Vec<f32>, String> {
    if tensor.shape().len() != 1 {
        return Err(format!("tensor {name:?} has shape {:?}, scales are a list", tensor.shape()));
    }
    match tensor.data().iter().enumerate().find(|(_, scale)| !grid::is_scale(**scale)) {
        Some((at, scale)) => Err(format!("tensor {name:?} holds {scale} at index {at}; scales are positive")),
        None => Ok(tensor.into_data()),
    }
}

fn single(
    name: String,
    list: &mut impl FnMut(String) -> Result<Option<Vec<f32>>, String>,
) -> Result<Option<f32>, String> {
    match list(name.clone())?.as_deref() {
        None => Ok(None),
        Some([scale]) => Ok(Some(*scale)),
        Some(more) => Err(format!("tensor {name:?} holds {} values, one scale is wanted", more.len())),
    }
}

/// Turns a parameter's integers, as they were read, into the values that they stand for. The scales'
/// number is checked; that all fit together, [`Quantization::check`] sees.
pub(super) fn dequantize(graph: &mut Graph, quantization: &Quantization) -> Result<(), String> {
    let scaled: BTreeMap<ParamId, Vec<f32>> = quantization.weights.clone();
    for (id, scales) in scaled {
        let param = graph.params().get(id);
        let (name, shape) = (param.name.clone(), param.tensor.shape().to_vec());
        let rows = shape.first().copied().unwrap_or(0);
        if scales.len() != 1 && scales.len() != rows {
            let given = scales.len();
            let tensor = weight(&name);
            return Err(format!("tensor {tensor:?} holds {given} scales; 1 or {rows}, one per output, are wanted"));
        }
        let row = (param.tensor.len() / scales.len()).max(1);
        let integer = |v: &f32| v.fract() == 0.0 && v.abs() <= grid::LARGEST as f32;
        if let Some(bad) = param.tensor.data().iter().find(|v| !integer(v)) {
            return Err(format!("tensor {name:?} holds {bad}; quantised weights are integers from −127 to 127"));
        }
        let rows = param.tensor.data().chunks(row).zip(&scales);
        let data = rows.flat_map(|(row, scale)| row.iter().map(move |v| v * scale)).collect();
        let tensor = Tensor::new(shape, data).map_err(|error| error.to_string())?;
        graph.set_param(id, Arc::new(tensor)).map_err(|error| error.to_string())?;
    }
    Ok(())
}
