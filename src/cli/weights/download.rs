//! Fetching a file: in as many tries as it takes, within reason, each going on where the last one
//! ended.

use std::fs::File;
use std::io::{Read, Write};
use std::time::Duration;

use foveate::registry::Entry;
use foveate::{Error, Result, checkpoint};
use indicatif::ProgressBar;
use ureq::Agent;

use super::Found;
use super::cache::Cache;
use super::http::{self, Answer, Fault};
use super::partial::{Partial, Version};
use crate::cli::{progress, tell};

/// Tries in a row that may fail; they count anew when [`STRIDE`] bytes more than ever before have come.
const TRIES: u32 = 5;
const STRIDE: u64 = 1 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Fetches the file of an entry into the cache. The caller holds the lock. With `afresh`, neither
/// the part that is here nor the hash of an earlier file counts.
pub fn fetch(entry: &Entry, url: &str, cache: &Cache, afresh: bool) -> Result<Found> {
    let download = Download { entry, url, cache, agent: http::agent(url)?, part: Partial::new(cache, entry), afresh };
    if afresh {
        download.part.discard();
    }
    let bar = progress::bytes(&entry.name);
    let result = download.run(&bar);
    bar.finish_and_clear();
    result
}

struct Download<'a> {
    entry: &'a Entry,
    url: &'a str,
    cache: &'a Cache,
    agent: Agent,
    part: Partial,
    afresh: bool,
}

/// Why a try failed: the network's fault, or this machine's.
enum Failure {
    Network(Fault),
    Here(Error),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Network(fault)
    }
}

impl Download<'_> {
    fn run(&self, bar: &ProgressBar) -> Result<Found> {
        let (mut failed, mut best) = (0, self.have());
        loop {
            let result = self.attempt(bar);
            let reason = match result {
                Ok(()) => {
                    bar.finish_and_clear();
                    return self.accept();
                }
                Err(Failure::Here(error)) => return Err(error),
                Err(Failure::Network(Fault::Final(reason))) => return Err(self.error(&reason, "")),
                Err(Failure::Network(Fault::Changed(reason))) => {
                    self.part.discard();
                    reason
                }
                Err(Failure::Network(Fault::Again(reason))) => reason,
            };
            let have = self.have();
            failed = if have >= best.saturating_add(STRIDE) { 1 } else { failed + 1 };
            best = best.max(have);
            if failed >= TRIES {
                let kept = match have {
                    0 => String::new(),
                    _ => format!("; {have} bytes are kept, and the same command goes on from there"),
                };
                return Err(self.error(&reason, &format!("; gave up after {TRIES} tries{kept}")));
            }
            let pause = FIRST_PAUSE * (1 << (failed - 1));
            let line = format!("{}: {reason}; trying again in {:.1} s", self.entry.name, pause.as_secs_f64());
            bar.suspend(|| tell(line));
            std::thread::sleep(pause);
        }
    }

    /// The part that is here, if it can be gone on from. Without a way to tell whether the server's
    /// file is still the same, going on could make a file of two halves; then a published hash must
    /// be there to notice.
    fn resumable(&self) -> Option<(u64, Version)> {
        let sure = |version: &Version| version.validator().is_some() || self.entry.sha256.is_some();
        self.part.resumable(self.url).filter(|(_, version)| sure(version))
    }

    fn have(&self) -> u64 {
        self.resumable().map_or(0, |(bytes, _)| bytes)
    }

    fn error(&self, reason: &str, more: &str) -> Error {
        Error::argument(format!("cannot fetch {} from {}: {reason}{more}", self.entry.name, self.url))
    }

    /// One request, and what comes of it onto the disk.
    fn attempt(&self, bar: &ProgressBar) -> Result<(), Failure> {
        let have = self.resumable();
        if have.as_ref().is_some_and(|(bytes, version)| version.total == Some(*bytes)) {
            return Ok(());
        }
        let answer = http::get(&self.agent, self.url, have.as_ref())?;
        self.check_size(answer.version.total)?;
        if have.is_some() && answer.start == 0 {
            let name = &self.entry.name;
            bar.suspend(|| tell(format_args!("{name}: the server sends the whole file: starting over")));
        }
        let opened = if answer.start > 0 { self.part.append() } else { self.part.start(&answer.version) };
        let mut file = opened.map_err(|error| self.disk(error))?;
        match answer.version.total {
            Some(total) => bar.set_length(total),
            None => bar.unset_length(),
        }
        bar.set_position(answer.start);
        self.copy(answer, &mut file, bar)
    }

    /// Whether a file of that size can be the one that is wanted.
    fn check_size(&self, total: Option<u64>) -> Result<(), Fault> {
        let limit = self.entry.limit();
        match (total, self.entry.size) {
            (Some(total), Some(size)) if total != size => {
                Err(Fault::Final(format!("the server's file is {total} bytes long, not {size}")))
            }
            (Some(total), _) if total > limit => Err(Fault::Final(format!(
                "the server's file is {total} bytes long, more than the {limit} that are believed"
            ))),
            _ => Ok(()),
        }
    }

    fn copy(&self, answer: Answer, file: &mut File, bar: &ProgressBar) -> Result<(), Failure> {
        let Answer { version, start, mut body } = answer;
        let end = version.total.unwrap_or(self.entry.limit());
        let mut at = start;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = body.read(&mut buffer).map_err(|error| {
                let of = version.total.map_or(String::new(), |total| format!(" of {total}"));
                Fault::Again(format!("the connection broke after {at}{of} bytes: {error}"))
            })?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            at += bytes.len() as u64;
            if at > end {
                self.part.discard();
                return Err(Fault::Final(format!("the server sends more than {end} bytes")).into());
            }
            file.write_all(bytes).map_err(|error| self.disk(error))?;
            bar.set_position(at);
        }
        match version.total.filter(|total| at < *total) {
            Some(total) => Err(Fault::Again(format!("the connection ended after {at} of {total} bytes")).into()),
            None => Ok(()),
        }
    }

    fn disk(&self, error: std::io::Error) -> Failure {
        Failure::Here(self.cache.fault("cannot write", self.part.path(), error))
    }

    /// Looks at what has come, and gives it its name if it is what was wanted.
    fn accept(&self) -> Result<Found> {
        let part = self.part.path();
        let refuse = |reason: String| {
            self.part.discard();
            Err(self.error(&reason, "; nothing of it is kept"))
        };
        let fault = |error| self.cache.fault("cannot read", part, error);
        let bytes = std::fs::metadata(part).map_err(fault)?.len();
        if let Some(size) = self.entry.size.filter(|size| *size != bytes) {
            return refuse(format!("what came is {bytes} bytes long, not {size}"));
        }
        let sha256 = self.cache.hash(part)?;
        let expected = if self.afresh { self.entry.sha256.clone() } else { self.cache.expected(self.entry)? };
        match expected {
            Some(expected) if expected != sha256 => {
                return refuse(format!(
                    "what came has the SHA-256 {sha256}, not {expected}: the publisher changed the file, or somebody \
                     else did"
                ));
            }
            // Nobody published a hash: before this file's is kept to hold later ones to, it must at
            // least be the network that it should be.
            None => {
                let options = self.entry.options()?;
                let loaded = progress::during("checking the network", || checkpoint::load_file(part, options));
                if let Err(error) = loaded {
                    return refuse(if is_web_page(part) { http::WEB_PAGE.into() } else { error.to_string() });
                }
            }
            Some(_) => {}
        }
        self.cache.record(self.entry, &sha256)?;
        let path = self.cache.file(self.entry);
        self.part.finish(&path).map_err(|error| self.cache.fault("cannot write", &path, error))?;
        Ok(Found { path, bytes, sha256, downloaded: true })
    }
}

/// Whether a file begins as web pages do.
fn is_web_page(path: &std::path::Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(512).read_to_end(&mut start));
    read.is_ok() && start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<')
}
