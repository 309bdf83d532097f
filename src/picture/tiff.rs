//! Lists in a TIFF's directory. The decoder takes 32 bytes for each value that a tag says it has, before it
//! looks whether the file goes on for so long.

/// Whether the values of each tag of the first directory fit in the file. `true` also where there is no
/// directory: the decoder says so.
pub(super) fn lists_fit(bytes: &[u8]) -> bool {
    first_directory(bytes).is_none_or(|mut sizes| sizes.all(|size| size <= bytes.len() as u64))
}

/// Bytes of the values of each tag, classic TIFF or BigTIFF.
fn first_directory(bytes: &[u8]) -> Option<impl Iterator<Item = u64>> {
    let little = bytes.starts_with(b"II");
    // An unsigned number of `N` bytes.
    let number = move |at: usize, length: usize| {
        let bytes = bytes.get(at..)?.get(..length)?;
        let join = |all: u64, byte: &u8| all << 8 | u64::from(*byte);
        Some(if little { bytes.iter().rev().fold(0, join) } else { bytes.iter().fold(0, join) })
    };
    // Bytes of an offset or count, of the number of entries, of an entry.
    let (word, head, entry) = if number(2, 2)? == 43 { (8, 8, 20) } else { (4, 2, 12) };
    let directory = usize::try_from(number(word, word)?).ok()?;
    let count = number(directory, head)?;
    let first = directory.checked_add(head)?;
    let entries = (0..count).map_while(move |at| {
        let at = first.checked_add(usize::try_from(at.checked_mul(entry)?).ok()?)?;
        let size = match number(at.checked_add(2)?, 2)? {
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 | 17 | 18 => 8,
            _ => 1,
        };
        Some(number(at.checked_add(4)?, word)?.saturating_mul(size))
    });
    Some(entries)
}
