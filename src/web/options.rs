//! What JavaScript asks of a session.

use serde::Deserialize;

use crate::checkpoint::LoadOptions;
use crate::error::{Error, Result};
use crate::session::{DeviceChoice, Model, Precision, Session, SessionBuilder};

/// Options of a session, by the names that they have in the package.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Options {
    precision: Option<Precision>,
    device: Device,
    /// What the file is called in messages.
    origin: Option<String>,
    arch: Option<String>,
    use_ema: bool,
    labels: Option<Vec<String>>,
    /// Rows and columns.
    input_size: Option<[usize; 2]>,
    stages: bool,
    features: Vec<String>,
    prove: bool,
    safe_shaders: bool,
    /// Instead of a file.
    random: Option<Random>,
}

/// A named network with seeded random weights.
#[derive(Debug, Deserialize)]
struct Random {
    name: String,
    seed: u64,
}

/// Where to run.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Device {
    /// A GPU if there is one, else the CPU executor.
    #[default]
    Auto,
    /// What the browser has, software too, or an error.
    Webgpu,
    Cpu,
}

impl Options {
    pub fn parse(json: &str) -> Result<Options> {
        serde_json::from_str(json).map_err(|e| Error::argument(format!("options: {e}")))
    }

    /// The model of a file, or a random one.
    pub fn model(&self, bytes: Vec<u8>) -> Result<Model> {
        let mut model = match &self.random {
            Some(random) => Model::random(&random.name, random.seed, self.prove)?,
            None => {
                let load = LoadOptions { arch: self.arch.clone(), use_ema: self.use_ema, preprocess: None };
                Model::from_bytes(&bytes, self.origin.as_deref().unwrap_or("model"), load, self.prove)?
            }
        };
        if let Some(labels) = &self.labels {
            model = model.with_labels(labels.clone())?;
        }
        Ok(model)
    }

    pub fn session(self, model: Model) -> SessionBuilder {
        let device = match self.device {
            Device::Auto => DeviceChoice::Auto,
            // A browser shows one adapter.
            Device::Webgpu => DeviceChoice::Index(0),
            Device::Cpu => DeviceChoice::Cpu,
        };
        let mut builder = Session::builder().model(model).device(device).safe_shaders(self.safe_shaders);
        if let Some(precision) = self.precision {
            builder = builder.precision(precision);
        }
        if let Some([height, width]) = self.input_size {
            builder = builder.input_size(height, width);
        }
        if self.stages {
            builder = builder.stage_features();
        }
        builder.features(self.features)
    }
}
