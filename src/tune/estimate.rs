//! The order in which tiles are tried: the most promising first, by an estimate.
//!
//! An invocation with a tile of p pixels × k planes does 16·p·k multiplies for each plane of input and
//! tap, and loads about p + 4·k vec4s for them. Dispatches with fewer invocations than the device wants
//! leave a part of it idle; outputs beyond a row's end are work for nothing; sums beyond a GPU's
//! registers are spilled. The estimate orders, nothing more: measuring decides.

use super::search::Candidate;
use crate::kernels::{Step, Target, Tile};

/// What a load costs, in multiply-accumulates of vec4s.
const LOAD: f64 = 4.0;
/// Sums (vec4s) of an invocation that GPUs keep in registers.
const REGISTERS: f64 = 40.0;
/// Sums (vec4s) of an invocation that software drivers take a second or so to compile.
const UNROLLED: f64 = 112.0;

/// The steps to try: `step` as it is, `incumbents` (tiles that won before), then the other tiles of its
/// kernel for which `fits` is true, the most promising first. Tiles that differ only in the size of
/// their workgroups are one group.
pub(super) fn candidates(
    step: &Step,
    incumbents: &[Tile],
    target: &Target,
    fits: impl Fn(&Step) -> bool,
) -> Vec<(Step, Candidate)> {
    let all = step.candidates();
    let mut steps: Vec<(f64, Step)> =
        (all.iter().filter(|tile| Some(**tile) != step.tile && !incumbents.contains(tile)))
            .filter_map(|tile| step.with_tile(*tile))
            .filter(&fits)
            .map(|step| (cost(&step, target), step))
            .collect();
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let known = incumbents.iter().filter(|tile| Some(**tile) != step.tile && all.contains(tile));
    let known = known.filter_map(|tile| step.with_tile(*tile)).filter(&fits);
    let ordered = std::iter::once(step.clone()).chain(known).chain(steps.into_iter().map(|(_, step)| step));
    let shape = |step: &Step| step.tile.map(|tile| (tile.pixels, tile.planes));
    let mut shapes = Vec::new();
    let numbered = ordered.map(|step| {
        let group = shapes.iter().position(|known| *known == shape(&step)).unwrap_or_else(|| {
            shapes.push(shape(&step));
            shapes.len() - 1
        });
        let size = step.tile.map_or(0, |tile| tile.pixels * tile.planes);
        (step, Candidate { group, size })
    });
    numbered.collect()
}

/// What a step may cost, in units of no meaning.
fn cost(step: &Step, target: &Target) -> f64 {
    let Some(tile) = step.tile else { return 0.0 };
    let (pixels, planes) = (tile.pixels as f64, tile.planes as f64);
    let started = step.grid.iter().map(|n| f64::from(*n)).product::<f64>() * f64::from(tile.workgroup);
    let each = 4.0 * pixels * planes + LOAD * (pixels + 4.0 * planes);
    let idle = (target.invocations as f64 / started.max(1.0)).max(1.0);
    let sums = pixels * planes + pixels;
    // Software drivers spill as well, but at little cost; they compile large tiles for long.
    let spilled =
        if target.software { 1.0 + 0.5 * (sums / UNROLLED).powi(2) } else { 1.0 + (sums / REGISTERS - 1.0).max(0.0) };
    started * each * idle * spilled
}
