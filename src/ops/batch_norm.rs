use super::*;

/// Batch normalisation with running statistics, then an activation:
/// `y = gamma · (x − mean) / √(variance + eps) + beta`, per channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchNorm {
    /// Scale γ, `[channels]`.
    pub gamma: ParamId,
    /// Shift β, `[channels]`.
    pub beta: ParamId,
    /// Running mean μ, `[channels]`.
    pub mean: ParamId,
    /// Running variance σ², `[channels]`.
    pub variance: ParamId,
    /// ε: 1e-5 for PyTorch's default. Not part of a state dict.
    pub eps: f32,
    /// Applied to the result.
    pub activation: Activation,
}

impl Operator for BatchNorm {
    const NAME: &'static str = "batch_norm";

    fn infer(&self, inputs: &[Shape], params: &Params) -> Result<Shape, String> {
        arity(inputs, 1..=1)?;
        for (what, id) in self.params() {
            param_shape(params, what, id, &[inputs[0].channels])?;
        }
        if !(self.eps.is_finite() && self.eps > 0.0) {
            return Err(format!("eps is {}, expected a finite number above zero", self.eps));
        }
        Ok(inputs[0])
    }

    fn params(&self) -> Vec<(&'static str, ParamId)> {
        vec![("weight", self.gamma), ("bias", self.beta), ("running_mean", self.mean), ("running_var", self.variance)]
    }

    fn remap(&mut self, to: &mut dyn FnMut(ParamId) -> ParamId) {
        for id in [&mut self.gamma, &mut self.beta, &mut self.mean, &mut self.variance] {
            *id = to(*id);
        }
    }

    fn activation_mut(&mut self) -> Option<&mut Activation> {
        Some(&mut self.activation)
    }

    fn attributes(&self, _params: &Params) -> String {
        format!(", eps {:e}{}", self.eps, self.activation.suffix())
    }
}

impl BatchNorm {
    /// The map as `y = scale · x + shift` per channel, in f64: folding is done in f64.
    pub fn affine(&self, params: &Params) -> Vec<(f64, f64)> {
        let values = |id| params.tensor(id).data().iter().map(|v| f64::from(*v));
        let (gamma, beta) = (values(self.gamma), values(self.beta));
        let statistics = values(self.mean).zip(values(self.variance));
        let affine = |((gamma, beta), (mean, variance)): ((f64, f64), (f64, f64))| {
            let scale = gamma / (variance + f64::from(self.eps)).sqrt();
            (scale, beta - scale * mean)
        };
        gamma.zip(beta).zip(statistics).map(affine).collect()
    }
}
