//! Changes of any bytes, and of text with numbers in it.

use super::Rng;

/// Bits flipped, bytes and numbers replaced, ranges cut, copied and moved.
pub fn change(input: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    if bytes.is_empty() {
        return vec![rng.byte()];
    }
    let at = rng.below(bytes.len());
    let range = rng.range(bytes.len());
    match rng.below(9) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = rng.byte(),
        2 => bytes[at] = *rng.pick(&[0, 1, 0x7f, 0x80, 0xff]),
        3 => {
            let width = *rng.pick(&[2, 4, 8]);
            let number = rng.number();
            let number = if rng.below(2) == 0 {
                number.to_le_bytes()[..width].to_vec()
            } else {
                number.to_be_bytes()[8 - width..].to_vec()
            };
            bytes.iter_mut().skip(at).zip(number).for_each(|(to, from)| *to = from);
        }
        4 => bytes.truncate(at),
        5 => drop(bytes.drain(range)),
        6 => {
            let copy = bytes[range].to_vec();
            bytes.splice(at..at, copy);
        }
        7 => {
            let copy = bytes[range].to_vec();
            bytes.iter_mut().skip(at).zip(copy).for_each(|(to, from)| *to = from);
        }
        _ => bytes.insert(at, rng.byte()),
    }
    bytes
}

/// Numbers replaced and exchanged, parts between commas and braces cut, copied and exchanged.
pub fn change_text(text: &[u8], rng: &mut Rng) -> Vec<u8> {
    let numbers = runs(text, |byte| byte.is_ascii_digit());
    let parts = runs(text, |byte| !b",[]{}".contains(byte));
    let choice = rng.below(8);
    if numbers.is_empty() || parts.is_empty() || choice == 7 {
        return change(text, rng);
    }
    let (number, other) = (rng.pick(&numbers).clone(), rng.pick(&numbers).clone());
    let (part, place) = (rng.pick(&parts).clone(), rng.pick(&parts).clone());
    match choice {
        0 => replace(text, number, rng.number().to_string().as_bytes()),
        1 => replace(text, number, rng.below(12).to_string().as_bytes()),
        2 => {
            replace(text, number, rng.word(&["-1", "1e999", "0.5", "null", "\"1\"", "[]", "1e-320", "true"]).as_bytes())
        }
        3 => replace(text, number, &text[other]),
        4 => replace(text, place, &text[part]),
        5 => replace(text, place.start..place.start, &[&text[part], b","].concat()),
        _ => replace(text, part, b""),
    }
}

/// Ranges of bytes that are all of one kind.
fn runs(bytes: &[u8], kind: impl Fn(&u8) -> bool) -> Vec<std::ops::Range<usize>> {
    let mut found: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| kind(byte)) {
        match found.last_mut() {
            Some(last) if last.end == at => last.end += 1,
            _ => found.push(at..at + 1),
        }
    }
    found
}

fn replace(bytes: &[u8], range: std::ops::Range<usize>, by: &[u8]) -> Vec<u8> {
    [&bytes[..range.start], by, &bytes[range.end..]].concat()
}
