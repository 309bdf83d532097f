use super::*;

impl CpuKernel for Input {
    /// The executor puts the input in place itself; graphs do not allow another.
    fn run(&self, inputs: &[&Tensor], shape: Shape, _params: &Params) -> Tensor {
        inputs.first().map_or_else(|| output(1, shape), |x| (*x).clone())
    }
}
