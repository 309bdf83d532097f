//! Reading files that may be anything: bounded, whatever the file claims to be. Writing them whole.

mod part;
mod write;

use std::fs::File;
use std::io::{Error as IoError, ErrorKind, Read};
use std::path::Path;

use memmap2::Mmap;

use crate::error::{Error, Result};

pub use write::{check_writable, write};

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

/// The bytes of a file: mapped where that can be, so that they need not be copied to memory.
pub enum Bytes {
    /// A regular file, its pages read when they are looked at.
    Mapped(Mmap),
    /// What could not be mapped.
    Read(Vec<u8>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(bytes) => bytes,
            Bytes::Read(bytes) => bytes,
        }
    }
}

/// Opens a file of at most `limit` bytes for reading once; see [`read`].
///
/// # Errors
/// Those of [`read`].
pub fn open(action: &'static str, path: &Path, limit: u64) -> Result<Bytes> {
    let mapped = File::open(path).and_then(|file| {
        let about = file.metadata()?;
        refuse_device(&about)?;
        if !about.is_file() || about.len() == 0 || about.len() > limit {
            return Ok(None);
        }
        // SAFETY: nobody may change the file while it is mapped. That is out of our hands, as for
        // every program that maps files; it is kept short (a checkpoint's loading) and read-only,
        // and what this program writes replaces files by renaming, which leaves a mapped one as it
        // was, or on Windows is refused.
        unsafe { Mmap::map(&file) }.map(Some)
    });
    match mapped {
        Ok(Some(bytes)) => Ok(Bytes::Mapped(bytes)),
        Err(error) if error.kind() == ErrorKind::Unsupported => Err(Error::io(action, path, error)),
        // Not a regular file, or one that cannot be mapped: reading says what is wrong, if anything.
        Ok(None) | Err(_) => read(action, path, limit).map(Bytes::Read),
    }
}

/// Devices such as `/dev/zero` never end; what is opened may be large, and would fill the memory up
/// to the limit.
fn refuse_device(about: &std::fs::Metadata) -> std::io::Result<()> {
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_char_device(&about.file_type()) {
        return Err(IoError::new(ErrorKind::Unsupported, "is a device, not a file"));
    }
    let _ = about;
    Ok(())
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
    #[test]
    fn regular_files_are_mapped_and_others_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ten");
        std::fs::write(&path, [7; 10]).unwrap();
        let bytes = open("cannot read", &path, 10).unwrap();
        assert!(matches!(bytes, Bytes::Mapped(_)) && *bytes == [7; 10]);
        assert!(open("cannot read", &path, 9).is_err_and(|e| e.to_string().contains("larger than")));
        assert!(open("cannot read", folder.path(), 10).is_err());
        assert!(open("cannot read", &folder.path().join("none"), 10).is_err());
        let empty = folder.path().join("empty");
        std::fs::write(&empty, []).unwrap();
        assert!(matches!(open("cannot read", &empty, 10).unwrap(), Bytes::Read(bytes) if bytes.is_empty()));
        #[cfg(unix)]
        assert!(open("cannot read", Path::new("/dev/zero"), u64::MAX).is_err_and(|e| e.to_string().contains("device")));
    }
}
