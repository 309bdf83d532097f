//! `foveate fuse`.

use std::path::{Path, PathBuf};

use foveate::checkpoint::{self, LoadOptions, model_file};
use foveate::eval::{Agreement, Progress};
use foveate::{DeviceChoice, Error, Model, Result, Session, dataset, eval, labels, proof};

use super::{Failure, Outcome, output, progress, say, source, tell};

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
    /// Names of the classes to be put into the file: a file with one per line, or a built-in set; those of the
    /// architecture if not given.
    #[arg(long, value_name = "FILE|imagenet1k|cifar10")]
    pub labels: Option<PathBuf>,
    /// Compare training form and fused form on the pictures in this folder, too.
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Overwrite the output.
    #[arg(long)]
    pub force: bool,
}

/// Seeded inputs on which the two forms' answers are compared.
const SEEDS: u64 = 16;

/// Pictures per run.
const BATCH: usize = 8;

pub fn run(args: &Fuse) -> Outcome {
    output::check(&args.output, args.force)?;
    let options = LoadOptions { arch: args.arch.clone(), use_ema: args.use_ema, ..LoadOptions::default() };
    let loaded = checkpoint::load_file(&args.file, options)?;
    let before = Model::unfused(loaded.clone())?;
    let mut model = Model::fused(loaded, true)?;
    let file = args.file.display();
    if model.fusion().is_none() {
        if args.images.is_some() {
            let reason = format!("{file}: fused already; there is no other form to compare it with on --images");
            return Err(Error::argument(reason).into());
        }
        tell(format_args!("{file}: fused already; writing it as a model file"));
    }
    if let Some(file) = &args.labels {
        model = model.with_labels(labels::read(file)?)?;
    }
    source::report(&model);
    if model.fusion().is_some() {
        let same = progress::during("comparing answers", || proof::same_top1(before.graph(), model.graph(), 0..SEEDS))?;
        tell(format_args!("{}: same top-1 on {same} of {SEEDS} seeded inputs", model.name()));
    }
    let unreadable = args.images.as_deref().map_or(Ok(0), |dir| compare(before, &model, dir))?;
    let bytes = model.to_bytes()?;
    model_file::write_file(&args.output, &bytes)?;
    say(format_args!("{}: {}, {} bytes", args.output.display(), model.name(), bytes.len()));
    if unreadable == 0 {
        return Ok(());
    }
    tell(format_args!("error: {unreadable} pictures could not be read; the model is written, compared on the others"));
    Err(Failure::Said)
}

/// Compares the network as it was loaded with the fused one on the pictures in a folder. Returns how
/// many of these cannot be read.
fn compare(before: Model, fused: &Model, dir: &Path) -> Result<usize> {
    let pictures = dataset::pictures(dir)?;
    let name = fused.name();
    let [mut before, mut after] = [on_cpu(before)?, on_cpu(fused.clone())?];
    let bar = progress::pictures(pictures.len());
    let compared = eval::agreement(&mut before, &mut after, &pictures, &mut |progress| {
        if let Progress::Unreadable(unreadable) = progress {
            bar.suspend(|| tell(format_args!("error: {}", unreadable.error)));
        }
        bar.inc(1);
    });
    bar.finish_and_clear();
    let (agreement, unreadable) = compared?;
    let Agreement { samples, same_top1, max_abs, .. } = agreement;
    let (rel, dir) = (agreement.max_rel(), dir.display());
    tell(format_args!(
        "{name}: same top-1 on {same_top1} of {samples} pictures in {dir}, max |train − deploy| = {max_abs:.1e} \
         (relative {rel:.1e})"
    ));
    Ok(unreadable.len())
}

fn on_cpu(model: Model) -> Result<Session> {
    pollster::block_on(Session::builder().model(model).device(DeviceChoice::Cpu).batch(BATCH).load())
}
