//! Convolutions and linear layers.

use super::Lowering;
use super::sums::Channel;
use crate::error::Result;
use crate::graph::{NodeId, ParamId};
use crate::int8::arith::Requant;
use crate::int8::program::{Conv, IntOp, Output, Type};
use crate::int8::table::Finish;
use crate::ops::{Activation, Conv2d, Linear};

impl Lowering<'_> {
    pub(super) fn conv(&mut self, id: NodeId, op: &Conv2d) -> Result<()> {
        let shape = self.graph.params().shape(op.weight);
        let shape = [shape[0], shape[1], shape[2], shape[3]];
        let frame = Conv { shape, stride: op.stride, padding: op.padding, dilation: op.dilation, ..plain(op.groups) };
        self.layer(id, frame, op.weight, op.bias, op.activation)
    }

    pub(super) fn linear(&mut self, id: NodeId, op: &Linear) -> Result<()> {
        let shape = self.graph.params().shape(op.weight);
        let frame = Conv { shape: [shape[0], shape[1], 1, 1], ..plain(1) };
        self.layer(id, frame, op.weight, op.bias, op.activation)
    }

    /// Fills in weights, bias and factors.
    fn layer(
        &mut self,
        id: NodeId,
        frame: Conv,
        weight: ParamId,
        bias: Option<ParamId>,
        activation: Activation,
    ) -> Result<()> {
        let node = self.graph.node(id);
        let operands = node.inputs.iter().map(|input| self.integer(*input)).collect::<Result<Vec<_>>>()?;
        let inputs = operands.iter().map(|operand| operand.0).collect();
        let residual = operands.get(1).map(|operand| operand.1);
        let Some((_, scale)) = operands.first() else { return Err(self.error(id, "it has no input".into())) };
        let output = self.scale(id);
        let (weights, scales) = self.integers(id, weight)?;
        let bias = bias.map(|bias| self.graph.params().tensor(bias).data());
        let row = weights.len() / frame.shape[0].max(1);
        let mut conv = Conv { residual: residual.map(|_| Vec::new()), ..frame };
        let mut units = Vec::with_capacity(frame.shape[0]);
        for (o, weights) in weights.chunks_exact(row).enumerate() {
            let unit = f64::from(*scale) * f64::from(scales[o.min(scales.len() - 1)]);
            let bias = bias.map_or(0.0, |bias| f64::from(bias[o]));
            let channel = Channel { weights, unit, bias, residual, output };
            let sums = channel.sums().map_err(|reason| self.error(id, format!("output channel {o}: {reason}")))?;
            conv.weight.extend(sums.weights);
            conv.bias.push(sums.bias);
            conv.residual.iter_mut().for_each(|all| all.push(sums.residual));
            units.push(sums.unit);
        }
        let ty = match output {
            Some(scale) => {
                let (finish, to) = Finish::new(activation, scale);
                let requant = units.iter().map(|unit| Requant::new(unit / to)).collect();
                conv.output = Output::Rescaled { requant, finish };
                Type::I8 { scale }
            }
            None => Type::I32 { units: units.iter().map(|unit| *unit as f32).collect() },
        };
        let value = self.push(id, IntOp::Conv(conv), inputs, ty);
        self.enter_sums(id, value, activation);
        Ok(())
    }

    /// The integers of a weight and their scales: one per row, or one for all.
    pub(super) fn integers(&self, id: NodeId, weight: ParamId) -> Result<(Vec<i8>, Vec<f32>)> {
        let integers = self.quantization.integers(self.graph, weight);
        let scales = self.quantization.weight(weight).map(<[f32]>::to_vec);
        let both = integers.zip(scales).filter(|(_, scales)| !scales.is_empty());
        both.ok_or_else(|| self.error(id, "its weights have no scales".into()))
    }
}

/// Stride 1, nothing else.
fn plain(groups: usize) -> Conv {
    Conv {
        weight: Vec::new(),
        shape: [0; 4],
        bias: Vec::new(),
        stride: [1; 2],
        padding: [0; 2],
        dilation: [1; 2],
        groups,
        residual: None,
        output: Output::Sums,
    }
}
