//! The size that a BMP says it has. The decoder calls no pixels and too many the same.

/// Width and height; a negative height means rows from top to bottom. `None` if the header is cut
/// short.
pub(super) fn size(bytes: &[u8]) -> Option<(i32, i32)> {
    let u16 = |at: usize| Some(i32::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)));
    let i32 = |at: usize| Some(i32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    // OS/2's first header, of 12 bytes, has 16 bits for each.
    if i32(14)? == 12 { Some((u16(18)?, u16(20)?)) } else { Some((i32(18)?, i32(22)?)) }
}
