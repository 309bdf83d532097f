//! A checkpoint file of any kind as named tensors.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::facts::{Average, Container, Contents, FileFacts, Ignored, Why};
use super::names::{self, Chosen};
use super::weights::Format;
use super::{model_file, safetensors, torch};
use crate::error::{Error, Result};
use crate::kind::Kind;
use crate::tensor::Tensor;

/// The named tensors of a file, all as f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// The file's metadata, text by name.
    pub metadata: BTreeMap<String, String>,
    /// What is known of the file itself.
    pub facts: FileFacts,
    /// What inference has no use for and was left out: batch norms' step counters, integers,
    /// optimizers, epochs.
    pub dropped: Vec<Ignored>,
    /// What had to be chosen and might be worth saying.
    pub notes: Vec<String>,
}

impl Checkpoint {
    /// Reads a file of safetensors as [`Checkpoint::read`] does, of which nothing has to be chosen, without its hash:
    /// in WebAssembly that would take longer than all the rest.
    pub(super) fn safetensors(bytes: &[u8], origin: &str) -> Result<Self> {
        let read = safetensors_checkpoint(bytes, String::new());
        read.map(|(checkpoint, _)| checkpoint).map_err(|reason| Error::Checkpoint { origin: origin.to_owned(), reason })
    }

    /// Reads a checkpoint from memory: safetensors, or any file of PyTorch (zip archive, legacy
    /// pickle, TorchScript), told by its first bytes. `origin` names it in messages. Takes no more
    /// memory than a few times the file.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the file is damaged or truncated, or holds weights of a dtype other
    /// than f32, f16, bf16 and f64, an empty tensor, or a value that is not finite.
    pub fn read(bytes: &[u8], origin: &str) -> Result<Self> {
        Self::read_ema(bytes, origin, false)
    }

    /// Reads a checkpoint as [`Checkpoint::read`] does. With `use_ema`, takes the exponential moving
    /// average of the weights that training scripts keep beside them.
    ///
    /// # Errors
    /// Also if `use_ema` and there is none.
    pub fn read_ema(bytes: &[u8], origin: &str, use_ema: bool) -> Result<Self> {
        let fail = |reason: String| Error::Checkpoint { origin: origin.to_owned(), reason };
        let (mut checkpoint, formats) = match torch::kind(bytes) {
            Some(kind) => torch_checkpoint(bytes, kind, use_ema),
            // What a file is instead counts for more than where it stops being what it should be.
            None => safetensors_checkpoint(bytes, sha256(bytes))
                .map_err(|reason| Kind::of(bytes).and_then(Kind::no_checkpoint).unwrap_or(reason)),
        }
        .map_err(fail)?;
        if checkpoint.tensors.is_empty() {
            return Err(fail("holds no tensors".into()));
        }
        let mut counted: BTreeMap<String, (Format, usize)> = formats
            .into_iter()
            .filter_map(|(name, format)| {
                Some((format, checkpoint.tensors.get(&name)?.len())).map(|value| (name, value))
            })
            .collect();
        if checkpoint.facts.average != Average::Taken {
            let chosen = names::choose_average(&mut checkpoint.tensors, use_ema);
            let Chosen { averaged, prefix, left } =
                chosen.ok_or_else(|| fail("holds no exponential moving average; leave out --use-ema".into()))?;
            if averaged {
                checkpoint.facts.average = Average::Taken;
                checkpoint.notes.extend((!use_ema).then(|| AVERAGE_ALONE.to_owned()));
            } else if !left.is_empty() {
                checkpoint.facts.average = Average::Beside;
                checkpoint.notes.push(AVERAGE_LEFT.to_owned());
            }
            for name in &left {
                counted.remove(name);
            }
            checkpoint.facts.prefix = prefix;
            checkpoint.dropped.extend(Ignored::all(left, Why::OtherCopy));
        }
        for (format, values) in counted.into_values() {
            let count = checkpoint.facts.formats.entry(format).or_default();
            count.tensors += 1;
            count.values += values as u64;
        }
        Ok(checkpoint)
    }
}

/// Said where there was a choice.
pub(super) const AVERAGE_LEFT: &str = "holds an exponential moving average of the weights too; --use-ema takes that";

/// Said where there was none.
pub(super) const AVERAGE_ALONE: &str = "holds no weights but an exponential moving average, which is taken";

/// A checkpoint, and what its numbers were in the file.
type Read = (Checkpoint, BTreeMap<String, Format>);

fn torch_checkpoint(bytes: &[u8], kind: torch::Kind, use_ema: bool) -> Result<Read, String> {
    let torch::Read { tensors, formats, contents, ema, ema_left, dropped, notes } = torch::read(bytes, kind, use_ema)?;
    let container = match kind {
        torch::Kind::Archive => Container::TorchZip,
        torch::Kind::Legacy => Container::TorchLegacy,
    };
    let average = match (ema, ema_left) {
        (true, _) => Average::Taken,
        (false, true) => Average::Beside,
        (false, false) => Average::Absent,
    };
    let facts = FileFacts { average, ..facts(bytes, sha256(bytes), container, contents) };
    Ok((Checkpoint { tensors, metadata: BTreeMap::new(), facts, dropped, notes }, formats))
}

fn safetensors_checkpoint(bytes: &[u8], sha256: String) -> Result<Read, String> {
    let safetensors::Read { tensors, formats, metadata, dropped } = safetensors::read(bytes)?;
    let contents = if model_file::is_model_file(&metadata) { Contents::ModelFile } else { Contents::StateDict };
    let facts = facts(bytes, sha256, Container::Safetensors, contents);
    Ok((Checkpoint { tensors, metadata, facts, dropped, notes: Vec::new() }, formats))
}

/// The facts that the bytes tell by themselves.
fn facts(bytes: &[u8], sha256: String, container: Container, contents: Contents) -> FileFacts {
    FileFacts {
        container,
        contents,
        bytes: bytes.len() as u64,
        sha256,
        formats: BTreeMap::new(),
        average: Average::Absent,
        prefix: String::new(),
        naming: None,
        renamings: Vec::new(),
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
