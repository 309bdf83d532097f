//! In which number format a model runs fastest on a device: by rule, or measured and remembered.
//!
//! What a model file holds is never made coarser: which of the formats that its weights and scales allow is a choice
//! between kernels like any other, so it is kept where those are, in [`Choices::kernels`], under a key of its own.

use std::fmt;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::Serialize;
use web_time::{Duration, Instant};

use super::{DeviceChoice, Model, Precision, Session, SessionBuilder};
use crate::error::Result;
use crate::gpu::{Backend, GpuContext};
use crate::kernels::Choices;
use crate::picture::Picture;
use crate::tune::{Samples, Store};

/// The formats that a model may run in without being rounded further than it is, its own first.
///
/// With 16-bit floats, weights of 8 bits stay so, and those of a float model are rounded to 16; the session then tests
/// them, and takes 32 bits where that is not enough.
pub fn formats(model: &Model) -> &'static [Precision] {
    match model.precision() {
        Precision::W8a8 => &[Precision::W8a8, Precision::W8, Precision::F16],
        Precision::W8 => &[Precision::W8, Precision::F16],
        Precision::F32 | Precision::F16 => &[Precision::F32, Precision::F16],
    }
}

/// What [`Choices::kernels`] has the format under that was fastest: of the network, not its weights, with batches of that
/// size.
pub fn key(model: &Model, batch: usize) -> String {
    format!("format of {}: {}, {}, batch {batch}", model.precision(), model.name(), model.graph().input_shape())
}

/// A format, and why it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The format.
    pub precision: Precision,
    /// In words.
    pub reason: String,
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.precision, self.reason)
    }
}

/// The format that a model runs in fastest on that device, the CPU executor if there is none: what was measured there,
/// or else what the rules for devices of its kind say.
pub fn choose(model: &Model, batch: usize, device: Option<&GpuContext>, store: Option<&Store>) -> Chosen {
    let held = model.precision();
    let measured = device.zip(store).and_then(|(device, store)| {
        let name = store.get(&device.tuning_key())?.kernels.get(&key(model, batch))?;
        formats(model).iter().find(|format| format.to_string() == *name).copied()
    });
    match (measured, device) {
        (Some(precision), _) => Chosen { precision, reason: "measured to be the fastest on this device".to_owned() },
        (None, None) => Chosen { precision: held, reason: "what the model holds, on the CPU executor".to_owned() },
        (None, Some(device)) => by_rule(held, device.summary().backend, device.summary().is_software()),
    }
}

/// What to expect of devices, where nothing was measured.
fn by_rule(held: Precision, backend: &str, software: bool) -> Chosen {
    let (precision, reason) = match (held, backend) {
        _ if software => (held, "what the model holds, since a processor plays GPU"),
        (Precision::W8a8, "vulkan" | "dx12" | "webgpu") => (held, "bytes are multiplied four at a time here"),
        (Precision::W8a8, _) => (Precision::F16, "a product of four bytes takes four multiplications here"),
        (Precision::W8, _) => (Precision::F16, "half the memory for activations, weights of 8 bits"),
        (Precision::F32 | Precision::F16, _) => (Precision::F16, "half the memory for weights and activations"),
    };
    Chosen { precision, reason: format!("{reason} (a rule: `foveate tune --precision auto` measures)") }
}

/// How to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The device; it has to be a GPU.
    pub device: DeviceChoice,
    /// One backend only.
    pub backend: Option<Backend>,
    /// Pictures per run.
    pub batch: usize,
    /// How long the runs may take together, without loading and compiling.
    pub budget: Duration,
    /// Leaves the shaders' runtime checks on.
    pub safe_shaders: bool,
    /// What was tuned before.
    pub store: Store,
}

/// What a format takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timed {
    /// The format, as `--precision` names it.
    pub precision: String,
    /// The median of a batch, from submission to readback, in milliseconds; nothing if the device does not compute it as
    /// the CPU does.
    pub ms: Option<f64>,
    /// Runs that were timed.
    pub runs: usize,
    /// What its self-test said.
    pub note: String,
}

/// What measuring came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Every format that the model may run in, its own first.
    pub formats: Vec<Timed>,
    /// The one to take.
    pub taken: String,
    /// The same as a choice, to be merged into a [`Store`].
    pub choices: Choices,
}

/// The fewest and the most runs of a format.
const RUNS: std::ops::RangeInclusive<usize> = 5..=200;

/// Times every format that the model may run in, run by run in turn, so that whatever disturbs one disturbs all. Formats
/// whose self-test fails are not taken. The model's own stays unless another is faster by more than the noise.
///
/// # Errors
/// Those of loading and running sessions.
pub async fn measure(model: &Model, options: &Options) -> Result<Measured> {
    let mut sessions = Vec::new();
    for precision in formats(model) {
        let session = open(model, *precision, options).await?;
        let passed = session.precision() == *precision;
        sessions.push((*precision, session, passed, Samples::default()));
    }
    // Sessions refuse batches that are too large for anything.
    let pictures = vec![noise(model)?; options.batch];
    for (_, session, ..) in sessions.iter_mut().filter(|(.., passed, _)| *passed) {
        session.classify_batch(&pictures, 1).await?;
    }
    let start = Instant::now();
    for run in 0..*RUNS.end() {
        if run >= *RUNS.start() && start.elapsed() > options.budget {
            break;
        }
        for (_, session, _, samples) in sessions.iter_mut().filter(|(.., passed, _)| *passed) {
            let start = Instant::now();
            session.classify_batch(&pictures, 1).await?;
            samples.push(start.elapsed().as_secs_f64());
        }
    }
    let passed = || sessions.iter().filter(|(.., passed, _)| *passed);
    let mut taken = passed().next();
    for other in passed() {
        if taken.is_some_and(|(.., best)| other.3.beats(best)) {
            taken = Some(other);
        }
    }
    let taken = taken.map_or(model.precision(), |(precision, ..)| *precision).to_string();
    let timed = |(precision, session, passed, samples): &(Precision, Session, bool, Samples)| Timed {
        precision: precision.to_string(),
        ms: passed.then(|| samples.median() * 1e3),
        runs: samples.len(),
        note: session.precision_note().unwrap_or_default().to_owned(),
    };
    let mut choices = Choices::default();
    choices.kernels.insert(key(model, options.batch), taken.clone());
    Ok(Measured { formats: sessions.iter().map(timed).collect(), taken, choices })
}

async fn open(model: &Model, precision: Precision, options: &Options) -> Result<Session> {
    let Options { device, backend, batch, safe_shaders, store, .. } = options;
    let builder = SessionBuilder::default()
        .model(model.clone())
        .device(device.clone())
        .batch(*batch)
        .safe_shaders(*safe_shaders)
        .tuned(store.clone())
        .precision(precision);
    match backend {
        Some(backend) => builder.backend(*backend).load().await,
        None => builder.load().await,
    }
}

/// A picture of the size that the network sees.
fn noise(model: &Model) -> Result<Picture> {
    let [height, width] = model.preprocess().crop;
    let mut rng = Pcg64::seed_from_u64(0);
    let bytes = (0..width as usize * height as usize * 4).map(|_| rng.random()).collect();
    Picture::from_rgba(width, height, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::{CalibrationSet, Options as Quantizing, quantize};

    #[test]
    fn rules_take_integers_where_bytes_are_multiplied_at_once() {
        let taken = |held, backend, software| by_rule(held, backend, software).precision;
        assert_eq!(taken(Precision::W8a8, "vulkan", false), Precision::W8a8);
        assert_eq!(taken(Precision::W8a8, "dx12", false), Precision::W8a8);
        for (held, backend) in [(Precision::W8a8, "metal"), (Precision::W8a8, "gl"), (Precision::F32, "vulkan")] {
            assert_eq!(taken(held, backend, false), Precision::F16, "{held} {backend}");
        }
        for held in [Precision::F32, Precision::W8, Precision::W8a8] {
            assert_eq!(taken(held, "vulkan", true), held);
        }
    }

    #[test]
    fn nothing_is_rounded_further_than_it_is() {
        let model = Model::builtin().unwrap();
        assert_eq!(formats(&model), [Precision::F32, Precision::F16]);
        assert_eq!(choose(&model, 1, None, None).precision, Precision::F32);
        let set = CalibrationSet::noise(model.graph().input_shape(), 4, 0).unwrap();
        let quantized = quantize(&model, set, Quantizing::default()).unwrap();
        assert_eq!(formats(&quantized), [Precision::W8a8, Precision::W8, Precision::F16]);
        assert_ne!(key(&model, 1), key(&quantized, 1));
        assert_ne!(key(&model, 1), key(&model, 2));
    }
}
