//! Labelled pictures on disk: a folder per class, or one folder and a file that says what is in it.

mod classes;
mod folder;
mod truth;
mod walk;

pub use classes::ClassIndex;
pub(crate) use walk::count_pictures;
pub use walk::pictures;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};

/// A picture and what it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The file.
    pub path: PathBuf,
    /// The class it belongs to, an index of the network's outputs.
    pub class: usize,
}

/// How pictures were assigned to the network's classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mapping {
    /// Folders are called like the network's labels.
    Labels,
    /// Folders are called like ImageNet's synsets (`n01440764`).
    Wnids,
    /// As many folders as classes, taken in alphabetical order like torchvision's `ImageFolder`.
    Alphabetical,
    /// A truth file names each picture's class.
    Truth,
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mapping::Labels => "folders are named like the model's labels",
            Mapping::Wnids => "folders are named by ImageNet's WordNet ids",
            Mapping::Alphabetical => "folders in alphabetical order are the model's classes, like torchvision's",
            Mapping::Truth => "the truth file names each picture's class",
        })
    }
}

/// Labelled pictures, in an order that depends on their names alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    samples: Vec<Sample>,
    mapping: Mapping,
    notes: Vec<String>,
}

impl Dataset {
    /// The pictures under `dir`, a folder per class, folders in folders included. Folders are
    /// assigned to classes by the model's labels if all are called like labels, else by ImageNet's
    /// WordNet ids if all are called like those, else in alphabetical order if there are as many of
    /// them as classes. Hidden files and folders, and files that are not called like pictures, are
    /// passed over. Links are followed; a folder that several links lead to is read once per class.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder cannot be read; [`Error::Dataset`] if there is no picture, or the
    /// folders cannot be assigned to classes.
    pub fn folder(dir: impl AsRef<Path>, classes: &ClassIndex) -> Result<Dataset> {
        folder::read(dir.as_ref(), classes)
    }

    /// The pictures in `dir` that the file `truth` lists, a line for each: the name of the file
    /// relative to `dir`, a tab, and the class as its index, WordNet id or label. UTF-8; empty lines
    /// do not count. Whether the pictures are there shows when they are read.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Dataset`] with line numbers for lines that
    /// are of another kind, name no class, or name a picture again, and if there is none.
    pub fn truth(dir: impl AsRef<Path>, truth: impl AsRef<Path>, classes: &ClassIndex) -> Result<Dataset> {
        truth::read(dir.as_ref(), truth.as_ref(), classes)
    }

    /// As [`truth`](Self::truth), from the file's bytes; `origin` is what they are called in messages.
    ///
    /// # Errors
    /// [`Error::Dataset`] as there.
    pub fn parse_truth(dir: impl AsRef<Path>, bytes: &[u8], origin: &str, classes: &ClassIndex) -> Result<Dataset> {
        truth::read_bytes(dir.as_ref(), bytes, Path::new(origin), classes)
    }

    /// At most `count` of the pictures, evenly spread over all, so that every class keeps its share.
    pub fn limited(mut self, count: usize) -> Dataset {
        let all = self.samples.len();
        if count < all {
            let chosen = |i: usize| (i as u128 * all as u128 / count as u128) as usize;
            self.samples = (0..count).filter_map(|i| self.samples.get(chosen(i)).cloned()).collect();
        }
        self
    }

    /// The pictures.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// How they were assigned to classes.
    pub fn mapping(&self) -> Mapping {
        self.mapping
    }

    /// What was passed over and might be worth saying.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// An [`Error::Dataset`].
fn fault(path: &Path, reason: impl Into<String>) -> Error {
    Error::Dataset { path: path.to_owned(), reason: reason.into() }
}

/// `1 file`, `2 files`.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The first few of a list, in words.
fn some<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 5;
    let more = names.len().saturating_sub(SHOWN);
    // Names come from the disk: no control characters to the terminal.
    let shown: Vec<String> = names.take(SHOWN).map(|name| format!("{name:?}")).collect();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_spreads_over_the_whole_set() {
        let samples = |n: usize| (0..n).map(|class| Sample { path: format!("{class}").into(), class }).collect();
        let set = |n| Dataset { samples: samples(n), mapping: Mapping::Truth, notes: Vec::new() };
        let classes = |set: Dataset| set.samples().iter().map(|s| s.class).collect::<Vec<_>>();
        assert_eq!(classes(set(10).limited(4)), [0, 2, 5, 7]);
        assert_eq!(classes(set(3).limited(1)), [0]);
        assert_eq!(classes(set(3).limited(3)), [0, 1, 2]);
        assert_eq!(classes(set(3).limited(usize::MAX)), [0, 1, 2]);
        assert_eq!(classes(set(3).limited(0)), [0; 0]);
    }
}
