use super::*;

/// Sum of two or more values of one shape, then an activation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Add {
    /// Applied to the sum.
    pub activation: Activation,
}

impl Operator for Add {
    const NAME: &'static str = "add";

    fn infer(&self, inputs: &[Shape], _params: &Params) -> Result<Shape, String> {
        arity(inputs, 2..=64)?;
        match inputs.iter().find(|s| **s != inputs[0]) {
            Some(other) => Err(format!("cannot add {} and {other}", inputs[0])),
            None => Ok(inputs[0]),
        }
    }

    fn activation_mut(&mut self) -> Option<&mut Activation> {
        Some(&mut self.activation)
    }

    fn attributes(&self, _params: &Params) -> String {
        self.activation.suffix()
    }
}
