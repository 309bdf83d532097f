//! A checkpoint file of any kind as named tensors.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{names, safetensors, torch};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// The named tensors of a file, all as f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// The file's metadata, text by name.
    pub metadata: BTreeMap<String, String>,
    /// SHA-256 of the whole file, in lower-case hexadecimals.
    pub sha256: String,
    /// What inference has no use for and was left out: batch norms' step counters, integers,
    /// optimizers, epochs.
    pub dropped: Vec<String>,
    /// What had to be chosen and might be worth saying.
    pub notes: Vec<String>,
}

impl Checkpoint {
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
        let mut averaged = false;
        let mut checkpoint = match torch::kind(bytes) {
            Some(kind) => {
                let torch::Contents { tensors, ema, dropped, notes } =
                    torch::read(bytes, kind, use_ema).map_err(fail)?;
                averaged = ema;
                Checkpoint { tensors, metadata: BTreeMap::new(), sha256: sha256(bytes), dropped, notes }
            }
            None => {
                let safetensors::Contents { tensors, metadata, dropped } = safetensors::read(bytes).map_err(fail)?;
                Checkpoint { tensors, metadata, sha256: sha256(bytes), dropped, notes: Vec::new() }
            }
        };
        if checkpoint.tensors.is_empty() {
            return Err(fail("holds no tensors".into()));
        }
        if !averaged {
            let left = names::choose_average(&mut checkpoint.tensors, use_ema);
            let left = left.ok_or_else(|| fail("holds no exponential moving average; leave out --use-ema".into()))?;
            if !left.is_empty() && !use_ema {
                let note = "holds an exponential moving average of the weights too; --use-ema takes that";
                checkpoint.notes.push(note.to_owned());
            }
            checkpoint.dropped.extend(left);
        }
        Ok(checkpoint)
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
