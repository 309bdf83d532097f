//! The commands, and the arguments that several of them share.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use foveate::{DeviceChoice, Precision, TestDriver, gpu};

use super::{
    adapters, analyze, bench, classify, eval, features, fuse, info, plan, predict, profile, pull, quantize, report,
    roofline, tune, verify,
};

/// Runs reparameterised convolutional networks (RepVGG, QARepVGG, RepNeXt, MobileOne) on any GPU.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    /// Processor threads to use at most, of the CPU executor and of all else that runs side by side; as many
    /// as the machine has if not given.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Say what is in a picture.
    Classify(classify::Classify),
    /// List the GPUs that wgpu sees, with features and limits.
    Adapters(adapters::Adapters),
    /// Show a network's fused graph, its dispatches and its memory.
    Plan(plan::Plan),
    /// Count right answers on a folder of pictures, for one model or two compared.
    Eval(eval::Eval),
    /// Fuse a training-form checkpoint into a model file, with the proof that nothing changed.
    Fuse(fuse::Fuse),
    /// Put a network in 8 bits: weights, or weights and activations; with what that costs, layer by layer.
    Quantize(quantize::Quantize),
    /// Show why a network does or does not bear 8 bits: weights, activations, branches, the cost of each layer.
    Analyze(analyze::Analyze),
    /// Describe a checkpoint, a model file or a named network: family, form, sizes, every layer.
    Info(info::Info),
    /// Fetch published weights into the cache.
    Pull(pull::Pull),
    /// Draw what a network sees in a picture: its stages and token mixers, or any of its nodes.
    Features(features::Features),
    /// Find the fastest tiles and kernels for networks on a GPU, by measuring, and remember them.
    Tune(tune::Tune),
    /// Measure latency or throughput, with the protocol stated and every sample kept.
    Bench(bench::Bench),
    /// Show where a network's time goes, layer by layer, and how far that is from what the device can do.
    Profile(profile::Profile),
    /// Measure what a GPU can do at best: memory, arithmetic, dispatches.
    Roofline(roofline::Roofline),
    /// Say how fast a network would be on devices that are not here, by their published rates.
    Predict(predict::Predict),
    /// Make a page of benchmarks and profiles, or compare benchmarks with a baseline and fail if they became slower.
    Report(report::Report),
    /// Show whether a device computes what the CPU does, layer by layer, and which layer is the first that does not.
    Verify(verify::Verify),
    /// List the networks that are known by name.
    Models,
}

/// Which model.
#[derive(ClapArgs)]
pub struct ModelArgs {
    /// A checkpoint or model file (.safetensors, .pth, .pt, .pth.tar), or the name of a network or of published
    /// weights (see `foveate models`, `foveate pull --list`), which are fetched if they are not here;
    /// the built-in CIFAR-10 network if not given.
    #[arg(long, value_name = "FILE|NAME")]
    pub model: Option<PathBuf>,
    /// The architecture of the file, where its keys and shapes cannot tell it.
    #[arg(long, value_name = "NAME", requires = "model")]
    pub arch: Option<String>,
    /// Take the exponential moving average of the weights that training scripts keep beside them.
    #[arg(long, requires = "model", conflicts_with = "random")]
    pub use_ema: bool,
    /// Seeded random weights for the network named by --model.
    #[arg(long, requires = "model", conflicts_with = "arch")]
    pub random: bool,
    /// Never open a connection: published weights are taken from the cache (also: FOVEATE_OFFLINE=1).
    #[arg(long, requires = "model")]
    pub offline: bool,
    /// The seed of --random.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "random")]
    pub seed: u64,
}

impl ModelArgs {
    /// What may be the name of a network: paths need not be valid Unicode, names are.
    pub fn name(&self) -> Option<&str> {
        self.model.as_deref()?.to_str()
    }
}

/// Which device.
#[derive(ClapArgs)]
pub struct DeviceArgs {
    /// auto (a GPU if there is one, else the CPU), gpu, cpu, part of an adapter's name, or its
    /// index in `foveate adapters`.
    #[arg(long, value_name = "auto|cpu|gpu|NAME|INDEX", default_value = "auto", value_parser = device)]
    pub device: DeviceChoice,
    /// Look at this backend only.
    #[arg(long, value_enum)]
    pub backend: Option<BackendArg>,
    /// Leave the shaders' runtime checks on (slower).
    #[arg(long)]
    pub safe_shaders: bool,
    /// Take at most so much of the device's memory (such as 512M or 2G); a network that needs more is refused, with
    /// numbers, before anything is uploaded.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub memory_budget: Option<u64>,
    /// When to test whether the driver computes every kernel rightly before it is used; auto leaves out drivers that
    /// foveate's own tests run on. Kernels that it computes wrongly are replaced by others.
    #[arg(long, value_enum, default_value = "auto")]
    pub test_driver: TestDriverArg,
    /// Tune the network for the device first, for about 20 seconds, and remember the result (see `foveate tune`).
    #[arg(long)]
    pub tune: bool,
    /// Use no tuned tiles and kernels, neither remembered nor built-in ones.
    #[arg(long, conflicts_with = "tune")]
    pub untuned: bool,
}

#[derive(Clone, Copy, Default, ValueEnum)]
pub enum TestDriverArg {
    #[default]
    Auto,
    Always,
    Never,
}

impl From<TestDriverArg> for TestDriver {
    fn from(when: TestDriverArg) -> Self {
        match when {
            TestDriverArg::Auto => TestDriver::Unknown,
            TestDriverArg::Always => TestDriver::Always,
            TestDriverArg::Never => TestDriver::Never,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub enum PrecisionArg {
    F32,
    F16,
    W8,
    W8a8,
    Auto,
}

impl PrecisionArg {
    /// The number format, unless the device decides.
    pub fn named(self) -> Option<Precision> {
        match self {
            PrecisionArg::F32 => Some(Precision::F32),
            PrecisionArg::F16 => Some(Precision::F16),
            PrecisionArg::W8 => Some(Precision::W8),
            PrecisionArg::W8a8 => Some(Precision::W8a8),
            PrecisionArg::Auto => None,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub enum BackendArg {
    Vulkan,
    Metal,
    Dx12,
    Gl,
}

impl From<BackendArg> for gpu::Backend {
    fn from(backend: BackendArg) -> Self {
        match backend {
            BackendArg::Vulkan => gpu::Backend::Vulkan,
            BackendArg::Metal => gpu::Backend::Metal,
            BackendArg::Dx12 => gpu::Backend::Dx12,
            BackendArg::Gl => gpu::Backend::Gl,
        }
    }
}

/// Parser of a device.
pub fn device(text: &str) -> Result<DeviceChoice, String> {
    if text.trim().is_empty() {
        return Err("a name must not be empty".into());
    }
    Ok(DeviceChoice::parse(text))
}

/// Parser of a number of bytes: `1000000`, `512M`, `2G`, in powers of 1024.
pub fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim().trim_end_matches(['b', 'B']).trim_end_matches('i');
    let (digits, unit) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let number: u64 = digits.trim().parse().map_err(|_| "expected bytes, such as 512M or 2G".to_owned())?;
    number.checked_mul(unit).filter(|bytes| *bytes > 0).ok_or_else(|| "out of range".to_owned())
}

/// Parser of a count that must not be zero.
pub fn at_least_one() -> impl clap::builder::TypedValueParser<Value = usize> {
    clap::builder::RangedU64ValueParser::<usize>::new().range(1..)
}
