use super::*;

/// Mean over all pixels of each channel, of whatever size the map is: C×H×W → C×1×1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlobalAvgPool;

impl Operator for GlobalAvgPool {
    const NAME: &'static str = "global_avg_pool";

    fn infer(&self, inputs: &[Shape], _params: &Params) -> Result<Shape, String> {
        arity(inputs, 1..=1)?;
        Ok(Shape::new(inputs[0].channels, 1, 1))
    }

    fn reach(&self, _params: &Params) -> [usize; 2] {
        // Not a window, but a mean of less than 2 rows and 3 columns shows little.
        [1, 2]
    }
}
