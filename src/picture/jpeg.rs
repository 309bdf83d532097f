//! Telling a whole JPEG from one that is cut short. The decoder fills what is missing with grey
//! and says nothing; a network would then classify the grey.

/// Whether a JPEG's markers lead to its end-of-image marker (ITU-T T.81, annex B).
///
/// Thumbnails inside segments are skipped with their segment; bytes after the end do not matter.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    const END_OF_IMAGE: u8 = 0xd9;
    let mut rest = bytes;
    while let Some((marker, tail)) = next_marker(rest) {
        rest = match marker {
            END_OF_IMAGE => return true,
            // Start of image, restarts and TEM stand alone.
            0xd8 | 0xd0..=0xd7 | 0x01 => tail,
            _ => match segment_length(tail).and_then(|length| tail.get(length..)) {
                Some(after) => after,
                None => return false,
            },
        };
    }
    false
}

/// Whether a frame has components that are sampled more finely than its first, or by no whole part of it: the first is
/// the brightness in all that programs write, and the decoder panics over some of the others.
pub(super) fn is_oddly_sampled(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some((marker, tail)) = next_marker(rest) {
        let frame = matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
        rest = match segment_length(tail).filter(|_| !matches!(marker, 0xd0..=0xd9 | 0x01)) {
            Some(length) if frame && tail.get(..length).is_some_and(odd_frame) => return true,
            Some(length) => tail.get(length..).unwrap_or_default(),
            None => tail,
        };
    }
    false
}

/// Of a frame's segment: length, bits, height, width, the number of components, and three bytes for each of them, the
/// second of which is how finely it is sampled.
fn odd_frame(segment: &[u8]) -> bool {
    let sampled = |component: &[u8; 3]| [component[1] >> 4, component[1] & 15];
    let components = segment.get(8..).unwrap_or_default().as_chunks::<3>().0;
    let Some(first) = components.first().map(sampled) else { return false };
    let odd = |other: &[u8; 3]| first.iter().zip(sampled(other)).any(|(first, other)| other == 0 || first % other != 0);
    components.iter().any(odd)
}

/// The next marker, passing over entropy-coded data, and what follows it.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    // 0xff 0x00 is a data byte of 0xff; further 0xff are padding.
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        match tail {
            [kind, after @ ..] if *first == 0xff && *kind != 0x00 && *kind != 0xff => return Some((*kind, after)),
            _ => rest = tail,
        }
    }
    None
}

/// Length of a segment, its own two bytes included.
fn segment_length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.first_chunk::<2>()?;
    Some(usize::from(u16::from_be_bytes(*length)))
}
