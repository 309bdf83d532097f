use super::tensors::stage_and_block;
use super::{Form, Tensors, unknown_topology};
use crate::error::Result;
use crate::models::repvgg::{Block, BlockKind};
use crate::models::{self, Config, RepVgg};

/// Stages of the published networks, the stem included; each starts with stride 2.
const STAGES: usize = 5;

pub(super) fn detect(tensors: &Tensors, form: Form) -> Result<RepVgg> {
    let depths = tensors.depths(stage_and_block, RepVgg::block_name)?;
    let mut stages = Vec::with_capacity(depths.len());
    let mut inputs = 3;
    for (s, depth) in depths.iter().enumerate() {
        let mut stage = Vec::with_capacity(*depth);
        for i in 0..*depth {
            let name = RepVgg::block_name(s, i);
            let conv = if form == Form::Train { "rbr_dense.conv" } else { "rbr_reparam" };
            let weight = format!("{name}.{conv}.weight");
            let [channels, per_group, _, _] = tensors.shape(&weight)?;
            if per_group == 0 || inputs % per_group != 0 {
                let original = (tensors.original)(&weight);
                let reason = format!("tensor {original} reads {per_group} channels per group, but {inputs} come in");
                return Err(tensors.fault(reason));
            }
            let squeeze = tensors.width(&format!("{name}.se.down.weight"));
            stage.push(Block { channels, stride: if i == 0 { 2 } else { 1 }, groups: inputs / per_group, squeeze });
            inputs = channels;
        }
        stages.push(stage);
    }
    let [classes, _] = tensors.shape("linear.weight")?;
    let kind = if form == Form::Train { block_kind(tensors) } else { BlockKind::REPVGG };
    let found = RepVgg { kind, stages, classes };
    if found.stages.len() == STAGES {
        return Ok(found);
    }
    let candidates: Vec<_> = models::all().filter(|known| alike(&found, &known.config)).collect();
    let stages = format!("{} stages instead of {STAGES}", found.stages.len());
    Err(unknown_topology(tensors, &stages, candidates.iter().map(|known| known.name.as_str())))
}

/// The batch norms, by the names that any block has.
pub(super) fn block_kind(tensors: &Tensors) -> BlockKind {
    BlockKind {
        dense: tensors.any(".rbr_dense.bn."),
        pointwise: tensors.any(".rbr_1x1.bn."),
        identity: tensors.any(".rbr_identity."),
        post: tensors.tensors.keys().any(|name| {
            let block = name.strip_prefix("stage").and_then(|rest| rest.split_once(".bn."));
            block.is_some_and(|(block, _)| block.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
        }),
    }
}

/// Whether the known network is this one but for strides.
fn alike(found: &RepVgg, known: &Config) -> bool {
    let Config::RepVgg(known) = known else { return false };
    let widths = |config: &RepVgg| -> Vec<Vec<(usize, usize)>> {
        config.stages.iter().map(|stage| stage.iter().map(|b| (b.channels, b.groups)).collect()).collect()
    };
    widths(found) == widths(known)
}

pub(super) fn describe(found: &RepVgg, form: Form) -> String {
    let sized =
        models::all().find(|known| matches!(&known.config, Config::RepVgg(known) if known.stages == found.stages));
    let kind = if form == Form::Train { format!(", blocks {}", found.kind.name()) } else { String::new() };
    match sized {
        Some(known) => format!("{} (custom{kind})", known.name),
        None => {
            let depths = join(found.stages.iter().skip(1).map(Vec::len));
            let widths = join(found.stages.iter().filter_map(|stage| stage.last()).map(|block| block.channels));
            format!("repvgg (custom: depths {depths}, widths {widths}{kind})")
        }
    }
}

/// `1-2-2-1`.
pub(super) fn join(numbers: impl Iterator<Item = usize>) -> String {
    numbers.map(|n| n.to_string()).collect::<Vec<_>>().join("-")
}
