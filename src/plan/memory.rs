//! Which tensors share a buffer: those whose lives do not overlap.
//!
//! Every slot becomes a buffer or texture of its own, because WebGPU refuses to read and write two ranges of
//! one buffer in one dispatch. Tensors are placed largest first, each in the first slot where it
//! meets no other living tensor (greedy by size, Pisarchyk and Lee 2020).

use std::ops::RangeInclusive;

use super::{Output, TensorInfo};
use crate::kernels::{Binding, Format, Step, Storage, TensorId};
use crate::order;

/// A buffer or texture, and the tensors that take turns in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Size: that of its largest tensor.
    pub bytes: u64,
    /// How its tensors are stored; in a buffer they may take turns with tensors of other number formats.
    pub format: Format,
    /// The tensors.
    pub tensors: Vec<TensorId>,
}

/// Which tensor lies in which slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// The buffers.
    pub slots: Vec<Slot>,
    slot_of: Vec<usize>,
}

impl Memory {
    /// Bytes of all slots: the peak of activation memory.
    pub fn bytes(&self) -> u64 {
        self.slots.iter().map(|s| s.bytes).sum()
    }

    /// Index of the slot that a tensor lies in.
    pub fn slot_of(&self, tensor: TensorId) -> usize {
        self.slot_of[tensor.0 as usize]
    }

    /// A slot for each tensor.
    pub(super) fn separate(tensors: &[TensorInfo]) -> Memory {
        let slot = |(i, tensor): (usize, &TensorInfo)| Slot {
            bytes: tensor.bytes(),
            format: tensor.format,
            tensors: vec![TensorId(i as u32)],
        };
        Memory { slots: tensors.iter().enumerate().map(slot).collect(), slot_of: (0..tensors.len()).collect() }
    }

    pub(super) fn assign(steps: &[Step], tensors: &[TensorInfo], input: TensorId, outputs: &[Output]) -> Memory {
        let lives = lives(steps, tensors.len(), input, outputs);
        let mut order: Vec<usize> = (0..tensors.len()).collect();
        order::sort_by_key(&mut order, |&t| (std::cmp::Reverse(tensors[t].bytes()), t));
        let mut slots: Vec<Slot> = Vec::new();
        let mut slot_of = vec![0; tensors.len()];
        for tensor in order {
            let TensorInfo { format, .. } = tensors[tensor];
            let free = |slot: &Slot| {
                takes(slot.format, format)
                    && slot.tensors.iter().all(|t| !overlap(&lives[t.0 as usize], &lives[tensor]))
            };
            let index = slots.iter().position(free).unwrap_or_else(|| {
                slots.push(Slot { bytes: tensors[tensor].bytes(), format, tensors: Vec::new() });
                slots.len() - 1
            });
            slots[index].tensors.push(TensorId(tensor as u32));
            slot_of[tensor] = index;
        }
        slots.iter_mut().for_each(|slot| order::sort_by_key(&mut slot.tensors, |id| *id));
        Memory { slots, slot_of }
    }
}

/// Whether memory of the one format can hold a tensor of the other: buffers hold anything.
fn takes(slot: Format, tensor: Format) -> bool {
    slot == tensor || (slot.storage == Storage::Buffer && tensor.storage == Storage::Buffer)
}

fn overlap(a: &RangeInclusive<usize>, b: &RangeInclusive<usize>) -> bool {
    a.start() <= b.end() && b.start() <= a.end()
}

/// From which step to which each tensor is in use. The input lives from before the first step;
/// what is read back lives beyond the last.
fn lives(steps: &[Step], tensors: usize, input: TensorId, outputs: &[Output]) -> Vec<RangeInclusive<usize>> {
    let end = steps.len() + 1;
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; tensors];
    let mut touch = |tensor: TensorId, at: usize| {
        let life = lives[tensor.0 as usize].get_or_insert((at, at));
        *life = (life.0.min(at), life.1.max(at));
    };
    touch(input, 0);
    for (i, step) in steps.iter().enumerate() {
        for binding in &step.bindings {
            if let Binding::Tensor(tensor) = binding {
                touch(*tensor, i + 1);
            }
        }
    }
    outputs.iter().for_each(|output| touch(output.tensor, end));
    lives.into_iter().map(|life| life.map_or(0..=end, |(first, last)| first..=last)).collect()
}
