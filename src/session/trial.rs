//! Kernels that a driver computes wrongly are found while a session is loaded, and gone around.
//!
//! Every kernel variant of the plan that this driver has not been seen to compute rightly runs once, in one of its own
//! layers at its real size and with the pipeline that the session will use, on the values that the CPU executor has for a
//! picture. What is wrong is remembered, and the network is planned again with other tiles, another kernel, or in the other
//! kind of memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::engine::Setup;
use super::model::Model;
use super::self_test;
use crate::error::{Error, Result};
use crate::gpu::{ExecutorOptions, GpuContext, GpuExecutor};
use crate::int8::Program;
use crate::kernels::{Choices, Step, Storage, Target, tested};
use crate::plan::Plan;
use crate::verify::{Layers, Record, Reference, fault, variant_id};

/// When a driver's kernels are tested while a session is loaded, and where the results are kept.
#[derive(Clone, Debug, Default)]
pub struct DriverTests {
    /// When.
    pub when: TestDriver,
    /// The file that results are kept in, from one process to the next. One that cannot be read or written is no error.
    /// Without it they are kept as long as the process lives.
    #[cfg(not(target_arch = "wasm32"))]
    pub file: Option<std::path::PathBuf>,
}

/// When a driver's kernels are tested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TestDriver {
    /// On drivers that the crate's own tests do not run on: all but Mesa's software drivers and SwiftShader. Not in a
    /// browser, where computing what to expect takes the page's only thread.
    #[default]
    Unknown,
    /// On every driver.
    Always,
    /// Never.
    Never,
}

/// Ways of planning that are tried at most.
const ROUNDS: usize = 24;
/// Other tiles of a step that are tried before another kernel is.
const TILES: usize = 2;

/// What was found since the process began.
static MEMORY: Mutex<Option<Record>> = Mutex::new(None);

/// An executor without a kernel that is known to be wrong.
pub(super) struct Built {
    pub executor: GpuExecutor,
    pub target: Target,
    /// What was found just now, a sentence each.
    pub found: Vec<String>,
    /// Ways around known kernels that were taken.
    pub detours: usize,
}

/// A network on its way to an executor.
pub(super) struct Trial<'a> {
    pub context: &'a GpuContext,
    pub model: &'a Model,
    pub program: Option<&'a Program>,
    pub setup: &'a Setup,
}

impl Trial<'_> {
    /// Plans and builds, again and again if need be.
    ///
    /// # Errors
    /// Those of planning and building; [`Error::Gpu`] if there is no way around a kernel.
    pub async fn build(
        &self,
        mut target: Target,
        options: &ExecutorOptions,
        plan: &dyn Fn(&Target) -> Result<Plan>,
    ) -> Result<Built> {
        let mut found = Vec::new();
        if !self.wanted() {
            let executor = GpuExecutor::new(self.context, plan(&target)?, options.clone()).await?;
            return Ok(Built { executor, target, found, detours: 0 });
        }
        let device = self.context.tuning_key();
        let mut record = self.known();
        let mut detours = Detours::default();
        let mut reference = None;
        for round in 0..ROUNDS {
            let planned = plan(&target)?;
            let id = |step: &Step| variant_id(self.context, step, self.setup.safe_shaders);
            let is_wrong = |step: &&Step| record.get(&device, &id(step)) == Some(false);
            let mut wrong: Vec<Step> = planned.steps.iter().filter(is_wrong).take(1).cloned().collect();
            if wrong.is_empty() {
                let executor = GpuExecutor::new(self.context, planned, options.clone()).await?;
                let unknown: BTreeSet<String> = executor.plan().steps.iter().map(id).collect();
                let unknown = unknown.into_iter().filter(|id| record.get(&device, id).is_none()).collect();
                let mut fresh = Record::default();
                let (messages, first) = self.test(&executor, unknown, &mut reference, &mut fresh).await?;
                record.merge(&fresh);
                self.keep(&fresh);
                let Some(first) = first else {
                    return Ok(Built { executor, target, found, detours: round });
                };
                found.extend(messages.into_iter().filter(|message| !found.contains(message)).collect::<Vec<_>>());
                wrong.push(first);
            }
            let Some(step) = wrong.first() else { break };
            let wrong = |step: &Step| record.get(&device, &id(step)) == Some(false);
            let planned = plan(&target)?;
            target = detours.next(target, &planned, step, &wrong).ok_or_else(|| nowhere_to_go(step, &found))?;
        }
        let reason = format!("this driver computes too many kernels wrongly: {}", found.join("; "));
        Err(Error::Gpu { what: self.model.name().to_owned(), reason })
    }

    fn wanted(&self) -> bool {
        let summary = self.context.summary();
        match self.setup.driver_tests.when {
            TestDriver::Always => true,
            TestDriver::Never => false,
            TestDriver::Unknown => {
                !cfg!(target_arch = "wasm32") && !tested(summary.backend, [&summary.name, &summary.driver])
            }
        }
    }

    fn known(&self) -> Record {
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(file) = &self.setup.driver_tests.file {
            return Record::load(file);
        }
        MEMORY.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    fn keep(&self, fresh: &Record) {
        if *fresh == Record::default() {
            return;
        }
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(file) = &self.setup.driver_tests.file {
            if let Err(error) = fresh.save(file) {
                log::warn!("what was found out about the driver is not kept: {error}");
            }
            return;
        }
        MEMORY.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().merge(fresh);
    }

    /// Runs a layer for each unknown variant, and says what is wrong and in which step first.
    async fn test(
        &self,
        executor: &GpuExecutor,
        mut unknown: BTreeSet<String>,
        reference: &mut Option<Reference>,
        fresh: &mut Record,
    ) -> Result<(Vec<String>, Option<Step>)> {
        let (mut messages, mut first) = (Vec::new(), None);
        if unknown.is_empty() {
            return Ok((messages, first));
        }
        let reference = match reference {
            Some(reference) => reference,
            none => match self.reference() {
                Ok(reference) => none.insert(reference),
                // A network of values that are no numbers is to be refused by its output, as on the CPU.
                Err(error) => {
                    log::debug!("the driver is not tested: {error}");
                    return Ok((messages, first));
                }
            },
        };
        let device = self.context.tuning_key();
        let layers = Layers::new(executor.plan(), reference);
        for layer in layers.all() {
            let steps = layers.steps(&layer);
            let ids: Vec<String> =
                steps.iter().map(|step| variant_id(self.context, step, self.setup.safe_shaders)).collect();
            if !ids.iter().any(|id| unknown.contains(id)) || !layers.representable(&layer) {
                continue;
            }
            let (distance, _) = layers.check(executor, &layer).await?;
            let new: Vec<String> = ids.into_iter().filter(|id| unknown.remove(id)).collect();
            if distance.within(layer.bound.wide()) {
                fresh.note(&device, new, None);
                continue;
            }
            let fault = fault(&layers, &layer, distance);
            fresh.note(&device, new, Some(&fault.distance.to_string()));
            messages.push(format!(
                "this driver computes kernel {} wrongly ({}; {} of {}, {}): another way is taken",
                fault.kernels.join(" + "),
                fault.variant,
                fault.distance,
                fault.node,
                fault.shape
            ));
            // Of a chain the last that has tiles, or else the last.
            let step = steps.iter().rev().find(|step| step.tile.is_some()).or(steps.last());
            first = first.or(step.cloned());
        }
        Ok((messages, first))
    }

    fn reference(&self) -> Result<Reference> {
        let [height, width] = self.model.preprocess().crop;
        let input = self.model.preprocess().apply(&self_test::picture(width, height)?)?;
        match self.program {
            Some(program) => Reference::of_program(program, &input),
            None => Reference::of_graph(self.model.graph(), &input),
        }
    }
}

fn nowhere_to_go(step: &Step, found: &[String]) -> Error {
    let what = format!("kernel {} of node {:?}", step.kernel.name, step.node);
    let reason = format!(
        "this driver computes it wrongly, and whatever could stand in for it{}{}; use another device or the CPU executor, \
         and see `foveate verify`",
        if found.is_empty() { "" } else { ": " },
        found.join("; ")
    );
    Error::Gpu { what, reason }
}

/// Ways around wrong kernels that have been taken.
#[derive(Default)]
struct Detours {
    tiles: BTreeMap<String, usize>,
    kernels: BTreeSet<(String, &'static str)>,
    plain: usize,
}

impl Detours {
    /// The target with which a wrong step is planned otherwise: with another tile, by another kernel, or all in other
    /// memory. `None` if all of that was tried.
    fn next(&mut self, mut target: Target, plan: &Plan, step: &Step, wrong: &dyn Fn(&Step) -> bool) -> Option<Target> {
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

    fn tile(&mut self, step: &Step, wrong: &dyn Fn(&Step) -> bool) -> Option<crate::kernels::Tile> {
        let now = step.tile?;
        let tried = self.tiles.entry(step.key()).or_default();
        if *tried >= TILES {
            return None;
        }
        *tried += 1;
        // No more work to an invocation than now: larger tiles take longer to compile.
        let (work, most) = (|tile: &crate::kernels::Tile| tile.pixels * tile.planes, now.pixels * now.planes);
        let usable = |tile: &crate::kernels::Tile| {
            *tile != now && work(tile) <= most && step.with_tile(*tile).is_some_and(|other| !wrong(&other))
        };
        step.candidates().into_iter().filter(usable).max_by_key(|tile| (tile.workgroup == now.workgroup, work(tile)))
    }
}
