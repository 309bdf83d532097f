use super::*;

/// The last step of squeeze-and-excitation: every channel of the first input times its value in
/// the second (C×1×1), then an activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Applied to the product.
    pub activation: Activation,
}

impl Operator for Gate {
    const NAME: &'static str = "gate";

    fn infer(&self, inputs: &[Shape], _params: &Params) -> Result<Shape, String> {
        arity(inputs, 2..=2)?;
        if inputs[1] != Shape::new(inputs[0].channels, 1, 1) {
            return Err(format!("a gate of {} does not fit {}", inputs[1], inputs[0]));
        }
        Ok(inputs[0])
    }

    fn activation_mut(&mut self) -> Option<&mut Activation> {
        Some(&mut self.activation)
    }

    fn attributes(&self, _params: &Params) -> String {
        self.activation.suffix()
    }
}
