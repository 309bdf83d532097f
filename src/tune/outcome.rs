//! What tuning found, for reports and for keeping.

use serde::Serialize;

use crate::kernels::{Choices, Tile};

/// A distinct step whose tile was tuned. Times are medians of the step alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TunedTile {
    /// What the choice is remembered by: kernel, sizes, kinds of memory.
    pub key: String,
    /// The kernel.
    pub kernel: &'static str,
    /// The first of the nodes whose steps share the choice.
    pub node: String,
    /// How many steps of the network share it.
    pub steps: usize,
    /// The tile without tuning.
    pub default: Tile,
    /// The tile to be taken.
    pub tile: Tile,
    /// Microseconds of a step with the default tile.
    pub before_us: f64,
    /// Microseconds of a step with the tile to be taken.
    pub after_us: f64,
    /// Milliseconds until the first result with the default tile, compiling included.
    pub compile_before_ms: f64,
    /// The same with the tile to be taken.
    pub compile_after_ms: f64,
    /// Tiles that were tried.
    pub tried: usize,
    /// Tiles that there are.
    pub candidates: usize,
    /// The next best.
    #[serde(skip)]
    pub(super) second: Option<Second>,
    /// Whether the default was rejected: then there is no going back to it.
    #[serde(skip)]
    pub(super) default_fails: bool,
}

/// A tile that was nearly as fast as the best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Second {
    pub tile: Tile,
    pub us: f64,
    pub compile_ms: f64,
}

/// A distinct decision between kernels that was tuned.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TunedKernel {
    /// What the choice is remembered by: operator, sizes, kinds of memory.
    pub key: String,
    /// The first of the nodes that it is for.
    pub node: String,
    /// How many decisions of the network share it.
    pub decisions: usize,
    /// The kernel without tuning.
    pub default: String,
    /// The kernel to be taken.
    pub kernel: String,
    /// Microseconds of the nodes' steps with the default kernel.
    pub before_us: f64,
    /// Microseconds of the nodes' steps with the kernel to be taken.
    pub after_us: f64,
    /// The next best, and its microseconds.
    #[serde(skip)]
    pub(super) second: Option<(String, f64)>,
    /// Whether the default was rejected: then there is no going back to it.
    #[serde(skip)]
    pub(super) default_fails: bool,
}

/// A candidate that computed something else than the CPU did, or that the driver refused.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rejected {
    /// The kernel.
    pub kernel: String,
    /// Its tile, where it has one.
    pub tile: Option<Tile>,
    /// Sizes and kinds of memory.
    pub key: String,
    /// What was wrong: the error against the CPU's result, or the driver's words.
    pub reason: String,
}

/// The whole network without and with what was chosen, run in turn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkTimes {
    /// Median milliseconds of a run without tuning.
    pub before_ms: f64,
    /// Median milliseconds of a run with the choices.
    pub after_ms: f64,
    /// Runs (or groups of runs) of each.
    pub rounds: usize,
    /// Whether the choices won by more than the noise; if not, they were not taken.
    pub taken: bool,
}

/// What tuning a network came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// For every tile and kernel that was measured the best, also where that is the default.
    pub choices: Choices,
    /// The steps, those that take longest first.
    pub tiles: Vec<TunedTile>,
    /// The decisions.
    pub kernels: Vec<TunedKernel>,
    /// Candidates that were wrong or refused.
    pub rejected: Vec<Rejected>,
    /// The whole network; absent if it did not come to that.
    pub network: Option<NetworkTimes>,
    /// Steps and decisions for which there was no time.
    pub left: usize,
    /// Seconds that it took.
    pub seconds: f64,
    /// Why it ended early: the device was lost, memory was short, or the caller said so. What was tuned
    /// until then is in `choices`.
    pub interrupted: Option<String>,
}

impl Outcome {
    /// The choices that differ from what is done without tuning.
    pub fn changes(&self) -> Choices {
        let tiles = self.tiles.iter().filter(|tuned| tuned.tile != tuned.default);
        let kernels = self.kernels.iter().filter(|tuned| tuned.kernel != tuned.default);
        Choices {
            kernels: kernels.map(|tuned| (tuned.key.clone(), tuned.kernel.clone())).collect(),
            tiles: tiles.map(|tuned| (tuned.key.clone(), tuned.tile)).collect(),
        }
    }

    /// Takes what was judged within the network.
    pub(super) fn adopt(&mut self, judged: &Choices) {
        for tuned in &mut self.tiles {
            match judged.tiles.get(&tuned.key) {
                Some(tile) if *tile == tuned.default => tuned.keep_default(),
                Some(tile) if *tile != tuned.tile => {
                    if let Some(second) = tuned.second.filter(|second| second.tile == *tile) {
                        (tuned.tile, tuned.after_us, tuned.compile_after_ms) =
                            (second.tile, second.us, second.compile_ms);
                    }
                }
                _ => {}
            }
        }
        for tuned in &mut self.kernels {
            match judged.kernels.get(&tuned.key) {
                Some(kernel) if *kernel == tuned.default => tuned.keep_default(),
                Some(kernel) if *kernel != tuned.kernel => {
                    if let Some((kernel, us)) = tuned.second.clone().filter(|(second, _)| second == kernel) {
                        (tuned.kernel, tuned.after_us) = (kernel, us);
                    }
                }
                _ => {}
            }
        }
        self.settle();
    }

    /// Forgets all choices but the defaults: they did not win.
    pub(super) fn keep_defaults(&mut self) {
        self.tiles.iter_mut().for_each(TunedTile::keep_default);
        self.kernels.iter_mut().for_each(TunedKernel::keep_default);
        self.settle();
    }

    /// Makes `choices` what tiles and kernels say.
    pub(super) fn settle(&mut self) {
        self.choices.tiles = self.tiles.iter().map(|tuned| (tuned.key.clone(), tuned.tile)).collect();
        self.choices.kernels = self.kernels.iter().map(|tuned| (tuned.key.clone(), tuned.kernel.clone())).collect();
    }
}

impl TunedTile {
    fn keep_default(&mut self) {
        if !self.default_fails {
            (self.tile, self.after_us) = (self.default, self.before_us);
            self.compile_after_ms = self.compile_before_ms;
        }
    }
}

impl TunedKernel {
    fn keep_default(&mut self) {
        if !self.default_fails {
            (self.kernel, self.after_us) = (self.default.clone(), self.before_us);
        }
    }
}
