//! Where a value's channels are within its planes of four.

use std::fmt;

/// Channels in segments, each padded to whole planes of four.
///
/// Most values are one segment. RepNeXt splits channels in four chunks; where a chunk is not a
/// multiple of four (M0: 10 channels, M2: 14) each chunk becomes a segment of its own, so that a
/// chunk is a range of planes and neither split nor concatenation copies anything. Weights are
/// packed by the same map; padding channels get zero weights.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    segments: Vec<usize>,
}

impl Layout {
    /// Segments of these lengths, in order. Cuts that fall on a whole plane are not kept, so two
    /// layouts that place every channel alike are equal.
    pub fn new(segments: impl IntoIterator<Item = usize>) -> Self {
        let mut merged: Vec<usize> = Vec::new();
        for segment in segments.into_iter().filter(|s| *s > 0) {
            match merged.last_mut() {
                Some(last) if last.is_multiple_of(4) => *last += segment,
                _ => merged.push(segment),
            }
        }
        Layout { segments: merged }
    }

    /// Logical channels.
    pub fn channels(&self) -> usize {
        self.segments.iter().sum()
    }

    /// Physical planes of four channels.
    pub fn planes(&self) -> usize {
        self.segments.iter().map(|s| s.div_ceil(4)).sum()
    }

    /// For each physical channel (four per plane) the logical one, or `None` for padding.
    pub fn physical(&self) -> Vec<Option<usize>> {
        let mut map = Vec::with_capacity(self.planes() * 4);
        let mut next = 0;
        for &segment in &self.segments {
            map.extend((next..next + segment).map(Some));
            map.resize(map.len().next_multiple_of(4), None);
            next += segment;
        }
        map
    }

    /// The physical channel of each logical one.
    pub fn positions(&self) -> Vec<usize> {
        self.physical().iter().enumerate().filter_map(|(physical, logical)| logical.map(|_| physical)).collect()
    }

    /// The layouts one behind the other.
    pub fn concat<'a>(parts: impl IntoIterator<Item = &'a Layout>) -> Layout {
        Layout::new(parts.into_iter().flat_map(|p| p.segments.iter().copied()))
    }

    /// The planes that hold exactly `channels` channels from `start` on, and their layout; `None`
    /// if a plane holds others as well.
    pub fn slice(&self, start: usize, channels: usize) -> Option<(usize, Layout)> {
        let map = self.physical();
        let first = map.iter().position(|c| *c == Some(start))?;
        let last = map.iter().position(|c| *c == Some(start + channels - 1))?;
        let planes = first / 4..last / 4 + 1;
        let held = map[planes.start * 4..planes.end * 4].iter().flatten();
        if !held.eq((start..start + channels).collect::<Vec<_>>().iter()) {
            return None;
        }
        let mut segments = Vec::new();
        let (mut begin, end) = (0, start + channels);
        for &segment in &self.segments {
            segments.push((begin + segment).min(end).saturating_sub(begin.max(start)));
            begin += segment;
        }
        Some((planes.start, Layout::new(segments)))
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let segments: Vec<String> = self.segments.iter().map(usize::to_string).collect();
        write!(f, "{}", segments.join("|"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_padded_to_planes() {
        let layout = Layout::new([10, 10, 10, 10]);
        assert_eq!((layout.channels(), layout.planes()), (40, 12));
        assert_eq!(layout.positions()[9..12], [9, 12, 13]);
        assert_eq!(layout.slice(10, 20), Some((3, Layout::new([10, 10]))));
        assert_eq!(layout.slice(4, 6), Some((1, Layout::new([6]))));
        assert_eq!(layout.slice(4, 5), None, "the plane also holds channel 9");
        assert_eq!(layout.slice(2, 4), None);
    }

    #[test]
    fn cuts_on_whole_planes_vanish() {
        assert_eq!(Layout::new([12, 12, 12, 12]), Layout::new([48]));
        assert_eq!(Layout::concat([&Layout::new([8]), &Layout::new([3]), &Layout::new([3])]), Layout::new([11, 3]));
    }
}
