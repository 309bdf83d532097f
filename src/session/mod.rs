//! From a picture to labels: load → fuse → plan → run, on the GPU or the CPU, natively and in the
//! browser with one async API.

mod answer;
mod builder;
mod device;
mod engine;
mod model;

pub use answer::{Answer, Top};
pub use builder::SessionBuilder;
pub use device::{DeviceChoice, DeviceInfo, DeviceKind};
pub use model::{Fusion, Model, Precision};

use std::sync::Arc;

use web_time::Instant;

use crate::error::{Error, Result};
use crate::features::{Features, Selected};
use crate::gpu::{Device, Queue, StepTime};
use crate::graph::NodeId;
use crate::picture::Picture;
use crate::quant;
use crate::tensor::Tensor;
use engine::{Engine, Outputs};

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
    batch: usize,
    safe_shaders: bool,
    /// One name per class, shared by all answers.
    labels: Arc<[String]>,
    /// The values that every run returns beside the output.
    kept: Vec<Selected>,
    /// What their channels have to be multiplied with, for those of equalised networks.
    factors: Vec<Option<Vec<f32>>>,
}

impl Session {
    /// Starts with the built-in network on the device that [`DeviceChoice::Auto`] finds.
    pub fn builder() -> SessionBuilder {
        SessionBuilder::default()
    }

    /// Classifies one picture: crop, resize, normalise, run.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] if the GPU went away (see [`Session::rebuild`]), [`Error::Gpu`] if it
    /// failed otherwise.
    pub async fn run(&mut self, picture: &Picture) -> Result<Answer> {
        let answers = self.run_batch(std::slice::from_ref(picture)).await?;
        answers.into_iter().next().ok_or_else(|| Error::argument("the network made no output"))
    }

    /// Classifies up to [`Session::batch`] pictures in one run, in order.
    ///
    /// # Errors
    /// As [`Session::run`]; also if there are no pictures, or more than the batch.
    pub async fn run_batch(&mut self, pictures: &[Picture]) -> Result<Vec<Answer>> {
        self.check_count(pictures.len())?;
        let logits = self.engine.run_pictures(pictures).await?.output;
        let rows = logits.data().chunks(self.model.classes()).take(pictures.len());
        rows.map(|row| Answer::new(self.model.name(), row.to_vec(), self.labels.clone())).collect()
    }

    /// How long each step takes, preprocessing first: on a GPU by its own clock
    /// ([`GpuExecutor::profile_pictures`](crate::gpu::GpuExecutor::profile_pictures)), on the CPU
    /// executor by the wall's.
    ///
    /// # Errors
    /// As [`Session::run`]; also if the GPU has no timestamps.
    pub async fn profile(&mut self, picture: &Picture) -> Result<Vec<StepTime>> {
        self.engine.profile(picture).await
    }

    /// Runs the network on a tensor that is already preprocessed, `[n, channels, height, width]` as
    /// the graph's input says, n from 1 to the batch. Returns the output, `[n, classes, 1, 1]`.
    /// What a NaN or an infinity in the input becomes is up to the device.
    ///
    /// # Errors
    /// As [`Session::run`]; also if the shape is another.
    pub async fn run_tensor(&mut self, input: &Tensor) -> Result<Tensor> {
        self.check_samples(input)?;
        Ok(self.engine.run_tensor(input).await?.output)
    }

    /// The values that the session keeps ([`SessionBuilder::features`],
    /// [`SessionBuilder::stage_features`]) for one picture, each `[1, c, h, w]`.
    ///
    /// # Errors
    /// As [`Session::run`]; also if the session keeps none. A NaN or an infinity is no error here.
    pub async fn features(&mut self, picture: &Picture) -> Result<Features> {
        self.features_batch(std::slice::from_ref(picture)).await
    }

    /// The values that the session keeps for up to [`Session::batch`] pictures, each
    /// `[n, c, h, w]`.
    ///
    /// # Errors
    /// As [`Session::features`] and [`Session::run_batch`].
    pub async fn features_batch(&mut self, pictures: &[Picture]) -> Result<Features> {
        self.check_kept()?;
        self.check_count(pictures.len())?;
        let outputs = self.engine.run_pictures(pictures).await?;
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
        let outputs = self.engine.run_tensor(input).await?;
        self.features_from(outputs)
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
        let batch = self.batch;
        if !(1..=batch).contains(&given) {
            return Err(Error::argument(format!("{given} pictures given, this session takes 1 to {batch} at once")));
        }
        Ok(())
    }

    fn check_samples(&self, input: &Tensor) -> Result<()> {
        let samples = input.shape().first().copied().unwrap_or(0);
        if !(1..=self.batch).contains(&samples) {
            let (shape, batch) = (input.shape(), self.batch);
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

    /// Where it runs, and why there.
    pub fn device(&self) -> &DeviceInfo {
        &self.device
    }

    /// How long loading and compiling took.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Pictures per run.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Brings a session whose device was lost back to life on another device of the caller's,
    /// whoever's the lost one was. Weights come from the host's copy; no file is read again.
    ///
    /// # Errors
    /// As [`SessionBuilder::load`]; the session stays as it was.
    pub async fn rebuild(&mut self, device: Device, queue: Queue) -> Result<()> {
        let start = Instant::now();
        let wanted: Vec<NodeId> = self.kept.iter().map(|feature| feature.id).collect();
        let (batch, safe_shaders) = (self.batch, self.safe_shaders);
        let (engine, mut info) = Engine::borrowed(device, queue, &self.model, batch, safe_shaders, &wanted).await?;
        info.arithmetic = info.kind.arithmetic(self.model.precision());
        (self.engine, self.device) = (engine, info);
        self.timing.compile = milliseconds(start);
        Ok(())
    }

    /// The node of that name in the network's graph.
    pub fn node(&self, name: &str) -> Option<NodeId> {
        self.model.graph().find(name)
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
