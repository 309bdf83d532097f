//! RepNeXt's token mixers: those of stride 1 in one dispatch; for others a depthwise convolution for each part, two
//! where there is a pair.

use super::depthwise::{self, Places};
use super::token_mixer;
use crate::error::Result;
use crate::graph::{NodeId, Shape};
use crate::int8::program::{Conv, Depthwise, Mixer, Output};
use crate::int8::table::Finish;
use crate::kernels::lowering::Piece;
use crate::kernels::{Layout, Lowering, gather};

pub(super) fn lower(mixer: &Mixer, id: NodeId, cx: &mut Lowering<'_>) -> Result<()> {
    if token_mixer::lower(mixer, id, cx)? {
        return Ok(());
    }
    let node = cx.get(id);
    let input = node.inputs[0];
    let (from, to) = (cx.shape(input), node.shape);
    let layout = cx.layout(id).clone();
    let y = cx.new_output(id)?;
    let mut start = 0;
    for part in &mixer.parts {
        let channels = part.conv.channels();
        let Some((first_plane, own)) = layout.slice(start, channels) else {
            return Err(cx.error(format!("channels {start}+{channels} are not whole planes in the layout {layout}")));
        };
        let mut x = channels_of(input, part.source, channels, &own, cx)?;
        if let Some(first) = &part.first {
            let planes = own.planes();
            let between = Piece { tensor: cx.integers(planes, cx.batch() * from.pixels())?, first_plane: 0, planes };
            let places = Places { shapes: [from, from], layout: &own, x, residual: None, y: between };
            depthwise::push(&places, &alone(first, 1), cx)?;
            x = between;
        }
        let y = Piece { tensor: y.tensor, first_plane, planes: own.planes() };
        let places = Places { shapes: [from, to], layout: &own, x, residual: None, y };
        depthwise::push(&places, &alone(&part.conv, mixer.stride), cx)?;
        start += channels;
    }
    Ok(())
}

/// The planes that hold channels `start..start + channels` of a value under that layout; copied if there are none.
fn channels_of(value: NodeId, start: usize, channels: usize, layout: &Layout, cx: &mut Lowering<'_>) -> Result<Piece> {
    let x = cx.operand(value)?;
    if let Some((first, found)) = x.layout.slice(start, channels)
        && found == *layout
    {
        return Ok(Piece { tensor: x.tensor, first_plane: x.first_plane + first, planes: layout.planes() });
    }
    let Shape { height, width, .. } = cx.shape(value);
    let pixels = cx.batch() * height * width;
    let into = Piece { tensor: cx.integers(layout.planes(), pixels)?, first_plane: 0, planes: layout.planes() };
    let positions = x.layout.positions();
    let source: Vec<Option<usize>> = layout.physical().iter().map(|c| c.map(|c| positions[start + c])).collect();
    gather::push(cx, Piece { tensor: x.tensor, first_plane: x.first_plane, planes: x.planes }, pixels, &source, into)?;
    Ok(into)
}

/// A part's convolution as one of its own.
fn alone(op: &Depthwise, stride: usize) -> Conv {
    let output = match op.requant.is_empty() {
        true => Output::Sums,
        false => Output::Rescaled { requant: op.requant.clone(), finish: Finish::Clamp { low: -127 } },
    };
    Conv {
        weight: op.weight.clone(),
        shape: [op.channels(), 1, op.kernel[0], op.kernel[1]],
        bias: op.bias.clone(),
        stride: [stride; 2],
        padding: op.kernel.map(|k| k / 2),
        dilation: [1; 2],
        groups: op.channels(),
        residual: None,
        output,
    }
}
