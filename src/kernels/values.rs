//! What kernels bind and what is read back, as plain values.

use std::sync::Arc;

use super::lowering::Piece;
use super::{Format, Layout, Storage, TensorId};
use crate::graph::{NodeId, Shape};

/// A physical activation tensor: `[planes][batch · pixels]` of vec4.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// Node whose value it holds.
    pub name: String,
    /// Planes of four channels.
    pub planes: usize,
    /// Pixels of one plane, batch included.
    pub pixels: usize,
    /// How it is stored.
    pub format: Format,
}

impl TensorInfo {
    /// How many vec4s it has.
    pub fn vec4s(&self) -> u64 {
        self.planes as u64 * self.pixels as u64
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.format.bytes(self.vec4s())
    }
}

/// Packed weights, ready for upload: the bit patterns of their number format, or integers where a kernel
/// takes a table.
#[derive(Clone, PartialEq)]
pub struct WeightBlob {
    /// Node they belong to.
    pub name: String,
    /// The words, little-endian on upload.
    pub words: Arc<Vec<u32>>,
    /// How many words there are, also once they have gone to the device and are no longer kept here.
    pub len: usize,
    /// How they are stored.
    pub format: Format,
}

impl WeightBlob {
    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        let bytes = self.len as u64 * 4;
        match self.format.storage {
            Storage::Buffer => bytes,
            Storage::Texture => self.format.bytes(bytes / self.format.element.bytes()),
        }
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

/// Where the value of a node lies from the step that computes it on. A value that was copied, or is a
/// view of others, has several places.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The graph's node.
    pub node: NodeId,
    /// Where the channels are within the planes.
    pub layout: Layout,
    /// How often each channel of the node stands there, one behind the other.
    pub times: usize,
    /// The planes, piece by piece.
    pub pieces: Vec<Piece>,
}
