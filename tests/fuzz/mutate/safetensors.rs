//! Safetensors: the header is text, its length is put right.

use super::{Rng, bytes};

/// `None` if it is no safetensors file.
pub fn change(file: &[u8], rng: &mut Rng) -> Option<Vec<u8>> {
    let (length, rest) = file.split_first_chunk::<8>()?;
    let (header, data) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    Some(match rng.below(8) {
        0 => join(header, &bytes::change(data, rng)),
        // A number that is none, or a huge one.
        1 => {
            let mut data = data.to_vec();
            let at = rng.below(data.len()) & !3;
            let value = *rng.pick(&[f32::NAN, f32::INFINITY, f32::MAX, f32::MIN_POSITIVE, -1.0, 0.0]);
            data.iter_mut().skip(at).zip(value.to_le_bytes()).for_each(|(to, from)| *to = from);
            join(header, &data)
        }
        // The length lies.
        2 => [&rng.number().to_le_bytes()[..], header, data].concat(),
        3 => exchange_shapes(header, rng).map_or_else(|| join(header, data), |header| join(&header, data)),
        _ => join(&bytes::change_text(header, rng), data),
    })
}

fn join(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header, data].concat()
}

/// Gives a tensor another shape of as many values.
fn exchange_shapes(header: &[u8], rng: &mut Rng) -> Option<Vec<u8>> {
    const KEY: &[u8] = b"\"shape\":[";
    let starts: Vec<usize> =
        header.windows(KEY.len()).enumerate().filter(|(_, w)| *w == KEY).map(|(at, _)| at + KEY.len()).collect();
    let start = *starts.get(rng.below(starts.len()))?;
    let end = start + header[start..].iter().position(|byte| *byte == b']')?;
    let shape: Vec<u64> = std::str::from_utf8(&header[start..end])
        .ok()?
        .split(',')
        .map(|n| n.trim().parse().ok())
        .collect::<Option<_>>()?;
    let mut shape = shape;
    match rng.below(4) {
        0 => shape.reverse(),
        1 => shape.insert(rng.below(shape.len() + 1), 1),
        2 => shape = vec![shape.iter().try_fold(1u64, |product, n| product.checked_mul(*n))?],
        _ => {
            let (from, to) = (rng.below(shape.len()), rng.below(shape.len()));
            shape[to] = shape[to].checked_mul(shape[from])?;
            if from != to {
                shape[from] = 1;
            }
        }
    }
    let text = shape.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    Some([&header[..start], text.as_bytes(), &header[end..]].concat())
}
