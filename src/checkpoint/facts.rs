//! What is known of a file besides the network in it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::Naming;
use super::weights::Format;

/// What a file is and what stood around the weights in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// The format of the file.
    pub container: Container,
    /// What is in it.
    pub contents: Contents,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of the whole file, in lower-case hexadecimals; empty where [`Model::from_model_file`] read it, which
    /// hashes nothing.
    ///
    /// [`Model::from_model_file`]: crate::Model::from_model_file
    pub sha256: String,
    /// Number formats of the weights that were taken, before they became f32.
    pub formats: BTreeMap<Format, Count>,
    /// Whether there is an exponential moving average of the weights.
    pub average: Average,
    /// What stood in front of every tensor's name and was taken off (`module.`); often nothing.
    pub prefix: String,
    /// Whose names the tensors have; `None` for a model file, whose graph says which is which.
    pub naming: Option<Naming>,
    /// How names became official ones.
    pub renamings: Vec<Renaming>,
}

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Container {
    /// A safetensors file.
    Safetensors,
    /// A zip archive of PyTorch 1.6 or later.
    TorchZip,
    /// The format of `torch.save` before that: pickles, then storages.
    TorchLegacy,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Container::Safetensors => "safetensors",
            Container::TorchZip => "PyTorch zip archive",
            Container::TorchLegacy => "PyTorch legacy pickle",
        })
    }
}

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contents {
    /// Named tensors: a state dict.
    StateDict,
    /// A whole pickled module, whose weights were found among its attributes.
    Module,
    /// A TorchScript module.
    TorchScript,
    /// This project's own [model file](super::model_file): tensors, graph, preprocessing, labels.
    ModelFile,
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Contents::StateDict => "state dict",
            Contents::Module => "pickled module",
            Contents::TorchScript => "TorchScript module",
            Contents::ModelFile => "foveate model file",
        })
    }
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Tensors.
    pub tensors: u64,
    /// Numbers in them.
    pub values: u64,
}

/// Whether a file has an exponential moving average of its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Average {
    /// It has none.
    Absent,
    /// It has one beside the weights that were taken.
    Beside,
    /// It is what was taken, because it was asked for or because there is nothing else.
    Taken,
}

/// One rule by which names of tensors became official ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Renaming {
    /// The part of the name in the file, such as `.conv_kxk.`; `{s}` stands for a number.
    pub from: String,
    /// What the official implementation has there.
    pub to: String,
    /// How many tensors it was applied to. Several rules may apply to one.
    pub tensors: u64,
}

/// Something in a file that inference has no use for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// Name of the tensor or the entry.
    pub name: String,
    /// Why it was left out.
    pub why: Why,
}

impl Ignored {
    /// All of these names, for one reason.
    pub(super) fn all(names: impl IntoIterator<Item = String>, why: Why) -> impl Iterator<Item = Ignored> {
        names.into_iter().map(move |name| Ignored { name, why })
    }
}

/// Why something was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// `num_batches_tracked` of a batch norm, which only training reads.
    StepCounter,
    /// A tensor whose numbers are none of f32, f16, bf16, f64: integers, quantised numbers.
    NumberFormat,
    /// An entry among the tensors that is none.
    NoTensor,
    /// An entry of what a training script wraps around the weights: epoch, optimizer.
    Wrapper,
    /// The other copy of the weights, where the file has them plain and averaged.
    OtherCopy,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::StepCounter => "step counters of batch norms",
            Why::NumberFormat => "tensors without floating-point numbers",
            Why::NoTensor => "entries that are no tensors",
            Why::Wrapper => "entries around the weights",
            Why::OtherCopy => "tensors of the other copy of the weights",
        })
    }
}
