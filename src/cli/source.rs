//! From the model arguments to a model.

use std::path::PathBuf;

use foveate::checkpoint::{self, LoadOptions, LoadedModel};
use foveate::models::Form;
use foveate::{Error, Model, Result};

use super::args::ModelArgs;
use super::weights::Weights;
use super::{progress, tell};

/// Where a model comes from.
enum Origin<'a> {
    Builtin,
    Random { name: &'a str, seed: u64 },
    File { path: PathBuf, options: LoadOptions },
}

/// Loads what the arguments name and fuses it; what fusing did is told on stderr. Published weights
/// that are not in the cache are fetched.
pub fn load(args: &ModelArgs) -> Result<Model> {
    let origin = locate(args)?;
    let model = progress::during("loading, fusing and proving the model", || match origin {
        Origin::Builtin => Model::builtin(),
        Origin::Random { name, seed } => Model::random(name, seed, true),
        Origin::File { path, options } => Model::open(path, options, true),
    })?;
    report(&model);
    Ok(model)
}

/// Loads what the arguments name, which must be in training form, and returns it fused and as it is.
pub fn load_both(args: &ModelArgs) -> Result<(Model, Model)> {
    let origin = locate(args)?;
    let load = || -> Result<LoadedModel> {
        match origin {
            Origin::Builtin => {
                Err(Error::argument("the built-in network is fused: there is no training form to compare it with"))
            }
            Origin::Random { name, seed } => Model::random_checkpoint(name, seed),
            Origin::File { path, options } => checkpoint::load_file(path, options),
        }
    };
    let (fused, train) = progress::during("loading, fusing and proving the model", || both(load()?))?;
    report(&fused);
    Ok((fused, train))
}

/// Loads what the arguments name and returns it fused, and in training form if that is what is there.
pub fn load_with_training(args: &ModelArgs) -> Result<(Model, Option<Model>)> {
    let origin = locate(args)?;
    let load = || -> Result<(Model, Option<Model>)> {
        let loaded = match origin {
            Origin::Builtin => return Ok((Model::builtin()?, None)),
            Origin::Random { name, seed } => Model::random_checkpoint(name, seed)?,
            Origin::File { path, options } => checkpoint::load_file(path, options)?,
        };
        if loaded.form == Form::Fused {
            return Ok((Model::fused(loaded, true)?, None));
        }
        both(loaded).map(|(fused, train)| (fused, Some(train)))
    };
    let (fused, train) = progress::during("loading, fusing and proving the model", load)?;
    report(&fused);
    Ok((fused, train))
}

/// A loaded network fused and as it is, if that is its training form.
fn both(loaded: LoadedModel) -> Result<(Model, Model)> {
    if loaded.form == Form::Fused {
        let name = loaded.architecture;
        return Err(Error::argument(format!(
            "{name} is fused already: the file holds no training form to compare it with"
        )));
    }
    let train = Model::unfused(loaded.clone())?;
    Ok((Model::fused(loaded, true)?, train))
}

fn locate(args: &ModelArgs) -> Result<Origin<'_>> {
    let options = LoadOptions { arch: args.arch.clone(), use_ema: args.use_ema, ..LoadOptions::default() };
    let Some(path) = args.model.as_deref() else { return Ok(Origin::Builtin) };
    // Empty if it is no valid Unicode, which no name is.
    let text = args.name().unwrap_or_default();
    if args.random {
        return Ok(Origin::Random { name: text, seed: args.seed });
    }
    if path.exists() || text.is_empty() {
        return Ok(Origin::File { path: path.into(), options });
    }
    let weights = Weights::new(args.offline, None, None)?;
    match weights.registry().resolve(text) {
        Ok(entry) => {
            let path = weights.obtain(entry, false)?.path;
            let published = entry.options()?;
            let options = LoadOptions { arch: options.arch.or(published.arch), use_ema: args.use_ema, ..published };
            Ok(Origin::File { path, options })
        }
        // What is no name was meant as a file; opening it says what is wrong.
        Err(Error::UnknownModel { .. }) if looks_like_a_path(text) => Ok(Origin::File { path: text.into(), options }),
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
