//! Names of classes that are built in: CIFAR-10's and ImageNet-1k's, the latter with the WordNet ids
//! that ImageNet names its folders by. `assets/README.md` says where they come from.

/// CIFAR-10's classes in their usual (alphabetical) order.
pub const CIFAR10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Number of classes of ImageNet-1k.
pub const IMAGENET1K_CLASSES: usize = 1000;

/// What the built-in sets are called: [`named`] takes these.
pub const SETS: [&str; 2] = ["imagenet1k", "cifar10"];

/// `wnid<TAB>name` lines in the order of the classes.
const IMAGENET1K: &str = include_str!("../assets/labels/imagenet1k.tsv");

fn classes() -> impl Iterator<Item = (&'static str, &'static str)> {
    IMAGENET1K.lines().filter_map(|line| line.split_once('\t'))
}

/// Names of ImageNet-1k's classes in their standard order: by WordNet id, as in ILSVRC2012's
/// validation folders. A name is the first word of the class's synset; all are distinct.
pub fn imagenet1k() -> impl Iterator<Item = &'static str> {
    classes().map(|(_, name)| name)
}

/// WordNet ids (`n01440764`) of ImageNet-1k's classes, in the same order.
pub fn imagenet1k_wnids() -> impl Iterator<Item = &'static str> {
    classes().map(|(wnid, _)| wnid)
}

/// The names of a built-in set, one of [`SETS`]; `None` for any other word.
pub fn named(set: &str) -> Option<Vec<String>> {
    match set {
        "imagenet1k" => Some(imagenet1k().map(str::to_owned).collect()),
        "cifar10" => Some(CIFAR10.map(str::to_owned).to_vec()),
        _ => None,
    }
}

/// What two names of one class have in common: neither case nor spaces, underscores and hyphens
/// count (`Tiger_Cat` is `tiger cat`).
pub fn normalised(name: &str) -> String {
    let counts = |c: &char| !c.is_whitespace() && !matches!(c, '_' | '-');
    name.chars().filter(counts).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn imagenet_is_in_its_standard_order() {
        let (names, wnids): (Vec<_>, Vec<_>) = (imagenet1k().collect(), imagenet1k_wnids().collect());
        assert_eq!((names.len(), wnids.len()), (IMAGENET1K_CLASSES, IMAGENET1K_CLASSES));
        assert!(wnids.is_sorted() && wnids.iter().all(|id| id.len() == 9 && id.starts_with('n')));
        let class = |index: usize| (wnids[index], names[index]);
        assert_eq!(class(0), ("n01440764", "tench"));
        assert_eq!(class(281), ("n02123045", "tabby"));
        assert_eq!(class(967), ("n07920052", "espresso"));
        assert_eq!(class(999), ("n15075141", "toilet tissue"));
    }

    #[test]
    fn names_tell_classes_apart_even_normalised() {
        for set in SETS {
            let names = named(set).unwrap();
            let distinct: BTreeSet<_> = names.iter().map(|name| normalised(name)).collect();
            assert!(distinct.len() == names.len() && !distinct.contains(""), "{set}");
        }
        assert_eq!(named("imagenet"), None);
    }

    #[test]
    fn case_and_separators_do_not_count() {
        for name in ["tiger cat", "Tiger_Cat", " tigercat ", "TIGER-CAT"] {
            assert_eq!(normalised(name), "tigercat");
        }
        assert_ne!(normalised("sunglass"), normalised("sunglasses"));
    }
}
