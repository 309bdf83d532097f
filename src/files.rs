//! Reading files that may be anything: bounded, whatever the file claims to be.

use std::fs::File;
use std::io::{Error as IoError, ErrorKind, Read};
use std::path::Path;

use crate::error::{Error, Result};

/// Reads a file of at most `limit` bytes. The limit is on what is read, not on what the file says
/// of itself: devices and pipes say zero and never end.
///
/// # Errors
/// [`Error::Io`] if it cannot be read or is larger; `action` says what was being done.
pub fn read(action: &'static str, path: &Path, limit: u64) -> Result<Vec<u8>> {
    let fail = |source: IoError| Error::io(action, path, source);
    let file = File::open(path).map_err(fail)?;
    let size = file.metadata().map_err(fail)?.len();
    let too_large = || fail(IoError::new(ErrorKind::FileTooLarge, format!("larger than {} MiB", limit >> 20)));
    if size > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ten");
        std::fs::write(&path, [7; 10]).unwrap();
        assert_eq!(read("cannot read", &path, 10).unwrap(), [7; 10]);
        let error = read("cannot read", &path, 9).unwrap_err().to_string();
        assert!(error.contains("larger than") && error.contains("ten"), "{error}");
        assert!(read("cannot read", folder.path(), 10).is_err());
        #[cfg(unix)]
        assert!(read("cannot read", Path::new("/dev/zero"), 1 << 20).is_err());
    }
}
