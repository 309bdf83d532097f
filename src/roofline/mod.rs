//! A device's ceilings: how fast it moves bytes and computes at best, measured with small kernels.
//!
//! What a layer takes at least is the larger of the time to move its bytes and the time to do its
//! arithmetic (Williams, Waterman and Patterson 2009). [`measure`] finds both rates and what a dispatch and
//! a submission cost; [`Ceilings::floor`] is the layer's part. A [`Known`] keeps them, device by device.

mod known;
mod measure;
mod shaders;

pub use known::Known;
pub use measure::{Options, measure};

use serde::{Deserialize, Serialize};

use crate::kernels::Step;
use crate::plan::Plan;

/// The rates that a device reaches, and its fixed costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ceilings {
    /// Reading memory, far more than caches hold where the device allows, in 10⁹ bytes a second.
    pub read_gb_s: f64,
    /// Copying memory, bytes read and bytes written together, in 10⁹ a second.
    pub copy_gb_s: f64,
    /// Operations on 32-bit floats, two to a fused multiply-add, in 10⁹ a second.
    pub f32_gflop_s: f64,
    /// The same on 16-bit floats; `None` where shaders have none.
    pub f16_gflop_s: Option<f64>,
    /// Operations on signed bytes by `dot4I8Packed`, eight to one with accumulation, in 10⁹ a second.
    pub dot4_gop_s: f64,
    /// What a dispatch that waits for the one before costs at least, in microseconds.
    pub dispatch_us: f64,
    /// From handing a single empty dispatch to the queue until its result is in the program's memory, in
    /// microseconds.
    pub round_trip_us: f64,
    /// Whether the device's own clock was used; else the wall's.
    pub timestamps: bool,
}

/// What a step is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bytes of all that it reads and writes, once.
    pub bytes: u64,
    /// Whether it multiplies with `dot4I8Packed`.
    pub dot4: bool,
}

impl Work {
    /// Of a plan's step.
    pub fn of(plan: &Plan, step: &Step) -> Work {
        Work { macs: step.macs, bytes: plan.step_bytes(step), dot4: step.kernel.multiplies_bytes() }
    }
}

/// What holds a step back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// Moving bytes.
    Memory,
    /// Arithmetic.
    Compute,
}

impl Ceilings {
    /// The larger of the two rates of memory, in 10⁹ bytes a second.
    pub fn memory_gb_s(&self) -> f64 {
        self.read_gb_s.max(self.copy_gb_s)
    }

    /// The least time that a step can take, in microseconds, and which of the two it is.
    pub fn floor(&self, work: Work) -> (f64, Bound) {
        // 10⁹ a second are 10³ a microsecond.
        let memory = work.bytes as f64 / (self.memory_gb_s() * 1e3).max(f64::MIN_POSITIVE);
        let compute = self.arithmetic_us(work);
        if compute > memory { (compute, Bound::Compute) } else { (memory, Bound::Memory) }
    }

    /// The least time that a step's arithmetic can take, in microseconds.
    pub fn arithmetic_us(&self, work: Work) -> f64 {
        let rate = if work.dot4 { self.dot4_gop_s } else { self.f32_gflop_s };
        2.0 * work.macs as f64 / (rate * 1e3).max(f64::MIN_POSITIVE)
    }

    /// Whether all numbers can be those of a device.
    pub fn is_sane(&self) -> bool {
        let rates =
            [self.read_gb_s, self.copy_gb_s, self.f32_gflop_s, self.f16_gflop_s.unwrap_or(1.0), self.dot4_gop_s];
        // From a kilobyte a second to what no device will reach: ratios of such numbers stay finite.
        rates.iter().all(|rate| (1e-6..1e12).contains(rate))
            && [self.dispatch_us, self.round_trip_us].iter().all(|us| (0.0..1e12).contains(us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_of_memory_and_arithmetic_is_the_floor() {
        let ceilings = Ceilings {
            read_gb_s: 50.0,
            copy_gb_s: 100.0,
            f32_gflop_s: 1000.0,
            dot4_gop_s: 4000.0,
            ..Ceilings::default()
        };
        // 100 GB/s are 100,000 bytes a microsecond; 1000 GFLOP/s 500,000 multiply-accumulates.
        let floor = |macs, bytes, dot4| ceilings.floor(Work { macs, bytes, dot4 });
        assert_eq!(floor(1_000_000, 100_000, false), (2.0, Bound::Compute));
        assert_eq!(floor(1_000_000, 100_000, true), (1.0, Bound::Memory));
        assert_eq!(floor(0, 300_000, false), (3.0, Bound::Memory));
        assert!(ceilings.is_sane());
        assert!(!Ceilings { read_gb_s: f64::NAN, ..ceilings }.is_sane());
        assert!(!Ceilings { f32_gflop_s: 0.0, ..ceilings }.is_sane());
        assert!(!Ceilings { dispatch_us: -1.0, ..ceilings }.is_sane());
        assert!(!Ceilings { copy_gb_s: 1e-300, ..ceilings }.is_sane());
    }
}
