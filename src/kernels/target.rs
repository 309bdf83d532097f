//! What a device is good at, as far as it decides how a network is planned.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Storage, Tile};

/// What was measured to be fastest on a device.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Choices {
    /// Between kernels, by [`Decision::key`](super::Decision::key).
    pub kernels: BTreeMap<String, String>,
    /// Tiles of kernels, by [`Step::key`](super::Step::key).
    pub tiles: BTreeMap<String, Tile>,
}

/// What to plan for. The default is right for every device.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Where activations lie between kernels.
    pub activations: Storage,
    /// Where packed weights lie.
    pub weights: Storage,
    /// Whether activations and float weights are stored as 16-bit floats. Sums, biases, the network's
    /// input and what is read back stay f32.
    pub f16: bool,
    /// Whether a processor executes the shaders: there workgroup memory is ordinary memory that
    /// invocations go through one by one, and barriers cost more than what they share saves.
    pub software: bool,
    /// Invocations of every subgroup, where kernels are to share what they read within it: one of
    /// [`Target::SUBGROUPS`], and 4 or 8 on the devices that this is known of. 0 if there are none, if their size is
    /// not always the same, or if sharing does not pay.
    pub subgroup: u32,
    /// Invocations of a dispatch that keep the device busy. Where tiles were not tuned, the one with
    /// most work to an invocation is taken that still has so many.
    pub invocations: u64,
    /// Sums (vec4s) that an invocation keeps at most, where tiles were not tuned: more than the registers
    /// hold are slow, and slow to compile.
    pub sums: usize,
    /// Whether 3×3 convolutions of stride 1 are computed by Winograd's method where nothing was tuned.
    pub winograd: bool,
    /// Sums (vec4s) that an invocation keeps at most where two 1×1 convolutions are computed at once without
    /// workgroup memory; 0 if they never are.
    pub mlp_sums: usize,
    /// Outputs of a row that an invocation of a depthwise convolution computes at most.
    pub row: usize,
    /// Whether shaders have their short loops written out: for drivers whose compilers do not unroll them.
    pub unrolled: bool,
    /// Whether compiling takes longer than what it saves: then steps read their sizes from memory where those decide
    /// nothing, so that many share a pipeline, and do without workgroup memory.
    pub brief: bool,
    /// What was tuned: it goes before what the fields above say.
    pub choices: Arc<Choices>,
}

impl Default for Target {
    /// For GPUs: buffers, and a few thousand invocations.
    fn default() -> Self {
        let (activations, weights) = (Storage::Buffer, Storage::Buffer);
        Target {
            activations,
            weights,
            f16: false,
            software: false,
            subgroup: 0,
            invocations: 4096,
            sums: 32,
            winograd: false,
            mlp_sums: 340,
            row: 14,
            unrolled: false,
            brief: false,
            choices: Arc::default(),
        }
    }
}

impl Target {
    /// The sizes that subgroups may have.
    pub const SUBGROUPS: [u32; 6] = [0, 4, 8, 16, 32, 64];

    /// For software drivers of which nothing is known.
    pub fn software() -> Self {
        Target::for_software("", [""; 2], 0)
    }

    /// The same for those whose subgroups always have so many invocations (4 or 8): loads of weights,
    /// shared within a subgroup, cost a fraction there.
    pub fn software_with_subgroups(invocations: u32) -> Self {
        Target::for_software("", [""; 2], invocations)
    }
}
