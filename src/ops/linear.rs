use super::*;

/// Fully connected layer on a vector: `y = activation(W x + b)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: ParamId,
    /// `[out]`.
    pub bias: Option<ParamId>,
    /// Applied last.
    pub activation: Activation,
}

impl Operator for Linear {
    const NAME: &'static str = "linear";

    fn infer(&self, inputs: &[Shape], params: &Params) -> Result<Shape, String> {
        arity(inputs, 1..=1)?;
        let (x, weight) = (inputs[0], params.shape(self.weight));
        let &[out, features] = weight else {
            return Err(format!("weight has shape {weight:?}, expected [out, in]"));
        };
        if x != Shape::new(features, 1, 1) {
            return Err(format!("weight {weight:?} does not fit the input {x}"));
        }
        if let Some(bias) = self.bias {
            param_shape(params, "bias", bias, &[out])?;
        }
        Ok(Shape::new(out, 1, 1))
    }

    fn params(&self) -> Vec<(&'static str, ParamId)> {
        [("weight", self.weight)].into_iter().chain(self.bias.map(|b| ("bias", b))).collect()
    }

    fn remap(&mut self, to: &mut dyn FnMut(ParamId) -> ParamId) {
        self.weight = to(self.weight);
        self.bias = self.bias.map(to);
    }

    fn macs(&self, _inputs: &[Shape], _output: Shape, params: &Params) -> u64 {
        params.tensor(self.weight).len() as u64
    }

    fn activation_mut(&mut self) -> Option<&mut Activation> {
        Some(&mut self.activation)
    }

    fn attributes(&self, _params: &Params) -> String {
        self.activation.suffix()
    }
}
