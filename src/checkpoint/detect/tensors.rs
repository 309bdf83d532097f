use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// The tensors of a checkpoint by official name, as detection looks at them.
pub struct Tensors<'a> {
    pub tensors: &'a BTreeMap<String, Tensor>,
    /// What messages call the checkpoint.
    pub model: String,
    /// The name a tensor has in the file, for messages.
    pub original: &'a dyn Fn(&str) -> String,
}

impl Tensors<'_> {
    /// An error about these tensors.
    pub fn fault(&self, reason: String) -> Error {
        Error::Weights { model: self.model.clone(), reason }
    }

    /// Shape of a tensor that has to be there with `N` dimensions.
    pub fn shape<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let tensor = self.tensors.get(name);
        let shape = tensor.ok_or_else(|| self.fault(format!("1 tensor missing: {}", (self.original)(name))))?.shape();
        shape.try_into().map_err(|_| {
            self.fault(format!("tensor {} has shape {shape:?}, expected {N} dimensions", (self.original)(name)))
        })
    }

    /// First dimension of a tensor, if it is there.
    pub fn width(&self, name: &str) -> Option<usize> {
        self.tensors.get(name)?.shape().first().copied()
    }

    /// Whether any name has this part.
    pub fn any(&self, part: &str) -> bool {
        self.tensors.keys().any(|name| name.contains(part))
    }

    /// Number of blocks per stage, from names such as `stage3.2.` that `parse` splits in stage and
    /// block. Stages and blocks are counted from 0 without a gap.
    pub fn depths(
        &self,
        parse: impl Fn(&str) -> Option<(usize, usize)>,
        name: impl Fn(usize, usize) -> String,
    ) -> Result<Vec<usize>> {
        let mut stages: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (stage, block) in self.tensors.keys().filter_map(|key| parse(key)) {
            stages.entry(stage).or_default().insert(block);
        }
        let missing = |stage, block| self.fault(format!("block {} is missing", (self.original)(&name(stage, block))));
        for (expected, (stage, blocks)) in stages.iter().enumerate() {
            if *stage != expected {
                return Err(missing(expected, 0));
            }
            if let Some((block, _)) = blocks.iter().enumerate().find(|(i, block)| i != *block) {
                return Err(missing(*stage, block));
            }
        }
        Ok(stages.values().map(BTreeSet::len).collect())
    }
}

/// `stage0.…` is block 0 of stage 0, `stage{s}.{i}.…` is block i of stage s.
pub fn stage_and_block(name: &str) -> Option<(usize, usize)> {
    let (stage, rest) = name.strip_prefix("stage")?.split_once('.')?;
    match stage.parse::<u16>().ok()? {
        0 => Some((0, 0)),
        stage => Some((stage.into(), rest.split_once('.')?.0.parse::<u16>().ok()?.into())),
    }
}
