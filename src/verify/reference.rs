//! What every value of a network has to be: the CPU executor's, on a real input.

use crate::cpu::{CpuExecutor, Int8Executor};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Shape};
use crate::int8::program::{Program, Type};
use crate::int8::reference::Data;
use crate::kernels::Layout;
use crate::tensor::Tensor;

/// The values of all nodes of a graph, or of all values of an integer program, which its plan's nodes are.
pub(crate) struct Reference {
    nodes: Vec<Known>,
    samples: usize,
    output: NodeId,
}

struct Known {
    name: String,
    op: &'static str,
    shape: Shape,
    /// One per sample, `[c, h, w]`.
    data: Vec<Data>,
    /// What an integer stands for: of each channel, or of all.
    units: Vec<f32>,
}

impl Reference {
    /// Runs a graph on `[n, c, h, w]`.
    pub fn of_graph(graph: &Graph, input: &Tensor) -> Result<Self> {
        let all: Vec<NodeId> = graph.ids().collect();
        let (_, values) = CpuExecutor::new(graph.clone())?.run_with(input, &all)?;
        let samples = input.shape().first().copied().unwrap_or(1).max(1);
        let known = |(node, value): (&crate::graph::Node, Tensor)| {
            let each = (value.len() / samples).max(1);
            let data = value.data().chunks(each).map(|sample| Data::F32(sample.to_vec())).collect();
            Known { name: node.name.clone(), op: node.op.name(), shape: node.shape, data, units: Vec::new() }
        };
        let nodes = graph.nodes().iter().zip(values).map(known).collect();
        Reference { nodes, samples, output: graph.output() }.checked(&graph.name)
    }

    /// Runs an integer program on `[n, c, h, w]`.
    pub fn of_program(program: &Program, input: &Tensor) -> Result<Self> {
        let executor = Int8Executor::new(program.clone());
        let samples = input.shape().first().copied().unwrap_or(1).max(1);
        let mut shape = input.shape().to_vec();
        shape.iter_mut().take(1).for_each(|n| *n = 1);
        let each = input.len() / samples;
        let mut data: Vec<Vec<Data>> = vec![Vec::new(); program.nodes.len()];
        for sample in input.data().chunks_exact(each.max(1)) {
            let values = executor.values(&Tensor::new(shape.clone(), sample.to_vec())?)?;
            data.iter_mut().zip(values).for_each(|(all, value)| all.push(value));
        }
        let known = |(node, data): (&crate::int8::program::Node, Vec<Data>)| {
            let units = match &node.ty {
                Type::F32 => Vec::new(),
                Type::I8 { scale } => vec![*scale],
                Type::I32 { units } => units.clone(),
            };
            Known { name: node.name.clone(), op: node.op.name(), shape: node.shape, data, units }
        };
        let nodes = program.nodes.iter().zip(data).map(known).collect();
        Reference { nodes, samples, output: NodeId(program.output.0 as u32) }.checked(&program.name)
    }

    /// Nothing can be compared with what is no number.
    fn checked(self, network: &str) -> Result<Self> {
        for node in &self.nodes {
            for data in &node.data {
                if let Data::F32(values) = data
                    && let Some(value) = values.iter().find(|value| !value.is_finite())
                {
                    return Err(Error::argument(format!(
                        "{network}: on the CPU the value of node {:?} holds {value} for this input: there is nothing to \
                         compare with; try another picture",
                        node.name
                    )));
                }
            }
        }
        Ok(self)
    }

    /// Samples; those of a larger batch repeat them.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The network's output.
    pub fn output(&self) -> NodeId {
        self.output
    }

    /// A node's name, operator and shape.
    pub fn about(&self, node: NodeId) -> Option<(&str, &'static str, Shape)> {
        self.nodes.get(node.index()).map(|known| (known.name.as_str(), known.op, known.shape))
    }

    /// A node's value as it lies in a place, `[plane][batch · pixel]` of four channels. Channels that only fill up a plane
    /// are NaN. Integers as they are held, or with `floats` what they stand for.
    pub fn packed(&self, node: NodeId, layout: &Layout, times: usize, batch: usize, floats: bool) -> Vec<f64> {
        let Some(known) = self.nodes.get(node.index()) else { return Vec::new() };
        let pixels = known.shape.pixels();
        let mut packed = vec![f64::NAN; layout.planes() * batch * pixels * 4];
        for (at, position) in layout.positions().into_iter().enumerate() {
            let channel = at / times.max(1);
            let unit = match floats {
                true => known.units.get(channel).or(known.units.first()).copied(),
                false => None,
            };
            for sample in 0..batch {
                let Some(data) = known.data.get(sample % self.samples) else { continue };
                let from = channel * pixels..(channel + 1) * pixels;
                let first = ((position / 4) * batch + sample) * pixels * 4;
                let Some(lanes) = packed.get_mut(first..first + pixels * 4) else { continue };
                let into = lanes.iter_mut().skip(position % 4).step_by(4);
                match data {
                    Data::F32(v) => into.zip(v.get(from).unwrap_or_default()).for_each(|(to, v)| *to = f64::from(*v)),
                    Data::I8(v) => into
                        .zip(v.get(from).unwrap_or_default())
                        .for_each(|(to, v)| *to = unit.map_or(f64::from(*v), |unit| f64::from(f32::from(*v) * unit))),
                    Data::I32(v) => into
                        .zip(v.get(from).unwrap_or_default())
                        .for_each(|(to, v)| *to = unit.map_or(f64::from(*v), |unit| f64::from(*v as f32 * unit))),
                }
            }
        }
        packed
    }

    /// A node's value in floats, sample by sample: `[n, c, h, w]`.
    pub fn floats(&self, node: NodeId) -> Vec<f32> {
        let Some(known) = self.nodes.get(node.index()) else { return Vec::new() };
        let pixels = known.shape.pixels().max(1);
        let unit = |at: usize| known.units.get(at / pixels).or(known.units.first()).copied().unwrap_or(1.0);
        let sample = |data: &Data| -> Vec<f32> {
            match data {
                Data::F32(values) => values.clone(),
                Data::I8(values) => values.iter().enumerate().map(|(at, v)| f32::from(*v) * unit(at)).collect(),
                Data::I32(values) => values.iter().enumerate().map(|(at, v)| *v as f32 * unit(at)).collect(),
            }
        };
        known.data.iter().flat_map(sample).collect()
    }
}
