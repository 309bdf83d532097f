//! The best classes of a network's output, so that an answer is a few hundred bytes.
//!
//! The dispatch behind a plan's steps, as preprocessing is the one in front of them.

use super::{Access, Argument, Binding, Format, Kernel, Layout, Output, Step, X, source};

/// How many of the best classes [`top_step`] finds.
pub const MAX_TOP: usize = 32;

/// Every class is compared with every other: beyond this many that takes longer than reading all of
/// them back, above all on a software driver.
const MAX_CLASSES: usize = 4096;

/// The best classes, and the sums of each workgroup.
static BEST: Argument = Argument { name: "best", binding: 7, access: Access::Write, accessors: &[] };

pub(super) static KERNEL: Kernel = Kernel {
    name: "top",
    arguments: &[&X, &BEST],
    sources: &[&source!("top.wgsl")],
    constants: &["BATCH", "CLASSES", "PLANES", "GROUPS", "X_PLANE"],
    workgroup: WORKGROUP as u32,
    tiling: None,
    open: &[],
    fixed: &[("TOP", MAX_TOP as u32)],
};

/// Invocations of a workgroup, each of which has four classes.
const WORKGROUP: usize = 64;

/// Words of a class with its logit.
const PAIR: usize = 2;

/// Words that each workgroup adds.
const GROUP: usize = 2 * PAIR;

/// The dispatch that finds the best classes of a plan's output, `batch` samples at once, and how to
/// read what it writes; `None` where the output is not a vector of at most a few thousand classes.
pub fn top_step(output: &Output, batch: usize) -> Option<(Step, TopRecord)> {
    let classes = output.shape.channels;
    let vector = output.shape.pixels() == 1 && output.layout == Layout::new([classes]);
    if !vector || !(1..=MAX_CLASSES).contains(&classes) {
        return None;
    }
    let planes = output.layout.planes();
    let record = TopRecord { classes, groups: planes.div_ceil(WORKGROUP) };
    let constants = [batch, classes, planes, record.groups, output.first_plane];
    let constants = constants.into_iter().map(|value| u32::try_from(value).ok()).collect::<Option<Vec<u32>>>()?;
    let grid = [record.groups as u32, u32::try_from(batch).ok()?, 1];
    let bindings = vec![Binding::Tensor(output.tensor), Binding::Best];
    let formats = vec![Format::HOST; bindings.len()];
    let (node, unrolled) = ("top".into(), false);
    let step = Step { node, kernel: &KERNEL, constants, tile: None, bindings, formats, grid, macs: 0, unrolled };
    Some((step, record))
}

/// The part of what [`top_step`]'s dispatch writes that belongs to one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopRecord {
    classes: usize,
    groups: usize,
}

/// The best classes of one sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// Classes and their logits, the greatest first, of equal ones the lower class first; at most
    /// [`MAX_TOP`] and no more than there are classes.
    pub best: Vec<(usize, f32)>,
    /// The sum over all classes of `exp(logit − greatest logit)`: softmax's denominator.
    pub sum: f64,
    /// The lowest class whose logit is a NaN or an infinity, and that. Where there is one, the other
    /// fields mean nothing.
    pub not_finite: Option<(usize, f32)>,
}

impl TopRecord {
    /// Words of a sample's record.
    pub fn words(&self) -> usize {
        PAIR * MAX_TOP + GROUP * self.groups
    }

    /// Reads the record of one sample; `None` if it is too short or names classes that do not exist.
    pub fn read(&self, words: &[u32]) -> Option<Ranking> {
        let (pairs, groups) = words.get(..self.words())?.split_at(PAIR * MAX_TOP);
        let pair = |words: &[u32]| (words[0] as usize, f32::from_bits(words[1]));
        let groups = groups.chunks_exact(GROUP);
        let strange = groups.clone().filter(|group| group[2] != u32::MAX).min_by_key(|group| group[2]);
        let not_finite = strange.map(|group| pair(&group[2..]));
        let sum = groups.map(|group| f64::from(f32::from_bits(group[0]))).sum();
        let mut best = Vec::new();
        if not_finite.is_none() {
            best.extend(pairs.chunks_exact(PAIR).take(self.classes.min(MAX_TOP)).map(pair));
        }
        best.iter().all(|(class, _)| *class < self.classes).then_some(Ranking { best, sum, not_finite })
    }
}
