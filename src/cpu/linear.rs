use super::matmul::{Matrix, multiply};
use super::*;

impl CpuKernel for Linear {
    fn run(&self, inputs: &[&Tensor], shape: Shape, params: &Params) -> Tensor {
        let (n, out_features) = (batch(inputs[0]), shape.channels);
        let features = inputs[0].len() / n;
        let mut out = output(n, shape);
        let weight = Matrix::new(params.tensor(self.weight).data(), out_features, features).transposed();
        let x = Matrix::new(inputs[0].data(), n, features);
        multiply(x, weight, out.data_mut(), out_features, parallel::gemm_threads(true));
        if let Some(bias) = self.bias.map(|id| params.tensor(id).data()) {
            for row in out.data_mut().chunks_mut(out_features) {
                row.iter_mut().zip(bias).for_each(|(v, b)| *v += b);
            }
        }
        epilogue::activate(self.activation, out.data_mut());
        out
    }
}
