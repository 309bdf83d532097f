//! What `--model` says, or was dropped on the window.

use std::path::PathBuf;

use foveate::checkpoint::LoadOptions;
use foveate::{Error, Model, Precision, Result, labels};

use crate::args::PRECISIONS;
use crate::source;

/// Where a network comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// The one in the program.
    Builtin,
    /// A checkpoint or model file.
    File { path: PathBuf, arch: Option<String>, labels: Option<String> },
    /// A named network with seeded weights: for measuring.
    Random { name: String },
}

impl Named {
    /// # Errors
    /// Those of [`Model`]'s ways to load, and of the labels' file.
    pub fn load(&self) -> Result<Model> {
        match self {
            Named::Builtin => Model::builtin(),
            Named::Random { name } => Model::random(name, 0, false),
            Named::File { path, arch, labels } => {
                if !path.exists() {
                    return Err(Error::argument(format!(
                        "there is no file {}; for a published network, run `foveate pull NAME` and give the file that \
                         it names, or add --random to measure its speed without weights",
                        path.display()
                    )));
                }
                if source::is_source(path) {
                    return Err(Error::argument(format!("{} is for --source: it is no model", path.display())));
                }
                // Reading from a pipe could wait for ever.
                if !path.is_file() {
                    return Err(Error::argument(format!("{} is no file, so it is no model", path.display())));
                }
                let options = LoadOptions { arch: arch.clone(), ..LoadOptions::default() };
                let model = Model::open(path, options, false)?;
                labels.as_ref().map_or(Ok(model.clone()), |from| model.with_labels(labels::read(from.as_ref())?))
            }
        }
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Named::Builtin => write!(f, "built in"),
            Named::Random { .. } => write!(f, "random weights"),
            Named::File { path, .. } => write!(f, "{}", path.file_name().unwrap_or(path.as_os_str()).display()),
        }
    }
}

/// The number formats that a model can be run in here: for integers it has to be quantised already.
pub fn precisions(model: &Model) -> Vec<Precision> {
    let quantised = model.precision() == Precision::W8a8;
    PRECISIONS.into_iter().filter(|precision| *precision != Precision::W8a8 || quantised).collect()
}
