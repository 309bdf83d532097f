//! What kernels bind and what is read back, as plain values.

use std::sync::Arc;

use super::{Layout, TensorId};
use crate::graph::{NodeId, Shape};

/// A physical activation tensor: `[planes][batch · pixels]` of `vec4<f32>`.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// Node whose value it holds.
    pub name: String,
    /// Planes of four channels.
    pub planes: usize,
    /// Pixels of one plane, batch included.
    pub pixels: usize,
}

impl TensorInfo {
    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.planes as u64 * self.pixels as u64 * 16
    }
}

/// Packed weights, ready for upload: f32 bit patterns, or integers where a kernel takes a table.
#[derive(Clone, PartialEq)]
pub struct WeightBlob {
    /// Node they belong to.
    pub name: String,
    /// The words, little-endian on upload.
    pub words: Arc<Vec<u32>>,
}

impl WeightBlob {
    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.words.len() as u64 * 4
    }
}

/// A value that is read back after a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The graph's node.
    pub node: NodeId,
    /// Shape of one sample.
    pub shape: Shape,
    /// The tensor that holds it.
    pub tensor: TensorId,
    /// First plane within the tensor.
    pub first_plane: usize,
    /// Where its channels are within the planes.
    pub layout: Layout,
}
