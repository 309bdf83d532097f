//! Everything that is no convolution: sums, gates, means, affine maps, tables, copies.

use super::Lowering;
use crate::error::Result;
use crate::graph::NodeId;
use crate::int8::arith::{Blend, LARGEST, Requant};
use crate::int8::program::{Add, Affine, Gate, IntOp, Pool, Type};
use crate::int8::table::{Finish, Table};
use crate::ops::{Activation, Op};

/// Pixels whose sum fits 32 bits.
const MOST_PIXELS: usize = (i32::MAX / LARGEST) as usize;

impl Lowering<'_> {
    /// An operator that rescales or copies; its value has a scale.
    pub(super) fn elementwise(&mut self, id: NodeId) -> Result<()> {
        let node = self.graph.node(id);
        let operands = node.inputs.iter().map(|input| self.integer(*input)).collect::<Result<Vec<_>>>()?;
        let scales: Vec<f64> = operands.iter().map(|operand| operand.1.into()).collect();
        let (Some(scale), Some(first)) = (self.scale(id), scales.first().copied()) else {
            return Err(self.error(id, "its value has no scale".into()));
        };
        let op = match &node.op {
            Op::Add(add) => {
                let (finish, to) = Finish::new(add.activation, scale);
                let factors: Vec<f64> = scales.iter().map(|scale| scale / to).collect();
                let blend = Blend::new(&factors).ok_or_else(|| {
                    self.error(id, format!("its scale {scale:e} is too fine for its operands' {scales:?}"))
                })?;
                IntOp::Add(Add { blend, finish })
            }
            Op::Gate(gate) => {
                let (finish, to) = Finish::new(gate.activation, scale);
                let product: f64 = scales.iter().product();
                IntOp::Gate(Gate { requant: Requant::new(product / to), finish })
            }
            Op::Scale(op) => {
                let maps = vec![(f64::from(op.factor), 0.0); node.shape.channels];
                self.affine(id, &maps, Activation::None, first, scale)?
            }
            Op::BatchNorm(norm) => self.affine(id, &norm.affine(self.graph.params()), norm.activation, first, scale)?,
            Op::Activate(op) => IntOp::Activate(Box::new(Table::of_grid(op.0, first as f32, scale))),
            Op::GlobalAvgPool(_) => {
                let map = self.graph.node(node.inputs[0]).shape;
                self.pool(id, [map.height, map.width], 1, 0, first, scale)?
            }
            Op::AvgPool(op) => self.pool(id, [op.kernel; 2], op.stride, op.padding, first, scale)?,
            Op::Slice(op) => IntOp::Slice { start: op.start },
            Op::Concat(_) => IntOp::Concat,
            Op::Input(_) | Op::Conv2d(_) | Op::Linear(_) | Op::ChunkConv(_) | Op::CopyConv(_) => {
                return Err(self.error(id, "it is no elementwise operator".into()));
            }
        };
        let inputs = operands.iter().map(|operand| operand.0).collect();
        let value = self.push(id, op, inputs, Type::I8 { scale });
        self.values[id.index()] = Some(value);
        Ok(())
    }

    fn pool(&self, id: NodeId, kernel: [usize; 2], stride: usize, padding: usize, from: f64, to: f32) -> Result<IntOp> {
        let pixels = kernel[0].saturating_mul(kernel[1]);
        if pixels > MOST_PIXELS {
            return Err(self.error(id, format!("the mean of {pixels} pixels does not fit sums of 32 bits")));
        }
        let requant = Requant::new(from / (pixels as f64 * f64::from(to)));
        Ok(IntOp::Pool(Pool { kernel, stride, padding, requant }))
    }

    /// `maps` are factor and shift of each channel, in floats.
    fn affine(&self, id: NodeId, maps: &[(f64, f64)], activation: Activation, from: f64, to: f32) -> Result<IntOp> {
        let (finish, to) = Finish::new(activation, to);
        let mut affine = Affine { multiplier: Vec::new(), offset: Vec::new(), shift: Vec::new(), finish };
        for (c, (factor, offset)) in maps.iter().enumerate() {
            if !(factor.is_finite() && offset.is_finite()) {
                return Err(self.error(id, format!("channel {c} is multiplied with {factor} and shifted by {offset}")));
            }
            let (multiplier, offset, shift) = fixed(factor * from / to, offset / to);
            affine.multiplier.push(multiplier);
            affine.offset.push(offset);
            affine.shift.push(shift);
        }
        Ok(IntOp::Affine(affine))
    }
}

/// Factor and offset over the largest power of two for which they fit 22 and 29 bits. What does not fit without a
/// power either saturates, which it does for any integer but zero.
fn fixed(factor: f64, offset: f64) -> (i32, i32, u32) {
    let (multiplier_limit, offset_limit) = (f64::from(1 << 22), f64::from(1 << 29));
    let at = |shift: u32| {
        let one = f64::from(1u32 << shift);
        ((factor * one).round_ties_even(), (offset * one).round_ties_even())
    };
    let fits = |shift: &u32| {
        let (multiplier, offset) = at(*shift);
        multiplier.abs() <= multiplier_limit && offset.abs() <= offset_limit
    };
    let shift = (0..=30).rev().find(fits).unwrap_or(0);
    let (multiplier, offset) = at(shift);
    let multiplier = multiplier.clamp(-multiplier_limit, multiplier_limit) as i32;
    (multiplier, offset.clamp(-offset_limit, offset_limit) as i32, shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_and_offsets_are_as_fine_as_they_fit() {
        assert_eq!(fixed(1.0, 0.0), (1 << 22, 0, 22));
        assert_eq!(fixed(-0.75, 100.0), (-3 << 20, 100 << 22, 22));
        // An offset that needs the room more.
        let (multiplier, offset, shift) = fixed(0.001, 1e6);
        assert_eq!((multiplier, offset, shift), (1, 512_000_000, 9));
        assert_eq!(fixed(1e9, -1e12), (1 << 22, -(1 << 29), 0));
        assert_eq!(fixed(0.0, 0.0), (0, 0, 30));
    }
}
