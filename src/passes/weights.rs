//! Weights on grids of eight bits.

use crate::error::Result;
use crate::graph::{Graph, ParamId};
use crate::ops::Op;
use crate::order;
use crate::tensor::Tensor;

/// The largest integer.
const LARGEST: f32 = 127.0;

/// Magnitudes of channels that count as dead: their scale would leave no room below it.
const DEAD: f32 = 1e-20;

/// The weights of an operator that multiply activations.
fn weights(op: &Op) -> Vec<ParamId> {
    match op {
        Op::Conv2d(_) | Op::Linear(_) | Op::ChunkConv(_) | Op::CopyConv(_) => {
            op.params().into_iter().filter(|(role, _)| role.ends_with("weight")).map(|(_, id)| id).collect()
        }
        _ => Vec::new(),
    }
}

/// Rounds the weights of all convolutions and linear layers to eight bits: symmetric, with a scale for each
/// output channel, by which its largest weight becomes ±127. Biases stay as they are, and so do weights
/// that are quantised already. Returns how many weight tensors are quantised then.
///
/// # Errors
/// None with finite weights, which are all that loaders let through.
pub fn quantize_weights(graph: &mut Graph) -> Result<usize> {
    let mut found: Vec<ParamId> = graph.nodes().iter().flat_map(|node| weights(&node.op)).collect();
    order::sort_by(&mut found, Ord::cmp);
    found.dedup();
    for &id in &found {
        let param = graph.params().get(id);
        if param.scales.is_some() {
            continue;
        }
        let (tensor, shape) = (&param.tensor, param.tensor.shape());
        let row = (tensor.len() / shape.first().copied().unwrap_or(1).max(1)).max(1);
        let scale = |row: &[f32]| {
            let largest = row.iter().fold(0f32, |most, v| most.max(v.abs()));
            if largest > DEAD { largest / LARGEST } else { 1.0 }
        };
        let scales: Vec<f32> = tensor.data().chunks(row).map(scale).collect();
        let rows = tensor.data().chunks(row).zip(&scales);
        let rounded = |v: &f32, scale: &f32| (v / scale).round_ties_even().clamp(-LARGEST, LARGEST) * scale;
        let values: Vec<f32> = rows.flat_map(|(row, scale)| row.iter().map(move |v| rounded(v, scale))).collect();
        let tensor = Tensor::new(shape, values)?;
        graph.set_param(id, tensor)?;
        graph.set_scales(id, &scales)?;
    }
    Ok(found.len())
}

/// Forgets that weights are quantised; their values stay.
///
/// # Errors
/// None.
pub fn forget_scales(graph: &mut Graph) -> Result<()> {
    let quantised = graph.params().iter().filter(|(_, param)| param.scales.is_some());
    let quantised: Vec<_> = quantised.map(|(id, param)| (id, param.tensor.clone())).collect();
    quantised.into_iter().try_for_each(|(id, tensor)| graph.set_param(id, tensor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Shape;
    use crate::ops::Linear;

    fn linear(weights: [f32; 6]) -> (Graph, ParamId) {
        let mut graph = Graph::new("linear", Shape::new(2, 1, 1));
        let weight = graph.param("w", Tensor::new([3, 2], weights.to_vec()).unwrap());
        let op = Linear { weight, bias: None, activation: Default::default() };
        let out = graph.add("fc", op, &[graph.input()]).unwrap();
        graph.set_output(out);
        (graph, weight)
    }

    #[test]
    fn each_channel_is_rounded_to_its_own_grid() {
        let (mut graph, weight) = linear([1.0, -0.5, 0.0, 0.0, -254.0, 3.0]);
        assert_eq!(quantize_weights(&mut graph).unwrap(), 1);
        let param = graph.params().get(weight);
        assert_eq!(param.scales.as_deref(), Some(&[1.0 / 127.0, 1.0, 2.0][..]), "a dead channel keeps its zeros");
        // −63.5 and 1.5 go to the even neighbour.
        assert_eq!(param.tensor.data(), [1.0, -64.0 * (1.0 / 127.0), 0.0, 0.0, -254.0, 4.0]);
        let before = graph.clone();
        quantize_weights(&mut graph).unwrap();
        assert_eq!(graph, before, "what is quantised stays");
        forget_scales(&mut graph).unwrap();
        assert_eq!(graph.params().get(weight).scales, None);
        assert_eq!(graph.params().tensor(weight), before.params().tensor(weight));
    }

    #[test]
    fn scales_have_to_fit_the_weights() {
        let (mut graph, weight) = linear([1.0, -0.5, 0.0, 0.25, -2.0, 31.75]);
        graph.set_scales(weight, &[0.25]).unwrap();
        assert_eq!(graph.params().get(weight).scales.as_deref(), Some(&[0.25; 3][..]));
        for (scales, reason) in [
            (&[0.25, 0.25][..], "2 scales for 3"),
            (&[0.25, 0.0, 0.25], "0 is not a scale"),
            (&[f32::NAN], "NaN is not a scale"),
            (&[0.5], "0.25 is no multiple of 0.5"),
            (&[0.125], "31.75 is no multiple"),
        ] {
            let message = graph.set_scales(weight, scales).unwrap_err().to_string();
            assert!(message.contains(reason) && message.contains(" w:"), "{message}");
        }
    }
}
