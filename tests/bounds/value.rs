//! What a shader's integers and booleans may be, for all invocations of a batch at once. Floats are not
//! followed: nothing here depends on what they are.

use std::rc::Rc;

use naga::{BinaryOperator as Binary, ScalarKind};

/// One integer or boolean (0 or 1), as its 32 bits.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// The same in all invocations.
    Same(u32),
    /// One for each invocation.
    Each(Rc<[u32]>),
    /// Not known, in any of them: from the first to the second, both included, as the type's number.
    Within(i64, i64),
}

use Scalar::{Each, Same, Within};

/// The least and the greatest number of a type.
pub fn limits(kind: ScalarKind) -> (i64, i64) {
    match kind {
        ScalarKind::Sint => (i64::from(i32::MIN), i64::from(i32::MAX)),
        ScalarKind::Bool => (0, 1),
        _ => (0, i64::from(u32::MAX)),
    }
}

/// Anything of that type.
pub fn unknown(kind: ScalarKind) -> Scalar {
    let (low, high) = limits(kind);
    Within(low, high)
}

/// The bits as a number of the type.
pub fn number(kind: ScalarKind, bits: u32) -> i64 {
    if kind == ScalarKind::Sint { i64::from(bits as i32) } else { i64::from(bits) }
}

impl Scalar {
    /// One for each invocation; shorter where they are all the same.
    pub fn of(values: Vec<u32>) -> Scalar {
        match values.split_first() {
            Some((first, rest)) if rest.iter().all(|v| v == first) => Same(*first),
            _ => Each(values.into()),
        }
    }

    /// The value of an invocation, if it is known.
    pub fn at(&self, lane: usize) -> Option<u32> {
        match self {
            Same(value) => Some(*value),
            Each(values) => values.get(lane).copied(),
            Within(..) => None,
        }
    }

    /// The least and the greatest it may be in the invocations of a mask.
    pub fn span(&self, kind: ScalarKind, mask: &Mask) -> (i64, i64) {
        match self {
            Same(value) => (number(kind, *value), number(kind, *value)),
            Within(low, high) => (*low, *high),
            Each(values) => {
                let among = values.iter().enumerate().filter(|(lane, _)| mask.has(*lane));
                let (low, high) = limits(kind);
                among.fold((high, low), |(low, high), (_, bits)| {
                    let number = number(kind, *bits);
                    (low.min(number), high.max(number))
                })
            }
        }
    }

    /// Either of two.
    pub fn or(&self, other: &Scalar, kind: ScalarKind, mask: &Mask) -> Scalar {
        if self == other {
            return self.clone();
        }
        let (a, b) = (self.span(kind, mask), other.span(kind, mask));
        Within(a.0.min(b.0), a.1.max(b.1))
    }

    /// `new` in the invocations of the mask, `self` in the others.
    pub fn blend(&self, new: &Scalar, kind: ScalarKind, mask: &Mask) -> Scalar {
        if self == new {
            return self.clone();
        }
        match (self, new) {
            (Within(..), _) | (_, Within(..)) => self.or(new, kind, &Mask::all(mask.len())),
            _ => {
                let pick = |lane| if mask.has(lane) { new.at(lane) } else { self.at(lane) };
                Scalar::of((0..mask.len()).filter_map(pick).collect())
            }
        }
    }
}

/// Which invocations of a batch execute a statement.
#[derive(Clone, Debug)]
pub struct Mask {
    lanes: Rc<[bool]>,
    count: usize,
}

impl Mask {
    pub fn all(lanes: usize) -> Mask {
        Mask { lanes: vec![true; lanes].into(), count: lanes }
    }

    pub fn len(&self) -> usize {
        self.lanes.len()
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn has(&self, lane: usize) -> bool {
        self.lanes[lane]
    }

    fn with(&self, keep: impl FnMut(usize) -> bool) -> Mask {
        let lanes: Rc<[bool]> = (0..self.len()).map(keep).collect();
        let count = lanes.iter().filter(|lane| **lane).count();
        Mask { lanes, count }
    }

    /// The invocations of this mask for which a known condition is true or false.
    pub fn where_(&self, condition: &Scalar, wanted: bool) -> Mask {
        match condition {
            Same(value) if (*value != 0) == wanted => self.clone(),
            Same(_) => self.with(|_| false),
            _ => self.with(|lane| self.has(lane) && (condition.at(lane) != Some(0)) == wanted),
        }
    }

    pub fn without(&self, other: &Mask) -> Mask {
        if other.count == 0 { self.clone() } else { self.with(|lane| self.has(lane) && !other.has(lane)) }
    }

    pub fn and(&self, other: &Mask) -> Mask {
        self.with(|lane| self.has(lane) && other.has(lane))
    }

    pub fn or(&self, other: &Mask) -> Mask {
        if other.count == 0 { self.clone() } else { self.with(|lane| self.has(lane) || other.has(lane)) }
    }
}

/// `a op b` of two scalars of a type.
///
/// # Errors
/// For a division by zero and a shift by 32 and more, whose results WGSL leaves to nobody but which drivers
/// may answer as they like when checks are off.
pub fn binary(op: Binary, kind: ScalarKind, a: &Scalar, b: &Scalar, mask: &Mask) -> Result<Scalar, String> {
    match op {
        Binary::Divide | Binary::Modulo => {
            let (low, high) = b.span(kind, mask);
            let never = matches!(b, Each(values) if (0..mask.len()).all(|lane| !mask.has(lane) || values[lane] != 0));
            if low <= 0 && high >= 0 && !never {
                return Err(format!("divides by what may be zero: {low} to {high}"));
            }
        }
        Binary::ShiftLeft | Binary::ShiftRight => {
            let (low, high) = b.span(ScalarKind::Uint, mask);
            if low < 0 || high > 31 {
                return Err(format!("shifts by {low} to {high} bits"));
            }
        }
        _ => {}
    }
    let bits = |a: u32, b: u32| known(op, kind, a, b);
    Ok(match (a, b) {
        (Same(a), Same(b)) => Same(bits(*a, *b)),
        (Each(a), Same(b)) => Scalar::of(a.iter().map(|a| bits(*a, *b)).collect()),
        (Same(a), Each(b)) => Scalar::of(b.iter().map(|b| bits(*a, *b)).collect()),
        (Each(a), Each(b)) => Scalar::of(a.iter().zip(b.iter()).map(|(a, b)| bits(*a, *b)).collect()),
        _ => within(op, kind, a.span(kind, mask), b.span(kind, mask)),
    })
}

/// The operation on 32 bits, wrapping as WGSL's does. Masked-out invocations may divide by zero.
#[inline]
fn known(op: Binary, kind: ScalarKind, a: u32, b: u32) -> u32 {
    let signed = kind == ScalarKind::Sint;
    let (x, y) = (number(kind, a), number(kind, b));
    match op {
        Binary::Add => a.wrapping_add(b),
        Binary::Subtract => a.wrapping_sub(b),
        Binary::Multiply => a.wrapping_mul(b),
        Binary::Divide if signed => x.checked_div(y).unwrap_or(0) as u32,
        Binary::Modulo if signed => x.checked_rem(y).unwrap_or(0) as u32,
        Binary::Divide => a.checked_div(b).unwrap_or(0),
        Binary::Modulo => a.checked_rem(b).unwrap_or(0),
        Binary::Equal => u32::from(a == b),
        Binary::NotEqual => u32::from(a != b),
        Binary::Less => u32::from(x < y),
        Binary::LessEqual => u32::from(x <= y),
        Binary::Greater => u32::from(x > y),
        Binary::GreaterEqual => u32::from(x >= y),
        Binary::And | Binary::LogicalAnd => a & b,
        Binary::InclusiveOr | Binary::LogicalOr => a | b,
        Binary::ExclusiveOr => a ^ b,
        Binary::ShiftLeft => a.wrapping_shl(b),
        Binary::ShiftRight if signed => (a as i32).wrapping_shr(b) as u32,
        Binary::ShiftRight => a.wrapping_shr(b),
    }
}

/// The operation on ranges; anything where it may wrap.
fn within(op: Binary, kind: ScalarKind, (a, b): (i64, i64), (c, d): (i64, i64)) -> Scalar {
    let fits = |low: i64, high: i64| {
        let (least, most) = limits(kind);
        if low < least || high > most { Within(least, most) } else { Within(low, high) }
    };
    let decided = |yes: bool, no: bool| {
        if yes {
            Same(1)
        } else if no {
            Same(0)
        } else {
            Within(0, 1)
        }
    };
    match op {
        Binary::Add => fits(a + c, b + d),
        Binary::Subtract => fits(a - d, b - c),
        Binary::Multiply => {
            let product = |a: i64, b: i64| i128::from(a) * i128::from(b);
            let all = [product(a, c), product(a, d), product(b, c), product(b, d)];
            let bounds = all.iter().min().zip(all.iter().max());
            let small = bounds.and_then(|(low, high)| Some((i64::try_from(*low).ok()?, i64::try_from(*high).ok()?)));
            small.map_or(unknown(kind), |(low, high)| fits(low, high))
        }
        Binary::Divide if a >= 0 && c > 0 => Within(a / d, b / c),
        Binary::Modulo if a >= 0 && c > 0 => Within(0, b.min(d - 1)),
        Binary::And if a >= 0 && c >= 0 => Within(0, b.min(d)),
        Binary::ShiftRight if a >= 0 => Within(a >> d, b >> c),
        Binary::Less => decided(b < c, a >= d),
        Binary::LessEqual => decided(b <= c, a > d),
        Binary::Greater => decided(a > d, b <= c),
        Binary::GreaterEqual => decided(a >= d, b < c),
        Binary::Equal => decided(false, b < c || a > d),
        Binary::NotEqual => decided(b < c || a > d, false),
        Binary::LogicalAnd | Binary::LogicalOr => Within(0, 1),
        _ => unknown(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_the_operation_gives() {
        let ops = [Binary::Add, Binary::Subtract, Binary::Multiply, Binary::Divide, Binary::Modulo, Binary::And];
        let comparisons = [Binary::Less, Binary::LessEqual, Binary::Greater, Binary::GreaterEqual, Binary::Equal];
        let spans = [(0, 3), (2, 5), (-3, 4), (7, 7), (i64::from(u32::MAX) - 2, i64::from(u32::MAX))];
        let mut seen = 0;
        for kind in [ScalarKind::Sint, ScalarKind::Uint] {
            let (least, most) = limits(kind);
            for (a, b) in spans.into_iter().flat_map(|a| spans.map(|b| (a, b))) {
                if a.0.min(b.0) < least || a.1.max(b.1) > most {
                    continue;
                }
                for op in ops.into_iter().chain(comparisons).chain([Binary::ShiftRight, Binary::NotEqual]) {
                    let mask = Mask::all(1);
                    let Ok(range) = binary(op, kind, &Within(a.0, a.1), &Within(b.0, b.1), &mask) else { continue };
                    let (low, high) = range.span(kind, &mask);
                    for (x, y) in (a.0..=a.1).flat_map(|x| (b.0..=b.1).map(move |y| (x, y))) {
                        let exact = number(kind, known(op, kind, x as u32, y as u32));
                        assert!((low..=high).contains(&exact), "{x} {op:?} {y} is {exact}, not {low} to {high}");
                        seen += 1;
                    }
                }
            }
        }
        assert!(seen > 1000, "{seen}");
    }
}
