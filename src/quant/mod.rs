//! INT8: how a fused network is quantised, what that costs, and how it is repaired without training.
//!
//! The scheme is that of the QARepVGG paper (4.1): symmetric uniform 8-bit grids, one scale per
//! output channel of a weight and one per activation tensor, the inputs of every convolution and
//! linear layer quantised, first and last included. [`Quantization`] holds the scales beside a
//! [`Graph`](crate::Graph) whose weights lie on their grids.

pub mod grid;
mod noise;
mod options;
mod quantization;
mod simulate;

pub use noise::Noise;
pub use options::{Calibrator, Granularity, Options, Scheme};
pub use quantization::{Calibration, Quantization};
pub use simulate::{Part, Simulated, Simulation};
