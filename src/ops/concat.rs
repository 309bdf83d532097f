use super::*;

/// Concatenation along the channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Concat;

impl Operator for Concat {
    const NAME: &'static str = "concat";

    fn infer(&self, inputs: &[Shape], _params: &Params) -> Result<Shape, String> {
        arity(inputs, 1..=64)?;
        let first = inputs[0];
        match inputs.iter().find(|s| (s.height, s.width) != (first.height, first.width)) {
            Some(other) => Err(format!("cannot concatenate {first} and {other}")),
            None => {
                let channels = inputs.iter().try_fold(0usize, |sum, s| sum.checked_add(s.channels));
                Ok(Shape { channels: channels.ok_or("too many channels")?, ..first })
            }
        }
    }
}
