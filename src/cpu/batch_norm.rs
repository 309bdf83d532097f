use super::*;

impl CpuKernel for BatchNorm {
    fn run(&self, inputs: &[&Tensor], shape: Shape, params: &Params) -> Tensor {
        let mut out = inputs[0].clone();
        let affine: Vec<(f32, f32)> = self.affine(params).iter().map(|(a, b)| (*a as f32, *b as f32)).collect();
        parallel::for_each_piece(out.data_mut(), shape.pixels(), |plane, values| {
            let (scale, shift) = affine[plane % shape.channels];
            values.iter_mut().for_each(|v| *v = scale * *v + shift);
            epilogue::activate(self.activation, values);
        });
        out
    }
}
