//! Whether a device computes a network as the CPU does, layer by layer.
//!
//! Every layer runs by itself on the values that the CPU executor has for a real picture, so that errors do not add up and
//! the first layer that is off is the one whose kernel is wrong. Then the network runs as a whole, in the plan and with
//! the memory that a session would give it. A layer can be taken along as a [`Repro`]: one file with its shader, inputs,
//! weights and what was expected, that runs anywhere without the model.

// Sessions of the browser package test no drivers.
#![cfg_attr(all(target_arch = "wasm32", feature = "web"), allow(dead_code, unused_imports))]

mod check;
mod compare;
mod halves;
mod layers;
mod record;
mod reference;
mod report;
mod repro;
mod words;

use std::sync::Arc;

pub use compare::{Bound, Distance};
pub(crate) use compare::{F16_LAYER, F32_LAYER};
pub use halves::{Against, Halves};
pub use layers::Location;
pub use report::{Check, Device, Fault, Network, Report, SCHEMA_VERSION};
pub use repro::{Replay, ReplayReport, Replayed, Repro};

use crate::error::{Error, Result};
use crate::gpu::{ExecutorOptions, GpuContext};
use crate::int8::{self, Program};
use crate::kernels::{Choices, Target};
use crate::picture::Picture;
use crate::plan::Plan;
use crate::session::{Model, Precision, tuned};
use crate::tensor::Tensor;
use crate::tune::Store;

pub(crate) use check::fault;
pub(crate) use halves::Case;
pub(crate) use layers::Layers;
pub(crate) use record::{Record, variant_id};
pub(crate) use reference::Reference;

/// How to verify.
#[derive(Clone)]
pub struct Options {
    /// What was tuned: the kernels that a session would take are those that are looked at.
    pub tuned: Option<Arc<Store>>,
    /// By rules alone, without any tuning.
    pub untuned: bool,
    /// Leaves the shaders' runtime checks on.
    pub safe_shaders: bool,
    /// The layer to take along, by the name of its node; the first one that is off if not given.
    pub layer: Option<String>,
    /// Is told which layer is next, and of how many.
    pub watch: Arc<dyn Fn(usize, usize) + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Options { tuned: None, untuned: false, safe_shaders: false, layer: None, watch: Arc::new(|_, _| ()) }
    }
}

/// What is verified, and what the CPU makes of it: the same for all devices.
pub struct Subject<'m> {
    model: &'m Model,
    precision: Precision,
    program: Option<Program>,
    float_nodes: usize,
    input: Tensor,
    reference: Reference,
}

impl<'m> Subject<'m> {
    /// Runs the network on the CPU. `model` is held in what `precision` needs ([`Model::with_precision`]).
    ///
    /// # Errors
    /// [`Error::Argument`] if there are no pictures, if a model without ranges is to run in w8a8, or if the CPU's own
    /// values are no numbers.
    pub fn new(model: &'m Model, precision: Precision, pictures: &[Picture]) -> Result<Self> {
        if pictures.is_empty() {
            return Err(Error::argument("a picture is needed to verify with"));
        }
        let input = model.preprocess().apply_batch(&pictures.iter().collect::<Vec<_>>())?;
        let quantization = model.quantization().filter(|_| precision == Precision::W8a8);
        if precision == Precision::W8a8 && quantization.is_none() {
            // Says what is missing.
            model.clone().with_precision(precision)?;
        }
        let program = quantization.map(|quantization| int8::lower(model.graph(), quantization)).transpose()?;
        let reference = match &program {
            Some(program) => Reference::of_program(program, &input)?,
            None => Reference::of_graph(model.graph(), &input)?,
        };
        let float_nodes = program.as_ref().map_or(0, Program::float_nodes);
        Ok(Subject { model, precision, program, float_nodes, input, reference })
    }

    /// As a session would plan it.
    fn plan(&self, context: &GpuContext, batch: usize, options: &Options) -> Result<Plan> {
        let mut target = Target { f16: self.precision == Precision::F16, ..context.target() };
        if options.untuned || self.program.is_some() {
            target.choices = Arc::new(Choices::default());
        } else if let Some(store) = &options.tuned {
            target.choices = tuned(&target, store, context);
        }
        match &self.program {
            Some(program) => Plan::for_program(program, batch, &[], target),
            None => Plan::for_target(self.model.graph(), batch, &[], target),
        }
    }

    fn executor_options(&self, options: &Options) -> ExecutorOptions {
        let preprocess = Some(self.model.preprocess().clone());
        ExecutorOptions { preprocess, safe_shaders: options.safe_shaders, top: true, ..ExecutorOptions::default() }
    }
}

/// Looks at one device in one number format. What keeps it from being looked at is in the result. Also returns the layer
/// that was asked for, or the first one that is off.
///
/// # Errors
/// [`Error::Argument`] if no layer has the name that was asked for.
pub async fn verify(
    context: &GpuContext,
    subject: &Subject<'_>,
    pictures: &[Picture],
    options: &Options,
) -> Result<(Check, Option<Repro>)> {
    match check::check(context, subject, pictures, options).await {
        Ok(checked) => Ok((checked.check, checked.repro)),
        Err(error @ Error::Argument(_)) => Err(error),
        Err(error) => Ok((Check::failed(subject.precision, error.to_string()), None)),
    }
}

impl Report {
    /// What was found on some devices.
    pub fn new(model: &Model, batch: usize, devices: Vec<Device>) -> Self {
        let agrees = !devices.is_empty() && devices.iter().flat_map(|device| &device.checks).all(|check| check.agrees);
        Report {
            schema_version: SCHEMA_VERSION,
            foveate: env!("CARGO_PKG_VERSION"),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            model: model.name().to_owned(),
            source: model.details().source_sha256.clone(),
            batch,
            agrees,
            devices,
        }
    }
}
