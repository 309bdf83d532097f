//! Nodes without a kernel: plain loops on integers, operators on floats, and the borders between the two.

use super::layout::{enter, enter_sums, leave, leave_sums};
use super::prepared::{Place, Workspace};
use crate::cpu::kernel as float_kernel;
use crate::error::{Error, Result};
use crate::graph::Shape;
use crate::int8::arith::ToGrid;
use crate::int8::program::{IntOp, Program, Type, ValueId};
use crate::int8::reference::{self, Data};
use crate::quant::grid;
use crate::tensor::Tensor;

/// The values of float nodes.
#[derive(Default)]
pub(super) struct Values(Vec<Option<Tensor>>);

impl Values {
    pub(super) fn new(program: &Program) -> Self {
        Values(vec![None; program.nodes.len()])
    }

    pub(super) fn put(&mut self, id: ValueId, value: Tensor) {
        self.0[id.0] = Some(value);
    }

    pub(super) fn get(&self, id: ValueId) -> Option<&Tensor> {
        self.0.get(id.0)?.as_ref()
    }
}

/// Computes one node from where its inputs lie.
pub(super) fn run(
    program: &Program,
    id: ValueId,
    inputs: &[Place],
    output: Place,
    memory: &mut Workspace,
) -> Result<()> {
    let node = program.node(id);
    let missing = || Error::Plan { node: node.name.clone(), reason: "a value that it reads is missing".into() };
    match &node.op {
        IntOp::Float(op) => {
            let values: Option<Vec<&Tensor>> = node.inputs.iter().map(|id| memory.floats.get(*id)).collect();
            let value = float_kernel(op).run(&values.ok_or_else(missing)?, node.shape, &program.params);
            memory.floats.put(id, value);
        }
        IntOp::Dequantize => {
            let (source, place) = node.inputs.first().copied().zip(inputs.first().copied()).ok_or_else(missing)?;
            let value = floats(program, source, place, memory).ok_or_else(missing)?;
            memory.floats.put(id, value);
        }
        IntOp::Quantize => {
            let value = node.inputs.first().and_then(|id| memory.floats.get(*id)).ok_or_else(missing)?;
            let (Type::I8 { scale }, Place::Bytes(slot, map)) = (&node.ty, output) else { return Err(missing()) };
            let integers: Vec<i8> = {
                let grid = ToGrid::new(*scale);
                value.data().iter().map(|v| grid.apply(*v)).collect()
            };
            enter(&map, &integers, &mut memory.bytes[slot]);
        }
        _ => {
            let read = |place: &Place| match place {
                Place::Bytes(slot, map) => Some(leave(map, &memory.bytes[*slot])),
                _ => None,
            };
            let values = inputs.iter().map(read).collect::<Option<Vec<_>>>().ok_or_else(missing)?;
            let maps: Vec<reference::Map> = values
                .iter()
                .zip(&node.inputs)
                .map(|(values, id)| reference::Map { shape: program.node(*id).shape, values })
                .collect();
            match (reference::compute(node, &maps).ok_or_else(missing)?, output) {
                (Data::I8(values), Place::Bytes(slot, map)) => enter(&map, &values, &mut memory.bytes[slot]),
                (Data::I32(values), Place::Words(slot, map)) => enter_sums(&map, &values, &mut memory.words[slot]),
                _ => return Err(missing()),
            }
        }
    }
    Ok(())
}

/// A value in floats, `[1, c, h, w]`.
pub(super) fn floats(program: &Program, id: ValueId, place: Place, memory: &Workspace) -> Option<Tensor> {
    let node = program.node(id);
    let Shape { channels, height, width } = node.shape;
    let pixels = node.shape.pixels();
    let data = match (integers(place, memory), &node.ty) {
        (Some(Data::I8(values)), Type::I8 { scale }) => values.iter().map(|q| grid::dequantize(*q, *scale)).collect(),
        (Some(Data::I32(values)), Type::I32 { units }) => {
            values.iter().enumerate().map(|(i, sum)| *sum as f32 * units[i / pixels]).collect()
        }
        _ => return memory.floats.get(id).cloned(),
    };
    Tensor::new([1, channels, height, width], data).ok()
}

/// A value's integers; none for floats.
pub(super) fn integers(place: Place, memory: &Workspace) -> Option<Data> {
    match place {
        Place::Bytes(slot, map) => Some(Data::I8(leave(&map, &memory.bytes[slot]))),
        Place::Words(slot, map) => Some(Data::I32(leave_sums(&map, &memory.words[slot]))),
        Place::Floats => None,
    }
}
