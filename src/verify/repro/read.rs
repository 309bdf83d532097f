//! Reading a layer's file, which may be anybody's.

use safetensors::{Dtype, SafeTensors};

use super::{About, Bound, KEY, Memory, Repro, SCHEMA_VERSION, Stage};
use crate::error::{Error, Result};
use crate::kernels::{Access, Element, Storage, TEXTURE_WIDTH};

/// Bytes of a file.
pub const MAX_BYTES: u64 = 1 << 30;
/// Dispatches, memories, bindings of a dispatch.
pub(super) const MAX_STEPS: usize = 8;
pub(super) const MAX_MEMORIES: usize = 32;
pub(super) const MAX_BINDINGS: usize = 16;
/// Bytes of a shader.
const MAX_SHADER: usize = 1 << 20;
/// Workgroups of a dispatch: more than any layer takes.
const MAX_GROUPS: u64 = 1 << 24;
/// Bytes that are allocated and not in the file, for each that is: Winograd's transformed values take four times the
/// memory of what they are made of.
const MAX_GROWTH: u64 = 16;

/// What every version's description has: looked at by itself, for another version's may have other fields.
#[derive(serde::Deserialize)]
struct Head {
    schema_version: Option<u64>,
}

impl Repro {
    /// Reads what [`to_bytes`](Self::to_bytes) wrote; `origin` names the file in messages.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for anything else, and for what no layer would be: nothing is allocated, compiled or run
    /// before.
    pub fn from_bytes(bytes: &[u8], origin: &str) -> Result<Self> {
        parse(bytes).map_err(|reason| Error::Checkpoint { origin: origin.to_owned(), reason })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Also [`Error::Io`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = crate::files::open("cannot read", path, MAX_BYTES)?;
        Repro::from_bytes(&bytes, &path.display().to_string())
    }
}

fn parse(bytes: &[u8]) -> Result<Repro, String> {
    let unreadable =
        |error: safetensors::SafeTensorError| format!("no layer of `foveate verify --write-repro`: {error}");
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(unreadable)?;
    let about = metadata.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
    let about = about.ok_or_else(|| format!("a safetensors file, but no layer: its metadata has no {KEY:?}"))?;
    let head =
        serde_json::from_str::<Head>(about).map_err(|error| format!("its description cannot be read: {error}"))?;
    match head.schema_version {
        Some(version) if version == u64::from(SCHEMA_VERSION) => {}
        Some(other) => {
            return Err(format!("written by another version (schema {other}, this one reads {SCHEMA_VERSION})"));
        }
        None => return Err("its description has no schema_version".to_owned()),
    }
    let about: About = serde_json::from_str(about).map_err(|error| format!("its description: {error}"))?;
    check(&about, bytes.len() as u64)?;
    let file = SafeTensors::deserialize(bytes).map_err(unreadable)?;
    let data = |name: &str, dtype: Dtype| -> Result<Option<Vec<u8>>, String> {
        match file.tensor(name) {
            Ok(view) if view.dtype() == dtype => Ok(Some(view.data().to_vec())),
            Ok(view) => Err(format!("tensor {name:?} is {:?} instead of {dtype:?}", view.dtype())),
            Err(_) => Ok(None),
        }
    };
    let to_words = |bytes: Vec<u8>| bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let mut words: Vec<Vec<u32>> = Vec::with_capacity(about.memories.len());
    for (at, memory) in about.memories.iter().enumerate() {
        let name = format!("memory.{at}");
        let held: Vec<u32> = data(&name, Dtype::U32)?.map(to_words).unwrap_or_default();
        if held.len() as u64 * 4 > memory.bytes {
            return Err(format!("{name:?} holds {} words, more than its {} bytes", held.len(), memory.bytes));
        }
        if !(held.len() as u64 * 4).is_multiple_of(memory.format.element.bytes())
            && memory.format.storage == Storage::Texture
        {
            return Err(format!("{name:?} holds {} words, which are no whole texels", held.len()));
        }
        words.push(held);
    }
    let expected = data("expected", Dtype::F64)?.ok_or("the tensor \"expected\" is missing")?;
    let expected: Vec<f64> = expected.as_chunks::<8>().0.iter().map(|value| f64::from_le_bytes(*value)).collect();
    let found: Vec<u32> = data("found", Dtype::U32)?.map(to_words).unwrap_or_default();
    let wanted = about.memories.get(about.wanted).ok_or("its result is in no memory")?;
    let values = wanted.bytes / wanted.format.element.bytes() * 4;
    if expected.len() as u64 > values || expected.iter().all(|v| v.is_nan()) {
        return Err(format!("{} values are expected in a memory of {values}, or none of them counts", expected.len()));
    }
    // Memory that steps write may be large without being in the file, but not out of all proportion.
    let held: u64 = words.iter().map(|held| held.len() as u64 * 4).sum::<u64>() + expected.len() as u64 * 8;
    let rows = about.memories.len() as u64 * TEXTURE_WIDTH * 16;
    let all = about.memories.iter().try_fold(0u64, |all, memory| all.checked_add(memory.bytes));
    if all.is_none_or(|all| all > held.saturating_mul(MAX_GROWTH).saturating_add(rows) || all > MAX_BYTES * 2) {
        return Err("its memory is out of all proportion to what is in the file".to_owned());
    }
    Ok(Repro { about, words, expected, found })
}

fn check(about: &About, file: u64) -> Result<(), String> {
    let About { memories, steps, wanted, .. } = about;
    let count = |what: &str, count: usize, most: usize| match count {
        0 => Err(format!("it has no {what}")),
        count if count > most => Err(format!("it has {count} {what}; {most} at most are read")),
        _ => Ok(()),
    };
    count("dispatches", steps.len(), MAX_STEPS)?;
    count("memories", memories.len(), MAX_MEMORIES)?;
    if file > MAX_BYTES {
        return Err(format!("larger than {} MiB", MAX_BYTES >> 20));
    }
    memories.iter().enumerate().try_for_each(|(at, memory)| check_memory(at, memory))?;
    if *wanted >= memories.len() {
        return Err(format!("its result is memory {wanted} of {}", memories.len()));
    }
    steps.iter().enumerate().try_for_each(|(at, step)| check_step(at, step, memories))?;
    let writes = |bound: &Bound| bound.access == Access::Write && bound.memory == *wanted;
    if !steps.iter().any(|step| step.bindings.iter().any(writes)) {
        return Err("no dispatch writes its result".to_owned());
    }
    Ok(())
}

fn check_memory(at: usize, Memory { format, bytes, .. }: &Memory) -> Result<(), String> {
    let whole = match format.storage {
        Storage::Buffer => 4,
        Storage::Texture => TEXTURE_WIDTH * format.element.bytes(),
    };
    if *bytes == 0 || *bytes > MAX_BYTES || !bytes.is_multiple_of(whole) {
        return Err(format!("memory {at} has {bytes} bytes; a multiple of {whole} up to {MAX_BYTES} is expected"));
    }
    if format.storage == Storage::Texture && format.element == Element::I32 {
        return Err(format!("memory {at} is a texture of 32-bit integers, which no kernel reads"));
    }
    Ok(())
}

fn check_step(at: usize, step: &Stage, memories: &[Memory]) -> Result<(), String> {
    let groups = step.grid.iter().fold(1u64, |all, n| all.saturating_mul(u64::from(*n)));
    if step.shader.len() > MAX_SHADER || step.bindings.len() > MAX_BINDINGS || groups > MAX_GROUPS {
        return Err(format!(
            "dispatch {at} has a shader of {} bytes, {} bindings and {groups} workgroups; {MAX_SHADER}, {MAX_BINDINGS} \
             and {MAX_GROUPS} at most are run",
            step.shader.len(),
            step.bindings.len()
        ));
    }
    for (position, Bound { binding, access, memory }) in step.bindings.iter().enumerate() {
        let Some(bound) = memories.get(*memory) else {
            return Err(format!("dispatch {at} binds memory {memory} of {}", memories.len()));
        };
        let before = step.bindings.get(..position).unwrap_or_default();
        if before.iter().any(|other| {
            other.binding == *binding
                || other.memory == *memory && (*access, other.access) != (Access::Read, Access::Read)
        }) {
            return Err(format!("dispatch {at} binds {binding} twice, or reads what it writes"));
        }
        if *binding >= 64 {
            return Err(format!("dispatch {at} has a binding number {binding}"));
        }
        let element = bound.format.element;
        let storable = matches!(element, Element::F32 | Element::F16 | Element::I8);
        if *access == Access::Write && bound.format.storage == Storage::Texture && !storable {
            return Err(format!("dispatch {at} writes a texture of {}, which no device can", element.name()));
        }
    }
    Ok(())
}
