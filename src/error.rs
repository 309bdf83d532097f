//! The one error type. Every variant says what was wrong, where, and what to do about it.

use std::path::PathBuf;

/// What went wrong, where, and what to do.
///
/// The enum is `#[non_exhaustive]`: match with a wildcard arm.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read or written.
    #[error("{action} {path}: {source}", path = path.display())]
    Io {
        /// What was being done, e.g. `"cannot read"`.
        action: &'static str,
        /// The file concerned.
        path: PathBuf,
        /// The operating system's word.
        source: std::io::Error,
    },
    /// Bytes that should have been a picture are not one, or one that cannot be used.
    #[error("{origin}: {reason}")]
    Image {
        /// File name, or `"image"` for bytes from memory.
        origin: String,
        /// What is wrong with it, and what would be accepted.
        reason: String,
    },
    /// A checkpoint or model file is damaged or is not of the kind it claims to be.
    #[error("{origin}: {reason}")]
    Checkpoint {
        /// File name, or `"checkpoint"` for bytes from memory.
        origin: String,
        /// What is wrong, at which tensor or byte.
        reason: String,
    },
    /// The tensors of a checkpoint do not fit the architecture: missing, extra or misshapen.
    #[error("{model}: {reason}")]
    Weights {
        /// The architecture that was tried.
        model: String,
        /// Which tensors, by name, with expected and found shapes.
        reason: String,
    },
    /// A model, architecture or variant name that is not known.
    #[error("unknown model {name:?}; {hint}")]
    UnknownModel {
        /// The name as given.
        name: String,
        /// The nearest known names, or how to list them.
        hint: String,
    },
    /// A node of the graph got inputs or parameters that its operator cannot take.
    #[error("node {node:?} ({op}): {reason}")]
    Graph {
        /// Name of the node.
        node: String,
        /// Operator of the node.
        op: &'static str,
        /// Expected and found.
        reason: String,
    },
    /// A rewrite would not be exact, so it is refused.
    #[error("{rewrite} is not exact here: {reason}")]
    Inexact {
        /// The rewrite, e.g. `"composing two convolutions"`.
        rewrite: &'static str,
        /// Why it would change the result.
        reason: String,
    },
    /// The plan cannot be made, for want of a kernel or because sizes overflow.
    #[error("cannot plan node {node:?}: {reason}")]
    Plan {
        /// Name of the node.
        node: String,
        /// What is missing.
        reason: String,
    },
    /// No device fits what was asked for.
    #[error("{reason}")]
    Device {
        /// What was asked for, what there is, and how to ask for that.
        reason: String,
    },
    /// The device cannot hold or run this model.
    #[error("{what} needs {needed}, but {device} allows {limit} ({limit_name}); {hint}")]
    Limit {
        /// The buffer, kernel or model concerned.
        what: String,
        /// What it needs, in the limit's unit.
        needed: u64,
        /// The device's name.
        device: String,
        /// What the device allows.
        limit: u64,
        /// The limit's WebGPU name.
        limit_name: &'static str,
        /// What would help.
        hint: String,
    },
    /// The GPU refused a shader or a command: a defect of this crate or of the driver.
    #[error("GPU error in {what}: {reason}")]
    Gpu {
        /// Kernel or operation.
        what: String,
        /// The validation or driver message.
        reason: String,
    },
    /// The device was lost; a session that borrowed it wants [`rebuild`](crate::Session::rebuild).
    #[error("the GPU device was lost: {reason}")]
    DeviceLost {
        /// The driver's word.
        reason: String,
    },
    /// A network's output holds a NaN or an infinity.
    #[error(
        "the output of {network} is not finite: class {class} is {value}; \
         its weights or the input hold values too large for the number format"
    )]
    NotFinite {
        /// The network.
        network: String,
        /// The first such class.
        class: usize,
        /// Its logit.
        value: f32,
    },
    /// Pictures or the file that says what they show are not as an evaluation needs them.
    #[error("{path}: {reason}", path = path.display())]
    Dataset {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong, at which line or folder, and what would be accepted.
        reason: String,
    },
    /// An argument outside what is allowed.
    #[error("{0}")]
    Argument(String),
}

/// `Result` with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An [`Error::Io`] with the path it happened at.
    pub fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Error::Io { action, path: path.into(), source }
    }

    /// An [`Error::Argument`] from anything printable.
    pub fn argument(message: impl std::fmt::Display) -> Self {
        Error::Argument(message.to_string())
    }
}
