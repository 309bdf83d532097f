//! From a file to a network: checkpoints of the official implementations and of timm, in training
//! form or fused, as safetensors or as files of PyTorch, and the project's own model files.

mod detect;
mod diagnose;
mod duplicates;
mod facts;
mod file;
pub mod model_file;
mod names;
mod options;
mod safetensors;
mod source;
mod torch;
mod weights;

pub use facts::{Average, Container, Contents, Count, FileFacts, Ignored, Renaming, Why};
pub use file::Checkpoint;
pub use names::Naming;
pub use options::LoadOptions;
pub use weights::Format;

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::models::{Architecture, Form};
use crate::preprocess::Preprocess;
use crate::quant::Quantization;
use crate::tensor::Tensor;
use detect::{Detected, Kind, Tensors};
use source::CheckpointSource;

/// Metadata entries that may name the architecture of a checkpoint.
const ARCHITECTURE_KEYS: [&str; 2] = ["foveate.arch", "architecture"];

/// Largest checkpoint that is read, in bytes: far beyond any network of these families.
pub const MAX_BYTES: u64 = 8 << 30;

/// A network with its weights, and all that is known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedModel {
    /// The network.
    pub graph: Graph,
    /// Name of the variant, or a description of a custom network.
    pub architecture: String,
    /// Form that the graph has.
    pub form: Form,
    /// Scales of its weights and values, if it is quantised. Then `graph` is fused.
    pub quantization: Option<Quantization>,
    /// How pictures are prepared.
    pub preprocess: Preprocess,
    /// Class names, where they are known.
    pub labels: Option<Vec<String>>,
    /// SHA-256 of the checkpoint that the weights come from, in lower-case hexadecimals.
    pub source_sha256: String,
    /// What is known of the file; `None` for a network that comes from none.
    pub file: Option<FileFacts>,
    /// Tensors that were given their official names: (name in the file without
    /// [`FileFacts::prefix`], official name).
    pub renamed: Vec<(String, String)>,
    /// Tensors, and entries of wrappers around them, that inference has no use for.
    pub ignored: Vec<Ignored>,
    /// What was assumed and might be worth saying.
    pub notes: Vec<String>,
}

/// Loads a checkpoint or a model file from memory. `origin` names it in messages. `options` may be
/// the name of a variant or `None`; see [`LoadOptions`].
///
/// # Errors
/// [`Error::Checkpoint`] for damaged files, [`Error::Weights`] if the tensors are not those of the
/// architecture or of any, [`Error::UnknownModel`] for an unknown architecture.
pub fn load(bytes: &[u8], origin: &str, options: impl Into<LoadOptions>) -> Result<LoadedModel> {
    let LoadOptions { arch, use_ema, preprocess } = options.into();
    let named = arch.as_deref().map(Architecture::named).transpose()?;
    let mut checkpoint = Checkpoint::read_ema(bytes, origin, use_ema)?;
    if checkpoint.facts.contents == Contents::ModelFile {
        let model = model_file::from_checkpoint(checkpoint, origin, named.as_ref().map(|named| named.name.as_str()))?;
        return with_preprocess(model, preprocess, origin);
    }
    let mut facts = checkpoint.facts.clone();
    facts.prefix += &names::unwrap(&mut checkpoint.tensors);
    let kind = detect::kind(&checkpoint.tensors).ok_or_else(|| unknown_family(&checkpoint, origin))?;
    let (tensors, renamed) = rename(std::mem::take(&mut checkpoint.tensors), kind, origin)?;
    let named = match named {
        Some(named) => Some(named),
        None => ARCHITECTURE_KEYS.iter().find_map(|key| Architecture::named(checkpoint.metadata.get(*key)?).ok()),
    };
    facts.naming = Some(kind.naming);
    facts.renamings = names::renamings(kind.family, kind.naming, renamed.values().map(String::as_str));
    let original = |name: &str| original_name(&renamed, kind, name);
    let view = Tensors { tensors: &tensors, model: origin.to_owned(), original: &original };
    let Detected { mut architecture, notes } = match named {
        Some(named) => Detected { architecture: detect::adopt(named, &view, kind)?, notes: Vec::new() },
        None => detect::detect(&view, kind)?,
    };
    if let Some(preprocess) = preprocess {
        architecture = architecture.with_preprocess(preprocess)?;
    }
    let mut source = CheckpointSource::new(tensors, format!("{origin} as {}", architecture.name));
    let built = architecture.build(kind.form, &mut source);
    // Faults of the tensors come first: they are why a graph cannot be built.
    source.finish(built.is_ok(), original)?;
    Ok(LoadedModel {
        graph: built?,
        architecture: architecture.name,
        form: kind.form,
        quantization: None,
        preprocess: architecture.preprocess,
        labels: architecture.labels,
        source_sha256: facts.sha256.clone(),
        file: Some(facts),
        renamed: renamed.into_iter().map(|(official, original)| (original, official)).collect(),
        ignored: checkpoint.dropped,
        notes: [checkpoint.notes, notes].concat(),
    })
}

/// Loads a checkpoint or a model file; see [`load`].
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, and those of [`load`].
#[cfg(not(target_arch = "wasm32"))]
pub fn load_file(path: impl AsRef<std::path::Path>, options: impl Into<LoadOptions>) -> Result<LoadedModel> {
    let path = path.as_ref();
    let bytes = crate::files::open("cannot read", path, MAX_BYTES)?;
    load(&bytes, &path.display().to_string(), options)
}

/// A model file's network with other preprocessing. Its graph is made, so the input size must stay.
fn with_preprocess(model: LoadedModel, preprocess: Option<Preprocess>, origin: &str) -> Result<LoadedModel> {
    let Some(preprocess) = preprocess else { return Ok(model) };
    preprocess.validate()?;
    let (input, [rows, columns]) = (model.graph.input_shape(), preprocess.crop);
    if [input.height, input.width] != preprocess.crop.map(|side| side as usize) {
        let reason = format!("is a model file for an input of {input}, which cannot be made {rows}×{columns} pixels");
        return Err(Error::Checkpoint { origin: origin.to_owned(), reason });
    }
    Ok(LoadedModel { preprocess, ..model })
}

/// Gives tensors their official names. Returns also which were renamed: official → original.
fn rename(
    tensors: BTreeMap<String, Tensor>,
    kind: Kind,
    origin: &str,
) -> Result<(BTreeMap<String, Tensor>, BTreeMap<String, String>)> {
    let (mut official, mut renamed) = (BTreeMap::new(), BTreeMap::new());
    for (original, tensor) in tensors {
        let name = names::official(kind.family, kind.naming, &original);
        if official.insert(name.clone(), tensor).is_some() {
            let reason = format!("two tensors mean {name:?}; one of them is {original:?}");
            return Err(Error::Weights { model: origin.to_owned(), reason });
        }
        if name != original {
            renamed.insert(name, original);
        }
    }
    Ok((official, renamed))
}

fn original_name(renamed: &BTreeMap<String, String>, kind: Kind, official: &str) -> String {
    match renamed.get(official) {
        Some(original) => original.clone(),
        None => names::original(kind.family, kind.naming, official),
    }
}

fn unknown_family(checkpoint: &Checkpoint, origin: &str) -> Error {
    let first: Vec<&str> = checkpoint.tensors.keys().take(4).map(String::as_str).collect();
    let reason = format!(
        "its tensors ({} and so on, {} in all) are not those of RepVGG, QARepVGG, MobileOne or RepNeXt",
        first.join(", "),
        checkpoint.tensors.len()
    );
    Error::Weights { model: origin.to_owned(), reason }
}
