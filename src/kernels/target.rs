//! What a device is good at, as far as it decides how a network is planned.

use super::Storage;

/// What to plan for. The default is right for every device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Target {
    /// Where activations lie between kernels.
    pub activations: Storage,
    /// Where packed weights lie.
    pub weights: Storage,
    /// Whether a processor executes the shaders: there workgroup memory is ordinary memory that
    /// invocations go through one by one, and barriers cost more than what they share saves.
    #[serde(default)]
    pub software: bool,
}

impl Target {
    /// For software drivers (lavapipe, llvmpipe, SwiftShader): they execute loads from buffers
    /// invocation by invocation, loads from textures for several at once.
    pub const SOFTWARE: Target = Target { activations: Storage::Texture, weights: Storage::Texture, software: true };
}
