use super::repvgg::join;
use super::tensors::stage_and_block;
use super::{Form, Tensors, unknown_topology};
use crate::error::Result;
use crate::models::MobileOne;
use crate::models::mobileone::Block;

/// Stages of the published networks, the stem included; each starts with stride 2.
const STAGES: usize = 5;

pub(super) fn detect(tensors: &Tensors, form: Form) -> Result<MobileOne> {
    let depths = tensors.depths(stage_and_block, MobileOne::block_name)?;
    let mut stages = Vec::with_capacity(depths.len());
    for (s, depth) in depths.iter().enumerate() {
        let mut stage = Vec::with_capacity(*depth);
        for i in 0..*depth {
            stage.push(block(tensors, form, &MobileOne::block_name(s, i), if i == 0 { 2 } else { 1 })?);
        }
        stages.push(stage);
    }
    let [classes, _] = tensors.shape("linear.weight")?;
    if stages.len() != STAGES {
        let stages = format!("{} stages instead of {STAGES}", stages.len());
        return Err(unknown_topology(tensors, &stages, std::iter::empty()));
    }
    Ok(MobileOne { stages, classes })
}

fn block(tensors: &Tensors, form: Form, name: &str, stride: usize) -> Result<Block> {
    let conv = if form == Form::Train { "rbr_conv.0.conv" } else { "reparam_conv" };
    let [channels, per_group, kernel, _] = tensors.shape(&format!("{name}.{conv}.weight"))?;
    let branch = |k: &usize| tensors.any(&format!("{name}.rbr_conv.{k}."));
    let branches = if form == Form::Train { (0..).take_while(branch).count() } else { 1 };
    let squeeze = tensors.width(&format!("{name}.se.reduce.weight"));
    Ok(Block { channels, kernel, stride, depthwise: per_group == 1, branches, squeeze })
}

/// The fused form does not tell how many branches there were.
pub(super) fn same(found: &MobileOne, known: &MobileOne, form: Form) -> bool {
    let comparable = |config: &MobileOne| {
        let mut stages = config.stages.clone();
        if form == Form::Fused {
            stages.iter_mut().flatten().for_each(|block| block.branches = 1);
        }
        stages
    };
    comparable(found) == comparable(known)
}

pub(super) fn describe(found: &MobileOne) -> String {
    let pairs = join(found.stages.iter().skip(1).map(|stage| stage.len() / 2));
    let widths = join(found.stages.iter().filter_map(|stage| stage.last()).map(|block| block.channels));
    format!("mobileone (custom: depths {pairs}, widths {widths})")
}
