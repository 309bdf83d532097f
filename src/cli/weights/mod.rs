//! Published weights on this machine: found in the cache, or fetched into it.

pub mod cache;
mod download;
mod http;
mod partial;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use foveate::registry::{Entry, Registry};
use foveate::{Error, Result};

use super::tell;
use cache::Cache;
pub use cache::base as cache_folder;

/// Longest list of weights that is believed.
const MAX_LIST: u64 = 16 << 20;

/// Where weights may come from.
pub struct Weights {
    registry: Registry,
    cache: Cache,
    mirror: Option<String>,
    offline: bool,
}

/// A file of weights on this machine.
pub struct Found {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in lower-case hexadecimals.
    pub sha256: String,
    /// Whether it was fetched just now.
    pub downloaded: bool,
}

impl Weights {
    /// As the arguments and, where they say nothing, `FOVEATE_OFFLINE`, `FOVEATE_MIRROR` and
    /// `FOVEATE_REGISTRY` have it; the cache is `FOVEATE_CACHE` or the platform's.
    pub fn new(offline: bool, mirror: Option<&str>, registry: Option<&Path>) -> Result<Self> {
        let offline = offline || variable("FOVEATE_OFFLINE").is_some_and(|value| value != "0");
        let mirror = mirror.map(str::to_owned).or_else(|| variable("FOVEATE_MIRROR"));
        if let Some(mirror) = mirror.as_ref().filter(|mirror| !is_address(mirror)) {
            return Err(Error::argument(format!("the mirror {mirror:?} is no http or https address")));
        }
        let list = registry.map(Path::to_path_buf).or_else(|| variable("FOVEATE_REGISTRY").map(PathBuf::from));
        let mut registry = Registry::builtin()?;
        if let Some(list) = list {
            registry = read_list(&list)?.over(registry);
        }
        Ok(Weights { registry, cache: Cache::find()?, mirror, offline })
    }

    /// The list of weights.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The file of an entry if it is here; its contents are not looked at.
    pub fn cached(&self, entry: &Entry) -> Option<PathBuf> {
        Some(self.cache.file(entry)).filter(|path| path.is_file())
    }

    /// The file of an entry: from the cache, its hash checked, or fetched. With `afresh`, fetched
    /// whatever is there.
    pub fn obtain(&self, entry: &Entry, afresh: bool) -> Result<Found> {
        if !afresh && let Some(found) = self.cache.check(entry)? {
            return Ok(found);
        }
        let url = self.url(entry);
        if self.offline {
            return Err(Error::argument(format!(
                "{} is not here, and nothing is fetched offline: leave out --offline and FOVEATE_OFFLINE, or bring the \
                 file of {url} as {} (or run the network with --random weights)",
                entry.name,
                self.cache.file(entry).display()
            )));
        }
        self.cache.create()?;
        let _lock = self.cache.lock(entry)?;
        // Whoever held the lock may have fetched it.
        if !afresh && let Some(found) = self.cache.check(entry)? {
            return Ok(found);
        }
        let Entry { name, licence, source, .. } = entry;
        tell(format_args!("{name}: licence {}, {}; from {source}", licence.name, licence.url));
        download::fetch(entry, &url, &self.cache, afresh)
    }

    fn url(&self, entry: &Entry) -> String {
        match &self.mirror {
            Some(mirror) => format!("{}/{}", mirror.trim_end_matches('/'), entry.file),
            None => entry.url.clone(),
        }
    }
}

/// Whether a text is an http or https address with a host.
fn is_address(text: &str) -> bool {
    let uri = text.parse::<ureq::http::Uri>().ok();
    uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|h| !h.is_empty())
    })
}

/// A variable of the environment that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn read_list(path: &Path) -> Result<Registry> {
    let action = "cannot read the list of weights";
    let text = String::from_utf8(foveate::files::read(action, path, MAX_LIST)?)
        .map_err(|_| Error::io(action, path, std::io::Error::new(ErrorKind::InvalidData, "it is not UTF-8 text")))?;
    Registry::parse(&text, &path.display().to_string())
}
