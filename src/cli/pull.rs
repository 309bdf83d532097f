//! `foveate pull`.

use std::path::PathBuf;

use foveate::Error;
use foveate::registry::Entry;
use serde::Serialize;

use super::weights::{Found, Weights};
use super::{Failure, Lines, Outcome, say, tell};

/// Arguments of `foveate pull`.
#[derive(clap::Args)]
pub struct Pull {
    /// Names of networks or of published files (see --list).
    #[arg(required_unless_present = "list", value_name = "NAME")]
    pub names: Vec<String>,
    /// List the published weights (those that NAME means, if given) and say which are here.
    #[arg(long)]
    pub list: bool,
    /// Fetch again what is here already.
    #[arg(long, conflicts_with = "list")]
    pub force: bool,
    /// Never open a connection (also: FOVEATE_OFFLINE=1).
    #[arg(long)]
    pub offline: bool,
    /// Fetch URL/FILE instead of the publisher's address (also: FOVEATE_MIRROR).
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
    /// A list of weights of your own, of the form of assets/registry.json, that goes before the
    /// built-in one (also: FOVEATE_REGISTRY).
    #[arg(long, value_name = "FILE")]
    pub registry: Option<PathBuf>,
    /// One line of JSON per file on stdout.
    #[arg(long)]
    pub json: bool,
}

/// A fetched file's line of JSON.
#[derive(Serialize)]
struct Fetched<'a> {
    schema_version: u32,
    name: &'a str,
    path: String,
    bytes: u64,
    sha256: &'a str,
    downloaded: bool,
}

/// A listed file's line of JSON.
#[derive(Serialize)]
struct Listed<'a> {
    schema_version: u32,
    cached: Option<String>,
    #[serde(flatten)]
    entry: &'a Entry,
}

pub fn run(args: &Pull) -> Outcome {
    let weights = Weights::new(args.offline, args.mirror.as_deref(), args.registry.as_deref())?;
    if args.list {
        return list(args, &weights);
    }
    let (mut lines, mut failed) = (Lines::default(), false);
    for name in &args.names {
        let pulled = weights.registry().resolve(name).and_then(|entry| Ok((entry, weights.obtain(entry, args.force)?)));
        match pulled {
            Ok((entry, found)) => lines.say(shown(args, entry, &found)?),
            Err(error) => {
                tell(format_args!("error: {error}"));
                failed = true;
            }
        }
    }
    lines.finish()?;
    if failed { Err(Failure::Said) } else { Ok(()) }
}

fn shown(args: &Pull, entry: &Entry, found: &Found) -> foveate::Result<String> {
    let Found { path, bytes, sha256, downloaded } = found;
    let path = path.display().to_string();
    if args.json {
        let line =
            Fetched { schema_version: 1, name: &entry.name, path, bytes: *bytes, sha256, downloaded: *downloaded };
        return serde_json::to_string(&line).map_err(Error::argument);
    }
    Ok(format!("{}: {path} ({})", entry.name, if *downloaded { "fetched" } else { "was here already" }))
}

fn list(args: &Pull, weights: &Weights) -> Outcome {
    let registry = weights.registry();
    let entries: Vec<&Entry> = if args.names.is_empty() {
        registry.entries().iter().collect()
    } else {
        args.names.iter().map(|name| registry.resolve(name)).collect::<foveate::Result<_>>()?
    };
    if args.json {
        for entry in entries {
            let cached = weights.cached(entry).map(|path| path.display().to_string());
            let line = Listed { schema_version: 1, cached, entry };
            say(serde_json::to_string(&line).map_err(Error::argument)?);
        }
        return Ok(());
    }
    let width = |of: fn(&Entry) -> usize| entries.iter().map(|entry| of(entry)).max().unwrap_or(0);
    let (name, licence) = (width(|e| e.name.len()), width(|e| e.licence.name.chars().count()));
    say(format_args!("{:name$}  {:>8}  {:>7}  {:licence$}  here", "name", "size", "top-1", "licence"));
    for entry in entries {
        let here = if weights.cached(entry).is_some() { "cached" } else { "" };
        let top1 = entry.top1.map_or("?".into(), |top1| format!("{top1} %"));
        let line =
            format!("{:name$}  {:>8}  {top1:>7}  {:licence$}  {here}", entry.name, size(entry), entry.licence.name);
        say(line.trim_end());
    }
    tell("(a network's name, such as repnext-m1, means its default file; \"?\": not published)");
    Ok(())
}

/// Size in millions of bytes.
fn size(entry: &Entry) -> String {
    match (entry.size, entry.size_mb) {
        (Some(bytes), _) => format!("{:.1} MB", bytes as f64 / 1e6),
        (None, Some(rounded)) => format!("{rounded} MB"),
        (None, None) => "?".into(),
    }
}
