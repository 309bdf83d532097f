//! Class names: a built-in set, or a file with one class per line.

use std::io::Read;
use std::path::Path;

use foveate::{Error, Result, labels};

/// Longest label file that is believed; ImageNet-21k's is under 1 MB.
const MAX_BYTES: u64 = 16 << 20;

/// The built-in set of that name, else the lines of that file; empty lines at its end do not count.
/// A file that is called like a set wants a folder in front: `./cifar10`.
pub fn read(path: &Path) -> Result<Vec<String>> {
    if let Some(set) = path.to_str().and_then(labels::named) {
        return Ok(set);
    }
    let file = std::fs::File::open(path).map_err(|e| Error::io("cannot read labels", path, e))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| Error::io("cannot read labels", path, e))?;
    if bytes.len() as u64 > MAX_BYTES {
        let reason = "larger than 16 MiB, so no label file; one class per line is wanted";
        return Err(Error::argument(format!("{}: {reason}", path.display())));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::argument(format!("{}: not a text file; one class per line in UTF-8 is wanted", path.display()))
    })?;
    // Some editors put a byte order mark in front.
    Ok(text.trim_start_matches('\u{feff}').trim_end().lines().map(|line| line.trim().to_owned()).collect())
}
