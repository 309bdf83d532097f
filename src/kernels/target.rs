//! What a device is good at, as far as it decides how a network is planned.

use super::Storage;

/// What to plan for. The default is right for every device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Target {
    /// Where activations lie between kernels.
    pub activations: Storage,
    /// Where packed weights lie.
    pub weights: Storage,
}

impl Target {
    /// For software drivers (lavapipe, llvmpipe, SwiftShader): they execute loads from buffers
    /// invocation by invocation, loads from textures for several at once.
    pub const SOFTWARE: Target = Target { activations: Storage::Texture, weights: Storage::Texture };
}
