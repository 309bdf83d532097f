//! A profile as spans that enclose each other: the network, its parts by the dots in their names, its steps.

use super::Profile;

/// A part of the network, or a step, where it lies in the time of all steps one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The part's name, as far as it is in all its steps' names; a step's node.
    pub name: String,
    /// How many spans enclose it.
    pub depth: usize,
    /// When it begins, in microseconds.
    pub start_us: f64,
    /// How long it takes, in microseconds.
    pub us: f64,
    /// Index into [`Profile::layers`] if it is a step.
    pub layer: Option<usize>,
}

/// The steps one after the other, as if each began when the last had ended, and around them the parts of the
/// network that they belong to (`stages.0`, `stages.0.blocks.1`). What encloses comes before what it encloses.
pub fn spans(profile: &Profile) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    // Parts that are under way, as indices into `spans`.
    let mut open: Vec<usize> = Vec::new();
    let mut now = 0.0;
    for (at, layer) in profile.layers.iter().enumerate() {
        let parts = parts(&layer.node);
        let same = |(index, part): &(&usize, &&str)| spans.get(**index).is_some_and(|span| span.name == **part);
        let common = open.iter().zip(&parts).take_while(same).count();
        open.truncate(common);
        for part in parts.into_iter().skip(common) {
            let name = part.to_owned();
            open.push(spans.len());
            spans.push(Span { name, depth: open.len() - 1, start_us: now, us: 0.0, layer: None });
        }
        let name = layer.node.clone();
        spans.push(Span { name, depth: open.len(), start_us: now, us: layer.us, layer: Some(at) });
        for &index in &open {
            if let Some(span) = spans.get_mut(index) {
                span.us += layer.us;
            }
        }
        now += layer.us;
    }
    spans
}

/// `stages.0.blocks.1.conv` is in `stages`, `stages.0`, `stages.0.blocks` and `stages.0.blocks.1`; of these,
/// those that end in a number or stand first.
fn parts(node: &str) -> Vec<&str> {
    let prefixes = node.match_indices('.').filter_map(|(at, _)| node.get(..at));
    let numbered = |prefix: &&str| match prefix.rsplit_once('.') {
        Some((_, last)) => last.bytes().all(|b| b.is_ascii_digit()),
        None => true,
    };
    // Names of hostile files may have as many dots as they like.
    prefixes.filter(numbered).take(MOST_DEEP).collect()
}

/// More than networks are deep.
const MOST_DEEP: usize = 16;

#[cfg(test)]
pub(super) mod tests {
    use super::super::{KIND, Layer, Method, SCHEMA_VERSION};
    use super::*;
    use crate::bench::Device;

    /// A profile of steps by name and time.
    pub fn profile(layers: &[(&str, f64)]) -> Profile {
        let layer = |(node, us): &(&str, f64)| {
            let (node, kernel) = ((*node).to_owned(), "k".to_owned());
            Layer { node, kernel, us: *us, ..Layer::default() }
        };
        Profile {
            kind: KIND.into(),
            schema_version: SCHEMA_VERSION,
            model: "m".into(),
            precision: "f32".into(),
            batch: 1,
            device: Device::default(),
            method: Method::Passes,
            runs: 1,
            ceilings: None,
            frame_us: None,
            layers: layers.iter().map(layer).collect(),
        }
    }

    #[test]
    fn parts_enclose_their_steps() {
        let profile = profile(&[("a.0.x", 1.0), ("a.0.y", 2.0), ("a.1.x", 4.0), ("b", 8.0), ("a.1.x", 16.0)]);
        let found: Vec<(String, usize, f64, f64)> =
            spans(&profile).into_iter().map(|span| (span.name, span.depth, span.start_us, span.us)).collect();
        let expected = [
            ("a", 0, 0.0, 7.0),
            ("a.0", 1, 0.0, 3.0),
            ("a.0.x", 2, 0.0, 1.0),
            ("a.0.y", 2, 1.0, 2.0),
            ("a.1", 1, 3.0, 4.0),
            ("a.1.x", 2, 3.0, 4.0),
            ("b", 0, 7.0, 8.0),
            // The same names later are another span.
            ("a", 0, 15.0, 16.0),
            ("a.1", 1, 15.0, 16.0),
            ("a.1.x", 2, 15.0, 16.0),
        ];
        assert_eq!(found, expected.map(|(name, depth, start, us)| (name.to_owned(), depth, start, us)));
    }

    #[test]
    fn only_numbered_parts_enclose_and_not_too_many() {
        assert_eq!(parts("stages.0.blocks.1.conv"), ["stages", "stages.0", "stages.0.blocks.1"]);
        assert_eq!(parts("é.1.x"), ["é", "é.1"]);
        assert!(parts("").is_empty() && parts("conv").is_empty());
        assert_eq!(parts(&"0.".repeat(100_000)).len(), MOST_DEEP);
    }
}
