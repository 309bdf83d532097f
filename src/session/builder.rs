//! Choosing model, device and batch.

use web_time::Instant;

use super::device::{DeviceChoice, DeviceInfo};
use super::engine::Engine;
use super::model::{Model, Precision};
use super::{Session, Timing, milliseconds};
use crate::checkpoint::LoadOptions;
use crate::error::{Error, Result};
use crate::features;
use crate::gpu::{self, Backend, Device, DeviceRequest, GpuContext, Queue};
use crate::graph::NodeId;

/// Where the model comes from.
#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    Builtin,
    Loaded(Box<Model>),
    Bytes(Vec<u8>),
    #[cfg(not(target_arch = "wasm32"))]
    File(std::path::PathBuf),
    Random {
        name: String,
        seed: u64,
    },
}

/// Options of a session; see [`Session::builder`].
#[derive(Clone, Debug)]
pub struct SessionBuilder {
    source: Source,
    options: LoadOptions,
    labels: Option<Vec<String>>,
    device: DeviceChoice,
    backend: Option<Backend>,
    borrowed: Option<(Device, Queue)>,
    precision: Option<Precision>,
    batch: usize,
    prove: bool,
    safe_shaders: bool,
    input_size: Option<[usize; 2]>,
    stages: bool,
    features: Vec<String>,
}

impl Default for SessionBuilder {
    fn default() -> Self {
        SessionBuilder {
            source: Source::default(),
            options: LoadOptions::default(),
            labels: None,
            device: DeviceChoice::default(),
            backend: None,
            borrowed: None,
            precision: None,
            batch: 1,
            prove: false,
            safe_shaders: false,
            input_size: None,
            stages: false,
            features: Vec::new(),
        }
    }
}

impl SessionBuilder {
    /// A model that is loaded already.
    pub fn model(mut self, model: Model) -> Self {
        self.source = Source::Loaded(Box::new(model));
        self
    }

    /// A checkpoint or model file in memory.
    pub fn bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.source = Source::Bytes(bytes.into());
        self
    }

    /// A checkpoint or model file.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn file(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.source = Source::File(path.into());
        self
    }

    /// A named network with seeded random weights: for measuring without a checkpoint.
    pub fn random(mut self, name: impl Into<String>, seed: u64) -> Self {
        self.source = Source::Random { name: name.into(), seed };
        self
    }

    /// The architecture, where keys and shapes of a checkpoint cannot tell it.
    pub fn arch(mut self, name: impl Into<String>) -> Self {
        self.options.arch = Some(name.into());
        self
    }

    /// Whether to take the exponential moving average of the weights that training scripts keep
    /// beside them; not if not called.
    pub fn use_ema(mut self, use_ema: bool) -> Self {
        self.options.use_ema = use_ema;
        self
    }

    /// Names of the classes, in order.
    pub fn labels(mut self, labels: Vec<String>) -> Self {
        self.labels = Some(labels);
        self
    }

    /// The device; [`DeviceChoice::Auto`] if not called.
    pub fn device(mut self, device: DeviceChoice) -> Self {
        self.device = device;
        self
    }

    /// Looks at one backend only.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Runs on the caller's device, with the queue that came with it (another device's queue makes
    /// wgpu panic). It is never rebuilt behind the caller's back: if it is lost,
    /// runs fail with [`Error::DeviceLost`] until [`Session::rebuild`].
    pub fn wgpu(mut self, device: Device, queue: Queue) -> Self {
        self.borrowed = Some((device, queue));
        self
    }

    /// The number format; what the model holds if not called.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = Some(precision);
        self
    }

    /// Pictures per run; 1 if not called.
    pub fn batch(mut self, batch: usize) -> Self {
        self.batch = batch;
        self
    }

    /// Proves the fuse on a seeded input while loading ([`Model::fusion`]).
    pub fn prove(mut self, prove: bool) -> Self {
        self.prove = prove;
        self
    }

    /// Leaves the shaders' runtime checks on: slower, for drivers that are not trusted.
    pub fn safe_shaders(mut self, safe: bool) -> Self {
        self.safe_shaders = safe;
        self
    }

    /// Rows and columns of the network's input; what the model was trained with if not called. See
    /// [`Model::with_input_size`].
    pub fn input_size(mut self, height: usize, width: usize) -> Self {
        self.input_size = Some([height, width]);
        self
    }

    /// Keeps the output of every stage, for [`Session::features`]: what detection and segmentation
    /// heads take.
    pub fn stage_features(mut self) -> Self {
        self.stages = true;
        self
    }

    /// Keeps these values, for [`Session::features`], besides those of earlier calls: stages by
    /// their name (`stage2`), any other node of the fused graph by its own. Each costs memory, and
    /// every run reads it back from the device.
    pub fn features<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.features.extend(names.into_iter().map(Into::into));
        self
    }

    /// Loads the model, opens the device, builds the pipelines.
    ///
    /// # Errors
    /// Those of [`Model::from_bytes`] and [`Model::with_input_size`]; [`Error::Argument`] for a
    /// feature that the fused graph does not have ([`features::select`]); [`Error::Device`] if no device fits; [`Error::Limit`] if the
    /// device is too small; [`Error::Gpu`] if it refuses a kernel.
    pub async fn load(self) -> Result<Session> {
        let (options, prove) = (self.options, self.prove);
        if let Source::Builtin | Source::Loaded(_) | Source::Random { .. } = self.source {
            if let Some(arch) = options.arch {
                return Err(Error::argument(format!(
                    "the architecture {arch:?} was named, but no checkpoint was given"
                )));
            }
            if options.use_ema {
                return Err(Error::argument("averaged weights were asked for, but no checkpoint was given"));
            }
        }
        let mut model = match self.source {
            Source::Builtin => Model::builtin()?,
            Source::Loaded(model) => *model,
            Source::Bytes(bytes) => Model::from_bytes(&bytes, "model", options, prove)?,
            #[cfg(not(target_arch = "wasm32"))]
            Source::File(path) => Model::open(path, options, prove)?,
            Source::Random { name, seed } => Model::random(&name, seed, prove)?,
        };
        if let Some(labels) = self.labels {
            model = model.with_labels(labels)?;
        }
        if let Some([height, width]) = self.input_size {
            model = model.with_input_size(height, width)?;
        }
        let stages = if self.stages { features::stages(model.graph()) } else { Vec::new() };
        let names: Vec<String> = stages.into_iter().chain(self.features).collect();
        let kept = features::select(model.graph(), &names)?;
        let wanted: Vec<NodeId> = kept.iter().map(|feature| feature.id).collect();
        let factors = |id: &NodeId| Some(model.quantization()?.factors(*id)?.to_vec());
        let factors = wanted.iter().map(factors).collect();
        let precision = self.precision.unwrap_or(model.precision());
        if precision == Precision::F32 {
            model = model.dequantized();
        }
        if precision != model.precision() {
            let (name, held) = (model.name(), model.precision());
            return Err(Error::argument(if held == Precision::F32 {
                format!(
                    "{name} holds f32 weights, which are not run in {precision}: use --precision f32, or make a file of 8 \
                     bits with `foveate quantize`"
                )
            } else {
                format!("{name} holds {held} weights: use --precision {held}, or f32 for the same weights in floats")
            }));
        }
        if self.batch == 0 {
            return Err(Error::argument("a batch must hold at least one sample"));
        }
        let start = Instant::now();
        let (batch, safe_shaders) = (self.batch, self.safe_shaders);
        let (engine, mut device) = if let Some((device, queue)) = self.borrowed {
            Engine::borrowed(device, queue, &model, batch, safe_shaders, &wanted).await?
        } else {
            open(&self.device, self.backend, &model, batch, safe_shaders, &wanted).await?
        };
        device.arithmetic = device.kind.arithmetic(model.precision());
        let timing = Timing { load: model.loading().as_secs_f64() * 1e3, compile: milliseconds(start) };
        let labels = model.class_names().into();
        Ok(Session { model, engine, device, timing, batch, safe_shaders, labels, kept, factors })
    }
}

async fn open(
    choice: &DeviceChoice,
    backend: Option<Backend>,
    model: &Model,
    batch: usize,
    safe_shaders: bool,
    wanted: &[NodeId],
) -> Result<(Engine, DeviceInfo)> {
    let Some(request) = choice.request() else {
        if let Some(backend) = backend {
            return Err(Error::argument(format!("the CPU executor was asked for, which has no backend {backend:?}")));
        }
        return Ok((Engine::cpu(model, wanted)?, DeviceInfo::cpu("as asked for")));
    };
    match open_gpu(&request, backend, model, batch, safe_shaders, wanted).await {
        // Whatever keeps the GPU from running this model, the CPU can; the reason is told.
        Err(error) if *choice == DeviceChoice::Auto && backend.is_none() => {
            let reason = match error {
                Error::Device { .. } => "no GPU was found; software adapters are taken only by name".to_owned(),
                other => other.to_string(),
            };
            Ok((Engine::cpu(model, wanted)?, DeviceInfo::cpu(reason)))
        }
        opened => opened,
    }
}

async fn open_gpu(
    request: &DeviceRequest,
    backend: Option<Backend>,
    model: &Model,
    batch: usize,
    safe_shaders: bool,
    wanted: &[NodeId],
) -> Result<(Engine, DeviceInfo)> {
    let chosen = gpu::select_adapter(request, backend).await?;
    let context = GpuContext::request(&chosen).await?;
    let info = DeviceInfo::gpu(context.summary(), chosen.reason);
    Ok((Engine::gpu(&context, model, batch, safe_shaders, wanted).await?, info))
}
