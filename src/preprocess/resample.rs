//! Tap tables of PIL's antialiased resize along one axis.

use super::Filter;

/// Weights are whole numbers of `2^-PRECISION`, as PIL has them: eight bits of a grey level and two for sums
/// beyond it leave 22 of 32.
pub const PRECISION: u32 = 22;

/// A sum of weighted grey levels, with half of one added, as a grey level; both passes of the resize end so.
pub(super) fn level(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// What a sum begins with, so that it is rounded and not cut.
pub(super) const HALF: i32 = 1 << (PRECISION - 1);

/// Which source pixels make each output pixel along one axis, and their weights.
///
/// Every output has the same number of taps ([`Taps::width`]); where fewer are needed (at the
/// borders) the others weigh zero. All taps lie inside the picture, so kernels need no bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Taps {
    first: Vec<u32>,
    width: u32,
    weights: Vec<i32>,
}

impl Taps {
    /// First source pixel of each output pixel; never decreasing.
    pub fn first(&self) -> &[u32] {
        &self.first
    }

    /// Taps per output pixel.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// `outputs × width` weights, row-major, in units of `2^-`[`PRECISION`]; each row sums to one but for
    /// rounding.
    pub fn weights(&self) -> &[i32] {
        &self.weights
    }

    /// Number of output pixels.
    pub fn outputs(&self) -> usize {
        self.first.len()
    }

    /// Source pixels that are read at all, as a half-open range.
    pub fn span(&self) -> std::ops::Range<u32> {
        match (self.first.first(), self.first.last()) {
            (Some(&start), Some(&last)) => start..last + self.width,
            _ => 0..0,
        }
    }

    /// Taps of the outputs `offset .. offset + count` when `source` pixels become `target`.
    /// Each row is a closed form of its index, so the cost is that of the cropped range.
    pub(super) fn new(filter: Filter, source: u32, target: u64, offset: u64, count: u32) -> Taps {
        let outputs = offset..offset + u64::from(count);
        if u64::from(source) == target {
            // PIL copies an axis that keeps its size; the filters would add taps of zero.
            return Taps {
                first: outputs.map(|o| o as u32).collect(),
                width: 1,
                weights: vec![1 << PRECISION; count as usize],
            };
        }
        let rows: Vec<Row> = outputs.map(|output| Row::new(filter, source, target, output)).collect();
        let width = rows.iter().map(|row| row.weights.len() as u32).max().unwrap_or(0);
        let mut taps = Taps {
            first: Vec::with_capacity(rows.len()),
            width,
            weights: Vec::with_capacity(rows.len() * width as usize),
        };
        for row in &rows {
            // A row cut short by the far border begins earlier with zeros instead of ending outside.
            let first = row.first.min(source - width);
            let lead = (row.first - first) as usize;
            let end = taps.weights.len() + width as usize;
            taps.weights.resize(taps.weights.len() + lead, 0);
            taps.weights.extend_from_slice(&row.weights);
            taps.weights.resize(end, 0);
            taps.first.push(first);
        }
        taps
    }
}

/// The taps of one output pixel, as many as it needs.
struct Row {
    first: u32,
    weights: Vec<i32>,
}

impl Row {
    fn new(filter: Filter, source: u32, target: u64, output: u64) -> Row {
        let scale = f64::from(source) / target as f64;
        // Shrinking widens the filter, so that every source pixel counts; enlarging does not.
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        // As PIL writes it: where grey levels lie halfway, the last bit decides.
        let narrow = 1.0 / stretch;
        let centre = (output as f64 + 0.5) * scale;
        let first = (centre - support + 0.5).max(0.0) as u32;
        let end = ((centre + support + 0.5) as u32).min(source);
        let mut weights: Vec<f64> =
            (first..end).map(|x| filter.weight((f64::from(x) - centre + 0.5) * narrow)).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= sum);
        // Halves away from zero, as PIL.
        let fixed = |w: f64| (w * f64::from(1u32 << PRECISION)).round() as i32;
        Row { first, weights: weights.into_iter().map(fixed).collect() }
    }
}

impl Filter {
    /// Half the filter's width when it is not stretched.
    fn support(self) -> f64 {
        match self {
            Filter::Bilinear => 1.0,
            Filter::Bicubic => 2.0,
        }
    }

    /// The filter at a distance of `x` pixels from its centre.
    fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Filter::Bilinear => (1.0 - x).max(0.0),
            Filter::Bicubic => cubic(x),
        }
    }
}

/// Keys' cubic convolution kernel with a = −0.5 at `x ≥ 0`.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}
