use super::*;

/// A range of channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// First channel.
    pub start: usize,
    /// Number of channels.
    pub channels: usize,
}

impl Operator for Slice {
    const NAME: &'static str = "slice";

    fn infer(&self, inputs: &[Shape], _params: &Params) -> Result<Shape, String> {
        arity(inputs, 1..=1)?;
        let end = self.start.checked_add(self.channels).filter(|end| *end <= inputs[0].channels && self.channels > 0);
        end.ok_or_else(|| format!("channels {}+{} are not all in {}", self.start, self.channels, inputs[0]))?;
        Ok(Shape { channels: self.channels, ..inputs[0] })
    }

    fn attributes(&self, _params: &Params) -> String {
        format!(", channels {}..{}", self.start, self.start + self.channels)
    }
}
