//! Published weights: where they lie, under which licence, and how pictures are prepared for them.
//!
//! The built-in list is `assets/registry.json`. What is not known (a hash that nobody published) is
//! `null` there, never a guess. Fetching files is for whoever uses this list: the command line does
//! it with `foveate pull`.

mod check;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::checkpoint::LoadOptions;
use crate::error::{Error, Result};
use crate::models::{self, Architecture, Form};
use crate::preprocess::{Filter, MAX_SIDE, Preprocess, Resize};

/// Largest file that is fetched where the list does not tell a size, in bytes.
pub const MAX_BYTES: u64 = 2 << 30;

const BUILTIN: &str = include_str!("../assets/registry.json");
const SCHEMA_VERSION: u32 = 1;
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// A file of published weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Name, as its publisher calls it, without the ending.
    pub name: String,
    /// Name of the network (see [`models::names`]).
    pub architecture: String,
    /// Whether the network's name alone means this file.
    #[serde(default)]
    pub default: bool,
    /// Form of the weights.
    pub form: Form,
    /// Name of the file on disk; unique in the list.
    pub file: String,
    /// Where it is fetched from.
    pub url: String,
    /// Size in bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// Size in millions of bytes, as the publisher's page rounds it.
    #[serde(default)]
    pub size_mb: Option<f64>,
    /// SHA-256 in lower-case hexadecimals.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Terms of use.
    pub licence: Licence,
    /// Page of the publisher that describes the weights.
    pub source: String,
    /// How pictures were prepared when the published accuracy was measured.
    pub preprocess: Recipe,
    /// Which classes it knows.
    #[serde(default)]
    pub labels: Option<LabelSet>,
    /// Published top-1 accuracy on ImageNet-1k's validation pictures, in percent.
    #[serde(default)]
    pub top1: Option<f64>,
}

/// Terms of use of published weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// Short name, an SPDX identifier where there is one.
    pub name: String,
    /// The text.
    pub url: String,
}

/// Preprocessing as publishers write it down: the shorter side is resized to
/// `⌊input / crop_ratio⌋`, then the middle `input × input` is cut out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Rows and columns of the network's input.
    pub input: u32,
    /// Input side over the resized shorter side, above 0 and at most 1.
    pub crop_ratio: f64,
    /// Interpolation of the resize.
    pub interpolation: Filter,
    /// Mean per channel, white being 1; ImageNet's if not given.
    #[serde(default = "imagenet_mean")]
    pub mean: [f32; 3],
    /// Standard deviation per channel; ImageNet's if not given.
    #[serde(default = "imagenet_std")]
    pub std: [f32; 3],
}

/// A set of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelSet {
    /// The 1,000 classes of ImageNet-1k, in the order of their synsets.
    Imagenet1k,
    /// The ten classes of CIFAR-10.
    Cifar10,
}

/// A list of published weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Registry {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema_version: u32,
    entries: Vec<Entry>,
}

fn imagenet_mean() -> [f32; 3] {
    IMAGENET_MEAN
}

fn imagenet_std() -> [f32; 3] {
    IMAGENET_STD
}

impl Recipe {
    /// The preprocessing it describes.
    ///
    /// # Errors
    /// If the ratio is not above 0 and at most 1, and those of [`Preprocess::validate`].
    pub fn preprocess(&self) -> Result<Preprocess> {
        let Recipe { input, crop_ratio, interpolation: filter, mean, std } = *self;
        if !(crop_ratio > 0.0 && crop_ratio <= 1.0) {
            return Err(Error::argument(format!("crop_ratio is {crop_ratio}; it must be above 0 and at most 1")));
        }
        // A tiny ratio saturates, and is refused with the size that it makes.
        let shorter = (f64::from(input) / crop_ratio).floor().min(f64::from(MAX_SIDE + 1)) as u32;
        let preprocess = Preprocess { resize: Resize { shorter, filter }, crop: [input; 2], mean, std };
        preprocess.validate()?;
        Ok(preprocess)
    }
}

impl Entry {
    /// Most bytes that a file of this entry may have.
    pub fn limit(&self) -> u64 {
        // Pages round to three digits; a twentieth more is still the same file.
        let rounded = self.size_mb.map(|mb| ((mb * 1.05e6) as u64).saturating_add(1_000_000));
        self.size.or(rounded).unwrap_or(MAX_BYTES).min(MAX_BYTES)
    }

    /// What to load a file of this entry with.
    ///
    /// # Errors
    /// Those of [`Recipe::preprocess`].
    pub fn options(&self) -> Result<LoadOptions> {
        let preprocess = Some(self.preprocess.preprocess()?);
        Ok(LoadOptions { arch: Some(self.architecture.clone()), preprocess, ..LoadOptions::default() })
    }

    /// The network with the input size and the preprocessing that these weights were evaluated with.
    ///
    /// # Errors
    /// Those of [`Architecture::named`] and [`Recipe::preprocess`].
    pub fn architecture(&self) -> Result<Architecture> {
        Architecture::named(&self.architecture)?.with_preprocess(self.preprocess.preprocess()?)
    }
}

impl Registry {
    /// The list that is built in.
    ///
    /// # Errors
    /// None, unless the program was built from a damaged list.
    pub fn builtin() -> Result<Registry> {
        Registry::parse(BUILTIN, "the built-in list of weights")
    }

    /// Reads a list in JSON, of the form of `assets/registry.json`. `origin` names it in messages.
    ///
    /// # Errors
    /// [`Error::Argument`] that names the entry and what is wrong with it: not JSON, names that are
    /// no plain file names or come twice, addresses that are not http, unknown networks, two
    /// defaults of one network.
    pub fn parse(json: &str, origin: &str) -> Result<Registry> {
        let fail = |reason: String| Error::argument(format!("{origin}: {reason}"));
        let Document { schema_version, entries } =
            serde_json::from_str(json).map_err(|error| fail(format!("is no list of weights: {error}")))?;
        if schema_version != SCHEMA_VERSION {
            return Err(fail(format!("schema_version is {schema_version}; this program reads {SCHEMA_VERSION}")));
        }
        let (mut names, mut files, mut defaults) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for entry in &entries {
            check::entry(entry).map_err(|reason| fail(format!("entry {:?}: {reason}", entry.name)))?;
            let twice = |what: &str, value: &str| fail(format!("{what} {value:?} comes twice"));
            // File systems that ignore case would take two such files for one.
            if !names.insert(normal(&entry.name)) {
                return Err(twice("the name", &entry.name));
            }
            if !files.insert(normal(&entry.file)) {
                return Err(twice("the file", &entry.file));
            }
            if entry.default && !defaults.insert(normal(&entry.architecture)) {
                return Err(twice("a default of", &entry.architecture));
            }
        }
        Ok(Registry { entries })
    }

    /// Both lists; where both know a name, a file or a default, this one's stands.
    pub fn over(mut self, other: Registry) -> Registry {
        for mut entry in other.entries {
            let same =
                |own: &Entry| normal(&own.name) == normal(&entry.name) || normal(&own.file) == normal(&entry.file);
            if self.entries.iter().any(same) {
                continue;
            }
            let network = normal(&entry.architecture);
            entry.default &= !self.entries.iter().any(|own| own.default && normal(&own.architecture) == network);
            self.entries.push(entry);
        }
        self
    }

    /// All entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry that a name means: an entry's own name or file, else a network's default. Case does
    /// not matter, nor whether words are joined by `-` or `_`.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        let wanted = normal(name);
        let wanted = wanted.strip_prefix("timm/").unwrap_or(&wanted);
        let named = |entry: &&Entry| normal(&entry.name) == wanted || normal(&entry.file) == wanted;
        let default = |entry: &&Entry| entry.default && normal(&entry.architecture) == wanted;
        self.entries.iter().find(named).or_else(|| self.entries.iter().find(default))
    }

    /// As [`Registry::get`].
    ///
    /// # Errors
    /// [`Error::Argument`] for a network whose weights are not published or cannot be fetched, with
    /// what to do about it; [`Error::UnknownModel`] with the nearest names for anything else.
    pub fn resolve(&self, name: &str) -> Result<&Entry> {
        if let Some(entry) = self.get(name) {
            return Ok(entry);
        }
        match Architecture::named(name) {
            Ok(network) => {
                Err(Error::argument(format!("no published weights of {}: {}", network.name, advice(&network.name))))
            }
            Err(_) if normal(name).starts_with("repvgg-") && normal(name).ends_with(".pth") => {
                Err(Error::argument(format!("{name}: {OFFICIAL_REPVGG}")))
            }
            Err(_) => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let wanted = normal(name);
        let networks: Vec<&str> = models::names().collect();
        let own = self.entries.iter().map(|entry| entry.name.as_str());
        let near = models::nearest(&wanted, own.chain(networks.iter().copied()));
        let hint = format!("nearest names: {}; `foveate pull --list` shows all", near.join(", "));
        Error::UnknownModel { name: name.into(), hint }
    }
}

const OFFICIAL_REPVGG: &str = "RepVGG's official files lie on Google Drive, which hands them to browsers only; timm \
    publishes the same weights (`foveate pull repvgg-a0`), or download the file and give its path";

/// What to do for a network that nobody published weights of.
fn advice(network: &str) -> String {
    let own = format!("train it and give the checkpoint with --model FILE, or measure with --model {network} --random");
    if network.ends_with("-cifar") {
        return format!("the built-in network is of this kind (leave --model out), or {own}");
    }
    if network.starts_with("qarepvgg-") {
        return format!("QARepVGG's authors published no classification weights; {own}");
    }
    if network.starts_with("repvgg-") {
        return format!(
            "timm publishes none of this size, and RepVGG's official files lie on Google Drive, which hands them to \
             browsers only: download the file there and give it with --model FILE, or {own}"
        );
    }
    own
}

/// A name as it is compared.
fn normal(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests;
