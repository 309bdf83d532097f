//! Files of PyTorch: zip archives (`.pth`, `.pt`, `.pth.tar`), legacy pickles, TorchScript archives,
//! state dicts and whole modules in whatever a training script wraps them in.
//!
//! Pickles are programs. Ours are read by a machine that builds containers, numbers, strings and
//! descriptions of tensors, and puts an inert stub where anything else would be; see [`pickle`].

mod archive;
mod legacy;
mod modules;
mod pickle;
mod storages;
mod tensors;
mod wrappers;
mod zip;

use std::collections::BTreeMap;

use super::facts::{Contents, Ignored, Why};
use super::weights::Format;
use crate::tensor::Tensor;
use pickle::{Fallible, Pickle};
use storages::Storages;
use tensors::Tensors;

/// Text of a file as messages show it: short, and without control characters.
fn shown(text: &str) -> String {
    const LENGTH: usize = 100;
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(LENGTH).flat_map(char::escape_debug).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    format!("\"{start}{more}\"")
}

/// A file as far as its pickle.
struct File<'a> {
    pickle: Pickle<'a>,
    storages: Storages<'a>,
}

/// What is of use in a file, and what was left out.
pub(super) struct Read {
    pub tensors: BTreeMap<String, Tensor>,
    /// What their numbers were in the file.
    pub formats: BTreeMap<String, Format>,
    pub contents: Contents,
    /// Whether the tensors are an exponential moving average that was kept apart from others.
    pub ema: bool,
    /// Whether there is such an average that was not taken.
    pub ema_left: bool,
    /// Tensors and entries that were left out.
    pub dropped: Vec<Ignored>,
    pub notes: Vec<String>,
}

/// Which kind of file the first bytes promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Archive,
    Legacy,
}

/// Whether a file is one of PyTorch or a pickle, by its first bytes.
pub(super) fn kind(bytes: &[u8]) -> Option<Kind> {
    match bytes {
        // The length of a safetensors header may be these very bytes; only the brace tells.
        [_, _, _, _, _, _, _, _, b'{', ..] => None,
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Kind::Archive),
        [0x80, 2..=5, ..] => Some(Kind::Legacy),
        _ => None,
    }
}

/// Reads a file. With `use_ema`, the exponential moving average is taken if there is one.
///
/// # Errors
/// What is wrong, to follow the file's name.
pub(super) fn read(bytes: &[u8], kind: Kind, use_ema: bool) -> Fallible<Read> {
    let File { pickle, storages } = match kind {
        Kind::Archive => archive::read(bytes)?,
        Kind::Legacy => legacy::read(bytes)?,
    };
    let found = wrappers::find(&pickle.heap, pickle.root, use_ema)?;
    let collected = modules::collect(&pickle.heap, &found)?;
    let mut reader = Tensors::new(&pickle.heap, storages, bytes.len());
    let (mut tensors, mut formats) = (BTreeMap::new(), BTreeMap::new());
    let wrapper = Ignored::all(found.ignored, Why::Wrapper);
    let mut dropped: Vec<Ignored> = Ignored::all(collected.ignored, Why::NoTensor).chain(wrapper).collect();
    for (name, tensor) in collected.tensors {
        if name.ends_with("num_batches_tracked") {
            dropped.push(Ignored { name, why: Why::StepCounter });
            continue;
        }
        match reader.read(&tensor).map_err(|reason| format!("tensor {name:?} {reason}"))? {
            Some((tensor, _)) if tensors.contains_key(&name) => {
                return Err(format!("holds two tensors {name:?} (shape {:?})", tensor.shape()));
            }
            Some((tensor, format)) => {
                formats.insert(name.clone(), format);
                tensors.insert(name, tensor);
            }
            None => dropped.push(Ignored { name, why: Why::NumberFormat }),
        }
    }
    let note = if found.ema && !use_ema {
        Some(super::file::AVERAGE_ALONE)
    } else if found.ema_left {
        Some(super::file::AVERAGE_LEFT)
    } else {
        None
    };
    let contents = match found.is_module {
        true if wrappers::is_script(&pickle.heap, found.weights) => Contents::TorchScript,
        true => Contents::Module,
        false => Contents::StateDict,
    };
    let notes = note.map(str::to_owned).into_iter().collect();
    Ok(Read { tensors, formats, contents, ema: found.ema, ema_left: found.ema_left, dropped, notes })
}
