//! PNG: chunks changed, cut, copied, their sums put right.

use super::{Rng, bytes};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// `None` if it is no PNG.
pub fn change(file: &[u8], rng: &mut Rng) -> Option<Vec<u8>> {
    let mut rest = file.strip_prefix(SIGNATURE)?;
    let mut chunks: Vec<(&[u8], Vec<u8>)> = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let Some((chunk, after)) = after.split_at_checked(u32::from_be_bytes(*length) as usize + 4) else { break };
        let (name, data) = chunk.split_at(4);
        chunks.push((name, data.to_vec()));
        rest = after.get(4..).unwrap_or_default();
    }
    if chunks.is_empty() {
        return None;
    }
    let at = rng.below(chunks.len());
    match rng.below(6) {
        0 => drop(chunks.remove(at)),
        1 => chunks.insert(at, chunks[rng.below(chunks.len())].clone()),
        2 => {
            chunks[at].0 =
                rng.pick(&[b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"acTL", b"fcTL", b"iCCP", b"gAMA"]).as_slice()
        }
        _ => chunks[at].1 = bytes::change(&chunks[at].1, rng),
    }
    let mut changed = SIGNATURE.to_vec();
    for (name, data) in chunks {
        let chunk = [name, &data].concat();
        changed.extend((data.len() as u32).to_be_bytes());
        changed.extend(&chunk);
        changed.extend(crc32fast::hash(&chunk).to_be_bytes());
    }
    Some(changed)
}
