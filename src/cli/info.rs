//! `foveate info`.

mod layers;
mod summary;

use std::path::PathBuf;

use foveate::checkpoint::{self, LoadOptions};
use foveate::describe::ModelInfo;
use foveate::models::Architecture;
use foveate::{Error, Result};
use serde::Serialize;

use super::{Outcome, progress, say, source};

/// Arguments of `foveate info`.
#[derive(clap::Args)]
pub struct Info {
    /// A checkpoint or model file (.safetensors, .pth, .pt, .pth.tar), or the name of a network (see `foveate models`).
    #[arg(value_name = "FILE|NAME")]
    pub model: PathBuf,
    /// The architecture of the file, where its keys and shapes cannot tell it.
    #[arg(long, value_name = "NAME")]
    pub arch: Option<String>,
    /// Describe the exponential moving average of the weights that training scripts keep beside them.
    #[arg(long)]
    pub use_ema: bool,
    /// List the layers of the fused network instead of those in the file.
    #[arg(long, conflicts_with = "json")]
    pub fused: bool,
    /// Leave out the list of layers.
    #[arg(long, conflicts_with_all = ["json", "fused"])]
    pub brief: bool,
    /// One JSON object with everything, the layers of both forms and every name included.
    #[arg(long)]
    pub json: bool,
}

/// The JSON object.
#[derive(Serialize)]
struct Object<'a> {
    schema_version: u32,
    model: String,
    #[serde(flatten)]
    info: &'a ModelInfo,
}

pub fn run(args: &Info) -> Outcome {
    let info = progress::during("reading and fusing the model", || describe(args))?;
    let model = args.model.display().to_string();
    if args.json {
        let object = Object { schema_version: 1, model, info: &info };
        say(serde_json::to_string(&object).map_err(Error::argument)?);
        return Ok(());
    }
    say(super::table::shown(&model));
    summary::lines(&info).iter().for_each(say);
    if !args.brief {
        let (what, form) = if args.fused { ("fused", &info.fused) } else { (summary::stored(&info), &info.stored) };
        say("");
        layers::lines(form, what).iter().for_each(say);
    }
    Ok(())
}

fn describe(args: &Info) -> Result<ModelInfo> {
    // What is no valid Unicode is no name.
    if let Some(text) = args.model.to_str().filter(|_| !args.model.exists()) {
        match Architecture::named(text) {
            Ok(_) if args.use_ema || args.arch.is_some() => {
                let reason = "is the name of a network, without weights; --arch and --use-ema are for files";
                return Err(Error::argument(format!("{text} {reason}")));
            }
            Ok(known) => return ModelInfo::named(&known.name),
            Err(unknown) if !source::looks_like_a_path(text) => return Err(unknown),
            // Opening it says what is wrong.
            Err(_) => {}
        }
    }
    let options = LoadOptions { arch: args.arch.clone(), use_ema: args.use_ema, preprocess: None };
    ModelInfo::of(&checkpoint::load_file(&args.model, options)?)
}
