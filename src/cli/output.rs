//! Output files: looked at before any work is done for them.

use std::path::Path;

use foveate::checkpoint::model_file;
use foveate::{Error, Result};

/// Refuses a file that is there already, unless `force` is set, and one that could not be written.
pub fn check(path: &Path, force: bool) -> Result<()> {
    if path.exists() && !force {
        let reason = format!("{} is there already; --force overwrites it", path.display());
        return Err(Error::argument(reason));
    }
    model_file::check_writable(path)
}
