use super::*;

impl CpuKernel for Add {
    fn run(&self, inputs: &[&Tensor], _shape: Shape, _params: &Params) -> Tensor {
        let mut out = inputs[0].clone();
        // Piece by piece over all summands, so that the sum stays in the cache.
        parallel::for_each_piece(out.data_mut(), PIECE, |i, piece| {
            for input in &inputs[1..] {
                let other = &input.data()[i * PIECE..];
                piece.iter_mut().zip(other).for_each(|(sum, v)| *sum += v);
            }
            epilogue::activate(self.activation, piece);
        });
        out
    }
}

/// Values that one thread takes at a time.
const PIECE: usize = 16384;
