//! What every step has to compute: the network's values on a seeded input, by the CPU executor.

use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

use crate::cpu::CpuExecutor;
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::kernels::Place;
use crate::tensor::Tensor;

/// Samples that are computed; larger batches repeat them.
const SAMPLES: usize = 2;

/// The values of all nodes.
pub(super) struct Reference {
    values: Vec<Tensor>,
    batch: usize,
}

impl Reference {
    /// Runs the graph on seeded normal noise.
    pub fn new(graph: &Graph, batch: usize, seed: u64) -> Result<Self> {
        let (shape, samples) = (graph.input_shape(), batch.min(SAMPLES));
        let noise = StandardNormal.sample_iter(Pcg64::seed_from_u64(seed)).take(samples * shape.len()).collect();
        let input = Tensor::new([samples, shape.channels, shape.height, shape.width], noise)?;
        let all: Vec<NodeId> = graph.ids().collect();
        let (_, values) = CpuExecutor::new(graph.clone())?.run_with(&input, &all)?;
        Ok(Reference { values, batch })
    }

    /// A node's value as it lies in a place: `[plane][batch · pixel]` of four channels. Channels that
    /// only fill up a plane are `padding`.
    pub fn packed(&self, place: &Place, padding: f32) -> Vec<f32> {
        let Some(value) = self.values.get(place.node.index()) else { return Vec::new() };
        let samples = value.shape().first().copied().unwrap_or(1).max(1);
        let pixels: usize = value.shape().iter().skip(2).product();
        let channels = value.len() / (samples * pixels).max(1);
        let mut packed = vec![padding; place.layout.planes() * self.batch * pixels * 4];
        for (channel, position) in place.layout.positions().into_iter().enumerate() {
            let channel = channel / place.times.max(1);
            for sample in 0..self.batch {
                let from = ((sample % samples) * channels + channel) * pixels;
                let first = ((position / 4) * self.batch + sample) * pixels * 4;
                let lanes = packed[first..first + pixels * 4].chunks_exact_mut(4);
                lanes.zip(&value.data()[from..from + pixels]).for_each(|(lanes, v)| lanes[position % 4] = *v);
            }
        }
        packed
    }
}

/// How far values are from what they should be; NaN is where anything will do. `None` if within
/// `bound`: the relative L2 distance, and for each value a hundred times that of the largest.
pub(super) fn wrong(found: &[f32], expected: &[f32], bound: f64) -> Option<String> {
    if found.len() < expected.len() {
        return Some(format!("{} values instead of {}", found.len(), expected.len()));
    }
    let (mut away, mut norm, mut worst, mut largest) = (0f64, 0f64, 0f64, 0f64);
    for (found, expected) in found.iter().zip(expected).filter(|(_, expected)| !expected.is_nan()) {
        let (found, expected) = (f64::from(*found), f64::from(*expected));
        let difference = (found - expected).abs();
        if !difference.is_finite() {
            return Some(format!("{found} instead of {expected}"));
        }
        (away, norm) = (away + difference * difference, norm + expected * expected);
        (worst, largest) = (worst.max(difference), largest.max(expected.abs()));
    }
    let relative = (away / norm.max(f64::MIN_POSITIVE)).sqrt();
    if relative > bound {
        return Some(format!("relative error {relative:.1e}"));
    }
    (worst > 100.0 * bound * largest).then(|| format!("a value is off by {worst:.1e}, of at most {largest:.1e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_found_and_padding_does_not_count() {
        let expected: Vec<f32> = (0..4000).map(|i| if i % 4 == 3 { f32::NAN } else { (i as f32).sin() }).collect();
        let mut found: Vec<f32> = expected.iter().map(|v| if v.is_nan() { 0.5 } else { v * 1.000_001 }).collect();
        assert_eq!(wrong(&found, &expected, 5e-5), None);
        found[1000] += 0.02;
        assert!(wrong(&found, &expected, 5e-5).unwrap().contains("relative error"));
        found[1000] = f32::NAN;
        assert!(wrong(&found, &expected, 5e-5).unwrap().starts_with("NaN instead of"));
        assert!(wrong(&found[..7], &expected, 5e-5).unwrap().starts_with("7 values"));
    }

    #[test]
    fn one_wrong_value_among_many_is_found() {
        let expected = vec![1.0; 1 << 20];
        let mut found = expected.clone();
        found[77] = 1.02;
        assert!(wrong(&found, &expected, 5e-5).unwrap().contains("off by 2.0e-2"));
    }
}
