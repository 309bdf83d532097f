//! Values of equalised networks as they were before.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::ops::Conv2d;
use crate::tensor::Tensor;

/// The graph with every tap multiplied by its channels' factors, by a 1×1 depthwise convolution of
/// its own. The computation up to there is as it was.
pub(super) fn taps(graph: &Graph, factors: &BTreeMap<NodeId, Vec<f32>>) -> Result<Graph> {
    let mut restored = Graph::new(graph.name.clone(), graph.input_shape());
    graph.params().iter().for_each(|(_, param)| _ = restored.param(param.name.clone(), param.tensor.clone()));
    for node in graph.nodes().iter().skip(1) {
        restored.add(node.name.clone(), node.op.clone(), &node.inputs)?;
    }
    restored.set_output(graph.output());
    for (name, id) in graph.taps() {
        let Some(factors) = factors.get(id) else {
            restored.tap(name.clone(), *id);
            continue;
        };
        let weight = restored.param(format!("{name} factors"), Tensor::new([factors.len(), 1, 1, 1], factors.clone())?);
        let conv = Conv2d::new(weight, None).groups(factors.len());
        let node = restored.add(format!("{name} restored"), conv, &[*id])?;
        restored.tap(name.clone(), node);
    }
    Ok(restored)
}

/// Multiplies each channel of `[n, c, h, w]` by its factor.
///
/// # Errors
/// [`Error::Argument`] if there are not as many factors as channels.
pub fn restore(value: &mut Tensor, factors: &[f32]) -> Result<()> {
    let &[_, channels, height, width] = value.shape() else {
        return Err(Error::argument(format!("a value of shape {:?} has no channels", value.shape())));
    };
    if channels != factors.len() {
        return Err(Error::argument(format!("{} factors for {channels} channels", factors.len())));
    }
    for (plane, factor) in value.data_mut().chunks_exact_mut((height * width).max(1)).zip(factors.iter().cycle()) {
        plane.iter_mut().for_each(|v| *v *= factor);
    }
    Ok(())
}
