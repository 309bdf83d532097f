//! Label files: one class per line.

use std::path::Path;

use foveate::{Error, Result};

/// Longest label file that is believed; ImageNet-21k's is under 1 MB.
const MAX_BYTES: u64 = 16 << 20;

/// Reads a label file; empty lines at the end do not count.
pub fn read(path: &Path) -> Result<Vec<String>> {
    let bytes = std::fs::metadata(path).map_err(|e| Error::io("cannot read labels", path, e))?.len();
    if bytes > MAX_BYTES {
        return Err(Error::argument(format!(
            "{}: {bytes} bytes is no label file; one class per line is wanted",
            path.display()
        )));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io("cannot read labels", path, e))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::argument(format!("{}: not a text file; one class per line in UTF-8 is wanted", path.display()))
    })?;
    Ok(text.trim_end().lines().map(|line| line.trim().to_owned()).collect())
}
