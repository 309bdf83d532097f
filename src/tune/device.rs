//! Candidates on a device: compiled, checked against the CPU's values, timed.

use std::collections::BTreeSet;
use std::time::Duration;

use web_time::Instant;

use super::reference::{Reference, wrong};
use super::search::{Prepared, Timer};
use super::space::Unit;
use crate::error::{Error, Result};
use crate::gpu::{Bench, Compiled, GpuContext};
use crate::kernels::{Binding, Step, TensorId};

/// Steps of a network with their inputs filled in and what they have to compute.
pub(super) struct Stage {
    bench: Bench,
    /// What the steps write, and how many values that are.
    written: Vec<(TensorId, usize)>,
    /// Tensor, first value within it, the values.
    expected: Vec<(TensorId, usize, Vec<f32>)>,
}

impl Stage {
    /// Allocates and fills what the steps of a unit bind.
    pub async fn new(context: &GpuContext, unit: Unit, reference: &Reference, safe_shaders: bool) -> Result<Self> {
        let Unit { excerpt, node } = unit;
        let bench = Bench::new(context, excerpt.plan.clone(), safe_shaders).await?;
        let tensors = &excerpt.plan.tensors;
        let written: BTreeSet<TensorId> = excerpt.plan.steps.iter().filter_map(output).collect();
        let mut values: Vec<Vec<f32>> = tensors.iter().map(|tensor| vec![0.0; tensor.vec4s() as usize * 4]).collect();
        let mut expected = Vec::new();
        for place in &excerpt.plan.places {
            let parts = excerpt.planes(place);
            let is_result = place.node == node && place.times == 1;
            if parts.iter().all(|(_, tensor, ..)| written.contains(tensor)) && !is_result {
                continue;
            }
            // Whatever stands in channels that only fill up a plane, weights of zero are for them.
            let packed = reference.packed(place, if is_result { f32::NAN } else { 0.0 });
            for (first, tensor, plane, planes) in parts {
                let each = tensors[tensor.0 as usize].pixels * 4;
                let Some(part) = packed.get(first * each..(first + planes) * each) else { continue };
                match written.contains(&tensor) {
                    true if is_result => expected.push((tensor, plane * each, part.to_vec())),
                    true => {}
                    false => {
                        if let Some(into) = values[tensor.0 as usize].get_mut(plane * each..(plane + planes) * each) {
                            into.copy_from_slice(part);
                        }
                    }
                }
            }
        }
        if expected.is_empty() {
            let reason = "its result lies nowhere that could be looked at".to_owned();
            return Err(Error::Plan { node: excerpt.plan.steps[0].node.clone(), reason });
        }
        for (at, values) in values.iter().enumerate() {
            let tensor = TensorId(at as u32);
            if !written.contains(&tensor) {
                // No NaN of the results' padding gets into inputs.
                let clean: Vec<f32> = values.iter().map(|v| if v.is_nan() { 0.0 } else { *v }).collect();
                bench.write(tensor, &clean).await?;
            }
        }
        let written = written.into_iter().map(|tensor| (tensor, values[tensor.0 as usize].len())).collect();
        Ok(Stage { bench, written, expected })
    }

    /// Fills what will be written with NaN.
    async fn poison(&self) -> Result<()> {
        for (tensor, len) in &self.written {
            self.bench.write(*tensor, &vec![f32::NAN; *len]).await?;
        }
        Ok(())
    }

    /// What is wrong with what was computed, if anything.
    async fn wrong(&self, bound: f64) -> Result<Option<String>> {
        for (tensor, first, expected) in &self.expected {
            let found = self.bench.read(*tensor).await?;
            if let Some(reason) = wrong(found.get(*first..).unwrap_or_default(), expected, bound) {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }
}

/// The tensor that a step writes.
fn output(step: &Step) -> Option<TensorId> {
    let arguments = step.arguments().zip(&step.bindings);
    arguments.filter(|(argument, _)| argument.access == crate::kernels::Access::Write).find_map(|(_, binding)| {
        match binding {
            Binding::Tensor(tensor) => Some(*tensor),
            _ => None,
        }
    })
}

/// A candidate: all steps of a stage, of which one or all are timed.
pub(super) struct Entry {
    /// Which of the stages it runs on.
    pub stage: usize,
    /// The steps.
    pub steps: Vec<Step>,
    /// The step that is timed; all of them if none is named.
    pub timed: Option<usize>,
}

/// Times candidates on a device.
pub(super) struct DeviceTimer {
    stages: Vec<Stage>,
    entries: Vec<(Entry, Option<Vec<Compiled>>)>,
    bound: f64,
    start: Instant,
}

impl DeviceTimer {
    /// `start` is when its clock said zero; `bound` the relative error that is allowed.
    pub fn new(stages: Vec<Stage>, entries: Vec<Entry>, bound: f64, start: Instant) -> Self {
        DeviceTimer { stages, entries: entries.into_iter().map(|entry| (entry, None)).collect(), bound, start }
    }

    async fn try_candidate(&mut self, candidate: usize) -> Result<Prepared> {
        let DeviceTimer { stages, entries, bound, .. } = self;
        let (entry, compiled) = &mut entries[candidate];
        let stage = &mut stages[entry.stage];
        stage.poison().await?;
        let mut steps = Vec::with_capacity(entry.steps.len());
        let mut compile = Duration::ZERO;
        for (at, step) in entry.steps.iter().enumerate() {
            let step = stage.bench.compile(std::slice::from_ref(step)).await?;
            let start = Instant::now();
            stage.bench.run(&[&step], 1).await?;
            if entry.timed.is_none_or(|timed| timed == at) {
                compile += step.took + start.elapsed();
            }
            steps.push(step);
        }
        if let Some(reason) = stage.wrong(*bound).await? {
            return Ok(Prepared::Rejected(reason));
        }
        *compiled = Some(steps);
        Ok(Prepared::Ready { compile })
    }
}

impl Timer for DeviceTimer {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn least(&self) -> Duration {
        self.stages.iter().map(|stage| stage.bench.least()).max().unwrap_or_default()
    }

    async fn prepare(&mut self, candidate: usize) -> Result<Prepared> {
        match self.try_candidate(candidate).await {
            // That one does not fit or the driver does not take it says nothing of the others.
            Err(error) if !matches!(error, Error::DeviceLost { .. }) => Ok(Prepared::Rejected(error.to_string())),
            other => other,
        }
    }

    async fn run(&mut self, candidate: usize, repetitions: u32) -> Result<Duration> {
        let DeviceTimer { stages, entries, .. } = self;
        let (entry, compiled) = &entries[candidate];
        let compiled = compiled.as_deref().unwrap_or_default();
        let timed: Vec<&Compiled> = match entry.timed {
            Some(timed) => compiled.get(timed).into_iter().collect(),
            None => compiled.iter().collect(),
        };
        stages[entry.stage].bench.run(&timed, repetitions).await
    }

    fn discard(&mut self, candidate: usize) {
        self.entries[candidate].1 = None;
    }
}

#[cfg(test)]
#[path = "device/tests.rs"]
mod tests;
