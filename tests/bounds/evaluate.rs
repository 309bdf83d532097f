//! The value of an expression.

use naga::{Expression as E, Handle, MathFunction, ScalarKind, UnaryOperator};

use super::machine::{Frame, Leaves, Machine, Place, Slot};
use super::value::{Mask, Scalar, binary, limits, number, unknown};

impl<'a, 'w> Machine<'a, 'w> {
    /// Evaluates an expression that a statement emits.
    pub fn evaluate(&mut self, frame: &mut Frame<'a>, handle: Handle<E>, mask: &Mask) -> Result<Slot, String> {
        let at = frame.function.expressions.get_span(handle);
        self.evaluate_at(frame, handle, mask).map_err(|error| match at.to_range() {
            // The innermost place says most.
            Some(range) if !error.contains("«") => {
                let text = self.text.get(range).unwrap_or_default();
                let name = frame.function.name.as_deref().unwrap_or("main");
                format!("{error}, in {name}: «{text}»")
            }
            _ => error,
        })
    }

    fn evaluate_at(&mut self, frame: &mut Frame<'a>, handle: Handle<E>, mask: &Mask) -> Result<Slot, String> {
        let (kind, count) = (frame.facts.kind(handle), frame.facts.leaves(handle));
        let leaves: Leaves = match &frame.function.expressions[handle] {
            E::Access { base, index } => {
                let at = self.value(frame, *index)?;
                return self.part(frame, *base, &at[0], frame.facts.kind(*index), mask);
            }
            E::AccessIndex { base, index } => {
                return self.part(frame, *base, &Scalar::Same(*index), ScalarKind::Uint, mask);
            }
            E::Load { pointer } => match self.slot(frame, *pointer)? {
                Some(Slot::Pointer(place, leaf)) => self.load(&place, &leaf, count, kind, mask),
                _ => return Err("a load from no pointer".to_owned()),
            },
            E::ImageLoad { image, coordinate, .. } => {
                self.texel(frame, *image, *coordinate, mask)?;
                vec![unknown(kind); count].into()
            }
            E::ArrayLength(array) => match self.slot(frame, *array)? {
                Some(Slot::Pointer(Place::Buffer(binding, None), _)) => {
                    let bound = (self.bound)(binding).ok_or("nothing is bound")?;
                    [Scalar::Same(bound.elements as u32)].into()
                }
                _ => return Err("the length of no buffer".to_owned()),
            },
            E::Compose { components, .. } => {
                let mut all = Vec::with_capacity(count);
                for component in components {
                    all.extend(self.value(frame, *component)?.iter().cloned());
                }
                all.into()
            }
            E::Splat { size, value } => {
                let one = self.value(frame, *value)?;
                vec![one[0].clone(); *size as usize].into()
            }
            E::Swizzle { size, vector, pattern } => {
                let vector = self.value(frame, *vector)?;
                pattern.iter().take(*size as usize).map(|component| vector[*component as usize].clone()).collect()
            }
            E::Unary { op, expr } => {
                let values = self.value(frame, *expr)?;
                let (zero, ones) = (Scalar::Same(0), Scalar::Same(u32::MAX));
                let of = |value: &Scalar| match op {
                    UnaryOperator::Negate => binary(naga::BinaryOperator::Subtract, kind, &zero, value, mask),
                    UnaryOperator::LogicalNot => binary(naga::BinaryOperator::Equal, kind, value, &zero, mask),
                    UnaryOperator::BitwiseNot => binary(naga::BinaryOperator::ExclusiveOr, kind, value, &ones, mask),
                };
                values.iter().map(of).collect::<Result<_, _>>()?
            }
            E::Binary { op, left, right } => {
                // Comparisons of floats are decided by data.
                if frame.facts.leaves(*left) == 0 {
                    return Ok(Slot::Value(vec![unknown(kind); count].into()));
                }
                let of = frame.facts.kind(*left);
                let (a, b) = (self.value(frame, *left)?, self.value(frame, *right)?);
                let pair = |i: usize| (&a[i.min(a.len() - 1)], &b[i.min(b.len() - 1)]);
                (0..count).map(pair).map(|(a, b)| binary(*op, of, a, b, mask)).collect::<Result<_, _>>()?
            }
            E::Select { condition, accept, reject } => {
                let holds = self.value(frame, *condition)?;
                let (yes, no) = (self.value(frame, *accept)?, self.value(frame, *reject)?);
                let of = |i: usize| match &holds[i.min(holds.len() - 1)] {
                    Scalar::Within(..) => yes[i].or(&no[i], kind, mask),
                    known => no[i].blend(&yes[i], kind, &Mask::all(self.lanes).where_(known, true)),
                };
                (0..count).map(of).collect()
            }
            E::As { expr, kind: to, .. } => {
                let from = frame.facts.kind(*expr);
                if frame.facts.leaves(*expr) == 0 {
                    vec![unknown(*to); count].into()
                } else {
                    self.value(frame, *expr)?.iter().map(|value| converted(value, from, *to)).collect()
                }
            }
            E::Math { fun, arg, arg1, arg2, .. } => {
                let mut given = Vec::new();
                for argument in [Some(*arg), *arg1, *arg2].into_iter().flatten() {
                    given.push(self.value(frame, argument)?);
                }
                (0..count).map(|i| math(*fun, kind, &given, i, mask)).collect()
            }
            E::Relational { .. } => vec![unknown(kind); count].into(),
            other => return Err(format!("no kernel had this expression before: {other:?}")),
        };
        Ok(Slot::Value(leaves))
    }
}

/// The same bits as another type, or a number's truth.
fn converted(value: &Scalar, from: ScalarKind, to: ScalarKind) -> Scalar {
    match value {
        Scalar::Within(low, high) => {
            let (least, most) = limits(to);
            if *low >= least && *high <= most { Scalar::Within(*low, *high) } else { unknown(to) }
        }
        Scalar::Same(bits) if to == ScalarKind::Bool => Scalar::Same(u32::from(*bits != 0)),
        Scalar::Each(each) if to == ScalarKind::Bool && from != to => {
            Scalar::of(each.iter().map(|bits| u32::from(*bits != 0)).collect())
        }
        same => same.clone(),
    }
}

/// Minimum, maximum and clamp of integers; what else makes integers makes any.
fn math(fun: MathFunction, kind: ScalarKind, given: &[Leaves], i: usize, mask: &Mask) -> Scalar {
    let extreme = |a: &Scalar, b: &Scalar, greater: bool| match (a, b) {
        (Scalar::Within(..), _) | (_, Scalar::Within(..)) => {
            let ((a, b), (c, d)) = (a.span(kind, mask), b.span(kind, mask));
            if greater { Scalar::Within(a.max(c), b.max(d)) } else { Scalar::Within(a.min(c), b.min(d)) }
        }
        _ => {
            let of = |lane| {
                let (a, b) = (a.at(lane).unwrap_or(0), b.at(lane).unwrap_or(0));
                if (number(kind, a) > number(kind, b)) == greater { a } else { b }
            };
            Scalar::of((0..mask.len()).map(of).collect())
        }
    };
    let argument = |n: usize| given.get(n).and_then(|leaves| leaves.get(i.min(leaves.len().wrapping_sub(1))));
    match (fun, argument(0), argument(1), argument(2)) {
        (MathFunction::Min, Some(a), Some(b), _) => extreme(a, b, false),
        (MathFunction::Max, Some(a), Some(b), _) => extreme(a, b, true),
        (MathFunction::Clamp, Some(value), Some(low), Some(high)) => extreme(&extreme(value, low, true), high, false),
        (MathFunction::Unpack4xI8, ..) => Scalar::Within(-128, 127),
        (MathFunction::Unpack4xU8, ..) => Scalar::Within(0, 255),
        _ => unknown(kind),
    }
}
