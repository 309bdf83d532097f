//! From the model arguments to a model.

use std::path::{Path, PathBuf};

use foveate::checkpoint::{self, LoadOptions, LoadedModel};
use foveate::models::Form;
use foveate::{Error, Model, Result, models};

use super::args::ModelArgs;
use super::{progress, tell};

/// Where a model comes from.
enum Origin<'a> {
    Builtin,
    Random { name: &'a str, seed: u64 },
    File { path: PathBuf, options: LoadOptions },
}

/// Loads what the arguments name and fuses it; what fusing did is told on stderr.
pub fn load(args: &ModelArgs) -> Result<Model> {
    let model = progress::during("loading, fusing and proving the model", || match locate(args)? {
        Origin::Builtin => Model::builtin(),
        Origin::Random { name, seed } => Model::random(name, seed, true),
        Origin::File { path, options } => Model::open(path, options, true),
    })?;
    report(&model);
    Ok(model)
}

/// Loads what the arguments name, which must be in training form, and returns it fused and as it is.
pub fn load_both(args: &ModelArgs) -> Result<(Model, Model)> {
    let load = || -> Result<LoadedModel> {
        match locate(args)? {
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
    match args.model.as_deref() {
        None => Ok(Origin::Builtin),
        Some(name) if args.random => Ok(Origin::Random { name, seed: args.seed }),
        Some(text) if !Path::new(text).exists() && models::Architecture::named(text).is_ok() => {
            Err(Error::argument(format!(
                "no weights of {text} are at hand; give a checkpoint with --model FILE, \
                 or --random for seeded random weights"
            )))
        }
        Some(text) if !Path::new(text).exists() && !looks_like_a_path(text) => {
            let unknown = models::Architecture::named(text).err();
            Err(unknown.unwrap_or_else(|| Error::argument(format!("there is no file {text}"))))
        }
        Some(file) => {
            let options = LoadOptions { arch: args.arch.clone(), use_ema: args.use_ema };
            Ok(Origin::File { path: file.into(), options })
        }
    }
}

fn looks_like_a_path(text: &str) -> bool {
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
