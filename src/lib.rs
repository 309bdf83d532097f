//! foveate: a WebGPU inference runtime for reparameterised convolutional networks.
#![warn(missing_docs)]

pub mod error;
pub mod graph;
pub mod ops;
pub mod tensor;

pub use error::{Error, Result};
pub use graph::{Graph, NodeId, ParamId, Shape};
pub use tensor::Tensor;
