//! How well kernels do on a device that was profiled.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::profile::Profile;

/// What part of the ceilings kernels reach on a device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Efficiency {
    /// The device that was measured.
    pub device: String,
    /// Whether a processor does its work, which says little of GPUs.
    pub software: bool,
    /// By kernel, 0 to 1.
    pub kernels: BTreeMap<String, f64>,
    /// Of all kernels together, for those that were not measured.
    pub all: f64,
    /// What a dispatch costs beside its work, in microseconds.
    pub dispatch_us: f64,
    /// The rate of `dot4I8Packed` as a multiple of that of f32: published rates say nothing of it.
    pub dot4_per_f32: f64,
}

impl Efficiency {
    /// From a profile on a GPU; `None` if it does not know its device's ceilings.
    pub fn of(profile: &Profile) -> Option<Efficiency> {
        let ceilings = profile.ceilings?;
        let dispatch_us = ceilings.dispatch_us;
        // By kernel: what it needs at best, and what it took less the dispatch.
        let mut times: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for layer in profile.layers.iter().filter(|layer| layer.us > 0.0 && layer.bytes > 0) {
            let Some(part) = layer.roofline else { continue };
            let (floor, took) = times.entry(layer.kernel.clone()).or_default();
            // A time near zero makes the part infinite.
            let best = part * layer.us;
            if !best.is_finite() {
                continue;
            }
            *floor += best;
            // Nothing is faster than the ceilings because of a clock's noise.
            *took += (layer.us - dispatch_us).max(best);
        }
        let part = |(floor, took): (f64, f64)| if took > 0.0 { (floor / took).clamp(1e-4, 1.0) } else { 1.0 };
        let all = times.values().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (all.1 > 0.0).then(|| Efficiency {
            device: profile.device.name.clone(),
            software: profile.device.software,
            kernels: times.into_iter().map(|(kernel, one)| (kernel, part(one))).collect(),
            all: part(all),
            dispatch_us,
            dot4_per_f32: ceilings.dot4_gop_s / ceilings.f32_gflop_s,
        })
    }

    /// The part that a kernel reaches.
    pub(super) fn part(&self, kernel: &str) -> f64 {
        self.kernels.get(kernel).copied().unwrap_or(self.all)
    }
}
