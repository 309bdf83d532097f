//! From the model arguments to a model.

use std::path::PathBuf;

use foveate::checkpoint::LoadOptions;
use foveate::{Error, Model, Result};

use super::args::ModelArgs;
use super::weights::Weights;
use super::{progress, tell};

/// Loads what the arguments name and fuses it; what fusing did is told on stderr. Published weights
/// that are not in the cache are fetched.
pub fn load(args: &ModelArgs) -> Result<Model> {
    let source = find(args)?;
    let model = progress::during("loading, fusing and proving the model", || source.load())?;
    report(&model);
    Ok(model)
}

/// Where a model comes from.
enum Source<'a> {
    Builtin,
    Random { name: &'a str, seed: u64 },
    File { path: PathBuf, options: LoadOptions },
}

impl Source<'_> {
    fn load(self) -> Result<Model> {
        match self {
            Source::Builtin => Model::builtin(),
            Source::Random { name, seed } => Model::random(name, seed, true),
            Source::File { path, options } => Model::open(path, options, true),
        }
    }
}

fn find(args: &ModelArgs) -> Result<Source<'_>> {
    let options = LoadOptions { arch: args.arch.clone(), use_ema: args.use_ema, ..LoadOptions::default() };
    let Some(path) = args.model.as_deref() else { return Ok(Source::Builtin) };
    // Empty if it is no valid Unicode, which no name is.
    let text = args.name().unwrap_or_default();
    if args.random {
        return Ok(Source::Random { name: text, seed: args.seed });
    }
    if path.exists() || text.is_empty() {
        return Ok(Source::File { path: path.into(), options });
    }
    let weights = Weights::new(args.offline, None, None)?;
    match weights.registry().resolve(text) {
        Ok(entry) => {
            let path = weights.obtain(entry, false)?.path;
            let published = entry.options()?;
            let options = LoadOptions { arch: options.arch.or(published.arch), use_ema: args.use_ema, ..published };
            Ok(Source::File { path, options })
        }
        // What is no name was meant as a file; opening it says what is wrong.
        Err(Error::UnknownModel { .. }) if looks_like_a_path(text) => Ok(Source::File { path: text.into(), options }),
        Err(error) => Err(error),
    }
}

/// Whether a text that names no network is meant as a file.
pub fn looks_like_a_path(text: &str) -> bool {
    text.contains(['/', '\\', '.'])
}

/// What fusing did to the model, if anything.
pub fn report(model: &Model) {
    model.details().notes.iter().for_each(|note| tell(format_args!("{}: {note}", model.name())));
    if let Some(fusion) = model.fusion() {
        tell(format_args!("{}: {}", model.name(), fusion.report));
        if let Some(proof) = &fusion.proof {
            tell(format_args!("{}: {proof}", model.name()));
        }
    }
}
