//! `foveate fuse`.

use std::path::PathBuf;

use foveate::checkpoint::{LoadOptions, model_file};
use foveate::{Error, Model};

use super::{Outcome, labels, say, source, tell};

/// Arguments of `foveate fuse`.
#[derive(clap::Args)]
pub struct Fuse {
    /// The checkpoint (.safetensors, .pth, .pt, .pth.tar).
    pub file: PathBuf,
    /// Where to write the model file.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// The architecture of the file, where its keys and shapes cannot tell it.
    #[arg(long, value_name = "NAME")]
    pub arch: Option<String>,
    /// Take the exponential moving average of the weights that training scripts keep beside them.
    #[arg(long)]
    pub use_ema: bool,
    /// Names of the classes, one per line, to be put into the file.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Overwrite the output.
    #[arg(long)]
    pub force: bool,
}

pub fn run(args: &Fuse) -> Outcome {
    if args.output.exists() && !args.force {
        let reason = format!("{} is there already; --force overwrites it", args.output.display());
        return Err(Error::argument(reason).into());
    }
    let options = LoadOptions { arch: args.arch.clone(), use_ema: args.use_ema, ..LoadOptions::default() };
    let mut model = Model::open(&args.file, options, true)?;
    if model.fusion().is_none() {
        tell(format_args!("{}: fused already; writing it as a model file", args.file.display()));
    }
    if let Some(file) = &args.labels {
        model = model.with_labels(labels::read(file)?)?;
    }
    source::report(&model);
    let bytes = model.to_bytes()?;
    model_file::write_file(&args.output, &bytes)?;
    say(format_args!("{}: {}, {} bytes", args.output.display(), model.name(), bytes.len()));
    Ok(())
}
