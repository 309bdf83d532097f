//! Calibration pictures from disk.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::calibration::{CalibrationSet, check_size, hex};
use crate::dataset;
use crate::error::{Error, Result};
use crate::eval::Unreadable;
use crate::graph::Shape;
use crate::picture::{MAX_BYTES, Picture};
use crate::preprocess::Preprocess;

impl CalibrationSet {
    /// The pictures under `dir`, folders in folders included, at most `limit` of them, evenly spread
    /// over all in the order of their names. `done` is called after each, with why it could not be
    /// read if so; those are left out, and others do not take their place.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Dataset`] if there is no such folder, there are no pictures in it, or
    /// none can be read; [`Error::Argument`] if they would not fit in memory.
    pub fn folder(
        dir: impl AsRef<Path>,
        preprocess: &Preprocess,
        limit: usize,
        done: &mut dyn FnMut(Option<Unreadable>),
    ) -> Result<Self> {
        let dir = dir.as_ref();
        let paths = chosen(dataset::pictures(dir)?, limit);
        let [rows, columns] = preprocess.crop.map(|side| side as usize);
        check_size(Shape::new(3, rows, columns), paths.len())?;
        let (mut inputs, mut hash) = (Vec::with_capacity(paths.len()), Sha256::new());
        let count = paths.len();
        for path in paths {
            let read = || -> Result<_> {
                let bytes = crate::files::read("cannot read", &path, MAX_BYTES)?;
                let picture = Picture::decode(&bytes, &path.display().to_string())?;
                Ok((preprocess.apply(&picture)?, Sha256::digest(&bytes[..])))
            };
            match read() {
                Ok((input, digest)) => {
                    hash.update(digest);
                    inputs.push(input);
                    done(None);
                }
                Err(error) => done(Some(Unreadable { path, error })),
            }
        }
        if inputs.is_empty() {
            let reason = format!("none of its {count} pictures can be read, so there is nothing to calibrate with");
            return Err(Error::Dataset { path: dir.to_owned(), reason });
        }
        CalibrationSet::hashed(inputs, hex(&hash.finalize()))
    }
}

/// Up to `limit` of all pictures, evenly spread.
fn chosen(all: Vec<PathBuf>, limit: usize) -> Vec<PathBuf> {
    if limit >= all.len() {
        return all;
    }
    let index = |i: usize| (i as u128 * all.len() as u128 / limit as u128) as usize;
    (0..limit).filter_map(|i| all.get(index(i)).cloned()).collect()
}

/// How many pictures [`CalibrationSet::folder`] will read.
///
/// # Errors
/// As there, for the folder.
pub fn count_pictures(dir: impl AsRef<Path>, limit: usize) -> Result<usize> {
    Ok(dataset::count_pictures(dir.as_ref())?.min(limit))
}
