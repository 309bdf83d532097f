//! Names of classes that are built in: CIFAR-10's and ImageNet-1k's, the latter with the WordNet ids
//! that ImageNet names its folders by. `assets/README.md` says where they come from. And files of names.

use crate::error::{Error, Result};

/// CIFAR-10's classes in their usual (alphabetical) order.
pub const CIFAR10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Number of classes of ImageNet-1k.
pub const IMAGENET1K_CLASSES: usize = 1000;

/// What the built-in sets are called: [`named`] takes these.
pub const SETS: [&str; 2] = ["imagenet1k", "cifar10"];

/// Bytes and lines of a label file that is read; ImageNet-21k's has less than 1 MB.
const MAX_BYTES: u64 = 16 << 20;
const MAX_LABELS: usize = 1_000_000;

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

/// The names in a label file: one class per line, UTF-8; empty lines at its end do not count. `origin` is what
/// the bytes are called in messages.
///
/// # Errors
/// [`Error::Argument`] if it is no text, larger than 16 MiB, or has more than a million lines.
pub fn parse(bytes: &[u8], origin: &str) -> Result<Vec<String>> {
    let refuse =
        |reason: &str| Err(Error::argument(format!("{origin}: {reason}; one class per line in UTF-8 is wanted")));
    if bytes.len() as u64 > MAX_BYTES {
        return refuse("larger than 16 MiB, so no label file");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return refuse("not a text file") };
    // Some editors put a byte order mark in front.
    let lines = text.trim_start_matches('\u{feff}').trim_end().lines();
    if lines.clone().nth(MAX_LABELS).is_some() {
        return refuse("more than a million lines");
    }
    Ok(lines.map(|line| line.trim().to_owned()).collect())
}

/// The built-in set of that name, else the names in that file: see [`parse`]. A file that is called like a
/// set wants a folder in front: `./cifar10`.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, and those of [`parse`].
#[cfg(not(target_arch = "wasm32"))]
pub fn read(path: &std::path::Path) -> Result<Vec<String>> {
    if let Some(set) = path.to_str().and_then(named) {
        return Ok(set);
    }
    // One byte more than is parsed, so that what is too large is said in its words.
    parse(&crate::files::read("cannot read labels", path, MAX_BYTES + 1)?, &path.display().to_string())
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
    fn files_of_names_are_read() {
        assert_eq!(
            parse("\u{feff}cat\r\n big dog \n\nlast\n\n \n".as_bytes(), "f").unwrap(),
            ["cat", "big dog", "", "last"]
        );
        assert_eq!(parse(b"", "f").unwrap(), [""; 0]);
        let refused = |bytes: &[u8]| parse(bytes, "names.txt").unwrap_err().to_string();
        assert!(refused(b"\xff\xfe").contains("names.txt: not a text file"));
        assert!(refused(&vec![b'a'; (16 << 20) + 1]).contains("16 MiB"));
        assert!(refused(&[&b"\n".repeat(MAX_LABELS)[..], b"a"].concat()).contains("a million lines"));
    }

    #[test]
    fn case_and_separators_do_not_count() {
        for name in ["tiger cat", "Tiger_Cat", " tigercat ", "TIGER-CAT"] {
            assert_eq!(normalised(name), "tigercat");
        }
        assert_ne!(normalised("sunglass"), normalised("sunglasses"));
    }
}
