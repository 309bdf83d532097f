//! Operators that mostly cost nothing: slices and concatenations are views where they fall on
//! whole planes, which [`crate::plan`] chooses layouts for.

use super::lowering::Piece;
use super::{Layout, Lower, Lowering, gather};
use crate::error::Result;
use crate::graph::NodeId;
use crate::ops::{Concat, Input, Slice};

impl Lower for Input {
    fn lower(&self, _id: NodeId, _cx: &mut Lowering<'_>) -> Result<()> {
        Ok(())
    }
}

impl Lower for Slice {
    fn lower(&self, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
        let source = cx.get(id).inputs[0];
        let x = cx.operand(source)?;
        let layout = cx.layout(id).clone();
        if let Some((first_plane, found)) = x.layout.slice(self.start, self.channels)
            && found == layout
        {
            let first_plane = x.first_plane + first_plane;
            cx.define(id, vec![Piece { tensor: x.tensor, first_plane, planes: layout.planes() }]);
            return Ok(());
        }
        let y = cx.new_output(id)?;
        let positions = x.layout.positions();
        let from: Vec<Option<usize>> = layout.physical().iter().map(|c| c.map(|c| positions[c + self.start])).collect();
        let pixels = cx.pixels(id);
        let whole = Piece { tensor: x.tensor, first_plane: x.first_plane, planes: x.planes };
        gather::push(cx, whole, pixels, &from, Piece { tensor: y.tensor, first_plane: 0, planes: y.planes })
    }
}

impl Lower for Concat {
    fn lower(&self, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
        let inputs = &cx.get(id).inputs;
        let layout = cx.layout(id).clone();
        if Layout::concat(inputs.iter().map(|i| cx.layout(*i))) == layout {
            let mut pieces: Vec<Piece> = Vec::new();
            for input in inputs {
                pieces.extend(&cx.view(*input)?.pieces);
            }
            cx.define(id, pieces);
            return Ok(());
        }
        // The layout has a cut at every boundary, so each part fills planes of its own.
        let y = cx.new_output(id)?;
        let mut start = 0;
        for &input in inputs {
            let channels = cx.shape(input).channels;
            let Some((first_plane, part)) = layout.slice(start, channels) else {
                return Err(
                    cx.error(format!("channels {start}+{channels} are not whole planes in the layout {layout}"))
                );
            };
            let x = cx.operand(input)?;
            let positions = x.layout.positions();
            let from: Vec<Option<usize>> = part.physical().iter().map(|c| c.map(|c| positions[c])).collect();
            let pixels = cx.pixels(id);
            let whole = Piece { tensor: x.tensor, first_plane: x.first_plane, planes: x.planes };
            gather::push(cx, whole, pixels, &from, Piece { tensor: y.tensor, first_plane, planes: part.planes() })?;
            start += channels;
        }
        Ok(())
    }
}
