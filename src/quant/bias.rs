//! Bias correction: the mean error of every output channel, taken out of its bias.
//!
//! Rounded weights shift a channel's mean, saturation and errors of earlier layers do too (Nagel et
//! al. 2019, 4.2). Both networks are walked through side by side; each layer is corrected with all
//! before it corrected already, by what it is off before its activation.

use super::parts::{Part, Place};
use super::quantization::Quantization;
use super::walk::{Pair, Walk};
use crate::cpu::compute_alone;
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::{Activate, Activation, Op};
use crate::tensor::Tensor;

/// With fewer samples than this, their mean says nothing: pixels of one picture are alike, and what is wrong with it
/// need not be wrong with others.
const FEW: usize = 4;

/// Corrects the biases of the quantised graph's layers, on a batch `[n, c, h, w]`.
pub(super) fn correct(
    float: &Graph,
    quantized: &mut Graph,
    quantization: &Quantization,
    batch: &Tensor,
    done: &mut dyn FnMut(),
) -> Result<()> {
    let mut walk = Walk::new(float, quantization, batch);
    for id in float.ids().skip(1) {
        let mut op = float.node(id).op.clone();
        let parts: Vec<Part> =
            Part::of(float, id).into_iter().filter(|part| part.to == Place::Value(id) && part.bias.is_some()).collect();
        let activation = match op {
            _ if parts.is_empty() => Activation::None,
            ref mut op => op.activation_mut().map(std::mem::take).unwrap_or_default(),
        };
        let mut pair = walk.compute((float, quantized), quantization, id, &op)?;
        let is_layer = parts.iter().any(|part| quantization.weight(part.weight).is_some());
        if is_layer {
            let errors = mean_errors(&pair);
            for part in parts {
                let Some(bias) = part.bias else { continue };
                let old = quantized.params().tensor(bias);
                let shifts = (0..part.rows).map(|row| errors[part.output(row)]);
                let data = old.data().iter().zip(shifts).map(|(b, shift)| (f64::from(*b) + shift) as f32).collect();
                let new = Tensor::new(old.shape(), data)?;
                quantized.set_param(bias, new)?;
            }
            shift(&mut pair.quantized, &errors);
        }
        if activation != Activation::None {
            pair = Pair {
                float: activated(float, id, activation, &pair.float),
                quantized: activated(float, id, activation, &pair.quantized),
            };
        }
        walk.put(float, quantization, id, pair);
        done();
    }
    Ok(())
}

fn activated(graph: &Graph, id: NodeId, activation: Activation, value: &Tensor) -> Tensor {
    let (op, shape) = (Op::from(Activate(activation)), graph.node(id).shape);
    compute_alone(&op, &[value], shape, graph.params(), &mut |_| {})
}

/// What each channel of the quantised value lacks on average, as far as the samples can tell: less
/// where it differs from sample to sample (the positive-part James–Stein estimate of a mean).
fn mean_errors(pair: &Pair) -> Vec<f64> {
    let &[samples, channels, height, width] = pair.float.shape() else { return Vec::new() };
    let pixels = height * width;
    let len = pixels.max(1);
    let mut all = vec![Vec::with_capacity(samples); channels];
    let planes = pair.float.data().chunks_exact(len).zip(pair.quantized.data().chunks_exact(len));
    for (i, (float, quantized)) in planes.enumerate() {
        let apart = float.iter().zip(quantized).map(|(f, q)| f64::from(*f) - f64::from(*q)).sum::<f64>();
        all[i % channels].push(apart / len as f64);
    }
    all.iter().map(|observations| shrunk_mean(observations)).collect()
}

fn shrunk_mean(observations: &[f64]) -> f64 {
    let n = observations.len() as f64;
    if observations.len() < FEW {
        return 0.0;
    }
    let mean = observations.iter().sum::<f64>() / n;
    let variance = observations.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n;
    if mean == 0.0 { 0.0 } else { mean * (1.0 - variance / (mean * mean)).max(0.0) }
}

fn shift(value: &mut Tensor, by: &[f64]) {
    let pixels = value.shape().get(2..).map_or(1, |extent| extent.iter().product::<usize>()).max(1);
    for (i, plane) in value.data_mut().chunks_exact_mut(pixels).enumerate() {
        let by = by[i % by.len()];
        plane.iter_mut().for_each(|v| *v = (f64::from(*v) + by) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_that_the_samples_do_not_bear_out_is_not_corrected() {
        assert_eq!(shrunk_mean(&[0.5; 8]), 0.5);
        assert_eq!(shrunk_mean(&[0.5; 3]), 0.0);
        assert_eq!(shrunk_mean(&[1.0, -1.0, 1.0, -0.9]), 0.0);
        let clear = shrunk_mean(&[1.0, 1.1, 0.9, 1.0, 1.05]);
        assert!(clear > 0.99 && clear < 1.01, "{clear}");
        assert_eq!(shrunk_mean(&[0.0; 9]), 0.0);
    }
}
