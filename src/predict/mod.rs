//! How fast a network would be on a device that is not here.
//!
//! The floor is what the device's published peak rates allow: for every dispatch the larger of the time to
//! move its bytes and the time to do its arithmetic. What is to be expected is more: kernels reach a part of
//! the ceilings, which profiles of devices that are here say for each kernel ([`Efficiency`]), and every
//! dispatch costs something beside its work.

mod devices;
mod efficiency;

pub use devices::{Peak, Source, device, devices};
pub use efficiency::Efficiency;

use serde::Serialize;

use crate::error::Result;
use crate::graph::Graph;
use crate::int8::Program;
use crate::kernels::{Step, Target};
use crate::plan::Plan;
use crate::roofline::{Bound, Ceilings, Work};

/// What a network asks of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// Kernel and work of every dispatch, without preprocessing.
    pub steps: Vec<(String, Work)>,
    /// Whether values are stored as 16-bit floats.
    pub f16: bool,
}

impl Demand {
    /// Of a fused network, planned as for a GPU that is not software. Weights that have scales are stored as
    /// bytes.
    ///
    /// # Errors
    /// As [`Plan::for_target`].
    pub fn of(graph: &Graph, batch: usize, f16: bool) -> Result<Demand> {
        let plan = Plan::for_target(graph, batch, &[], Target { f16, ..Target::default() })?;
        Ok(Demand { f16, ..Demand::of_plan(&plan) })
    }

    /// Of a network in integers.
    ///
    /// # Errors
    /// As [`Plan::for_program`].
    pub fn of_program(program: &Program, batch: usize) -> Result<Demand> {
        Ok(Demand::of_plan(&Plan::for_program(program, batch, &[], Target::default())?))
    }

    fn of_plan(plan: &Plan) -> Demand {
        let work = |step: &Step| (step.kernel.name.to_owned(), Work::of(plan, step));
        Demand { steps: plan.steps.iter().map(work).collect(), f16: false }
    }

    /// Multiply-accumulates.
    pub fn macs(&self) -> u64 {
        self.steps.iter().fold(0, |sum, (_, work)| sum.saturating_add(work.macs))
    }

    /// Bytes that dispatches read and write, each once.
    pub fn bytes(&self) -> u64 {
        self.steps.iter().fold(0, |sum, (_, work)| sum.saturating_add(work.bytes))
    }
}

/// What to expect of a device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The device.
    pub on: Peak,
    /// No kernels could be faster by its published rates and with every dispatch's bytes moved once, in
    /// milliseconds. Large caches may make it less.
    pub floor_ms: f64,
    /// The part of that in dispatches that are held back by memory.
    pub memory_part: f64,
    /// Arithmetic alone, in milliseconds: a floor even where caches hold everything.
    pub arithmetic_ms: f64,
    /// By the efficiency of each device that was measured, in milliseconds.
    pub expected_ms: Vec<f64>,
}

/// What `dot4I8Packed` does in the place of a multiply-add of floats: four of them. No GPU is known that starts more of
/// them than multiply-adds, so this many times the f32 rate bounds what is not published.
const DOT4: f64 = 4.0;

/// Predicts the GPU's time of a run.
pub fn predict(demand: &Demand, on: &Peak, measured: &[Efficiency]) -> Prediction {
    let at = |f32_gflop_s: f64, dot4_gop_s: f64| Ceilings {
        read_gb_s: on.memory_gb_s,
        copy_gb_s: on.memory_gb_s,
        f32_gflop_s,
        dot4_gop_s,
        ..Ceilings::default()
    };
    let rate = on.f16_gflop_s.filter(|_| demand.f16).unwrap_or(on.f32_gflop_s);
    let best = at(rate, DOT4 * on.f32_gflop_s);
    let (mut floor, mut memory, mut arithmetic) = (0.0, 0.0, 0.0);
    for (_, work) in &demand.steps {
        let (us, bound) = best.floor(*work);
        floor += us;
        memory += if bound == Bound::Memory { us } else { 0.0 };
        arithmetic += best.arithmetic_us(*work);
    }
    let expected = |by: &Efficiency| {
        // Kernels store 16-bit floats and compute in 32.
        let ours = at(on.f32_gflop_s, by.dot4_per_f32.min(DOT4) * on.f32_gflop_s);
        let step = |(kernel, work): &(String, Work)| ours.floor(*work).0 / by.part(kernel) + by.dispatch_us;
        demand.steps.iter().map(step).sum::<f64>() / 1e3
    };
    Prediction {
        on: on.clone(),
        floor_ms: floor / 1e3,
        memory_part: if floor > 0.0 { memory / floor } else { 0.0 },
        arithmetic_ms: arithmetic / 1e3,
        expected_ms: measured.iter().map(expected).collect(),
    }
}

/// Latency that the authors of RepNeXt give for Core ML on an iPhone 12, in milliseconds. It ran on the
/// Neural Engine, not on the GPU.
pub fn core_ml_on_iphone12(model: &str) -> Option<f64> {
    let known = [("m0", 0.59), ("m1", 0.86), ("m2", 1.00), ("m3", 1.11), ("m4", 1.48), ("m5", 2.20)];
    let size = model.strip_prefix("repnext-")?;
    known.iter().find(|(name, _)| *name == size).map(|(_, ms)| *ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Device;
    use crate::profile::{KIND, Layer, Method, Profile, SCHEMA_VERSION};

    fn peak() -> Peak {
        let (name, device, sources) = ("x".to_owned(), "x".to_owned(), vec![]);
        Peak { name, device, memory_gb_s: 10.0, f32_gflop_s: 100.0, f16_gflop_s: Some(200.0), sources }
    }

    fn profile() -> Profile {
        let layer = |kernel: &str, us, roofline| {
            let (kernel, bytes) = (kernel.to_owned(), 1);
            Layer { kernel, us, bytes, roofline: Some(roofline), ..Layer::default() }
        };
        Profile {
            kind: KIND.into(),
            schema_version: SCHEMA_VERSION,
            model: "m".into(),
            precision: "f32".into(),
            batch: 1,
            device: Device { name: "here".into(), ..Device::default() },
            method: Method::Passes,
            runs: 1,
            ceilings: Some(Ceilings { dispatch_us: 2.0, f32_gflop_s: 10.0, dot4_gop_s: 30.0, ..Ceilings::default() }),
            frame_us: None,
            // 5 of 10 µs at best, 2 of them the dispatch; and one that is nothing but its dispatch.
            layers: vec![layer("conv", 12.0, 5.0 / 12.0), layer("add", 2.0, 0.5)],
        }
    }

    #[test]
    fn kernels_reach_a_part_of_the_ceilings_and_dispatches_cost() {
        let by = Efficiency::of(&profile()).unwrap();
        assert!((by.kernels["conv"] - 0.5).abs() < 1e-12 && by.kernels["add"] == 1.0, "{by:?}");
        assert!((by.all - 6.0 / 11.0).abs() < 1e-12, "{by:?}");
        assert_eq!(Efficiency::of(&Profile { ceilings: None, ..profile() }), None);
        // 1 M multiply-accumulates are 20 µs of arithmetic; 300 kB are 30 µs of memory.
        let work = |macs, bytes| Work { macs, bytes, dot4: false };
        let steps = vec![("conv".to_owned(), work(1_000_000, 1000)), ("add".to_owned(), work(0, 300_000))];
        let demand = Demand { steps, f16: false };
        assert_eq!(by.dot4_per_f32, 3.0);
        let by = [by];
        let found = predict(&demand, &peak(), &by);
        assert!((found.floor_ms - 0.05).abs() < 1e-9 && (found.memory_part - 0.6).abs() < 1e-9, "{found:?}");
        assert!((found.arithmetic_ms - 0.02).abs() < 1e-9, "{found:?}");
        // 20 / 0.5 + 2 and 30 / 1 + 2.
        assert!((found.expected_ms[0] - 0.074).abs() < 1e-9, "{found:?}");
        let halves = predict(&Demand { f16: true, ..demand }, &peak(), &by);
        assert!((halves.arithmetic_ms - 0.01).abs() < 1e-9 && halves.expected_ms == found.expected_ms, "{halves:?}");
    }

    #[test]
    fn bytes_are_multiplied_faster_by_what_was_measured() {
        let work = Work { macs: 1_000_000, bytes: 0, dot4: true };
        let demand = Demand { steps: vec![("other".to_owned(), work)], f16: false };
        let mut by = Efficiency::of(&profile()).unwrap();
        (by.all, by.dispatch_us) = (0.5, 0.0);
        let faster = Efficiency { dot4_per_f32: 9.0, ..by.clone() };
        let found = predict(&demand, &peak(), &[by, faster]);
        // 20 µs at the rate of floats: a quarter at best; a third, or a quarter, of which half is reached.
        assert!((found.floor_ms - 0.005).abs() < 1e-9 && found.arithmetic_ms == found.floor_ms, "{found:?}");
        let expected = [0.02 / 3.0 / 0.5, 0.005 / 0.5];
        assert!(found.expected_ms.iter().zip(expected).all(|(ms, want)| (ms - want).abs() < 1e-9), "{found:?}");
    }

    #[test]
    fn the_reference_is_that_of_the_paper() {
        assert_eq!(core_ml_on_iphone12("repnext-m1"), Some(0.86));
        assert_eq!(core_ml_on_iphone12("repnext-m1e"), None);
        assert_eq!(core_ml_on_iphone12("repvgg-a0"), None);
    }

    #[test]
    fn a_network_demands_what_its_plan_does() {
        let graph = crate::Model::builtin().unwrap().graph().clone();
        let demand = Demand::of(&graph, 2, false).unwrap();
        assert!(demand.macs() > 0 && demand.bytes() > 0 && demand.steps.len() > 5);
        assert!(Demand::of(&graph, 2, true).unwrap().bytes() < demand.bytes());
        assert!(demand.steps.iter().all(|(_, work)| !work.dot4));
        let model = crate::quant::calibrated_on_noise(&crate::Model::builtin().unwrap()).unwrap();
        let program = crate::int8::lower(model.graph(), model.quantization().unwrap()).unwrap();
        let integers = Demand::of_program(&program, 2).unwrap();
        assert!(integers.bytes() < demand.bytes() / 2 && integers.macs() == demand.macs());
        let dot4: u64 = integers.steps.iter().filter(|(_, work)| work.dot4).map(|(_, work)| work.macs).sum();
        assert!(dot4 > integers.macs() / 2, "{integers:?}");
    }
}
