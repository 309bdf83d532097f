//! Ways around a kernel that a driver computes wrongly.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::kernels::{Choices, Step, Storage, Target, Tile};
use crate::plan::Plan;

/// Other tiles of a step that are tried before another kernel is.
const TILES: usize = 2;

/// Ways around wrong kernels that have been taken.
#[derive(Default)]
pub(super) struct Detours {
    tiles: BTreeMap<String, usize>,
    kernels: BTreeSet<(String, &'static str)>,
    plain: usize,
}

impl Detours {
    /// The target with which a wrong step is planned otherwise: with another tile, by another kernel, or all in other
    /// memory. `None` if all of that was tried.
    pub fn next(
        &mut self,
        mut target: Target,
        plan: &Plan,
        step: &Step,
        wrong: &dyn Fn(&Step) -> bool,
    ) -> Option<Target> {
        let mut choices = (*target.choices).clone();
        if let Some(choice) = self.tile(step, wrong) {
            choices.tiles.insert(step.key(), choice);
            target.choices = Arc::new(choices);
            return Some(target);
        }
        for decision in plan.decisions.iter().filter(|decision| decision.nodes.contains(&step.node)) {
            self.kernels.insert((decision.key.clone(), decision.taken));
            let left = |way: &&&'static str| !self.kernels.contains(&(decision.key.clone(), **way));
            if let Some(way) = decision.options.iter().find(left).copied() {
                choices.kernels.insert(decision.key.clone(), way.to_owned());
                target.choices = Arc::new(choices);
                return Some(target);
            }
        }
        // Choices belong to formats, so none of them counts any more.
        self.plain += 1;
        let choices = Arc::new(Choices::default());
        let other = match target.activations {
            Storage::Buffer => Storage::Texture,
            Storage::Texture => Storage::Buffer,
        };
        let plain = Target { activations: other, weights: other, subgroup: 0, winograd: false, choices, ..target };
        (self.plain == 1).then_some(plain)
    }

    fn tile(&mut self, step: &Step, wrong: &dyn Fn(&Step) -> bool) -> Option<Tile> {
        let now = step.tile?;
        let tried = self.tiles.entry(step.key()).or_default();
        if *tried >= TILES {
            return None;
        }
        *tried += 1;
        // No more work to an invocation than now: larger tiles take longer to compile.
        let (work, most) = (|tile: &Tile| tile.pixels * tile.planes, now.pixels * now.planes);
        let usable = |tile: &Tile| {
            *tile != now && work(tile) <= most && step.with_tile(*tile).is_some_and(|other| !wrong(&other))
        };
        step.candidates().into_iter().filter(usable).max_by_key(|tile| (tile.workgroup == now.workgroup, work(tile)))
    }
}
