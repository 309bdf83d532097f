//! Choosing model, device and batch.

use web_time::Instant;

use super::device::{DeviceChoice, DeviceInfo};
use super::engine::Engine;
use super::model::{Model, Precision};
use super::{Session, Timing, milliseconds};
use crate::checkpoint::LoadOptions;
use crate::error::{Error, Result};
use crate::gpu::{self, Backend, GpuContext};
use crate::plan::Plan;

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
    borrowed: Option<(wgpu::Device, wgpu::Queue)>,
    precision: Option<Precision>,
    batch: usize,
    prove: bool,
    safe_shaders: bool,
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

    /// Runs on the caller's device. It is never rebuilt behind the caller's back: if it is lost,
    /// runs fail with [`Error::DeviceLost`] until [`Session::rebuild`].
    pub fn wgpu(mut self, device: wgpu::Device, queue: wgpu::Queue) -> Self {
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

    /// Loads the model, opens the device, builds the pipelines.
    ///
    /// # Errors
    /// Those of [`Model::from_bytes`]; [`Error::Device`] if no device fits; [`Error::Limit`] if the
    /// device is too small; [`Error::Gpu`] if it refuses a kernel.
    pub async fn load(self) -> Result<Session> {
        let start = Instant::now();
        let (options, prove) = (self.options, self.prove);
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
        let precision = self.precision.unwrap_or(model.precision());
        if precision != model.precision() {
            let (name, held) = (model.name(), model.precision());
            return Err(Error::argument(format!(
                "{name} holds {held} weights and this version runs f32 only; \
                 {precision} arrives with a later version: use --precision {held}"
            )));
        }
        let load = milliseconds(start);

        let start = Instant::now();
        let batch = self.batch;
        let plan = Plan::new(model.graph(), batch, &[])?;
        let (engine, device) = if let Some((device, queue)) = self.borrowed {
            Engine::borrowed(device, queue, plan, &model, self.safe_shaders).await?
        } else {
            open(&self.device, self.backend, plan, &model, self.safe_shaders).await?
        };
        let timing = Timing { load, compile: milliseconds(start) };
        Ok(Session { model, engine, device, timing, batch, safe_shaders: self.safe_shaders })
    }
}

async fn open(
    choice: &DeviceChoice,
    backend: Option<Backend>,
    plan: Plan,
    model: &Model,
    safe: bool,
) -> Result<(Engine, DeviceInfo)> {
    let Some(request) = choice.request() else {
        return Ok((Engine::cpu(model)?, DeviceInfo::cpu("asked for by --device cpu")));
    };
    let chosen = match gpu::select_adapter(&request, backend).await {
        Ok(chosen) => chosen,
        Err(Error::Device { reason }) if *choice == DeviceChoice::Auto => {
            return Ok((Engine::cpu(model)?, DeviceInfo::cpu(reason)));
        }
        Err(error) => return Err(error),
    };
    let context = GpuContext::request(&chosen).await?;
    let info = DeviceInfo::gpu(context.summary(), chosen.reason);
    Ok((Engine::gpu(&context, plan, model, safe).await?, info))
}
