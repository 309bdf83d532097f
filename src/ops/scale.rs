use super::*;

/// Multiplication by a constant; RepNeXt's two heads are averaged by a sum and a factor of ½.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// The constant.
    pub factor: f32,
}

impl Operator for Scale {
    const NAME: &'static str = "scale";

    fn infer(&self, inputs: &[Shape], _params: &Params) -> Result<Shape, String> {
        arity(inputs, 1..=1)?;
        if !self.factor.is_finite() {
            return Err(format!("the factor is {}", self.factor));
        }
        Ok(inputs[0])
    }

    fn attributes(&self, _params: &Params) -> String {
        format!(", ×{}", self.factor)
    }
}
