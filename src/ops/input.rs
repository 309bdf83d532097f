use super::*;

/// The network's input: node 0 of every graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input;

impl Operator for Input {
    const NAME: &'static str = "input";

    fn infer(&self, _inputs: &[Shape], _params: &Params) -> Result<Shape, String> {
        Err("only node 0 is the input".into())
    }
}
