//! Icons whose picture is a whole PNG. The decoder takes only those with eight bits of red, green,
//! blue and alpha; browsers and Windows show any, and many programs write others.

/// Signature of PNG.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Bytes of the header, and of each entry of the directory.
const HEADER: usize = 6;
const ENTRY: usize = 16;

/// The PNG that is the best picture of an icon: the one of most bits per pixel, then of most
/// pixels. `None` if the best is no PNG, or the directory leads nowhere.
pub(super) fn png_within(bytes: &[u8]) -> Option<&[u8]> {
    let count = usize::from(u16::from_le_bytes([*bytes.get(4)?, *bytes.get(5)?]));
    let entries = bytes.get(HEADER..)?.as_chunks::<ENTRY>().0;
    // A side of 256 is written as 0.
    let side = |side: u8| if side == 0 { 256u32 } else { side.into() };
    let best =
        entries.iter().take(count).max_by_key(|e| (u16::from_le_bytes([e[6], e[7]]), side(e[0]) * side(e[1])))?;
    let [.., s0, s1, s2, s3, o0, o1, o2, o3] = *best;
    let offset = usize::try_from(u32::from_le_bytes([o0, o1, o2, o3])).ok()?;
    let length = usize::try_from(u32::from_le_bytes([s0, s1, s2, s3])).ok()?;
    bytes.get(offset..)?.get(..length).filter(|picture| picture.starts_with(PNG))
}
