//! The named variants.

use super::mobileone::MobileOne;
use super::repnext::{Mixer, RepNext};
use super::repvgg::{BlockKind, RepVgg};
use super::{Architecture, Config, recipes};
use crate::error::{Error, Result};
use crate::graph::Shape;
use crate::labels::{self, IMAGENET1K_CLASSES as IMAGENET_CLASSES};
use crate::preprocess::Preprocess;

/// How a variant's configuration is made.
#[derive(Clone, Copy)]
enum Recipe {
    RepVgg(BlockKind, RepVggSize),
    Cifar(BlockKind),
    RepNext { width: usize, depths: [usize; 4], mixer: Mixer },
    MobileOne { widths: [usize; 4], branches: usize, squeezed: [usize; 4] },
}

/// A size of RepVGG: widths are those of the stages (64·a, 128·a, 256·a, 512·b).
#[derive(Clone, Copy)]
struct RepVggSize {
    depths: [usize; 4],
    widths: [usize; 4],
    groups: usize,
    squeeze: bool,
}

const fn a(widths: [usize; 4]) -> RepVggSize {
    RepVggSize { depths: [2, 4, 14, 1], widths, groups: 1, squeeze: false }
}

const fn b(widths: [usize; 4], groups: usize) -> RepVggSize {
    RepVggSize { depths: [4, 6, 16, 1], widths, groups, squeeze: false }
}

const A0: RepVggSize = a([48, 96, 192, 1280]);
const A1: RepVggSize = a([64, 128, 256, 1280]);
const A2: RepVggSize = a([96, 192, 384, 1408]);
const B0: RepVggSize = b([64, 128, 256, 1280], 1);
const fn b1(groups: usize) -> RepVggSize {
    b([128, 256, 512, 2048], groups)
}
const fn b2(groups: usize) -> RepVggSize {
    b([160, 320, 640, 2560], groups)
}
const fn b3(groups: usize) -> RepVggSize {
    b([192, 384, 768, 2560], groups)
}
const D2SE: RepVggSize = RepVggSize { depths: [8, 14, 24, 1], widths: [160, 320, 640, 2560], groups: 1, squeeze: true };

const fn plain(size: RepVggSize) -> Recipe {
    Recipe::RepVgg(BlockKind::REPVGG, size)
}

const fn quantisable(size: RepVggSize) -> Recipe {
    Recipe::RepVgg(BlockKind::QAREPVGG, size)
}

const fn m(width: usize, depths: [usize; 4]) -> Recipe {
    Recipe::RepNext { width, depths, mixer: Mixer::Chunked }
}

const fn me(width: usize, depths: [usize; 4]) -> Recipe {
    Recipe::RepNext { width, depths, mixer: Mixer::Single }
}

const fn s(widths: [usize; 4], branches: usize, squeezed: [usize; 4]) -> Recipe {
    Recipe::MobileOne { widths, branches, squeezed }
}

const VARIANTS: [(&str, Recipe); 44] = [
    ("repvgg-a0", plain(A0)),
    ("repvgg-a1", plain(A1)),
    ("repvgg-a2", plain(A2)),
    ("repvgg-b0", plain(B0)),
    ("repvgg-b1", plain(b1(1))),
    ("repvgg-b1g2", plain(b1(2))),
    ("repvgg-b1g4", plain(b1(4))),
    ("repvgg-b2", plain(b2(1))),
    ("repvgg-b2g2", plain(b2(2))),
    ("repvgg-b2g4", plain(b2(4))),
    ("repvgg-b3", plain(b3(1))),
    ("repvgg-b3g2", plain(b3(2))),
    ("repvgg-b3g4", plain(b3(4))),
    ("repvgg-d2se", plain(D2SE)),
    ("repvgg-cifar", Recipe::Cifar(BlockKind::REPVGG)),
    ("qarepvgg-a0", quantisable(A0)),
    ("qarepvgg-a1", quantisable(A1)),
    ("qarepvgg-a2", quantisable(A2)),
    ("qarepvgg-b0", quantisable(B0)),
    ("qarepvgg-b1", quantisable(b1(1))),
    ("qarepvgg-b1g2", quantisable(b1(2))),
    ("qarepvgg-b1g4", quantisable(b1(4))),
    ("qarepvgg-b2", quantisable(b2(1))),
    ("qarepvgg-b2g2", quantisable(b2(2))),
    ("qarepvgg-b2g4", quantisable(b2(4))),
    ("qarepvgg-b3", quantisable(b3(1))),
    ("qarepvgg-b3g2", quantisable(b3(2))),
    ("qarepvgg-b3g4", quantisable(b3(4))),
    ("qarepvgg-d2se", quantisable(D2SE)),
    ("qarepvgg-cifar", Recipe::Cifar(BlockKind::QAREPVGG)),
    ("repnext-m0", m(40, [2, 2, 9, 1])),
    ("repnext-m1", m(48, [3, 3, 15, 2])),
    ("repnext-m2", m(56, [3, 3, 15, 2])),
    ("repnext-m3", m(64, [3, 3, 13, 2])),
    ("repnext-m4", m(64, [5, 5, 25, 4])),
    ("repnext-m5", m(80, [7, 7, 35, 2])),
    ("repnext-m0e", me(40, [2, 2, 9, 1])),
    ("repnext-m1e", me(48, [3, 3, 15, 2])),
    ("repnext-m2e", me(56, [3, 3, 15, 2])),
    ("mobileone-s0", s([48, 128, 256, 1024], 4, [0; 4])),
    ("mobileone-s1", s([96, 192, 512, 1280], 1, [0; 4])),
    ("mobileone-s2", s([96, 256, 640, 2048], 1, [0; 4])),
    ("mobileone-s3", s([128, 320, 768, 2048], 1, [0; 4])),
    ("mobileone-s4", s([192, 448, 896, 2048], 1, [0, 0, 5, 1])),
];

/// Names of all variants, in families.
pub fn names() -> impl Iterator<Item = &'static str> {
    VARIANTS.iter().map(|(name, _)| *name)
}

/// All variants.
pub(crate) fn all() -> impl Iterator<Item = Architecture> {
    VARIANTS.iter().map(|(name, recipe)| architecture(name, recipe))
}

/// The variant of that name.
///
/// # Errors
/// [`Error::UnknownModel`] with the nearest names.
pub(super) fn find(name: &str) -> Result<Architecture> {
    let wanted = name.trim().to_ascii_lowercase().replace('_', "-");
    let found = VARIANTS.iter().find(|(name, _)| *name == wanted);
    found.map(|(name, recipe)| architecture(name, recipe)).ok_or_else(|| unknown(name, &wanted))
}

fn architecture(name: &str, recipe: &Recipe) -> Architecture {
    let (config, side, preprocess) = match *recipe {
        Recipe::RepVgg(kind, size) => (rep_vgg(kind, size), 224, recipes::bilinear_256()),
        Recipe::Cifar(kind) => (cifar(kind), 32, recipes::cifar()),
        Recipe::RepNext { width, depths, mixer } => {
            let config = RepNext { width, depths: depths.to_vec(), mlp_ratio: 2, mixer, classes: IMAGENET_CLASSES };
            let single = mixer == Mixer::Single;
            (Config::RepNext(config), 224, if single { recipes::bicubic_248() } else { recipes::bicubic_256() })
        }
        Recipe::MobileOne { widths, branches, squeezed } => {
            let [w1, w2, w3, w4] = widths;
            let stages = [(2, w1), (8, w2), (10, w3), (1, w4)];
            let config = MobileOne::new(w1.min(64), stages, branches, squeezed, IMAGENET_CLASSES);
            (Config::MobileOne(config), 224, mobile_one_recipe(name))
        }
    };
    let labels = labels::named(if matches!(recipe, Recipe::Cifar(_)) { "cifar10" } else { "imagenet1k" });
    Architecture { name: name.into(), config, input: Shape::new(3, side, side), preprocess, labels }
}

fn rep_vgg(kind: BlockKind, size: RepVggSize) -> Config {
    let stem = [(1, size.widths[0].min(64))];
    let stages: Vec<_> = stem.into_iter().chain(size.depths.into_iter().zip(size.widths)).collect();
    let config = RepVgg::new(kind, &stages, &[2; 5], IMAGENET_CLASSES).with_groups(size.groups);
    Config::RepVgg(if size.squeeze { config.with_squeeze() } else { config })
}

/// Nets for 32×32 pictures: the stem keeps the size, three stages halve it.
fn cifar(kind: BlockKind) -> Config {
    let stages = [(1, 16), (2, 32), (3, 64), (1, 128)];
    Config::RepVgg(RepVgg::new(kind, &stages, &[1, 2, 2, 2], labels::CIFAR10.len()))
}

fn mobile_one_recipe(name: &str) -> Preprocess {
    if name == "mobileone-s0" { recipes::bilinear_256() } else { recipes::bilinear_248() }
}

fn unknown(name: &str, wanted: &str) -> Error {
    let near = nearest(wanted, names());
    let families = "repvgg-*, qarepvgg-*, repnext-*, mobileone-*";
    Error::UnknownModel {
        name: name.into(),
        hint: format!("nearest names: {} (families: {families})", near.join(", ")),
    }
}

/// The three names that are nearest to the one wanted.
pub(crate) fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut near: Vec<_> = known.map(|known| (distance(wanted, known), known)).collect();
    crate::order::sort_by(&mut near, Ord::cmp);
    near.into_iter().take(3).map(|(_, known)| known).collect()
}

/// Edits that make one word of the other (Levenshtein).
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let substitution = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substitution.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_package_knows_the_same_names() {
        let script = include_str!("../../examples/web/package/names.js");
        let variants = |family: &str| -> String {
            let named = names().filter_map(|name| name.strip_prefix(family)?.strip_prefix('-'));
            format!("\"{}\"", named.collect::<Vec<_>>().join(" "))
        };
        assert_eq!(variants("repvgg"), variants("qarepvgg"), "the script has them once");
        for family in ["repvgg", "repnext", "mobileone"] {
            assert!(script.contains(&variants(family)), "names.js: {family} has {}", variants(family));
        }
        let families = ["repvgg-", "qarepvgg-", "repnext-", "mobileone-"];
        assert!(names().all(|name| families.iter().any(|family| name.starts_with(family))));
    }

    #[test]
    fn names_are_unique_and_every_one_is_found() {
        let all: std::collections::BTreeSet<_> = names().collect();
        assert_eq!(all.len(), VARIANTS.len());
        for name in names() {
            assert_eq!(find(name).unwrap().name, name);
        }
        assert_eq!(find(" RepVGG_A0").unwrap().name, "repvgg-a0");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let message = find("repvgg-a9").unwrap_err().to_string();
        assert!(
            message.contains("unknown model \"repvgg-a9\"") && message.contains("repvgg-a0, repvgg-a1"),
            "{message}"
        );
        assert!(find("mobilone-s1").unwrap_err().to_string().contains("mobileone-s1"));
        assert!(find("").is_err() && find(&"x".repeat(100_000)).is_err());
    }

    #[test]
    fn distance_counts_edits() {
        for (a, b, edits) in [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ab", "ba", 2)] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }
}
