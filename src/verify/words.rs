//! Values of every number format as the words that lie on a device, and back.

use half::f16;

use crate::kernels::Element;

/// A NaN as a 32-bit float and two as 16-bit ones; as integers, nothing likely.
pub(crate) const POISON: u32 = 0x7fc0_7fc0;

/// Values as words. NaN, which stands for what does not matter, becomes zero.
pub(crate) fn encode(element: Element, values: &[f64]) -> Vec<u32> {
    let value = |v: &f64| if v.is_nan() { 0.0 } else { *v };
    let byte = |v: &f64| value(v) as i8 as u8;
    match element {
        Element::F32 => values.iter().map(|v| (value(v) as f32).to_bits()).collect(),
        Element::I32 => values.iter().map(|v| value(v) as i32 as u32).collect(),
        Element::F16 => {
            let bits = |v: Option<&f64>| u32::from(f16::from_f64(v.map_or(0.0, value)).to_bits());
            values.chunks(2).map(|pair| bits(pair.first()) | bits(pair.get(1)) << 16).collect()
        }
        Element::Snorm8 | Element::I8 | Element::I8Block => {
            let word = |four: &[f64]| {
                let mut bytes = [0; 4];
                bytes.iter_mut().zip(four).for_each(|(to, v)| {
                    *to = if element == Element::Snorm8 { byte(&(v.clamp(-1.0, 1.0) * 127.0).round()) } else { byte(v) }
                });
                u32::from_le_bytes(bytes)
            };
            values.chunks(4).map(word).collect()
        }
    }
}

/// The values of words.
pub(crate) fn decode(element: Element, words: &[u32]) -> Vec<f64> {
    let bytes = || words.iter().flat_map(|word| word.to_le_bytes());
    match element {
        Element::F32 => words.iter().map(|word| f64::from(f32::from_bits(*word))).collect(),
        Element::I32 => words.iter().map(|word| f64::from(*word as i32)).collect(),
        Element::F16 => {
            let halves = |word: &u32| [*word as u16, (*word >> 16) as u16].map(|bits| f16::from_bits(bits).to_f64());
            words.iter().flat_map(halves).collect()
        }
        Element::Snorm8 => bytes().map(|byte| (f64::from(byte as i8) / 127.0).max(-1.0)).collect(),
        Element::I8 | Element::I8Block => bytes().map(|byte| f64::from(byte as i8)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_format_holds_comes_back() {
        for (element, values) in [
            (Element::F32, [1.5, -0.25, 3e30, 0.0]),
            (Element::F16, [1.5, -0.25, 65504.0, 0.0]),
            (Element::Snorm8, [1.0, -1.0, 0.0, 64.0 / 127.0]),
            (Element::I8, [127.0, -127.0, 0.0, -1.0]),
            (Element::I32, [2147483647.0, -2147483648.0, 16777217.0, 0.0]),
        ] {
            let back = decode(element, &encode(element, &values));
            let expected = values.map(|v| if element == Element::F32 { f64::from(v as f32) } else { v });
            assert_eq!(back, expected, "{element:?}");
        }
        assert_eq!(encode(Element::F32, &[f64::NAN]), [0]);
        assert!(decode(Element::F16, &[POISON]).iter().all(|v| v.is_nan()));
        assert!(decode(Element::F32, &[POISON])[0].is_nan());
    }
}
