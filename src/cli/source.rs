//! From the model arguments to a model.

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
    let Some(path) = args.model.as_deref() else { return Model::builtin() };
    // Empty if it is no valid Unicode, which no name is.
    let text = args.name().unwrap_or_default();
    if args.random {
        return Model::random(text, args.seed, true);
    }
    if !path.exists() && models::Architecture::named(text).is_ok() {
        return Err(Error::argument(format!(
            "no weights of {text} are at hand; give a checkpoint with --model FILE, \
             or --random for seeded random weights"
        )));
    }
    if !path.exists() && !text.is_empty() && !looks_like_a_path(text) {
        let unknown = models::Architecture::named(text).err();
        return Err(unknown.unwrap_or_else(|| Error::argument(format!("there is no file {text}"))));
    }
    let options = LoadOptions { arch: args.arch.clone(), use_ema: args.use_ema };
    Model::open(path, options, true)
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
