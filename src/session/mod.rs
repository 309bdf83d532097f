//! From a picture to labels: load → fuse → plan → run, on the GPU or the CPU, natively and in the
//! browser with one async API.

mod answer;
mod builder;
mod device;
mod engine;
mod flight;
mod model;
pub mod precision;
mod recovery;
mod self_test;
mod trial;
mod tuning;

pub use answer::{Answer, Top};
pub use builder::SessionBuilder;
pub use device::{DeviceChoice, DeviceInfo, DeviceKind};
pub use flight::{Flight, Landed};
pub use model::{Fusion, Model, Precision};
pub use recovery::{OnRebuild, Rebuilt};
pub use trial::{DriverTests, TestDriver};
pub(crate) use tuning::known as tuned;

use std::sync::Arc;
use std::time::Duration;

use web_time::Instant;

use crate::error::{Error, Result};
use crate::features::{Features, Selected};
use crate::gpu::{Backend, Device, GpuExecutor, PictureSource, Queue, StepTime};
use crate::graph::NodeId;
use crate::kernels::Choices;
use crate::quant;
use crate::tensor::Tensor;
use engine::{Engine, Outputs, Setup, Started};
use recovery::Recovery;

/// How long the stages took, in milliseconds of wall time.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Timing {
    /// Reading the model and fusing it, the proof not included.
    pub load: f64,
    /// Opening the device, building pipelines, uploading weights.
    pub compile: f64,
}

/// A network on a device, ready to classify.
pub struct Session {
    model: Model,
    engine: Engine,
    device: DeviceInfo,
    timing: Timing,
    setup: Setup,
    /// What it computes in, and what is to be said about that.
    precision: (Precision, Option<String>),
    /// One name per class, shared by all answers.
    labels: Arc<[String]>,
    /// The values that every run returns beside the output.
    kept: Vec<Selected>,
    /// What their channels have to be multiplied with, for those of equalised networks.
    factors: Vec<Option<Vec<f32>>>,
    /// The tuned choices that it was planned with.
    choices: Arc<Choices>,
    /// How the device was chosen, unless it is the caller's.
    opened: Option<(DeviceChoice, Option<Backend>)>,
    /// What is done about a lost device.
    recovery: Recovery,
}

impl Session {
    /// Starts with the built-in network on the device that [`DeviceChoice::Auto`] finds.
    pub fn builder() -> SessionBuilder {
        SessionBuilder::default()
    }

    /// The `count` most probable classes of a picture (a [`Picture`](crate::Picture), or a texture of the session's
    /// device: [`PictureSource`]), best first: crop, resize, normalise, run. Where
    /// the device can find them ([`MAX_TOP`](crate::kernels::MAX_TOP) at most), a few hundred bytes are
    /// read back instead of all logits.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub async fn classify<'a>(&mut self, picture: impl Into<PictureSource<'a>>, count: usize) -> Result<Vec<Top>> {
        let answers = self.classify_batch(&[picture.into()], count).await?;
        answers.into_iter().next().ok_or_else(|| Error::argument("the network made no output"))
    }

    /// The `count` most probable classes of up to [`Session::batch`] pictures in one run, in order; see
    /// [`Session::classify`].
    ///
    /// # Errors
    /// As [`Session::run_batch`].
    pub async fn classify_batch<'a, P>(&mut self, pictures: &'a [P], count: usize) -> Result<Vec<Vec<Top>>>
    where
        PictureSource<'a>: From<&'a P>,
    {
        loop {
            let landed = match self.submit(pictures, count) {
                Ok(flight) => flight.wait().await,
                Err(error) => Err(error),
            };
            match landed {
                Err(error) => self.recover(error, &sources(pictures)).await?,
                Ok(landed) => return Ok(landed.answers),
            }
        }
    }

    /// Starts a run of up to [`Session::batch`] pictures without waiting for it, so that the next may be
    /// started meanwhile: with two or three under way a GPU is never idle. The CPU executor is done when
    /// this returns. Answers are [`Session::classify_batch`]'s.
    ///
    /// # Errors
    /// As [`Session::run_batch`]; some come from [`Flight::wait`].
    pub fn submit<'a, P>(&mut self, pictures: &'a [P], count: usize) -> Result<Flight>
    where
        PictureSource<'a>: From<&'a P>,
    {
        self.check_count(pictures.len())?;
        let underway = self.engine.submit(&sources(pictures), count)?;
        let (network, labels, samples) = (self.model.name().to_owned(), self.labels.clone(), pictures.len());
        Ok(Flight { underway, network, labels, samples, classes: self.model.classes(), count })
    }

    /// Has the GPU stamp every run from now on, for [`Session::gpu_time`], or no longer. `false` if it has no
    /// timestamps, and on the CPU.
    ///
    /// # Errors
    /// [`Error::Gpu`] if memory is short.
    pub async fn stamp_runs(&mut self, on: bool) -> Result<bool> {
        match self.engine.as_gpu() {
            Some(executor) => executor.stamp_frames(on).await,
            None => Ok(false),
        }
    }

    /// The GPU's own time of the last run ([`GpuExecutor::frame_time`](crate::gpu::GpuExecutor::frame_time)).
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub async fn gpu_time(&mut self) -> Result<Option<Duration>> {
        match self.engine.as_gpu() {
            Some(executor) => executor.frame_time().await,
            None => Ok(None),
        }
    }

    /// What runs the network, where that is a GPU: its plan and its device.
    pub fn gpu(&mut self) -> Option<&mut GpuExecutor> {
        self.engine.as_gpu()
    }

    /// Runs the network on a picture and returns all logits: crop, resize, normalise, run.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] if the GPU went away (see [`Session::rebuild`]), [`Error::Gpu`] if it
    /// failed otherwise.
    pub async fn run<'a>(&mut self, picture: impl Into<PictureSource<'a>>) -> Result<Answer> {
        let answers = self.run_batch(&[picture.into()]).await?;
        answers.into_iter().next().ok_or_else(|| Error::argument("the network made no output"))
    }

    /// Runs the network on up to [`Session::batch`] pictures at once and returns all logits, in order.
    ///
    /// # Errors
    /// As [`Session::run`]; also if there are no pictures, or more than the batch.
    pub async fn run_batch<'a, P>(&mut self, pictures: &'a [P]) -> Result<Vec<Answer>>
    where
        PictureSource<'a>: From<&'a P>,
    {
        self.check_count(pictures.len())?;
        let logits = self.outputs(pictures).await?.output;
        let rows = logits.data().chunks(self.model.classes()).take(pictures.len());
        rows.map(|row| Answer::new(self.model.name(), row.to_vec(), self.labels.clone())).collect()
    }

    /// How long each step takes, preprocessing first: on a GPU by its own clock
    /// ([`GpuExecutor::profile_pictures`](crate::gpu::GpuExecutor::profile_pictures)), on the CPU
    /// executor by the wall's.
    ///
    /// # Errors
    /// As [`Session::run`]; also if the GPU has no timestamps.
    pub async fn profile<'a>(&mut self, picture: impl Into<PictureSource<'a>>) -> Result<Vec<StepTime>> {
        self.engine.profile(picture.into()).await
    }

    /// Runs the network on a tensor that is already preprocessed, `[n, channels, height, width]` as
    /// the graph's input says, n from 1 to the batch. Returns the output, `[n, classes, 1, 1]`.
    /// What a NaN or an infinity in the input becomes is up to the device.
    ///
    /// # Errors
    /// As [`Session::run`]; also if the shape is another.
    pub async fn run_tensor(&mut self, input: &Tensor) -> Result<Tensor> {
        self.check_samples(input)?;
        Ok(self.outputs_of_tensor(input).await?.output)
    }

    /// The values that the session keeps ([`SessionBuilder::features`],
    /// [`SessionBuilder::stage_features`]) for one picture, each `[1, c, h, w]`.
    ///
    /// # Errors
    /// As [`Session::run`]; also if the session keeps none. A NaN or an infinity is no error here.
    pub async fn features<'a>(&mut self, picture: impl Into<PictureSource<'a>>) -> Result<Features> {
        self.features_batch(&[picture.into()]).await
    }

    /// The values that the session keeps for up to [`Session::batch`] pictures, each
    /// `[n, c, h, w]`.
    ///
    /// # Errors
    /// As [`Session::features`] and [`Session::run_batch`].
    pub async fn features_batch<'a, P>(&mut self, pictures: &'a [P]) -> Result<Features>
    where
        PictureSource<'a>: From<&'a P>,
    {
        self.check_kept()?;
        self.check_count(pictures.len())?;
        let outputs = self.outputs(pictures).await?;
        self.features_from(outputs)
    }

    /// The values that the session keeps for a tensor that is already preprocessed; see
    /// [`Session::run_tensor`].
    ///
    /// # Errors
    /// As [`Session::features`] and [`Session::run_tensor`].
    pub async fn features_of_tensor(&mut self, input: &Tensor) -> Result<Features> {
        self.check_kept()?;
        self.check_samples(input)?;
        let outputs = self.outputs_of_tensor(input).await?;
        self.features_from(outputs)
    }

    /// Runs pictures; once more if the device is lost and may be replaced.
    async fn outputs<'a, P>(&mut self, pictures: &'a [P]) -> Result<Outputs>
    where
        PictureSource<'a>: From<&'a P>,
    {
        loop {
            match self.engine.run_pictures(&sources(pictures)).await {
                Err(error) => self.recover(error, &sources(pictures)).await?,
                done => return done,
            }
        }
    }

    /// The same with a tensor.
    async fn outputs_of_tensor(&mut self, input: &Tensor) -> Result<Outputs> {
        loop {
            match self.engine.run_tensor(input).await {
                Err(error) => self.recover(error, &[]).await?,
                done => return done,
            }
        }
    }

    /// Opens a device of the session's own again that was lost, so that the run can be repeated.
    ///
    /// # Errors
    /// The run's own, if it is another one, or if the device is the caller's, was lost shortly before, or had the pictures.
    async fn recover(&mut self, error: Error, sources: &[PictureSource<'_>]) -> Result<()> {
        let Error::DeviceLost { reason } = error else { return Err(error) };
        let textures = sources.iter().any(|source| matches!(source, PictureSource::Texture(_)));
        if textures || !self.recovery.again() {
            return Err(Error::DeviceLost { reason });
        }
        let start = Instant::now();
        self.reopen().await?;
        self.recovery.on_rebuild.tell(&Rebuilt { reason, device: self.device.clone(), took: start.elapsed() });
        Ok(())
    }

    /// Values of quantised networks become those that the network had before its ranges were moved.
    fn features_from(&self, mut outputs: Outputs) -> Result<Features> {
        for (value, factors) in outputs.wanted.iter_mut().zip(&self.factors) {
            factors.as_ref().map_or(Ok(()), |factors| quant::restore(value, factors))?;
        }
        Features::new(&self.kept, outputs.wanted, outputs.output)
    }

    fn check_kept(&self) -> Result<()> {
        if self.kept.is_empty() {
            let how = "ask for some with SessionBuilder::stage_features() or features([…])";
            return Err(Error::argument(format!("this session keeps no intermediate values; {how}")));
        }
        Ok(())
    }

    fn check_count(&self, given: usize) -> Result<()> {
        let batch = self.batch();
        if !(1..=batch).contains(&given) {
            return Err(Error::argument(format!("{given} pictures given, this session takes 1 to {batch} at once")));
        }
        Ok(())
    }

    fn check_samples(&self, input: &Tensor) -> Result<()> {
        let samples = input.shape().first().copied().unwrap_or(0);
        let batch = self.batch();
        if !(1..=batch).contains(&samples) {
            let shape = input.shape();
            return Err(Error::argument(format!(
                "the input has shape {shape:?}, this session takes 1 to {batch} samples"
            )));
        }
        Ok(())
    }

    /// The network with its preprocessing and labels.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// A name for each class: the model's label, or `class N` without labels.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The names of the values that it keeps for [`Session::features`]: nodes of the fused graph.
    pub fn kept(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().map(|kept| kept.node.as_str())
    }

    /// Where it runs, and why there.
    pub fn device(&self) -> &DeviceInfo {
        &self.device
    }

    /// The tuned tiles and kernels that it was planned with: of the crate's own tables, of a file, or
    /// measured ([`SessionBuilder::tune`]). Empty on the CPU.
    pub fn choices(&self) -> &Choices {
        &self.choices
    }

    /// How long loading and compiling took.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Pictures per run.
    pub fn batch(&self) -> usize {
        self.setup.batch
    }

    /// The number format that it computes in: what was asked for, or f32 where 16-bit floats and w8 where integers
    /// cannot be had, for which [`Session::precision_note`] has the reason.
    pub fn precision(&self) -> Precision {
        self.precision.0
    }

    /// What is to be known about [`Session::precision`], a sentence without a capital; `None` for f32
    /// that was asked for.
    pub fn precision_note(&self) -> Option<&str> {
        self.precision.1.as_deref()
    }

    /// The compiled pipelines, for [`SessionBuilder::pipeline_cache`] the next time; `None` where the
    /// device has no such thing (all but Vulkan) or the session was built without.
    pub fn compiled_pipelines(&self) -> Option<Vec<u8>> {
        self.engine.compiled()
    }

    /// Brings a session whose device was lost back to life on another device of the caller's,
    /// whoever's the lost one was. Weights come from the host's copy; no file is read again.
    ///
    /// # Errors
    /// As [`SessionBuilder::load`]; the session stays as it was.
    pub async fn rebuild(&mut self, device: Device, queue: Queue) -> Result<()> {
        let start = Instant::now();
        let started = Engine::borrowed(device, queue, &self.model, &self.setup).await?;
        self.restarted(started, start);
        self.opened = None;
        self.recovery.disable();
        Ok(())
    }

    /// Brings a session whose device was lost back to life on a device that is chosen as the first was. Weights come
    /// from the host's copy; no file is read again.
    ///
    /// # Errors
    /// As [`SessionBuilder::load`], and [`Error::Argument`] if the device was the caller's, who has
    /// [`Session::rebuild`]; the session stays as it was.
    pub async fn reopen(&mut self) -> Result<()> {
        let Some((choice, backend)) = &self.opened else {
            return Err(Error::argument("the device was the caller's: give another with Session::rebuild"));
        };
        let start = Instant::now();
        let started = builder::open(choice, *backend, &self.model, &self.setup).await?;
        self.restarted(started, start);
        Ok(())
    }

    fn restarted(&mut self, started: Started, start: Instant) {
        let Started { engine, device, precision, note, choices } = started;
        (self.engine, self.device, self.precision) = (engine, device, (precision, note));
        self.choices = choices;
        self.timing.compile = milliseconds(start);
    }

    /// The node of that name in the network's graph.
    pub fn node(&self, name: &str) -> Option<NodeId> {
        self.model.graph().find(name)
    }
}

fn sources<'a, P>(pictures: &'a [P]) -> Vec<PictureSource<'a>>
where
    PictureSource<'a>: From<&'a P>,
{
    pictures.iter().map(PictureSource::from).collect()
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
