//! Between `[n, c, h, w]` on the host and planes of four channels on the device.

use crate::kernels::Layout;
use crate::tensor::Tensor;

/// Writes samples `[n, c, h, w]` as `[plane][batch][pixel]` of four channels over `out`, which is
/// resized to `batch` samples; padding channels and absent samples are zero.
pub(super) fn pack(input: &Tensor, layout: &Layout, batch: usize, out: &mut Vec<f32>) {
    let samples = input.shape().first().copied().unwrap_or(0);
    let positions = layout.positions();
    let pixels = input.len() / (samples * positions.len()).max(1);
    out.clear();
    out.resize(layout.planes() * batch * pixels * 4, 0.0);
    for (at, map) in input.data().chunks_exact(pixels.max(1)).enumerate() {
        let (sample, position) = (at / positions.len(), positions[at % positions.len()]);
        let first = ((position / 4) * batch + sample) * pixels * 4;
        let lanes = out[first..first + pixels * 4].chunks_exact_mut(4);
        lanes.zip(map).for_each(|(lanes, value)| lanes[position % 4] = *value);
    }
}

/// The first `samples` of a value `[plane][batch][pixel]` of four channels, as `[n, c, h, w]`
/// values in order. `pixels` are those of one sample.
pub(super) fn unpack(packed: &[f32], layout: &Layout, batch: usize, samples: usize, pixels: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(samples * layout.channels() * pixels);
    let positions = layout.positions();
    for sample in 0..samples {
        for position in &positions {
            let first = ((position / 4) * batch + sample) * pixels * 4;
            let lanes = packed[first..first + pixels * 4].chunks_exact(4);
            values.extend(lanes.map(|lanes| lanes[position % 4]));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacking_undoes_packing_and_padding_is_zero() {
        let data: Vec<f32> = (1..=2 * 7 * 6).map(|v| v as f32).collect();
        let input = Tensor::new([2, 7, 2, 3], data.clone()).unwrap();
        let layout = Layout::new([3, 4]);
        let mut packed = vec![f32::NAN; 5];
        pack(&input, &layout, 3, &mut packed);
        assert_eq!(packed.len(), 2 * 3 * 6 * 4);
        assert_eq!(packed[..4], [1.0, 7.0, 13.0, 0.0], "first pixel of three channels");
        assert_eq!(packed[6 * 4..][..4], [43.0, 49.0, 55.0, 0.0], "first pixel of the second sample");
        assert!(packed[2 * 6 * 4..3 * 6 * 4].iter().all(|v| *v == 0.0), "the third sample is absent");
        assert_eq!(unpack(&packed, &layout, 3, 2, 6), data);
    }
}
