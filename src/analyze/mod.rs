//! Why a network does or does not bear 8 bits (QARepVGG, Chu et al. 2022): the distributions of its
//! weights (condition C1) and activations (condition C2), the batch norms that they come from, and
//! what each layer costs when it is quantised.
//!
//! Everything here is a plain value that serialises; pictures come in as tensors that are already
//! preprocessed. Runs on the CPU executor.

mod histogram;
mod layers;
mod measure;
mod norms;
mod quantiser;
mod spread;

pub use histogram::Density;
pub use measure::{InputReport, LayerReport, WeightReport};
pub use norms::NormReport;
pub use quantiser::Noise;
pub use spread::{Quantiles, Spread};

use crate::error::Result;
use crate::graph::Graph;
use crate::tensor::Tensor;

/// What is being done, for progress bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Ranges and distributions of activations.
    Ranges,
    /// Each layer by itself with weights or inputs in 8 bits.
    Noise,
}

/// How far a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The stage.
    pub stage: Stage,
    /// Steps done in it.
    pub done: usize,
    /// Steps that it has.
    pub total: usize,
}

/// x
pub fn layers(fused: &Graph, inputs: &[Tensor]) -> Result<Vec<LayerReport>> {
    measure::measure(&layers::Layers::of(fused)?, inputs, &mut |_| {})
}
