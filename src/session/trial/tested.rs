//! The test of a driver's kernels, and what it has shown of this driver so far.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::detours::Detours;
use super::{Built, TestDriver, Trial};
use crate::error::{Error, Result};
use crate::gpu::{ExecutorOptions, GpuExecutor};
use crate::kernels::{Step, Target, tested};
use crate::plan::Plan;
use crate::session::self_test;
use crate::verify::{Layers, Record, Reference, fault, variant_id};

/// Ways of planning that are tried at most.
const ROUNDS: usize = 24;

/// What was found since the process began.
static MEMORY: Mutex<Option<Record>> = Mutex::new(None);

impl Trial<'_> {
    /// Plans, builds and tests, until nothing is wrong.
    pub(super) async fn build_tested(
        &self,
        mut target: Target,
        options: &ExecutorOptions,
        plan: &(dyn Fn(&Target) -> Result<Plan> + Sync),
    ) -> Result<Built> {
        let mut found = Vec::new();
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

    pub(super) fn wanted(&self) -> bool {
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
