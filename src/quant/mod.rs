//! INT8: how a fused network is quantised, what that costs, and how it is repaired without training.
//!
//! The scheme is that of the QARepVGG paper (4.1): symmetric uniform 8-bit grids, one scale per
//! output channel of a weight and one per activation tensor, the inputs of every convolution and
//! linear layer quantised, first and last included. [`Quantization`] holds the scales beside a
//! [`Graph`](crate::Graph) whose weights lie on their grids.

mod auto;
mod bias;
mod calibration;
mod equalize;
#[cfg(all(feature = "decode", not(target_arch = "wasm32")))]
mod folder;
mod given;
pub mod grid;
mod histogram;
mod influence;
mod measure;
mod memory;
mod noise;
mod observe;
mod options;
mod parts;
mod potential;
mod quantization;
mod quantizer;
mod range;
mod rescale;
mod restore;
mod simulate;
mod ties;
mod trial;
mod walk;
mod weights;

pub use auto::{Sensitivity, keep_fewest, sensitivities};
pub use calibration::CalibrationSet;
pub use equalize::{Equalized, Recipe, equalize};
#[cfg(all(feature = "decode", not(target_arch = "wasm32")))]
pub use folder::count_pictures;
pub use histogram::Histogram;
pub use measure::{Costs, LayerCost};
pub use memory::{calibrated_on_noise, quantize};
pub use noise::Noise;
pub use observe::{Observed, Seen};
pub use options::{Calibrator, Granularity, Options, Scheme};
pub use quantization::{Calibration, Quantization};
pub use quantizer::{OnStage, Quantized, Quantizer, Stage};
pub use range::range;
pub use restore::restore;
pub use simulate::{Part, Simulated, Simulation};
