//! Architectures: a builder per family, and the named variants.
//!
//! A builder makes the graph of a network in training form, every branch its own nodes, or in
//! fused form, as the official implementations leave it. Names of nodes and parameters are those
//! of the official state dicts; weights come from a [`ParamSource`]. Nothing is fused here: that
//! is for the passes, which work on any graph.

mod layers;
pub mod mobileone;
mod recipes;
mod registry;
pub mod repnext;
pub mod repvgg;
mod source;

pub use mobileone::MobileOne;
pub use registry::names;
pub(crate) use registry::{all, distance, nearest};
pub use repnext::RepNext;
pub use repvgg::RepVgg;
pub use source::{ParamSource, Random, Role, Zeros};

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::graph::{Graph, Shape};
use crate::preprocess::Preprocess;

/// A family of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// RepVGG and QARepVGG.
    RepVgg,
    /// MobileOne.
    MobileOne,
    /// RepNeXt.
    RepNext,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::RepVgg => "RepVGG",
            Family::MobileOne => "MobileOne",
            Family::RepNext => "RepNeXt",
        })
    }
}

/// The two forms of a reparameterised network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Every branch by itself, as trained.
    Train,
    /// Branches folded into one convolution each.
    Fused,
}

/// Depths, widths, strides and what else makes a network of its family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Config {
    /// See [`RepVgg`].
    RepVgg(RepVgg),
    /// See [`MobileOne`].
    MobileOne(MobileOne),
    /// See [`RepNext`].
    RepNext(RepNext),
}

impl Config {
    /// The family.
    pub fn family(&self) -> Family {
        match self {
            Config::RepVgg(_) => Family::RepVgg,
            Config::MobileOne(_) => Family::MobileOne,
            Config::RepNext(_) => Family::RepNext,
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        match self {
            Config::RepVgg(config) => config.classes,
            Config::MobileOne(config) => config.classes,
            Config::RepNext(config) => config.classes,
        }
    }

    fn classes_mut(&mut self) -> &mut usize {
        match self {
            Config::RepVgg(config) => &mut config.classes,
            Config::MobileOne(config) => &mut config.classes,
            Config::RepNext(config) => &mut config.classes,
        }
    }
}

/// A network without its weights, and how pictures are prepared for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Name of the variant, or a description of a custom one.
    pub name: String,
    /// Structure.
    pub config: Config,
    /// Shape of one input sample.
    pub input: Shape,
    /// Preprocessing.
    pub preprocess: Preprocess,
    /// Class names, where they are known.
    pub labels: Option<Vec<String>>,
}

impl Architecture {
    /// The variant of that name (see [`names`]); case does not matter.
    ///
    /// # Errors
    /// [`Error::UnknownModel`](crate::Error::UnknownModel) with the nearest names.
    pub fn named(name: &str) -> Result<Self> {
        registry::find(name)
    }

    /// The same for another number of classes. Class names are dropped if the number changes.
    pub fn with_classes(mut self, classes: usize) -> Self {
        if classes != self.config.classes() {
            *self.config.classes_mut() = classes;
            self.labels = None;
        }
        self
    }

    /// The same with other preprocessing, whose crop becomes the size of the input.
    ///
    /// # Errors
    /// Those of [`Preprocess::validate`].
    pub fn with_preprocess(mut self, preprocess: Preprocess) -> Result<Self> {
        preprocess.validate()?;
        let [height, width] = preprocess.crop.map(|side| side as usize);
        self.input = Shape::new(self.input.channels, height, width);
        self.preprocess = preprocess;
        Ok(self)
    }

    /// The network's graph. Stage outputs are tapped as `stage0` (the stem) to `stage4`; for
    /// RepNeXt, `stage1` is the official `stages.0`.
    ///
    /// # Errors
    /// Those of the source, and [`Error::Graph`](crate::Error::Graph) if the configuration makes
    /// no network.
    pub fn build(&self, form: Form, source: &mut dyn ParamSource) -> Result<Graph> {
        match &self.config {
            Config::RepVgg(config) => config.build(self, form, source),
            Config::MobileOne(config) => config.build(self, form, source),
            Config::RepNext(config) => config.build(self, form, source),
        }
    }
}

/// A named network in training form with seeded random weights. Running statistics are 0 and 1:
/// a forward pass has to settle them.
///
/// # Errors
/// [`Error::UnknownModel`](crate::Error::UnknownModel) with the nearest names.
pub fn random(name: &str, seed: u64) -> Result<Graph> {
    Architecture::named(name)?.build(Form::Train, &mut Random::new(seed))
}
