//! Names for fused nodes: the part of the checkpoint that they came from.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::Graph;

/// The longest dotted prefix that all names share: `stage1.0` for `stage1.0.rbr_dense.conv` and
/// `stage1.0.rbr_1x1.bn`. A single name is its own prefix; nothing in common gives nothing.
pub(super) fn common_prefix<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut names = names.into_iter();
    let mut prefix: Vec<&str> = names.next()?.split('.').collect();
    for name in names {
        let shared = prefix.iter().zip(name.split('.')).take_while(|(a, b)| **a == *b).count();
        prefix.truncate(shared);
    }
    (!prefix.is_empty()).then(|| prefix.join("."))
}

/// Renames nodes after what they absorbed (their present name → absorbed names, the most telling
/// first): to the common prefix where that is free, otherwise to the first absorbed name that is.
/// To be called after a sweep, when the absorbed nodes are gone.
pub(super) fn rename_fused(graph: &mut Graph, absorbed: &BTreeMap<String, Vec<String>>) {
    let mut taken: BTreeSet<String> = graph.nodes().iter().map(|n| n.name.clone()).collect();
    for id in graph.ids() {
        let Some(origins) = absorbed.get(&graph.node(id).name) else { continue };
        let wanted = common_prefix(origins.iter().map(String::as_str)).into_iter().chain(origins.iter().cloned());
        taken.remove(&graph.node(id).name);
        let name = wanted.into_iter().find(|name| !taken.contains(name)).unwrap_or_else(|| graph.node(id).name.clone());
        taken.insert(name.clone());
        graph.rename(id, name);
    }
}

/// A name that is not in `taken`, made from `wanted`; it is then taken.
pub(super) fn unique(wanted: String, taken: &mut BTreeSet<String>) -> String {
    let mut name = wanted.clone();
    let mut count = 1;
    while !taken.insert(name.clone()) {
        count += 1;
        name = format!("{wanted}_{count}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_at_dots() {
        assert_eq!(common_prefix(["stage1.0.rbr_dense.conv", "stage1.0.rbr_1x1.bn"]).as_deref(), Some("stage1.0"));
        assert_eq!(common_prefix(["stage1.10", "stage1.1"]).as_deref(), Some("stage1"));
        assert_eq!(common_prefix(["a.b"]).as_deref(), Some("a.b"));
        assert_eq!(common_prefix(["conv1", "bn1"]), None);
        assert_eq!(common_prefix([]), None);
    }

    #[test]
    fn unique_names_count_up() {
        let mut taken = BTreeSet::new();
        assert_eq!(["a", "a", "b", "a"].map(|n| unique(n.into(), &mut taken)), ["a", "a_2", "b", "a_3"]);
    }
}
