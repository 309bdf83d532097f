//! From the model arguments to a model.

use std::path::Path;

use foveate::checkpoint::LoadOptions;
use foveate::{Error, Model, Result, models};

use super::args::ModelArgs;
use super::{progress, tell};

/// Loads what the arguments name and fuses it; what fusing did is told on stderr.
pub fn load(args: &ModelArgs) -> Result<Model> {
    let model = progress::during("loading, fusing and proving the model", || resolve(args))?;
    report(&model);
    Ok(model)
}

fn resolve(args: &ModelArgs) -> Result<Model> {
    match args.model.as_deref() {
        None => Model::builtin(),
        Some(name) if args.random => Model::random(name, args.seed, true),
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
            Model::open(file, options, true)
        }
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
