use super::*;

impl CpuKernel for Activate {
    fn run(&self, inputs: &[&Tensor], _shape: Shape, _params: &Params) -> Tensor {
        let mut out = inputs[0].clone();
        parallel::for_each_piece(out.data_mut(), PIECE, |_, piece| epilogue::activate(self.0, piece));
        out
    }
}

/// Values that one thread takes at a time.
const PIECE: usize = 16384;
