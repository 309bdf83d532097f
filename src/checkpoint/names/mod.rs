//! Names of tensors: the official ones are canonical here, other libraries' are renamed by a small
//! table per family.

mod mobileone;
mod repvgg;

use std::collections::BTreeMap;

use serde::Serialize;

use super::facts::Renaming;
use crate::models::Family;
use crate::tensor::Tensor;

/// Whose names a checkpoint uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Naming {
    /// The family's official implementation.
    Official,
    /// PyTorch Image Models (timm).
    Timm,
}

/// Parts of names: (other, official).
type Table = &'static [(&'static str, &'static str)];

/// What wrappers put in front of every name of a state dict.
const WRAPPERS: [&str; 6] = ["module.", "_orig_mod.", "state_dict_ema.", "state_dict.", "model_ema.", "model."];

/// Takes off the prefixes that all names share. Returns what was taken off.
pub(super) fn unwrap(tensors: &mut BTreeMap<String, Tensor>) -> String {
    let mut taken = String::new();
    while let Some(prefix) = WRAPPERS.iter().find(|p| tensors.keys().all(|name| name.starts_with(**p))) {
        taken += prefix;
        *tensors = std::mem::take(tensors).into_iter().map(|(name, t)| (name[prefix.len()..].to_owned(), t)).collect();
        if tensors.contains_key("") {
            break;
        }
    }
    taken
}

/// What training scripts put in front of the names of averaged weights, beside those of others.
const AVERAGES: [&str; 4] = ["state_dict_ema.", "model_ema.", "ema_model.", "ema."];

/// What [`choose_average`] did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    /// Whether what was chosen is the average.
    pub averaged: bool,
    /// What was taken off the names of what was chosen.
    pub prefix: String,
    /// The names of what was not chosen.
    pub left: Vec<String>,
}

/// Chooses between weights and their exponential moving average, where one dictionary holds both.
/// Returns `None` if an average is wanted and there is none.
pub(super) fn choose_average(tensors: &mut BTreeMap<String, Tensor>, wanted: bool) -> Option<Chosen> {
    let average = AVERAGES.iter().find(|prefix| tensors.keys().any(|name| name.starts_with(**prefix)));
    let Some(average) = average else { return (!wanted).then(Chosen::default) };
    let (averaged, plain): (BTreeMap<_, _>, BTreeMap<_, _>) =
        std::mem::take(tensors).into_iter().partition(|(name, _)| name.starts_with(average));
    let averages = wanted || plain.is_empty();
    let (chosen, left) = if averages { (averaged, plain) } else { (plain, averaged) };
    *tensors = chosen.into_iter().map(|(n, t)| (n.strip_prefix(average).unwrap_or(&n).to_owned(), t)).collect();
    let prefix = if averages { (*average).to_owned() } else { String::new() };
    Some(Chosen { averaged: averages, prefix, left: left.into_keys().collect() })
}

/// The official name of a tensor.
pub(super) fn official(family: Family, naming: Naming, name: &str) -> String {
    let name = match naming {
        Naming::Official => name.to_owned(),
        Naming::Timm => replace(&stage_from_timm(name), table(family), |pair| pair),
    };
    if family == Family::RepVgg { repvgg::bare_weight(name) } else { name }
}

/// The rules by which these names became official ones, with how many tensors each was applied to,
/// in the order of [`official`].
pub(super) fn renamings<'a>(family: Family, naming: Naming, originals: impl Iterator<Item = &'a str>) -> Vec<Renaming> {
    let mut applied: BTreeMap<(usize, (&str, &str)), u64> = BTreeMap::new();
    for name in originals {
        for step in steps(family, naming, name) {
            *applied.entry(step).or_default() += 1;
        }
    }
    let renaming = |((_, (from, to)), tensors): ((_, (&str, &str)), _)| Renaming {
        from: from.to_owned(),
        to: to.to_owned(),
        tensors,
    };
    applied.into_iter().map(renaming).collect()
}

/// The parts of a name that [`official`] changes, each with the number of its step.
fn steps(family: Family, naming: Naming, name: &str) -> Vec<(usize, (&'static str, &'static str))> {
    let mut steps = Vec::new();
    let mut name = name.to_owned();
    if naming == Naming::Timm {
        let staged = stage_from_timm(&name);
        if staged != name {
            steps.push((
                0,
                if name.starts_with("stem.") { ("stem.", "stage0.") } else { ("stages.{s}.", "stage{s+1}.") },
            ));
        }
        steps.extend(table(family).iter().find(|(timm, _)| staged.contains(timm)).map(|pair| (1, *pair)));
        name = replace(&staged, table(family), |pair| pair);
    }
    if family == Family::RepVgg {
        steps.extend(repvgg::BARE.iter().find(|(bare, _)| name.ends_with(bare)).map(|pair| (2, *pair)));
    }
    steps
}

/// The name that a tensor of this official name has in a checkpoint of that naming, for messages.
pub(super) fn original(family: Family, naming: Naming, official: &str) -> String {
    match naming {
        Naming::Official => official.to_owned(),
        Naming::Timm => replace(&stage_to_timm(official), table(family), |(timm, official)| (official, timm)),
    }
}

fn table(family: Family) -> Table {
    match family {
        Family::RepVgg => repvgg::TIMM,
        Family::MobileOne => mobileone::TIMM,
        Family::RepNext => &[],
    }
}

/// Replaces the first part of the name that the table has.
fn replace(
    name: &str,
    table: Table,
    direction: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str),
) -> String {
    let found = table.iter().map(|pair| direction(*pair)).find(|(from, _)| name.contains(from));
    found.map_or_else(|| name.to_owned(), |(from, to)| name.replacen(from, to, 1))
}

/// timm counts stages from 0 after the stem, the official code calls the stem stage 0.
fn stage_from_timm(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("stem.") {
        return format!("stage0.{rest}");
    }
    let stage = name.strip_prefix("stages.").and_then(|rest| rest.split_once('.'));
    match stage.and_then(|(number, rest)| Some((number.parse::<u16>().ok()?, rest))) {
        Some((number, rest)) => format!("stage{}.{rest}", u32::from(number) + 1),
        None => name.to_owned(),
    }
}

fn stage_to_timm(name: &str) -> String {
    let stage = name.strip_prefix("stage").and_then(|rest| rest.split_once('.'));
    match stage.and_then(|(number, rest)| Some((number.parse::<u32>().ok()?, rest))) {
        Some((0, rest)) => format!("stem.{rest}"),
        Some((number, rest)) => format!("stages.{}.{rest}", number - 1),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timm_names_become_official_ones_and_back() {
        let pairs = [
            (Family::RepVgg, "stem.conv_kxk.conv.weight", "stage0.rbr_dense.conv.weight"),
            (Family::RepVgg, "stages.2.13.conv_1x1.bn.bias", "stage3.13.rbr_1x1.bn.bias"),
            (Family::RepVgg, "stages.0.1.identity.running_var", "stage1.1.rbr_identity.running_var"),
            (Family::RepVgg, "stages.3.0.reparam_conv.weight", "stage4.0.rbr_reparam.weight"),
            (Family::RepVgg, "stages.0.0.attn.fc2.bias", "stage1.0.se.up.bias"),
            (Family::RepVgg, "head.fc.weight", "linear.weight"),
            (Family::MobileOne, "stem.conv_kxk.0.conv.weight", "stage0.rbr_conv.0.conv.weight"),
            (Family::MobileOne, "stages.1.3.conv_scale.bn.weight", "stage2.3.rbr_scale.bn.weight"),
            (Family::MobileOne, "stages.1.3.identity.bias", "stage2.3.rbr_skip.bias"),
            (Family::MobileOne, "stages.2.9.attn.fc1.weight", "stage3.9.se.reduce.weight"),
            (Family::MobileOne, "stages.2.9.reparam_conv.bias", "stage3.9.reparam_conv.bias"),
            (Family::MobileOne, "head.fc.bias", "linear.bias"),
        ];
        for (family, timm, name) in pairs {
            assert_eq!(official(family, Naming::Timm, timm), name);
            assert_eq!(original(family, Naming::Timm, name), timm);
        }
    }

    #[test]
    fn convolutions_without_batch_norm_may_lack_the_conv_part() {
        let name = |n| official(Family::RepVgg, Naming::Official, n);
        assert_eq!(name("stage1.0.rbr_1x1.weight"), "stage1.0.rbr_1x1.conv.weight");
        assert_eq!(name("stage1.0.rbr_dense.weight"), "stage1.0.rbr_dense.conv.weight");
        assert_eq!(name("stage1.0.rbr_1x1.conv.weight"), "stage1.0.rbr_1x1.conv.weight");
        assert_eq!(name("stage1.0.rbr_identity.weight"), "stage1.0.rbr_identity.weight");
    }

    #[test]
    fn renamings_are_counted_by_rule_and_leave_out_what_keeps_its_name() {
        let rules = |family, naming, names: &[&str]| -> Vec<(String, String, u64)> {
            let rules = renamings(family, naming, names.iter().copied());
            rules.into_iter().map(|rule| (rule.from, rule.to, rule.tensors)).collect()
        };
        let rule = |from: &str, to: &str, tensors| (from.to_owned(), to.to_owned(), tensors);
        let timm = ["stem.conv_kxk.conv.weight", "stages.2.13.conv_1x1.bn.bias", "stages.0.0.conv_1x1.bn.bias", "x"];
        let expected = [
            rule("stages.{s}.", "stage{s+1}.", 2),
            rule("stem.", "stage0.", 1),
            rule(".conv_1x1.", ".rbr_1x1.", 2),
            rule(".conv_kxk.", ".rbr_dense.", 1),
        ];
        assert_eq!(rules(Family::RepVgg, Naming::Timm, &timm), expected);
        let bare = ["stage1.0.rbr_1x1.weight", "stage1.0.rbr_1x1.conv.weight", "stage1.0.rbr_dense.weight"];
        let expected = [
            rule(".rbr_1x1.weight", ".rbr_1x1.conv.weight", 1),
            rule(".rbr_dense.weight", ".rbr_dense.conv.weight", 1),
        ];
        assert_eq!(rules(Family::RepVgg, Naming::Official, &bare), expected);
        assert_eq!(rules(Family::RepNext, Naming::Official, &bare), []);
    }

    #[test]
    fn odd_stage_numbers_are_left_alone() {
        for name in ["stages.99999999999.0.x", "stages.x.0", "stages.", "stage", "stage.x"] {
            assert_eq!(official(Family::MobileOne, Naming::Timm, name), name);
        }
        assert_eq!(original(Family::MobileOne, Naming::Timm, "stage99999999999.0"), "stage99999999999.0");
    }

    #[test]
    fn wrappers_around_all_names_come_off() {
        let map =
            |names: &[&str]| names.iter().map(|n| (n.to_string(), Tensor::zeros([1]))).collect::<BTreeMap<_, _>>();
        let mut wrapped = map(&["state_dict.module.a", "state_dict.module.b.c"]);
        assert_eq!(unwrap(&mut wrapped), "state_dict.module.");
        assert_eq!(wrapped, map(&["a", "b.c"]));
        let mut mixed = map(&["module.a", "b"]);
        assert_eq!(unwrap(&mut mixed), "");
        assert_eq!(mixed, map(&["module.a", "b"]));
        assert_eq!(unwrap(&mut map(&["module."])), "module.");
    }

    #[test]
    fn averages_are_taken_when_asked_for_or_when_there_is_nothing_else() {
        let map =
            |names: &[&str]| names.iter().map(|n| (n.to_string(), Tensor::zeros([1]))).collect::<BTreeMap<_, _>>();
        let both = map(&["model.a", "model_ema.a", "model_ema.b"]);
        let mut plain = both.clone();
        let chosen = |averaged, prefix: &str, left: &[&str]| {
            let left = left.iter().map(|name| name.to_string()).collect();
            Some(Chosen { averaged, prefix: prefix.to_owned(), left })
        };
        assert_eq!(choose_average(&mut plain, false), chosen(false, "", &["model_ema.a", "model_ema.b"]));
        assert_eq!(plain, map(&["model.a"]));
        let mut average = both;
        assert_eq!(choose_average(&mut average, true), chosen(true, "model_ema.", &["model.a"]));
        assert_eq!(average, map(&["a", "b"]));
        let mut only = map(&["ema.a"]);
        assert_eq!(choose_average(&mut only, false), chosen(true, "ema.", &[]));
        assert_eq!(only, map(&["a"]));
        assert_eq!(choose_average(&mut map(&["a"]), true), None);
        assert_eq!(choose_average(&mut map(&["a"]), false), Some(Chosen::default()));
    }
}
