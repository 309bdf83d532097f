//! `foveate fuse`.

use foveate::checkpoint::{LoadOptions, model_file};
use foveate::{Error, Model};

use super::{Outcome, args, labels, say, source, tell};

pub fn run(args: &args::Fuse) -> Outcome {
    if args.output.exists() && !args.force {
        let reason = format!("{} is there already; --force overwrites it", args.output.display());
        return Err(Error::argument(reason).into());
    }
    let options = LoadOptions { arch: args.arch.clone(), use_ema: args.use_ema };
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
