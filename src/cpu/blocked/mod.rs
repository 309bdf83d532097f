//! The fast path: packed weights, values in blocks of sixteen channels, memory used again.
//!
//! [`Program`] is a graph made ready; [`Choice`](choose::Choice) is the table of kernels. One file per
//! kernel: [`conv`] (dense, grouped, fully connected; its innermost loops are [`tile`]),
//! [`winograd`] (3×3 of stride 1), [`stem`] (the first convolution), [`depthwise`],
//! [`mixer`] (RepNeXt's token mixers), [`pool`], [`pointwise`]. [`team`] has the threads, [`slots`] the
//! memory. What no kernel takes goes through the operator's general implementation in the folder above.

mod choose;
pub(super) mod conv;
mod depthwise;
mod kernel;
pub(super) mod layout;
mod mixer;
mod pointwise;
mod pool;
mod program;
pub(super) mod slots;
mod stem;
pub(super) mod team;
mod tile;
pub(super) mod vectors;
mod winograd;

#[cfg(not(foveate_module = "gpu"))]
pub(super) use program::{Program, Workspace};
