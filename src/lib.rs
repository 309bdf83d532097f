//! foveate: a WebGPU inference runtime for reparameterised convolutional networks.
#![warn(missing_docs)]
// Nothing that anybody passes or reads from a file ends the program. Modules that read files do not index either.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo, clippy::unimplemented)
)]

pub mod analyze;
pub mod bench;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
pub mod checkpoint;
pub mod cpu;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
#[cfg(not(target_arch = "wasm32"))]
pub mod dataset;
pub mod describe;
pub mod error;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
pub mod eval;
pub mod features;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
pub mod files;
pub mod gpu;
pub mod graph;
pub mod int8;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
mod json;
pub mod kernels;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
mod kind;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
pub mod labels;
pub mod models;
pub mod ops;
mod order;
pub mod passes;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
pub mod picture;
pub mod plan;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
pub mod predict;
pub mod preprocess;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
pub mod profile;
pub mod proof;
pub mod quant;
#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
pub mod readers;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
pub mod registry;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
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
