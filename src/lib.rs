//! foveate: a WebGPU inference runtime for reparameterised convolutional networks.
#![warn(missing_docs)]

pub mod analyze;
pub mod bench;
pub mod checkpoint;
pub mod cpu;
#[cfg(not(target_arch = "wasm32"))]
pub mod dataset;
pub mod describe;
pub mod error;
pub mod eval;
pub mod features;
#[cfg(not(target_arch = "wasm32"))]
mod files;
pub mod gpu;
pub mod graph;
pub mod int8;
mod json;
pub mod kernels;
pub mod labels;
pub mod models;
pub mod ops;
mod order;
pub mod passes;
pub mod picture;
pub mod plan;
pub mod predict;
pub mod preprocess;
pub mod profile;
pub mod proof;
pub mod quant;
pub mod registry;
pub mod roofline;
pub mod session;
pub mod tensor;
pub mod tune;
pub mod verify;
#[cfg(all(target_arch = "wasm32", feature = "web"))]
pub mod web;

pub use error::{Error, Result};
pub use features::{Feature, Features};
pub use gpu::PictureSource;
pub use graph::{Graph, NodeId, ParamId, Shape};
pub use picture::Picture;
pub use preprocess::Preprocess;
pub use session::{
    Answer, DeviceChoice, DeviceInfo, DeviceKind, DriverTests, Flight, Landed, Model, OnRebuild, Precision, Rebuilt,
    Session, SessionBuilder, TestDriver, Top,
};
pub use tensor::Tensor;
pub use wgpu;
