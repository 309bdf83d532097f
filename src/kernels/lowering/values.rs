//! Where values are: in one piece, in several, copied under another layout.

use super::super::{Binding, Element, Format, Layout, Place, Storage, TensorId, TensorInfo, gather};
use super::Lowering;
use crate::error::Result;
use crate::graph::NodeId;

/// A run of planes of one tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// The tensor.
    pub tensor: TensorId,
    /// First plane within it.
    pub first_plane: usize,
    /// Number of planes.
    pub planes: usize,
}

/// Where a value is: pieces whose planes, one behind the other, follow the value's layout.
/// Slices and concatenations on whole planes are views and cost nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The pieces in order.
    pub pieces: Vec<Piece>,
}

/// A value in one piece, as kernels take it.
#[derive(Clone, Debug)]
pub struct Operand {
    /// The tensor.
    pub tensor: TensorId,
    /// First plane within it.
    pub first_plane: usize,
    /// Number of planes.
    pub planes: usize,
    /// Where its channels are.
    pub layout: Layout,
}

impl Operand {
    /// What a step binds for it.
    pub fn binding(&self) -> Binding {
        Binding::Tensor(self.tensor)
    }
}

impl Lowering<'_> {
    /// Where a value is.
    pub fn view(&self, id: NodeId) -> Result<&View> {
        self.views[id.index()].as_ref().ok_or_else(|| self.error(format!("node {} has not been planned", id.0)))
    }

    /// A value in one piece; one that lies in several is copied together, once.
    pub fn operand(&mut self, id: NodeId) -> Result<Operand> {
        if self.view(id)?.pieces.len() > 1 {
            let view = self.view(id)?.clone();
            let into = self.allocate(id, self.layout(id).planes())?;
            let mut first_plane = 0;
            for piece in view.pieces {
                let source: Vec<Option<usize>> = (0..piece.planes * 4).map(Some).collect();
                gather::push(self, piece, self.pixels(id), &source, Piece { first_plane, ..into })?;
                first_plane += piece.planes;
            }
            self.define(id, vec![into]);
        }
        let Piece { tensor, first_plane, planes } = self.view(id)?.pieces[0];
        Ok(Operand { tensor, first_plane, planes, layout: self.layout(id).clone() })
    }

    /// A value in one piece under another layout, copied if it is not so already.
    pub fn operand_as(&mut self, id: NodeId, layout: &Layout) -> Result<Operand> {
        let operand = self.operand(id)?;
        if operand.layout == *layout { Ok(operand) } else { self.repeated(id, layout, 1) }
    }

    /// A value with each channel `times` times, one after the other, under a layout of that many
    /// channels: a copy.
    pub fn repeated(&mut self, id: NodeId, layout: &Layout, times: usize) -> Result<Operand> {
        let operand = self.operand(id)?;
        let into = self.allocate(id, layout.planes())?;
        let from = Piece { tensor: operand.tensor, first_plane: operand.first_plane, planes: operand.planes };
        let positions = operand.layout.positions();
        let source: Vec<Option<usize>> = layout.physical().iter().map(|c| c.map(|c| positions[c / times])).collect();
        gather::push(self, from, self.pixels(id), &source, into)?;
        self.places.push(Place { node: id, layout: layout.clone(), times, pieces: vec![into] });
        Ok(Operand { tensor: into.tensor, first_plane: 0, planes: into.planes, layout: layout.clone() })
    }

    /// A new tensor with the pixels of `id`'s value.
    pub fn allocate(&mut self, id: NodeId, planes: usize) -> Result<Piece> {
        if let Some(format) = self.integer_format(id) {
            return self.allocate_in(format, id, planes);
        }
        // What comes from the host and what goes there is copied as buffers of f32.
        let ends = id == self.graph.input() || self.read_back[id.index()];
        let format = if ends { Format::HOST } else { self.floats_in(self.target.activations) };
        self.allocate_in(format, id, planes)
    }

    /// The target's number format of floats, in that kind of memory.
    pub(super) fn floats_in(&self, storage: Storage) -> Format {
        Format { storage, element: if self.target.f16 { Element::F16 } else { Element::F32 } }
    }

    /// A new tensor of f32 between two steps of the node being lowered.
    pub(in crate::kernels) fn scratch(&mut self, planes: usize, pixels: usize) -> Result<TensorId> {
        let format = Format { storage: self.target.activations, element: Element::F32 };
        Ok(self.allocate_as(format, self.current, planes, pixels)?.tensor)
    }

    pub(super) fn allocate_in(&mut self, format: Format, id: NodeId, planes: usize) -> Result<Piece> {
        self.allocate_as(format, id, planes, self.pixels(id))
    }

    pub(super) fn allocate_as(&mut self, format: Format, id: NodeId, planes: usize, pixels: usize) -> Result<Piece> {
        let format = Format { storage: format.storage.fitting(planes as u64 * pixels as u64), ..format };
        let info = TensorInfo { name: self.get(id).name.clone(), planes, pixels, format };
        // Kernels index vec4s with u32, and some add up to a tile to an index before comparing.
        let limit = (u32::MAX / 2) as u64;
        if info.vec4s() > limit {
            return Err(
                self.error(format!("a value of {} bytes is beyond 32-bit indices; use a smaller batch", info.bytes()))
            );
        }
        self.tensors.push(info);
        Ok(Piece { tensor: TensorId(self.tensors.len() as u32 - 1), first_plane: 0, planes })
    }

    /// Says where a node's value is.
    pub fn define(&mut self, id: NodeId, pieces: Vec<Piece>) {
        let layout = self.layouts[id.index()].clone();
        self.places.push(Place { node: id, layout, times: 1, pieces: pieces.clone() });
        self.views[id.index()] = Some(View { pieces });
    }

    /// A new tensor for the whole of a node's value, defined as such.
    pub fn new_output(&mut self, id: NodeId) -> Result<Operand> {
        let layout = self.layout(id).clone();
        let piece = self.allocate(id, layout.planes())?;
        self.define(id, vec![piece]);
        Ok(Operand { tensor: piece.tensor, first_plane: 0, planes: piece.planes, layout })
    }
}
