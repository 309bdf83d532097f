//! Weights on their way to the device: in a kernel's order, stored as the plan's target wants them.

use super::lowering::{per_channel, words};
use super::{Binding, Element, Format, Layout, Lowering};
use crate::error::Result;
use crate::graph::ParamId;
use crate::tensor::Tensor;

/// The weights of one layer of a kernel.
pub(super) struct Layer<'a> {
    /// The weights. Their first dimension is the output's channels.
    pub weight: ParamId,
    /// One summand per output channel.
    pub bias: Option<ParamId>,
    /// Where the output's channels are.
    pub outputs: &'a Layout,
    /// Puts a tensor of the weight's shape into the kernel's order: vec4s over four channels of the
    /// output. Every value has to be one of the tensor's or zero, for it may be given integers.
    pub pack: &'a dyn Fn(&Tensor) -> Result<Vec<f32>>,
}

/// The largest integer that weights are quantised to; `unpack4x8snorm` divides by it.
const LARGEST: f32 = 127.0;

impl Lowering<'_> {
    /// The weights of a kernel's layers, one behind the other, and their biases, as a step binds them.
    /// Weights that the graph holds quantised are stored as bytes, others as the target's floats. Biases
    /// are f32 always.
    pub(super) fn layers(&mut self, layers: &[Layer<'_>]) -> Result<[Binding; 2]> {
        let quantised = layers.iter().all(|layer| self.params().get(layer.weight).scales.is_some());
        let (mut values, mut biases) = (Vec::new(), Vec::new());
        for layer in layers {
            let param = self.params().get(layer.weight);
            let bias = self.bias(layer.bias, layer.outputs);
            match param.scales.as_deref().filter(|_| quantised) {
                Some(scales) => {
                    values.extend((layer.pack)(&integers(&param.tensor, scales)?)?);
                    biases.extend(with_factors(&bias, &per_channel(layer.outputs, scales)));
                }
                None => {
                    values.extend((layer.pack)(&param.tensor)?);
                    biases.extend(bias);
                }
            }
        }
        let weights = if quantised { self.bytes(&values) } else { self.floats(&values) };
        Ok([weights, self.table(words(biases))])
    }

    /// Weights as the target's floats: 16-bit ones only if all of them have a 16-bit value.
    pub(super) fn floats(&mut self, values: &[f32]) -> Binding {
        let f16 = self.target().f16 && values.iter().all(|v| v.abs() <= half::f16::MAX.to_f32());
        if !f16 {
            return self.weights(words(values.iter().copied()));
        }
        let words = values.chunks(2).map(|pair| half_words(pair[0], pair.get(1).copied().unwrap_or(0.0)));
        self.stored(Element::F16, words.collect())
    }

    /// Integers from −127 to 127, a byte each.
    fn bytes(&mut self, values: &[f32]) -> Binding {
        let word =
            |four: &[f32]| u32::from_le_bytes(std::array::from_fn(|i| four.get(i).map_or(0, |q| *q as i8 as u8)));
        self.stored(Element::Snorm8, values.chunks(4).map(word).collect())
    }

    fn stored(&mut self, element: Element, words: Vec<u32>) -> Binding {
        let storage = self.target().weights.fitting(words.len() as u64 * 4 / element.bytes());
        self.constants(words, Format { storage, element })
    }
}

/// Two 16-bit floats in a word, the first in the lower half.
fn half_words(low: f32, high: f32) -> u32 {
    let [low, high] = [low, high].map(|v| u32::from(half::f16::from_f32(v).to_bits()));
    low | high << 16
}

/// The integers that a quantised parameter is made of: it holds their products with the scales, so the
/// division is off by a rounding error.
fn integers(weight: &Tensor, scales: &[f32]) -> Result<Tensor> {
    let each = (weight.len() / scales.len().max(1)).max(1);
    let channels = weight.data().chunks(each).zip(scales);
    let values = channels.flat_map(|(values, scale)| values.iter().map(move |v| (v / scale).round()));
    Tensor::new(weight.shape(), values.collect::<Vec<f32>>())
}

/// Per plane, bias / factor and factor, where a weight is factor · q / 127.
fn with_factors(bias: &[f32], scales: &[f32]) -> Vec<f32> {
    let planes = bias.chunks(4).zip(scales.chunks(4));
    let plane = |(bias, scales): (&[f32], &[f32])| -> Vec<f32> {
        // Channels that fill a plane up have the scale zero and no weights.
        let factors: Vec<f32> = scales.iter().map(|s| if *s == 0.0 { 1.0 } else { s * LARGEST }).collect();
        bias.iter().zip(&factors).map(|(b, f)| b / f).chain(factors.iter().copied()).collect()
    };
    planes.flat_map(plane).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_lie_in_memory_in_their_order() {
        let bytes = half_words(1.0, -2.0).to_le_bytes();
        assert_eq!(bytes, [0x00, 0x3c, 0x00, 0xc0]);
    }

    #[test]
    fn integers_come_back_from_their_products_with_any_scale() {
        for scale in [1e-20f32, 3.1e-5, 0.007_812_501, 0.333_333_34, 1.0, 7.3e8] {
            let q: Vec<f32> = (-127..=127).map(|q| q as f32).collect();
            let weight = Tensor::new([1, 255], q.iter().map(|q| q * scale).collect::<Vec<f32>>()).unwrap();
            assert_eq!(integers(&weight, &[scale]).unwrap().data(), q, "{scale}");
        }
    }

    #[test]
    fn a_plane_has_its_biases_and_then_its_factors() {
        let found = with_factors(&[254.0, 0.0, 127.0, 0.0], &[1.0, 2.0, 0.5, 0.0]);
        assert_eq!(found, [2.0, 0.0, 2.0, 0.0, 127.0, 254.0, 63.5, 1.0]);
    }
}
