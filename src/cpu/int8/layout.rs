//! How integers lie in memory: as floats do ([`Map`]), blocks of sixteen channels of one pixel, of a byte each.
//!
//! A byte is the integer plus 128, so that instructions that multiply bytes without a sign by bytes with one take
//! them as they are; frames of zeros are therefore of 128. Lanes beyond the last channel hold anything.

use crate::cpu::blocked::layout::Map;
use crate::int8::arith::{Enlarge, Requant};

pub(super) use crate::cpu::blocked::layout::LANES;

/// Sixteen channels of one pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(16))]
pub(super) struct Bytes(pub [u8; LANES]);

// SAFETY: sixteen bytes without padding; any bits are a value.
unsafe impl bytemuck::Zeroable for Bytes {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Bytes {}

impl Bytes {
    /// Zeros of the grid.
    pub(super) const ZERO: Bytes = Bytes([128; LANES]);
}

/// Sums of sixteen channels of one pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct Words(pub [i32; LANES]);

impl Words {
    pub(super) const ZERO: Words = Words([0; LANES]);
}

/// Weights of sixteen output channels for four inputs, channel by channel; or half of them, in 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct Panel(pub [i8; 4 * LANES]);

// SAFETY: 64 bytes without padding; any bits are a value.
unsafe impl bytemuck::Zeroable for Panel {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Panel {}

impl Panel {
    pub(super) const ZERO: Panel = Panel([0; 4 * LANES]);
}

/// A table of bytes.
#[repr(C, align(64))]
pub(super) struct Lut(pub [u8; 256]);

/// Factors of sixteen channels.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Rescale {
    pub multiplier: [i32; LANES],
    /// 1 to 62.
    pub shift: [i32; LANES],
    /// Beyond this, sums saturate anyway: 16 bits for factors of one and above, whose products then have 32.
    pub bound: [i32; LANES],
    /// Whether any bound is less than an `i32` holds.
    pub steep: bool,
    /// The same as numbers.
    pub factor: [f64; LANES],
    /// Whether sums times these are rounded as the integers are, for all whose results are below [`MATTERS`]: those
    /// products have 53 bits at most.
    pub exact: bool,
}

/// Rescaled sums beyond ± this become the first or last byte, or entry of a table, wherever zero's is.
const MATTERS: f64 = 512.0;

impl Rescale {
    /// Of up to sixteen channels; the others become zero.
    pub(super) fn new(requant: &[Requant]) -> Self {
        let mut rescale = Rescale {
            multiplier: [0; LANES],
            shift: [1; LANES],
            bound: [i32::MAX; LANES],
            steep: false,
            factor: [0.0; LANES],
            exact: true,
        };
        for (lane, requant) in requant.iter().enumerate().take(LANES) {
            rescale.multiplier[lane] = requant.multiplier;
            rescale.shift[lane] = requant.shift.max(1) as i32;
            rescale.factor[lane] = requant.factor();
            // Multipliers have 31 bits, which leaves 22 for the sum.
            let exact = requant.factor() < 1.0 && requant.factor() * f64::from(1 << 22) >= MATTERS;
            rescale.exact &= exact || requant.multiplier == 0;
            if requant.multiplier != 0 && requant.shift < 31 {
                rescale.bound[lane] = i16::MAX.into();
                rescale.steep = true;
            }
        }
        rescale
    }

    /// Of all channels, a block at a time.
    pub(super) fn blocks(requant: &[Requant]) -> Vec<Self> {
        requant.chunks(LANES).map(Rescale::new).collect()
    }
}

/// A residual's factors of sixteen channels.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Enlarges {
    pub multiplier: [i32; LANES],
    pub left: [i32; LANES],
    pub right: [i32; LANES],
    /// One less than half of the divisor.
    pub half: [i32; LANES],
    /// One where there is something to round.
    pub odd: [i32; LANES],
    /// Multiplier and shift to the left in one.
    pub product: [i32; LANES],
    /// Whether nothing is shifted to the right: `product` is the factor.
    pub whole: bool,
}

impl Enlarges {
    pub(super) fn blocks(factors: &[Enlarge]) -> Vec<Self> {
        let block = |factors: &[Enlarge]| {
            let lane = |i: usize| factors.get(i).copied().unwrap_or_default();
            let all = |of: fn(Enlarge) -> u32| std::array::from_fn(|i| of(lane(i)) as i32);
            Enlarges {
                multiplier: std::array::from_fn(|i| lane(i).multiplier),
                left: all(|e| e.left),
                right: all(|e| e.right),
                half: all(|e| ((1 << e.right) >> 1u32).max(1) - 1),
                odd: all(|e| u32::from(e.right > 0)),
                product: std::array::from_fn(|i| lane(i).multiplier << lane(i).left),
                whole: factors.iter().all(|e| e.right == 0),
            }
        };
        factors.chunks(LANES).map(block).collect()
    }
}

/// Copies `[c, h, w]` integers in; the frame is left alone.
pub(super) fn enter(map: &Map, values: &[i8], blocks: &mut [Bytes]) {
    visit(map, |i, at, lane| blocks[at].0[lane] = (values[i] as u8) ^ 128);
}

/// Copies integers out as `[c, h, w]`.
pub(super) fn leave(map: &Map, blocks: &[Bytes]) -> Vec<i8> {
    let mut values = vec![0; map.channels * map.height * map.width];
    visit(map, |i, at, lane| values[i] = (blocks[at].0[lane] ^ 128) as i8);
    values
}

/// Copies sums in.
pub(super) fn enter_sums(map: &Map, values: &[i32], blocks: &mut [Words]) {
    visit(map, |i, at, lane| blocks[at].0[lane] = values[i]);
}

/// Copies sums out as `[c, h, w]`.
pub(super) fn leave_sums(map: &Map, blocks: &[Words]) -> Vec<i32> {
    let mut values = vec![0; map.channels * map.height * map.width];
    visit(map, |i, at, lane| values[i] = blocks[at].0[lane]);
    values
}

/// Calls `each(position in [c, h, w], block, lane)` for every value.
fn visit(map: &Map, mut each: impl FnMut(usize, usize, usize)) {
    for channel in 0..map.channels {
        for y in 0..map.height {
            let (from, to) = ((channel * map.height + y) * map.width, map.at(channel / LANES, y, 0));
            (0..map.width).for_each(|x| each(from + x, to + x, channel % LANES));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sums of all sizes.
    fn sum() -> impl Strategy<Value = i32> {
        (any::<i32>(), 0u32..31).prop_map(|(value, bits)| value >> bits)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// What the browser's vectors do with 64-bit numbers, held against the definition in integers.
        #[test]
        fn exact_factors_round_as_integers_do(
            factor in (-13.0f64..0.0).prop_map(f64::exp2), sum in sum(), half in any::<bool>(), add in 0i32..=256,
        ) {
            let requant = Requant::new(factor);
            let rescale = Rescale::new(&[requant]);
            prop_assert_eq!(rescale.exact, requant.factor() < 1.0);
            prop_assume!(rescale.exact);
            // Near a half of the grid, if such a sum is there.
            let sum = if half { (((sum >> 22) as f64 + 0.5) / requant.factor()) as i32 } else { sum };
            let rounded = (f64::from(sum) * rescale.factor[0] + 1.5 * (1u64 << 52) as f64).to_bits() as i32;
            let byte = |value: i32| (value.saturating_add(add)).clamp(0, 255);
            prop_assert_eq!(byte(rounded), byte(requant.apply(sum)), "{} of {:?}", sum, requant);
        }
    }

    #[test]
    fn factors_without_room_for_all_bits_are_told_apart() {
        for (factor, exact) in [(0.0, true), (0.5, true), (1.0, false), (1e-3, true), (1e-4, false), (300.0, false)] {
            assert_eq!(Rescale::new(&[Requant::new(factor)]).exact, exact, "{factor}");
        }
        let among = [Requant::new(0.5), Requant::new(1e-6)];
        assert!(!Rescale::new(&among).exact);
    }

    #[test]
    fn residuals_in_whole_units_have_one_factor() {
        let (whole, parted) = (Enlarge::new(5.0e6), Enlarge::new(0.3));
        let blocks = Enlarges::blocks(&[whole]);
        assert!(blocks[0].whole);
        for q in [-127i8, -1, 0, 1, 127] {
            assert_eq!(i32::from(q) * blocks[0].product[0], whole.apply(q), "{q}");
        }
        assert!(!Enlarges::blocks(&[whole, parted])[0].whole);
    }
}
