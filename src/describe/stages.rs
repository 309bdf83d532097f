//! Stages and blocks, by the names of nodes.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::graph::{Graph, Shape};

/// A stage of a network, the stem included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StageInfo {
    /// Name of the tap of its output: `stage0` is the stem.
    pub name: String,
    /// Blocks in it; RepNeXt's downsampling does not count.
    pub blocks: usize,
    /// Shape of its output.
    pub output: Shape,
}

/// The stages of a network: what lies between its taps.
pub(super) fn stages(graph: &Graph) -> Vec<StageInfo> {
    let mut taps: Vec<_> = graph.taps().iter().map(|(name, id)| (id.index(), name)).collect();
    taps.sort_unstable();
    let mut from = 1;
    let stage = |(end, name): (usize, &String)| {
        let nodes = graph.nodes().get(from..=end).unwrap_or_default();
        from = end + 1;
        let blocks: BTreeSet<&str> =
            nodes.iter().map(|node| block_of(&node.name)).filter(|block| !block.ends_with(".downsample")).collect();
        StageInfo { name: name.clone(), blocks: blocks.len(), output: graph.nodes()[end].shape }
    };
    taps.into_iter().map(stage).collect()
}

/// The block that a node belongs to, by the beginning of its name: `stage1.0` of
/// `stage1.0.rbr_dense.conv`, `stages.2.blocks.8` of `stages.2.blocks.8.norm`,
/// `stages.1.downsample`, `stem`, `linear`.
pub fn block_of(name: &str) -> &str {
    let numbered_stage = |part: &str| {
        part.strip_prefix("stage")
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    let mut parts = name.split('.');
    let depth = match parts.next() {
        Some("stages") if parts.nth(1) == Some("blocks") => 4,
        Some("stages") => 3,
        Some(stage) if stage != "stage0" && numbered_stage(stage) => 2,
        _ => 1,
    };
    match name.match_indices('.').nth(depth - 1) {
        Some((end, _)) => &name[..end],
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_the_beginnings_of_names() {
        let cases = [
            ("stage0.rbr_dense.conv", "stage0"),
            ("stage1.0.rbr_dense.conv", "stage1.0"),
            ("stage3.13.add", "stage3.13"),
            ("stages.2.blocks.8.norm", "stages.2.blocks.8"),
            ("stages.2.blocks.8", "stages.2.blocks.8"),
            ("stages.1.downsample.channel_mixer.0.conv", "stages.1.downsample"),
            ("stem.stem.0.conv", "stem"),
            ("head.head.norm", "head"),
            ("linear", "linear"),
            ("stages", "stages"),
            ("stages.", "stages."),
            ("stage", "stage"),
            ("", ""),
            ("...", ""),
        ];
        for (name, block) in cases {
            assert_eq!(block_of(name), block, "{name}");
        }
    }
}
