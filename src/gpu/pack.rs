//! Between `[n, c, h, w]` on the host and planes of four channels on the device.

use half::f16;

use crate::kernels::{Element, Layout};
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

/// Values as words of a number format; values that do not fill the last word up are followed by zeros.
pub(super) fn encode(element: Element, values: &[f32]) -> Vec<u32> {
    let bytes = |per_word: usize, bytes: &dyn Fn(f32) -> Vec<u8>| {
        let zeros = values.len().next_multiple_of(per_word) - values.len();
        let all: Vec<u8> = values.iter().copied().chain(std::iter::repeat_n(0.0, zeros)).flat_map(bytes).collect();
        bytemuck::pod_collect_to_vec(&all)
    };
    match element {
        Element::F32 => values.iter().map(|v| v.to_bits()).collect(),
        Element::F16 => bytes(2, &|v| f16::from_f32(v).to_le_bytes().to_vec()),
        Element::Snorm8 => bytes(4, &|v| vec![(v.clamp(-1.0, 1.0) * 127.0).round() as i8 as u8]),
        Element::I8 | Element::I8Block => bytes(4, &|v| vec![v.round() as i8 as u8]),
        Element::I32 => values.iter().map(|v| v.round() as i32 as u32).collect(),
    }
}

/// The values of a number format's bytes.
pub(super) fn decode(element: Element, bytes: &[u8]) -> Vec<f32> {
    match element {
        Element::F32 => bytemuck::pod_collect_to_vec(bytes),
        Element::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        Element::Snorm8 => bytes.iter().map(|b| (f32::from(*b as i8) / 127.0).max(-1.0)).collect(),
        Element::I8 | Element::I8Block => bytes.iter().map(|b| f32::from(*b as i8)).collect(),
        Element::I32 => bytemuck::pod_collect_to_vec::<u8, i32>(bytes).into_iter().map(|v| v as f32).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_format_holds_comes_back() {
        let values = [1.0, -1.0, 0.0, 0.5, -0.25];
        for element in [Element::F32, Element::F16] {
            let words = encode(element, &values);
            assert_eq!(decode(element, bytemuck::cast_slice(&words))[..5], values, "{element:?}");
        }
        let words = encode(Element::Snorm8, &[1.0, -1.0, 0.0, 64.0 / 127.0]);
        assert_eq!(words, [u32::from_le_bytes([127, 129, 0, 64])]);
        assert_eq!(decode(Element::Snorm8, bytemuck::cast_slice(&words)), [1.0, -1.0, 0.0, 64.0 / 127.0]);
    }

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
