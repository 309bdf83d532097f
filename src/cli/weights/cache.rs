//! The folder of fetched weights, and the hashes that its files are held to.
//!
//! Beside `NAME` lie `NAME.sha256` (its hash when it was fetched, as `sha256sum` writes it),
//! `NAME.lock`, and while it is being fetched `NAME.part` and `NAME.part.json`.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use foveate::checkpoint::model_file;
use foveate::registry::Entry;
use foveate::{Error, Result};
use sha2::{Digest, Sha256};

use super::Found;
use crate::cli::{progress, tell};

/// The folder of all that is kept: `FOVEATE_CACHE`, else `foveate` in the platform's folder of caches. It
/// need not be there yet.
pub fn base() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("FOVEATE_CACHE").filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(folder));
    }
    let strategy = etcetera::base_strategy::choose_native_strategy()
        .map_err(|error| Error::argument(format!("{error}; FOVEATE_CACHE names a folder for fetched weights")))?;
    Ok(strategy.cache_dir().join("foveate"))
}

/// The folder of weights.
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// `weights` in the folder of [`base`]. It need not be there yet.
    pub fn find() -> Result<Self> {
        Ok(Cache { folder: base()?.join("weights") })
    }

    /// Makes the folder.
    pub fn create(&self) -> Result<()> {
        std::fs::create_dir_all(&self.folder)
            .map_err(|source| self.fault("cannot create the folder", &self.folder, source))
    }

    /// An error of the file system, with what to do about it.
    pub fn fault(&self, action: &'static str, path: &Path, source: std::io::Error) -> Error {
        let advice = match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space, or name another place",
            _ => "name a place that can be written",
        };
        let source = std::io::Error::new(source.kind(), format!("{source}; {advice} with FOVEATE_CACHE"));
        Error::io(action, path, source)
    }

    /// Where the file of an entry lies.
    pub fn file(&self, entry: &Entry) -> PathBuf {
        // Names of entries were checked: no separators, no dots in front.
        self.folder.join(&entry.file)
    }

    /// A file beside that of an entry.
    pub fn beside(&self, entry: &Entry, ending: &str) -> PathBuf {
        self.folder.join(format!("{}{ending}", entry.file))
    }

    /// The file of an entry, if it is there; its size and hash are what they should be.
    pub fn check(&self, entry: &Entry) -> Result<Option<Found>> {
        let path = self.file(entry);
        let about = match std::fs::metadata(&path) {
            Ok(about) => about,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.fault("cannot read", &path, error)),
        };
        let wrong = |reason: String| {
            let advice = format!("`foveate pull --force {}` fetches it again", entry.name);
            Err(Error::Checkpoint { origin: path.display().to_string(), reason: format!("{reason}; {advice}") })
        };
        if !about.is_file() {
            return Err(Error::argument(format!("{} is no regular file; move it away", path.display())));
        }
        let bytes = about.len();
        if let Some(size) = entry.size.filter(|size| *size != bytes) {
            return wrong(format!("is {bytes} bytes long, not {size}"));
        }
        let sha256 = self.hash(&path)?;
        match self.expected(entry)? {
            Some(expected) if expected != sha256 => {
                return wrong(format!("has the SHA-256 {sha256}, not {expected}: it was changed or damaged"));
            }
            Some(_) => {}
            // Brought by hand. A folder that cannot be written is no reason not to use what is in it.
            None => drop(self.record(entry, &sha256)),
        }
        Ok(Some(Found { path, bytes, sha256, downloaded: false }))
    }

    /// The hash that a file of this entry must have: the published one, else that of the file that
    /// was fetched first.
    pub fn expected(&self, entry: &Entry) -> Result<Option<String>> {
        if entry.sha256.is_some() {
            return Ok(entry.sha256.clone());
        }
        let path = self.beside(entry, ".sha256");
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(1024).read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.fault("cannot read", &path, error)),
        }
        let hash = text.split_whitespace().next().unwrap_or_default();
        if hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(Some(hash.to_ascii_lowercase()));
        }
        let reason = format!("holds no SHA-256; `foveate pull --force {}` writes it anew", entry.name);
        Err(Error::Checkpoint { origin: path.display().to_string(), reason })
    }

    /// Keeps the hash of a file.
    pub fn record(&self, entry: &Entry, sha256: &str) -> Result<()> {
        let line = format!("{sha256}  {}\n", entry.file);
        model_file::write_file(self.beside(entry, ".sha256"), line.as_bytes())
    }

    /// SHA-256 of a file.
    pub fn hash(&self, path: &Path) -> Result<String> {
        let work = || -> std::io::Result<String> {
            let mut file = File::open(path)?;
            let mut buffer = vec![0; 1 << 16];
            let mut hasher = Sha256::new();
            loop {
                match file.read(&mut buffer)? {
                    0 => break,
                    read => hasher.update(&buffer[..read]),
                }
            }
            Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
        };
        progress::during("checking the hash", work).map_err(|error| self.fault("cannot read", path, error))
    }

    /// Keeps other processes from fetching the same file until it is dropped; waits for one that
    /// does. The system frees it when a process dies.
    pub fn lock(&self, entry: &Entry) -> Result<File> {
        let path = self.beside(entry, ".lock");
        let fault = |error| self.fault("cannot lock", &path, error);
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(fault)?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(fault(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        tell(format_args!("{}: another process is fetching it; waiting for that", entry.name));
        file.lock().map_err(fault)?;
        Ok(file)
    }
}
