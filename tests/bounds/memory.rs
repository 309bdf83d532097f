//! Reading, writing and indexing: where every index is checked.

use naga::{BinaryOperator, Expression as E, Handle, ScalarKind};

use super::facts::parts;
use super::machine::{Frame, Leaves, Machine, Place, Slot, Variable};
use super::value::{Mask, Scalar, binary, unknown};

impl<'a, 'w> Machine<'a, 'w> {
    /// Puts leaves into a variable, for the invocations of the mask.
    pub fn store(&mut self, variable: usize, leaf: &Scalar, value: &[Scalar], kind: ScalarKind, mask: &Mask) {
        let weak = self.weak + self.unsure > 0;
        let Variable { leaves, depth } = &mut self.variables[variable];
        let whole = mask.count() == self.live[*depth] && !weak;
        match leaf {
            Scalar::Same(first) => {
                for (place, new) in leaves.iter_mut().skip(*first as usize).zip(value) {
                    let either = if weak { place.or(new, kind, mask) } else { new.clone() };
                    *place = if whole { either } else { place.blend(&either, kind, mask) };
                }
            }
            // Another place in each invocation.
            _ => {
                let (low, high) = leaf.span(ScalarKind::Uint, mask);
                for at in low as usize..=high as usize {
                    let hit = match leaf {
                        Scalar::Each(_) => mask.and(&mask.where_(&equals(leaf, at as u32), true)),
                        _ => mask.clone(),
                    };
                    for (place, new) in leaves.iter_mut().skip(at).zip(value) {
                        let unsure = weak || matches!(leaf, Scalar::Within(..));
                        let either = if unsure { place.or(new, kind, mask) } else { new.clone() };
                        *place = place.blend(&either, kind, &hit);
                    }
                }
            }
        }
    }

    /// The leaves that a pointer points to.
    pub fn load(&self, place: &Place, leaf: &Scalar, count: usize, kind: ScalarKind, mask: &Mask) -> Leaves {
        match place {
            Place::Variable(variable) => {
                let leaves = &self.variables[*variable].leaves;
                (0..count).map(|k| gathered(|at| leaves[at + k].clone(), leaf, kind, mask)).collect()
            }
            Place::Buffer(binding, Some(element)) => {
                let words = (self.bound)(*binding).and_then(|bound| Some((bound.words?, bound.elements as usize)));
                let Some((words, elements)) = words else { return vec![unknown(kind); count].into() };
                let stride = words.len() / elements;
                let word = |at: usize| Scalar::Same(words.get(at).copied().unwrap_or(0));
                let of = |k: usize| {
                    let at = |element: usize| gathered(|leaf| word(element * stride + leaf + k), leaf, kind, mask);
                    gathered(at, element, kind, mask)
                };
                (0..count).map(of).collect()
            }
            Place::Buffer(_, None) | Place::Shared => vec![unknown(kind); count].into(),
        }
    }

    /// Checks that an index is within so many elements, in all invocations of the mask.
    pub fn check(&mut self, index: &Scalar, kind: ScalarKind, count: u64, mask: &Mask) -> Result<(), String> {
        let (low, high) = index.span(kind, mask);
        self.checked += mask.count() as u64;
        if low < 0 || high as u64 >= count {
            return Err(format!("an index of {low} to {high} into {count} elements"));
        }
        Ok(())
    }

    /// Checks the coordinates of a texel: within the texture's rows, and within what is used of the last.
    pub fn texel(&mut self, frame: &mut Frame<'a>, image: Handle<E>, at: Handle<E>, mask: &Mask) -> Result<(), String> {
        let Some(Slot::Pointer(Place::Buffer(binding, None), _)) = self.slot(frame, image)? else {
            return Err("a texture that is not bound".to_owned());
        };
        let bound = (self.bound)(binding).filter(|bound| bound.row.is_some()).ok_or("no texture is bound")?;
        let row = bound.row.unwrap_or(0);
        let place = self.value(frame, at)?;
        let [x, y] = &place[..] else { return Err("texels have two coordinates".to_owned()) };
        self.check(x, ScalarKind::Uint, row, mask)?;
        let along = binary(BinaryOperator::Multiply, ScalarKind::Uint, y, &Scalar::Same(row as u32), mask)?;
        let linear = binary(BinaryOperator::Add, ScalarKind::Uint, &along, x, mask)?;
        self.check(&linear, ScalarKind::Uint, bound.elements, mask)
    }

    /// The pointer to, or the value of, a part of `base`.
    pub fn part(
        &mut self,
        frame: &mut Frame<'a>,
        base: Handle<E>,
        index: &Scalar,
        kind: ScalarKind,
        mask: &Mask,
    ) -> Result<Slot, String> {
        let whole = frame.facts.ty(self.module, base);
        let (count, stride) = parts(self.module, whole).ok_or_else(|| format!("no parts in {whole:?}"))?;
        let Some(slot) = self.slot(frame, base)? else {
            // Floats: only the index matters.
            self.check(index, kind, count.ok_or("a value without a size")?, mask)?;
            return Ok(Slot::Value(Leaves::default()));
        };
        let size = match (&slot, count) {
            (_, Some(count)) => count,
            (Slot::Pointer(Place::Buffer(binding, None), _), None) => {
                (self.bound)(*binding).ok_or("nothing is bound")?.elements
            }
            _ => return Err("an array without a size".to_owned()),
        };
        self.check(index, kind, size, mask)?;
        match slot {
            Slot::Pointer(Place::Buffer(binding, None), leaf) => {
                Ok(Slot::Pointer(Place::Buffer(binding, Some(index.clone())), leaf))
            }
            Slot::Pointer(place, leaf) if stride == 0 => Ok(Slot::Pointer(place, leaf)),
            Slot::Pointer(place, leaf) => {
                let far =
                    binary(BinaryOperator::Multiply, ScalarKind::Uint, index, &Scalar::Same(stride as u32), mask)?;
                Ok(Slot::Pointer(place, binary(BinaryOperator::Add, ScalarKind::Uint, &leaf, &far, mask)?))
            }
            Slot::Value(all) => {
                let kind = frame.facts.kind(base);
                let of = |k: usize| gathered(|at| all[at * stride + k].clone(), index, kind, mask);
                Ok(Slot::Value((0..stride).map(of).collect()))
            }
        }
    }
}

/// What `read` gives at an index, whatever that is in each invocation.
fn gathered(read: impl Fn(usize) -> Scalar, index: &Scalar, kind: ScalarKind, mask: &Mask) -> Scalar {
    match index {
        Scalar::Same(at) => read(*at as usize),
        Scalar::Within(low, high) => {
            let all = (*low as usize..=*high as usize).map(&read);
            all.reduce(|a, b| a.or(&b, kind, mask)).unwrap_or(unknown(kind))
        }
        Scalar::Each(each) => {
            let of = |lane: usize| if mask.has(lane) { read(each[lane] as usize).at(lane) } else { Some(0) };
            match (0..each.len()).map(of).collect::<Option<Vec<u32>>>() {
                Some(values) => Scalar::of(values),
                None => {
                    let places: std::collections::BTreeSet<u32> =
                        (0..each.len()).filter(|lane| mask.has(*lane)).map(|lane| each[lane]).collect();
                    let all = places.into_iter().map(|at| read(at as usize));
                    all.reduce(|a, b| a.or(&b, kind, mask)).unwrap_or(unknown(kind))
                }
            }
        }
    }
}

fn equals(values: &Scalar, wanted: u32) -> Scalar {
    match values {
        Scalar::Each(each) => Scalar::Each(each.iter().map(|v| u32::from(*v == wanted)).collect()),
        other => Scalar::Same(u32::from(*other == Scalar::Same(wanted))),
    }
}
