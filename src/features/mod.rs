//! Intermediate values of a network: the maps that its stages, its token mixers or any other of its
//! nodes make of a picture, as tensors for detection and segmentation heads and as pictures to look
//! at.
//!
//! A value is that of a node of the *fused* graph, after the activation and the residual sum that
//! the node computes with it. Nodes that fusing folded into others have no value any more; asking
//! for one is an error that names what took its place.

mod colour;
mod draw;
#[cfg_attr(not(test), deny(clippy::indexing_slicing))]
mod file;
mod font;
mod select;
mod stats;

pub use colour::Colormap;
pub use draw::{MAX_CHANNELS, Scale, Style, branches as draw_branches, grid as draw_grid, input as draw_input};
pub use file::to_safetensors;
pub use select::{Selected, mixers, select, stages, strides};
pub use stats::Stats;

use crate::error::{Error, Result};
use crate::graph::Shape;
use crate::tensor::Tensor;

/// The values that a session was asked to keep, for one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    maps: Vec<Feature>,
    output: Tensor,
}

/// One node's value.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    about: Selected,
    tensor: Tensor,
}

/// One branch of a token mixer.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// `identity`, `S`, `M` or `L`.
    pub name: &'static str,
    /// What it does, e.g. `7×7` or `1×11→11×1`; empty for the identity.
    pub kernel: String,
    /// Its channels, `[n, c, h, w]`.
    pub tensor: Tensor,
}

impl Features {
    /// `tensors` are the values of `selected`, in order.
    ///
    /// # Errors
    /// If there are not as many of one as of the other.
    pub fn new(selected: &[Selected], tensors: Vec<Tensor>, output: Tensor) -> Result<Self> {
        if selected.len() != tensors.len() {
            let (wanted, made) = (selected.len(), tensors.len());
            return Err(Error::argument(format!("{wanted} values were asked for, the executor returned {made}")));
        }
        let maps = selected.iter().zip(tensors).map(|(about, tensor)| Feature { about: about.clone(), tensor });
        Ok(Features { maps: maps.collect(), output })
    }

    /// All values, in the order in which they were asked for.
    pub fn iter(&self) -> std::slice::Iter<'_, Feature> {
        self.maps.iter()
    }

    /// The value of that name: a stage's (`stage2`) or a node's.
    pub fn get(&self, name: &str) -> Option<&Feature> {
        self.maps.iter().find(|map| map.about.node == name || map.about.stages.iter().any(|stage| stage == name))
    }

    /// The output of the deepest kept stage that halves the input so often that one of its pixels
    /// stands for `stride × stride` of the input's: 4, 8, 16 and 32 are what detection and
    /// segmentation heads take.
    pub fn at_stride(&self, stride: usize) -> Option<&Feature> {
        let fits = |map: &&Feature| !map.about.stages.is_empty() && map.about.stride == Some([stride; 2]);
        self.maps.iter().filter(fits).max_by_key(|map| map.about.id)
    }

    /// The network's output, `[n, classes, 1, 1]`: logits. It may hold a NaN or an infinity.
    pub fn output(&self) -> &Tensor {
        &self.output
    }
}

impl<'f> IntoIterator for &'f Features {
    type Item = &'f Feature;
    type IntoIter = std::slice::Iter<'f, Feature>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Feature {
    /// The node's name in the fused graph.
    pub fn node(&self) -> &str {
        &self.about.node
    }

    /// The stage whose output this is, e.g. `stage2`.
    pub fn stage(&self) -> Option<&str> {
        self.about.stages.first().map(String::as_str)
    }

    /// Rows and columns of the input that one row and one column of this stand for; `None` for
    /// pooled vectors and what follows them.
    pub fn stride(&self) -> Option<[usize; 2]> {
        self.about.stride
    }

    /// Channels, rows and columns of one sample.
    pub fn shape(&self) -> Shape {
        self.about.shape
    }

    /// The values, `[n, c, h, w]`; vectors have `h = w = 1`.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// The values without their name.
    pub fn into_tensor(self) -> Tensor {
        self.tensor
    }

    /// Range, mean, spread and share of zeros, over all samples.
    pub fn stats(&self) -> Stats {
        Stats::of(self.tensor.data())
    }

    /// The branches of a RepNeXt token mixer, none for other nodes.
    ///
    /// The mixers of blocks (`ChunkConv`, RepNeXt 3.2) have four, a quarter of the channels each:
    /// identity, S (3×3), M (7×7) and L (1×11, then 11×1). Those of downsampling (`CopyConv`) have
    /// S and M, half of the channels each. The fused networks compute a mixer in one kernel; its
    /// output still holds the branches one behind the other, which is where these come from.
    ///
    /// # Errors
    /// None for what a session returns.
    pub fn branches(&self) -> Result<Vec<Branch>> {
        let parts = &self.about.parts;
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let tensors = split_channels(&self.tensor, parts.len())?;
        let named = parts.iter().zip(tensors);
        Ok(named.map(|((name, kernel), tensor)| Branch { name, kernel: kernel.clone(), tensor }).collect())
    }
}

impl Branch {
    /// Range, mean, spread and share of zeros, over all samples.
    pub fn stats(&self) -> Stats {
        Stats::of(self.tensor.data())
    }
}

/// Splits `[n, c, h, w]` into `parts` tensors of `c / parts` channels: channels 0 to `c / parts`
/// first.
///
/// # Errors
/// If the tensor has another number of dimensions, or its channels cannot be split so.
pub fn split_channels(tensor: &Tensor, parts: usize) -> Result<Vec<Tensor>> {
    let shape = tensor.shape();
    let &[samples, channels, height, width] = shape else {
        return Err(Error::argument(format!("a tensor of shape {shape:?} has no channels; [n, c, h, w] is wanted")));
    };
    // A tensor without values may have any number of channels, and would be split in as many.
    if parts == 0 || tensor.is_empty() || !channels.is_multiple_of(parts) {
        return Err(Error::argument(format!("{channels} channels ({shape:?}) cannot be split in {parts} equal parts")));
    }
    // Of sizes beside a zero the others may be anything.
    let pixels = height.saturating_mul(width);
    let (each, sample) = ((channels / parts).saturating_mul(pixels), channels.saturating_mul(pixels));
    let part = |index: usize| {
        let rows = tensor.data().chunks_exact(sample.max(1));
        let data = rows.flat_map(|row| &row[index * each..(index + 1) * each]).copied().collect();
        Tensor::new([samples, channels / parts, height, width], data)
    };
    (0..parts).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_split_sample_by_sample() {
        let values = Tensor::new([2, 4, 1, 2], (0..16).map(|v| v as f32).collect()).unwrap();
        let parts = split_channels(&values, 2).unwrap();
        assert_eq!(parts[0].data(), [0., 1., 2., 3., 8., 9., 10., 11.]);
        assert_eq!(parts[1].data(), [4., 5., 6., 7., 12., 13., 14., 15.]);
        assert_eq!(parts[1].shape(), [2, 2, 1, 2]);
        for (tensor, parts) in [(&values, 3), (&values, 0), (&Tensor::zeros([4, 4]), 2)] {
            assert!(split_channels(tensor, parts).is_err(), "{:?} {parts}", tensor.shape());
        }
    }
}
