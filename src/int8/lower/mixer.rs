//! RepNeXt's token mixers.

use super::Lowering;
use super::sums::Channel;
use crate::error::Result;
use crate::graph::NodeId;
use crate::int8::arith::Requant;
use crate::int8::program::{Depthwise, IntOp, Mixer, Part, Type};
use crate::ops::{self, ChunkConv, CopyConv};

impl Lowering<'_> {
    pub(super) fn chunk_conv(&mut self, id: NodeId, op: &ChunkConv) -> Result<()> {
        let (_, scale) = self.integer(self.graph.node(id).inputs[0])?;
        let between = self.quantization.between(id);
        let between = between.ok_or_else(|| self.error(id, "its inner scale is missing".into()))?;
        let (output, quarter) = (self.scale(id), self.graph.node(id).shape.channels / 4);
        let identity = Depthwise {
            kernel: [1, 1],
            weight: vec![1; quarter],
            bias: vec![0; quarter],
            requant: requant(&vec![f64::from(scale); quarter], output),
        };
        let (small, small_units) = self.depthwise(id, op.small, scale, output)?;
        let (medium, medium_units) = self.depthwise(id, op.medium, scale, output)?;
        let (wide, _) = self.depthwise(id, op.wide, scale, Some(between))?;
        let (tall, tall_units) = self.depthwise(id, op.tall, between, output)?;
        let part = |index: usize, first, conv| Part { source: index * quarter, first, conv };
        let parts =
            vec![part(0, None, identity), part(1, None, small), part(2, None, medium), part(3, Some(wide), tall)];
        let units = [vec![f64::from(scale); quarter], small_units, medium_units, tall_units].concat();
        self.mixer(id, Mixer { stride: 1, parts }, units)
    }

    pub(super) fn copy_conv(&mut self, id: NodeId, op: &CopyConv) -> Result<()> {
        let (_, scale) = self.integer(self.graph.node(id).inputs[0])?;
        let output = self.scale(id);
        let (small, small_units) = self.depthwise(id, op.small, scale, output)?;
        let (medium, medium_units) = self.depthwise(id, op.medium, scale, output)?;
        let parts = [small, medium].map(|conv| Part { source: 0, first: None, conv }).into();
        self.mixer(id, Mixer { stride: CopyConv::STRIDE, parts }, [small_units, medium_units].concat())
    }

    fn mixer(&mut self, id: NodeId, mixer: Mixer, units: Vec<f64>) -> Result<()> {
        let (input, _) = self.integer(self.graph.node(id).inputs[0])?;
        let ty = match self.scale(id) {
            Some(scale) => Type::I8 { scale },
            None => Type::I32 { units: units.iter().map(|unit| *unit as f32).collect() },
        };
        let value = self.push(id, IntOp::Mixer(mixer), vec![input], ty);
        self.values[id.index()] = Some(value);
        Ok(())
    }

    /// One convolution of an input of that scale, and the units of its sums.
    fn depthwise(
        &self,
        id: NodeId,
        op: ops::Depthwise,
        input: f32,
        output: Option<f32>,
    ) -> Result<(Depthwise, Vec<f64>)> {
        let params = self.graph.params();
        let (weights, scales) = self.integers(id, op.weight)?;
        let (kernel, bias) = (op.kernel(params), params.tensor(op.bias).data());
        let mut conv = Depthwise { kernel, weight: Vec::new(), bias: Vec::new(), requant: Vec::new() };
        let mut units = Vec::new();
        for (c, (weights, bias)) in weights.chunks_exact(kernel[0] * kernel[1]).zip(bias).enumerate() {
            let unit = f64::from(input) * f64::from(scales[c.min(scales.len() - 1)]);
            let channel = Channel { weights, unit, bias: f64::from(*bias), residual: None, output };
            let sums = channel.sums().map_err(|reason| self.error(id, format!("channel {c}: {reason}")))?;
            conv.weight.extend(sums.weights);
            conv.bias.push(sums.bias);
            units.push(sums.unit);
        }
        conv.requant = requant(&units, output);
        Ok((conv, units))
    }
}

/// Factors from these units to the output's grid, if it has one.
fn requant(units: &[f64], output: Option<f32>) -> Vec<Requant> {
    let factors = |scale: f32| units.iter().map(|unit| Requant::new(unit / f64::from(scale))).collect();
    output.map(factors).unwrap_or_default()
}
