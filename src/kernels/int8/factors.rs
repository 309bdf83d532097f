//! What integer kernels rescale by, packed for [`FACTORS`](super::FACTORS): a header, factors, an activation's
//! table, all in vec4s of 32-bit integers as `shaders/int8/arith.wgsl` says.

use crate::int8::arith::Requant;
use crate::int8::table::Finish;
use crate::kernels::{Binding, Layout, Lowering};

/// The values of the constant `FINISH` beside 0, which saturates to ±127.
pub(super) const FINISHES: &[(&str, u32)] = &[("RELU", 1), ("LOOKUP", 2)];

/// The same for kernels that only saturate.
pub(super) const SATURATES: &[(&str, u32)] = &[("RELU", 1), ("LOOKUP", 2), ("FINISH", 0)];

/// The constant `FINISH`.
pub(super) fn finish(finish: &Finish) -> usize {
    match finish {
        Finish::Clamp { low: 0 } => 1,
        Finish::Clamp { .. } => 0,
        Finish::Table(_) => 2,
    }
}

/// The constant `STEEP`: whether a factor is one or above.
pub(super) fn steep<'a>(requants: impl IntoIterator<Item = &'a Requant>) -> usize {
    requants.into_iter().any(|requant| requant.multiplier != 0 && requant.shift < 31).into()
}

/// Factors in the making.
pub(super) struct Factors(Vec<i32>);

impl Factors {
    /// With the header that belongs to what becomes of the sums.
    pub fn new(finish: &Finish) -> Self {
        let header = match finish {
            Finish::Clamp { .. } => [0; 4],
            Finish::Table(table) => [table.offset, table.entries.len() as i32 - 1, 0, 0],
        };
        Factors(header.to_vec())
    }

    /// Four values for all channels.
    pub fn common(mut self, values: [i32; 4]) -> Self {
        self.0.extend(values);
        self
    }

    /// For each plane a vec4 of each kind; every kind has a value per channel. Channels that fill a plane up get
    /// zeros, which make zeros.
    pub fn planes(mut self, layout: &Layout, kinds: &[Vec<i32>]) -> Self {
        for lanes in layout.physical().chunks(4) {
            for kind in kinds {
                self.0.extend(lanes.iter().map(|lane| lane.and_then(|c| kind.get(c).copied()).unwrap_or(0)));
            }
        }
        self
    }

    /// Puts the table behind them, if there is one, and hands them over.
    pub fn bind(mut self, finish: &Finish, cx: &mut Lowering<'_>) -> Binding {
        if let Finish::Table(table) = finish {
            self.0.extend(table.entries.iter().map(|entry| i32::from(*entry)));
            self.0.resize(self.0.len().next_multiple_of(4), 0);
        }
        cx.table(self.0.into_iter().map(|value| value as u32).collect())
    }
}

/// Multipliers and shifts apart; zeros for so many channels where there are none.
pub(super) fn apart(requants: &[Requant], channels: usize) -> [Vec<i32>; 2] {
    if requants.is_empty() {
        return [vec![0; channels], vec![0; channels]];
    }
    [
        requants.iter().map(|requant| requant.multiplier).collect(),
        requants.iter().map(|requant| requant.shift as i32).collect(),
    ]
}
