//! What JavaScript asks of a session.

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::session::wishes::Wishes;
use crate::session::{Model, Precision};

/// Options of a session, by the names that they have in the package.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Options {
    precision: Option<Precision>,
    /// What the file is called in messages.
    origin: Option<String>,
    labels: Option<Vec<String>>,
    /// Rows and columns.
    input_size: Option<[usize; 2]>,
    stages: bool,
    features: Vec<String>,
    pub safe_shaders: bool,
}

impl Options {
    pub fn parse(json: &str) -> Result<Options> {
        serde_json::from_str(json).map_err(|e| Error::argument(format!("options: {e}")))
    }

    /// The model of a file of foveate's own.
    pub fn model(&self, bytes: &[u8]) -> Result<Model> {
        Model::from_model_file(bytes, self.origin.as_deref().unwrap_or("model"))
    }

    pub fn wishes(self) -> Wishes {
        let Options { precision, labels, input_size, stages, features, .. } = self;
        Wishes { labels, input_size, precision, stages, features }
    }
}
