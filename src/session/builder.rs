//! Choosing model, device and batch.

use std::sync::Arc;
#[cfg(feature = "workshop")]
use std::time::Duration;

use web_time::Instant;

use super::device::{DeviceChoice, DeviceInfo};
use super::engine::{Engine, Setup, Started};
use super::model::{Model, Precision};
use super::recovery::{OnRebuild, Rebuilt, Recovery};
use super::trial::DriverTests;
use super::tuning::Tuning;
use super::wishes::Wishes;
use super::{Session, Timing, milliseconds};
use crate::checkpoint::LoadOptions;
use crate::error::{Error, Result};
use crate::gpu::{self, AdapterChoice, Backend, Device, GpuContext, PipelineCache, Queue, Sabotage, Watch};
use crate::kernels::Choices;
#[cfg(feature = "workshop")]
use crate::quant::{self, CalibrationSet};
use crate::tune::Store;

/// Where the model comes from.
#[derive(Clone, Debug, Default)]
#[cfg_attr(foveate_module = "gpu", allow(dead_code, reason = "that module is given models that are read already"))]
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

impl Source {
    #[cfg(not(foveate_module = "gpu"))]
    fn model(self, options: LoadOptions, prove: bool) -> Result<Model> {
        match self {
            #[cfg(feature = "builtin")]
            Source::Builtin => Model::builtin(),
            #[cfg(not(feature = "builtin"))]
            Source::Builtin => {
                Err(Error::argument("no model was given, and this build has none of its own (feature builtin)"))
            }
            Source::Loaded(model) => Ok(*model),
            Source::Bytes(bytes) => Model::from_bytes(&bytes, "model", options, prove),
            #[cfg(not(target_arch = "wasm32"))]
            Source::File(path) => Model::open(path, options, prove),
            Source::Random { name, seed } => Model::random(&name, seed, prove),
        }
    }

    /// Of models that are read already: that module carries nothing that reads checkpoints.
    #[cfg(foveate_module = "gpu")]
    fn model(self, _: LoadOptions, _: bool) -> Result<Model> {
        match self {
            Source::Loaded(model) => Ok(*model),
            _ => Err(Error::argument("no model was given")),
        }
    }
}

/// Options of a session; see [`Session::builder`].
#[derive(Clone, Debug)]
pub struct SessionBuilder {
    source: Source,
    options: LoadOptions,
    wishes: Wishes,
    device: DeviceChoice,
    backend: Option<Backend>,
    borrowed: Option<(Device, Queue)>,
    batch: usize,
    prove: bool,
    safe_shaders: bool,
    pipelines: Option<PipelineCache>,
    watch: Watch,
    tuning: Tuning,
    driver_tests: DriverTests,
    memory_budget: Option<u64>,
    sabotage: Sabotage,
    recover: bool,
    on_rebuild: OnRebuild,
    #[cfg(feature = "workshop")]
    calibration: Option<CalibrationSet>,
}

impl Default for SessionBuilder {
    fn default() -> Self {
        SessionBuilder {
            source: Source::default(),
            options: LoadOptions::default(),
            wishes: Wishes::default(),
            device: DeviceChoice::default(),
            backend: None,
            borrowed: None,
            batch: 1,
            prove: false,
            safe_shaders: false,
            pipelines: None,
            watch: Watch::default(),
            tuning: Tuning::default(),
            driver_tests: DriverTests::default(),
            memory_budget: None,
            sabotage: Sabotage::default(),
            recover: cfg!(not(target_arch = "wasm32")),
            on_rebuild: OnRebuild::default(),
            #[cfg(feature = "workshop")]
            calibration: None,
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
        self.wishes.labels = Some(labels);
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

    /// The number format; what the model holds if not called. 16-bit floats and integers are tested while
    /// loading, on one picture against the CPU executor: integers have to be the same, bit for bit. Where they are
    /// not, or 16-bit floats not enough, the session computes in f32: see [`Session::precision`] and [`Session::precision_note`].
    pub fn precision(mut self, precision: Precision) -> Self {
        self.wishes.precision = Some(precision);
        self
    }

    /// What ranges of activations are found with where [`Precision::W8a8`] is asked of a float model, which is then
    /// quantised while loading, with the default [`quant::Options`]. Without it only models that are quantised already
    /// run in w8a8, and those of [`random`](Self::random), whose ranges are those of noise.
    #[cfg(feature = "workshop")]
    pub fn calibration(mut self, set: CalibrationSet) -> Self {
        self.calibration = Some(set);
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

    /// Keeps compiled pipelines from one process to the next, where the device can (Vulkan): the first
    /// result comes sooner. What is damaged, foreign or cannot be written is no error. Not kept if not
    /// called.
    pub fn pipeline_cache(mut self, cache: PipelineCache) -> Self {
        self.pipelines = Some(cache);
        self
    }

    /// When the driver's kernels are tested while loading: [`DriverTests`]. A kernel that the driver computes wrongly is
    /// gone around, which [`DeviceInfo`] tells.
    pub fn driver_tests(mut self, tests: DriverTests) -> Self {
        self.driver_tests = tests;
        self
    }

    /// Bytes of the device's memory that weights, values and what goes in and out may take together. A network that needs
    /// more is refused before anything is allocated ([`Error::Limit`]), or runs on the CPU where the device was chosen
    /// automatically.
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.memory_budget = Some(bytes);
        self
    }

    /// Whether a device of the session's own that is lost is opened again and the run repeated, once; a second loss within
    /// ten seconds is an error. Natively so if not called; in browsers [`Session::reopen`] is for the page to call.
    pub fn recover(mut self, recover: bool) -> Self {
        self.recover = recover;
        self
    }

    /// Is told when a lost device was replaced.
    pub fn on_rebuild(mut self, on_rebuild: OnRebuild) -> Self {
        self.on_rebuild = on_rebuild;
        self
    }

    /// What tests do to the device.
    #[doc(hidden)]
    pub fn sabotage(mut self, sabotage: Sabotage) -> Self {
        self.sabotage = sabotage;
        self
    }

    /// All that is asked of the model, at once.
    #[cfg(all(target_arch = "wasm32", feature = "web"))]
    #[cfg_attr(any(foveate_module = "cpu", foveate_module = "import"), allow(dead_code))]
    pub(crate) fn wishes(mut self, wishes: Wishes) -> Self {
        self.wishes = wishes;
        self
    }

    /// Is told how far compiling for a GPU is.
    pub fn watch(mut self, watch: Watch) -> Self {
        self.watch = watch;
        self
    }

    /// Rows and columns of the network's input; what the model was trained with if not called. See
    /// [`Model::with_input_size`].
    pub fn input_size(mut self, height: usize, width: usize) -> Self {
        self.wishes.input_size = Some([height, width]);
        self
    }

    /// Keeps the output of every stage, for [`Session::features`]: what detection and segmentation
    /// heads take.
    pub fn stage_features(mut self) -> Self {
        self.wishes.stages = true;
        self
    }

    /// Keeps these values, for [`Session::features`], besides those of earlier calls: stages by
    /// their name (`stage2`), any other node of the fused graph by its own. Each costs memory, and
    /// every run reads it back from the device.
    pub fn features<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.wishes.features.extend(names.into_iter().map(Into::into));
        self
    }

    /// Plans with these tiles and kernels and no other tuning: what [`Session::choices`] of an earlier
    /// session said, or an [`Outcome`](crate::tune::Outcome). What the network's steps do not fit is ignored.
    pub fn choices(mut self, choices: Choices) -> Self {
        self.tuning = Tuning::Choices(Arc::new(choices));
        self
    }

    /// Plans with what was tuned for the device that is opened, if it is in there; the crate's own tables
    /// stand in for the rest.
    pub fn tuned(mut self, store: Store) -> Self {
        self.tuning = Tuning::Store(Arc::new(store));
        self
    }

    /// Tunes while loading, for about as long as `budget` ([`crate::tune`]); what a call of
    /// [`tuned`](Self::tuned) before gave is tried first. [`Session::choices`] has the result. Not for networks that
    /// run in integers, whose tiles rules choose.
    #[cfg(feature = "workshop")]
    pub fn tune(mut self, budget: Duration) -> Self {
        let store = match self.tuning {
            Tuning::Store(store) | Tuning::Measure { store, .. } => store,
            _ => Arc::default(),
        };
        self.tuning = Tuning::Measure { budget, store };
        self
    }

    /// Plans by rules alone, without any tuning, that of the crate's own tables included.
    pub fn untuned(mut self) -> Self {
        self.tuning = Tuning::None;
        self
    }

    /// Loads the model, opens the device, builds the pipelines.
    ///
    /// # Errors
    /// Those of [`Model::from_bytes`] and [`Model::with_input_size`]; [`Error::Argument`] for a
    /// feature that the fused graph does not have ([`features::select`](crate::features::select)), and a calibration
    /// that is missing or not wanted; [`Error::Device`] if no device fits; [`Error::Limit`] if the device is too
    /// small; [`Error::Gpu`] if it refuses a kernel.
    pub async fn load(self) -> Result<Session> {
        let (options, prove) = (self.options, self.prove);
        #[cfg(feature = "workshop")]
        let random = matches!(self.source, Source::Random { .. });
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
        let model = self.source.model(options, prove)?;
        let mut wishes = self.wishes;
        let model = wishes.shape(model)?;
        let precision = wishes.precision(&model);
        #[cfg(feature = "workshop")]
        let model = calibrated(model, self.calibration, precision, random)?;
        let (model, kept) = wishes.settle(model)?;
        if self.batch == 0 {
            return Err(Error::argument("a batch must hold at least one sample"));
        }
        let start = Instant::now();
        let setup = Setup {
            batch: self.batch,
            safe_shaders: self.safe_shaders,
            pipelines: self.pipelines,
            watch: self.watch,
            tuning: self.tuning,
            wanted: kept.nodes(),
            driver_tests: self.driver_tests,
            memory_budget: self.memory_budget,
            sabotage: self.sabotage,
            precision,
        };
        let opened = self.borrowed.is_none().then(|| (self.device.clone(), self.backend));
        let started = if let Some((device, queue)) = self.borrowed {
            Engine::borrowed(device, queue, &model, &setup).await?
        } else {
            open_again(&self.device, self.backend, &model, &setup, self.recover, &self.on_rebuild).await?
        };
        let Started { engine, device, precision, note, choices } = started;
        let timing = Timing { load: model.loading().as_secs_f64() * 1e3, compile: milliseconds(start) };
        let labels = model.class_names().into();
        let precision = (precision, note);
        let recovery = Recovery::new(self.recover && opened.is_some(), self.on_rebuild);
        Ok(Session { model, engine, device, timing, setup, precision, labels, kept, choices, opened, recovery })
    }
}

/// The model with the scales that its precision needs.
#[cfg(feature = "workshop")]
fn calibrated(model: Model, set: Option<CalibrationSet>, precision: Precision, random: bool) -> Result<Model> {
    let calibrates = precision == Precision::W8a8 && model.precision() != Precision::W8a8;
    match set {
        Some(set) if calibrates => quant::quantize(&model, set, quant::Options::default()),
        Some(_) => Err(Error::argument(format!(
            "a calibration set was given, which a float model in w8a8 needs; this one is {} and to run in {precision}",
            model.precision()
        ))),
        None if calibrates && random => quant::calibrated_on_noise(&model),
        None => Ok(model),
    }
}

/// As [`open`], and once more if the device is lost on the way.
async fn open_again(
    choice: &DeviceChoice,
    backend: Option<Backend>,
    model: &Model,
    setup: &Setup,
    recover: bool,
    on_rebuild: &OnRebuild,
) -> Result<Started> {
    let start = Instant::now();
    match open(choice, backend, model, setup).await {
        Err(Error::DeviceLost { reason }) if recover => {
            let started = open(choice, backend, model, setup).await?;
            on_rebuild.tell(&Rebuilt { reason, device: started.device.clone(), took: start.elapsed() });
            Ok(started)
        }
        opened => opened,
    }
}

pub(super) async fn open(
    choice: &DeviceChoice,
    backend: Option<Backend>,
    model: &Model,
    setup: &Setup,
) -> Result<Started> {
    let Some(request) = choice.request() else {
        if let Some(backend) = backend {
            return Err(Error::argument(format!("the CPU executor was asked for, which has no backend {backend:?}")));
        }
        return Engine::cpu(model, setup, "as asked for");
    };
    let chosen = gpu::select_adapter(&request, backend).await;
    let none = chosen.is_err();
    match open_gpu(chosen, model, setup).await {
        // Whatever keeps the GPU from running this model, the CPU can; the reason is told.
        Err(error)
            if *choice == DeviceChoice::Auto && backend.is_none() && !matches!(error, Error::DeviceLost { .. }) =>
        {
            let reason = match none {
                true => "no GPU was found; software adapters are taken only by name".to_owned(),
                false => error.to_string(),
            };
            Engine::cpu(model, setup, reason)
        }
        opened => opened,
    }
}

async fn open_gpu(chosen: Result<AdapterChoice>, model: &Model, setup: &Setup) -> Result<Started> {
    let chosen = chosen?;
    let context = GpuContext::request(&chosen).await?.sabotaged(setup.sabotage.clone());
    let device = DeviceInfo::gpu(context.summary(), chosen.reason);
    Engine::gpu(&context, device, model, setup).await
}
