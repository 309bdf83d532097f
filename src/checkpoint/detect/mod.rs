//! What network a checkpoint is of, from the names and shapes of its tensors alone.
//!
//! Strides, input size and preprocessing are in no tensor. They come from the named variant that
//! has just these tensors; a network of no known variant is taken to follow its family's rules
//! (said in the notes), and one whose topology the family does not have is refused.

mod mobileone;
mod repnext;
mod repvgg;
mod tensors;

use std::collections::BTreeMap;

use super::names::Naming;
use crate::error::{Error, Result};
use crate::models::{self, Architecture, Config, Family, Form};
use crate::tensor::Tensor;
pub(super) use tensors::Tensors;

/// Family, naming and form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The family.
    pub family: Family,
    /// Whose names are used.
    pub naming: Naming,
    /// Training form or fused.
    pub form: Form,
}

/// Finds family, naming and form by the parts of names that only they have.
pub(super) fn kind(tensors: &BTreeMap<String, Tensor>) -> Option<Kind> {
    let any = |part: &str| tensors.keys().any(|name| name.contains(part));
    let form = |fused: bool| if fused { Form::Fused } else { Form::Train };
    let kind = |family, naming, fused| Some(Kind { family, naming, form: form(fused) });
    if any(".token_mixer.") {
        let train = any("stem.stem.0.conv.") || any("head.head.") || any(".channel_mixer.0.conv.");
        return kind(Family::RepNext, Naming::Official, !train);
    }
    if any(".rbr_dense.") || any(".rbr_reparam.") {
        return kind(Family::RepVgg, Naming::Official, !any(".rbr_dense."));
    }
    if any(".rbr_conv.") {
        return kind(Family::MobileOne, Naming::Official, false);
    }
    if any(".conv_kxk.0.") {
        return kind(Family::MobileOne, Naming::Timm, false);
    }
    if any(".conv_kxk.") {
        return kind(Family::RepVgg, Naming::Timm, false);
    }
    if any("reparam_conv.") {
        let naming = if any("stages.") { Naming::Timm } else { Naming::Official };
        // Fused names agree; only MobileOne has 1×1 kernels.
        let pointwise =
            |(name, t): (&String, &Tensor)| name.ends_with(".reparam_conv.weight") && matches!(t.shape(), [_, _, 1, 1]);
        let mobile = naming == Naming::Official || tensors.iter().any(pointwise);
        return kind(if mobile { Family::MobileOne } else { Family::RepVgg }, naming, true);
    }
    None
}

/// The architecture, and what had to be assumed.
pub(super) struct Detected {
    pub architecture: Architecture,
    pub notes: Vec<String>,
}

/// Finds the architecture.
pub(super) fn detect(tensors: &Tensors, kind: Kind) -> Result<Detected> {
    let config = match kind.family {
        Family::RepVgg => Config::RepVgg(repvgg::detect(tensors, kind.form)?),
        Family::MobileOne => Config::MobileOne(mobileone::detect(tensors, kind.form)?),
        Family::RepNext => Config::RepNext(repnext::detect(tensors, kind.form)?),
    };
    let classes = config.classes();
    let named = models::all().find(|known| same(&config, &known.config, kind.form));
    if let Some(known) = named {
        return Ok(Detected { architecture: known.with_classes(classes), notes: Vec::new() });
    }
    let (like, name) = match &config {
        Config::RepVgg(config) => ("repvgg-a0", repvgg::describe(config, kind.form)),
        Config::MobileOne(config) => ("mobileone-s0", mobileone::describe(config)),
        Config::RepNext(config) => ("repnext-m0", repnext::describe(config)),
    };
    let model = Architecture::named(like)?.with_classes(classes);
    let names = if model.labels.is_some() { ", class names" } else { "" };
    let notes = vec![format!(
        "this is no published variant of {}: strides, input size{names} and preprocessing are taken to be those of \
         {like}; --arch NAME says otherwise",
        kind.family
    )];
    Ok(Detected { architecture: Architecture { name, config, ..model }, notes })
}

/// A named architecture with what the tensors tell better: number of classes, batch norms.
pub(super) fn adopt(mut architecture: Architecture, tensors: &Tensors, kind: Kind) -> Result<Architecture> {
    if architecture.config.family() != kind.family {
        let reason = format!(
            "its tensors are those of {}, but {} is {}",
            kind.family,
            architecture.name,
            architecture.config.family()
        );
        return Err(tensors.fault(reason));
    }
    let classes = match (kind.family, kind.form) {
        (Family::RepNext, Form::Train) => "head.head.linear.weight",
        (Family::RepNext, Form::Fused) => "head.weight",
        _ => "linear.weight",
    };
    if let (Config::RepVgg(config), Form::Train) = (&mut architecture.config, kind.form) {
        config.kind = repvgg::block_kind(tensors);
    }
    let [classes, _] = tensors.shape(classes)?;
    Ok(architecture.with_classes(classes))
}

/// Whether two configurations differ at most in what a checkpoint of that form does not tell (and
/// in the number of classes).
fn same(found: &Config, known: &Config, form: Form) -> bool {
    match (found, known) {
        (Config::RepVgg(found), Config::RepVgg(known)) => {
            found.stages == known.stages && (form == Form::Fused || found.kind == known.kind)
        }
        (Config::MobileOne(found), Config::MobileOne(known)) => mobileone::same(found, known, form),
        (Config::RepNext(found), Config::RepNext(known)) => {
            models::RepNext { classes: known.classes, ..found.clone() } == *known
        }
        _ => false,
    }
}

/// Refuses a network whose strides cannot be told, with the variants that it might be.
fn unknown_topology<'a>(tensors: &Tensors, found: &str, candidates: impl Iterator<Item = &'a str>) -> Error {
    let candidates = candidates.collect::<Vec<_>>().join(", ");
    let advice = if candidates.is_empty() {
        "no known variant has these widths".to_owned()
    } else {
        format!("name the network with --arch; by its widths it may be {candidates}")
    };
    tensors.fault(format!("has {found}, and its strides cannot be told from its tensors; {advice}"))
}
