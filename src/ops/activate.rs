use super::*;

/// A pointwise nonlinearity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// None: the identity.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x · Φ(x)` with the exact normal distribution function (erf, not tanh).
    Gelu,
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Activation; 4] = [Activation::None, Activation::Relu, Activation::Gelu, Activation::Sigmoid];

    /// Name in dumps.
    pub fn name(self) -> &'static str {
        match self {
            Activation::None => "none",
            Activation::Relu => "relu",
            Activation::Gelu => "gelu",
            Activation::Sigmoid => "sigmoid",
        }
    }

    /// `", relu"` and the like for dumps; nothing for [`Activation::None`].
    pub(super) fn suffix(self) -> String {
        if self == Activation::None { String::new() } else { format!(", {}", self.name()) }
    }
}

/// An activation as an operator of its own; passes move it into the epilogue of what comes before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activate(pub Activation);

impl Operator for Activate {
    const NAME: &'static str = "activate";

    fn infer(&self, inputs: &[Shape], _params: &Params) -> Result<Shape, String> {
        arity(inputs, 1..=1)?;
        Ok(inputs[0])
    }

    fn attributes(&self, _params: &Params) -> String {
        format!(", {}", self.0.name())
    }
}
