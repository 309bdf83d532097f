use super::repvgg::join;
use super::{Form, Tensors};
use crate::error::Result;
use crate::models::RepNext;
use crate::models::repnext::Mixer;

pub(super) fn detect(tensors: &Tensors, form: Form) -> Result<RepNext> {
    let (conv, head) = match form {
        Form::Train => (".conv", "head.head.linear.weight"),
        Form::Fused => ("", "head.weight"),
    };
    let depths = tensors.depths(stage_and_block, |stage, block| format!("stages.{stage}.blocks.{block}"))?;
    let [width, _, _, _] = tensors.shape(&format!("stem.stem.2{conv}.weight"))?;
    let hidden = format!("stages.0.blocks.0.channel_mixer.0{conv}.weight");
    let [hidden_width, _, _, _] = tensors.shape(&hidden)?;
    if width == 0 || hidden_width % width != 0 {
        let hidden = (tensors.original)(&hidden);
        return Err(tensors.fault(format!("tensor {hidden} makes {hidden_width} channels, not a multiple of {width}")));
    }
    let mixer = if tensors.any(".token_mixer.conv.") { Mixer::Single } else { Mixer::Chunked };
    let [classes, _] = tensors.shape(head)?;
    Ok(RepNext { width, depths, mlp_ratio: hidden_width / width, mixer, classes })
}

/// `stages.{s}.blocks.{b}.…` is block b of stage s.
fn stage_and_block(name: &str) -> Option<(usize, usize)> {
    let (stage, rest) = name.strip_prefix("stages.")?.split_once('.')?;
    let (block, _) = rest.strip_prefix("blocks.")?.split_once('.')?;
    Some((stage.parse::<u16>().ok()?.into(), block.parse::<u16>().ok()?.into()))
}

pub(super) fn describe(found: &RepNext) -> String {
    let single = if found.mixer == Mixer::Single { ", single-branch" } else { "" };
    format!("repnext (custom: depths {}, width {}{single})", join(found.depths.iter().copied()), found.width)
}
