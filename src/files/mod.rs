//! Reading files that may be anything: bounded, whatever the file claims to be. Writing them whole.
//!
//! For the library and the program; no part of the interface that versions keep.

mod part;
mod write;

use std::fs::{self, File, Metadata};
use std::io::{Error as IoError, ErrorKind, Read, Result as IoResult};
use std::path::Path;

use memmap2::Mmap;

use crate::error::{Error, Result};

pub use write::{check_output, is_stream, output, write};

/// The most that is read from a pipe: all of it is held in memory.
const MAX_PIPED: u64 = 2 << 30;

/// Reads a file, or a pipe until it ends, of at most `limit` bytes. The limit is on what is read, not on what the file
/// says of itself: pipes say zero, and may never end.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, is larger, or is a folder, a device or a socket; `action` says what was being
/// done.
pub fn read(action: &'static str, path: &Path, limit: u64) -> Result<Vec<u8>> {
    look(path).and_then(|about| fill(path, &about, limit)).map_err(|source| Error::io(action, path, source))
}

/// Reads a file that this program has written: no pipe, which might wait for ever. See [`read`].
///
/// # Errors
/// Those of [`read`], and for a pipe.
pub fn read_own(action: &'static str, path: &Path, limit: u64) -> Result<Vec<u8>> {
    let regular = |about: &Metadata| if about.is_file() { Ok(()) } else { Err(unfit("a pipe")) };
    let read = look(path).and_then(|about| regular(&about).and_then(|()| fill(path, &about, limit)));
    read.map_err(|source| Error::io(action, path, source))
}

/// What is at a place, if it can be read like a file.
fn look(path: &Path) -> IoResult<Metadata> {
    let about = fs::metadata(path)?;
    if about.is_dir() {
        return Err(unfit("a folder"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = about.file_type();
        // Such as /dev/zero, which never ends.
        if kind.is_char_device() || kind.is_block_device() {
            return Err(unfit("a device"));
        }
        if kind.is_socket() {
            return Err(unfit("a socket"));
        }
    }
    Ok(about)
}

fn unfit(what: &str) -> IoError {
    IoError::new(ErrorKind::Unsupported, format!("it is {what}, not a file"))
}

fn fill(path: &Path, about: &Metadata, limit: u64) -> IoResult<Vec<u8>> {
    let piped = !about.is_file();
    let limit = if piped { limit.min(MAX_PIPED) } else { limit };
    let too_large = || {
        let most = format!("larger than {} MiB", limit >> 20);
        let reason = if piped { format!("{most}, the most that is read from a pipe; save it as a file") } else { most };
        IoError::new(ErrorKind::FileTooLarge, reason)
    };
    let size = about.len();
    if size > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
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
    let work = || {
        let about = look(path)?;
        match map(path, &about, limit) {
            Some(mapped) => Ok(Bytes::Mapped(mapped)),
            // A pipe, or what cannot be mapped: reading says what is wrong, if anything.
            None => fill(path, &about, limit).map(Bytes::Read),
        }
    };
    work().map_err(|source| Error::io(action, path, source))
}

fn map(path: &Path, about: &Metadata, limit: u64) -> Option<Mmap> {
    if !about.is_file() || about.len() == 0 || about.len() > limit {
        return None;
    }
    let file = File::open(path).ok()?;
    // SAFETY: nobody may change the file while it is mapped. That is out of our hands, as for every program that maps
    // files; it is kept short (a checkpoint's loading) and read-only, and what this program writes replaces files by
    // renaming, which leaves a mapped one as it was, or on Windows is refused.
    unsafe { Mmap::map(&file) }.ok()
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
        let error = read("cannot read", folder.path(), 10).unwrap_err().to_string();
        assert!(error.contains("it is a folder, not a file"), "{error}");
    }

    /// Devices and sockets are refused before anything is read; a pipe is read to its end, or to the limit.
    #[cfg(unix)]
    #[test]
    fn special_files_end() {
        let folder = tempfile::tempdir().unwrap();
        let [socket, pipe] = ["socket", "pipe"].map(|name| folder.path().join(name));
        let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let [zero, urandom] = ["/dev/zero", "/dev/urandom"].map(Path::new);
        for (path, what) in [(zero, "a device"), (urandom, "a device"), (&socket, "a socket")] {
            for error in [read("cannot read", path, u64::MAX).err(), open("cannot read", path, u64::MAX).err()] {
                let error = error.unwrap().to_string();
                assert!(error.contains(&format!("it is {what}, not a file")), "{error}");
            }
        }
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let error = read_own("cannot read", &pipe, 100).unwrap_err().to_string();
        assert!(error.contains("it is a pipe, not a file"), "{error}");
        // What somebody writes into it, until the reader has enough.
        let fed = |bytes: Vec<u8>, limit| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut to = File::options().write(true).open(&pipe).unwrap();
                    let _ = std::io::Write::write_all(&mut to, &bytes);
                });
                open("cannot read", &pipe, limit)
            })
        };
        assert!(matches!(fed(vec![7; 300_000], 300_000).unwrap(), Bytes::Read(bytes) if bytes == [7; 300_000]));
        let error = fed(vec![0; 3 << 20], 1 << 20).err().unwrap().to_string();
        assert!(error.contains("larger than 1 MiB, the most that is read from a pipe"), "{error}");
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
    }
}
