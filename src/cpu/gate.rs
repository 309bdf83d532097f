use super::*;

impl CpuKernel for Gate {
    fn run(&self, inputs: &[&Tensor], shape: Shape, _params: &Params) -> Tensor {
        let mut out = inputs[0].clone();
        let gates = inputs[1].data();
        parallel::for_each_piece(out.data_mut(), shape.pixels(), |plane, values| {
            values.iter_mut().for_each(|v| *v *= gates[plane]);
            epilogue::activate(self.activation, values);
        });
        out
    }
}
