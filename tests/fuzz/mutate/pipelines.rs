//! Compiled pipelines: their hash is put right.

use foveate::readers;

use super::{Rng, bytes};

/// `None` if it is no such file, or where the change is to be one of any bytes.
pub fn change(file: &[u8], rng: &mut Rng) -> Option<Vec<u8>> {
    let compiled = readers::pipelines(file)?;
    (rng.below(2) == 0).then(|| readers::pipelines_file(&bytes::change(compiled, rng)))
}
