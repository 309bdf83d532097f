//! A file on its way, and what is known of the whole that it is a part of.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use foveate::Result;
use foveate::checkpoint::model_file;
use foveate::registry::Entry;
use serde::{Deserialize, Serialize};

use super::cache::Cache;

/// What the server said of a file when the first part of it came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Where it was asked for, before redirects.
    pub url: String,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    /// Size of the whole.
    pub total: Option<u64>,
}

impl Version {
    /// What makes a server send the rest only if the file is still the same: its strong entity tag,
    /// or its date.
    pub fn validator(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|tag| !tag.starts_with("W/"));
        // It may come from the disk and becomes a header.
        strong.or(self.last_modified.as_deref()).filter(|v| v.bytes().all(|b| matches!(b, b' '..=b'~')))
    }

    /// Whether an answer may be of the same file: what both sides know agrees.
    pub fn agrees(&self, other: &Version) -> bool {
        fn same<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
            a.is_none() || b.is_none() || a == b
        }
        same(&self.etag, &other.etag)
            && same(&self.last_modified, &other.last_modified)
            && same(&self.total, &other.total)
    }
}

/// The part of a file that is here.
pub struct Partial {
    part: PathBuf,
    note: PathBuf,
}

impl Partial {
    pub fn new(cache: &Cache, entry: &Entry) -> Self {
        Partial { part: cache.beside(entry, ".part"), note: cache.beside(entry, ".part.json") }
    }

    /// Where the part lies.
    pub fn path(&self) -> &Path {
        &self.part
    }

    /// Size of the part and what it is a part of, if it is one of this address.
    pub fn resumable(&self, url: &str) -> Option<(u64, Version)> {
        let about = std::fs::metadata(&self.part).ok().filter(|about| about.is_file() && about.len() > 0)?;
        let mut text = String::new();
        File::open(&self.note).ok()?.take(1 << 16).read_to_string(&mut text).ok()?;
        let version: Version = serde_json::from_str(&text).ok()?;
        let within = version.total.is_none_or(|total| about.len() <= total);
        (version.url == url && within).then_some((about.len(), version))
    }

    /// An empty part of this version. The note is written behind the old part's end and before the
    /// first byte of the new one, so that at no time it stands beside bytes of another version.
    pub fn start(&self, version: &Version) -> std::io::Result<File> {
        let file = File::create(&self.part)?;
        let text = serde_json::to_string(version)?;
        let written: Result<()> = model_file::write_file(&self.note, text.as_bytes());
        match written {
            Ok(()) => Ok(file),
            Err(foveate::Error::Io { source, .. }) => Err(source),
            Err(error) => Err(std::io::Error::other(error)),
        }
    }

    /// The part, to be written on at its end.
    pub fn append(&self) -> std::io::Result<File> {
        File::options().append(true).open(&self.part)
    }

    /// Removes it.
    pub fn discard(&self) {
        // What is not there need not be removed, and what cannot be is written over.
        let _ = std::fs::remove_file(&self.note);
        let _ = std::fs::remove_file(&self.part);
    }

    /// Gives it its final name.
    pub fn finish(&self, path: &Path) -> std::io::Result<()> {
        File::options().write(true).open(&self.part)?.sync_all()?;
        std::fs::rename(&self.part, path)?;
        let _ = std::fs::remove_file(&self.note);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const URL: &str = "https://example.org/net.pth";

    /// What is on the disk beside a part may be anything: it is used or passed over.
    fn resumable(note: &[u8]) -> Option<(u64, Version)> {
        let folder = tempfile::tempdir().unwrap();
        let partial = Partial { part: folder.path().join("net.part"), note: folder.path().join("net.part.json") };
        std::fs::write(&partial.part, [7; 100]).unwrap();
        std::fs::write(&partial.note, note).unwrap();
        let found = partial.resumable(URL);
        if let Some((length, version)) = &found {
            assert!(*length == 100 && version.total.is_none_or(|total| total >= 100));
            // It becomes a header.
            assert!(version.validator().is_none_or(|text| !text.contains(['\r', '\n', '\0'])));
        }
        found
    }

    fn note(etag: &str, total: Option<u64>) -> Vec<u8> {
        let version = Version { url: URL.to_owned(), etag: Some(etag.to_owned()), last_modified: None, total };
        serde_json::to_vec(&version).unwrap()
    }

    #[test]
    fn only_notes_of_this_file_are_used() {
        assert_eq!(resumable(&note("\"a\"", Some(100))).unwrap().1.validator(), Some("\"a\""));
        assert_eq!(resumable(&note("a\r\nHost: b", None)).unwrap().1.validator(), None);
        assert!(resumable(&note("a", Some(99))).is_none(), "the part is longer than the whole");
        assert!(resumable(&vec![b'['; 1 << 17]).is_none() && resumable(b"").is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_note_is_used_or_passed_over(
            any in proptest::collection::vec(any::<u8>(), 0..90), etag in ".{0,9}", total in any::<Option<u64>>(),
            at in 0usize..90, to in any::<u8>(),
        ) {
            resumable(&any);
            let mut changed = note(&etag, total);
            let end = changed.len();
            changed[at % end] = to;
            resumable(&changed);
            resumable(&changed[..at % end]);
        }
    }
}
