//! The fast path: packed weights, values in blocks of sixteen channels, memory used again.
//!
//! [`Program`] is a graph made ready; [`Choice`](choose::Choice) is the table of kernels. One file per
//! kernel: [`conv`] (dense, grouped, fully connected; [`batch`] has its pixels, [`tile`] its innermost loops),
//! [`winograd`] (3×3 of stride 1), [`stem`] (the first convolution), [`depthwise`] and [`mixer`] (RepNeXt's token
//! mixers; [`sweep`] has the innermost loops of both), [`pool`], [`pointwise`]. [`team`] has the threads, [`slots`] the
//! memory. What no kernel takes goes through the operator's general implementation in the folder above.

mod batch;
mod choose;
pub(super) mod conv;
mod depthwise;
mod gelu;
mod kernel;
pub(super) mod layout;
mod mixer;
mod pointwise;
mod pool;
mod program;
pub(super) mod slots;
mod stem;
mod sweep;
pub(super) mod team;
mod tile;
pub(super) mod vectors;
mod winograd;

#[cfg(not(foveate_module = "gpu"))]
pub(super) use program::{Program, Workspace};
