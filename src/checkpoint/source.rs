//! A checkpoint as a source of parameters that keeps count of what was missing, misshapen, unused.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::models::{ParamSource, Role};
use crate::tensor::Tensor;

/// How many names a message lists before it only counts.
const LISTED: usize = 4;

/// Hands out the tensors of a checkpoint by official name.
pub(super) struct CheckpointSource {
    tensors: BTreeMap<String, Tensor>,
    model: String,
    faults: Faults,
    /// Values that stand-ins for missing tensors may still take: a hostile file must not make us
    /// allocate more than a small multiple of its size.
    allowance: usize,
}

/// Official name of a tensor, and a remark or nothing.
type Fault = (String, String);

#[derive(Default)]
struct Faults {
    missing: Vec<Fault>,
    misshapen: Vec<Fault>,
    negative: Vec<Fault>,
}

impl CheckpointSource {
    /// `model` names file and architecture in messages.
    pub fn new(tensors: BTreeMap<String, Tensor>, model: String) -> Self {
        let allowance = tensors.values().map(Tensor::len).sum::<usize>().saturating_add(1 << 20);
        CheckpointSource { tensors, model, faults: Faults::default(), allowance }
    }

    /// Checks that everything fitted and was used. `original` turns official names into those of
    /// the file.
    ///
    /// # Errors
    /// [`Error::Weights`] with the tensors at fault.
    pub fn finish(&self, original: impl Fn(&str) -> String) -> Result<()> {
        let unused: Vec<Fault> = self.tensors.keys().map(|name| (name.clone(), String::new())).collect();
        let Faults { missing, misshapen, negative } = &self.faults;
        let lists = [
            ("missing", missing),
            ("of the wrong shape", misshapen),
            ("not part of this network", &unused),
            ("with negative variances", negative),
        ];
        let reasons: Vec<String> =
            lists.into_iter().filter_map(|(what, faults)| listing(what, faults, &original)).collect();
        if reasons.is_empty() {
            return Ok(());
        }
        Err(Error::Weights { model: self.model.clone(), reason: reasons.join("; ") })
    }

    /// Something of the right shape, so that one run finds all faults.
    fn stand_in(&mut self, role: Role, shape: &[usize]) -> Result<Tensor> {
        let count = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        match count.and_then(|n| self.allowance.checked_sub(n)) {
            Some(rest) => self.allowance = rest,
            // The caller asks `finish` for the reason.
            None => {
                return Err(Error::Weights { model: self.model.clone(), reason: "too many missing tensors".into() });
            }
        }
        Ok(Tensor::full(shape, if role == Role::Variance { 1.0 } else { 0.0 }))
    }
}

/// `"2 tensors missing: a, b"`.
fn listing(what: &str, faults: &[Fault], original: impl Fn(&str) -> String) -> Option<String> {
    if faults.is_empty() {
        return None;
    }
    let named = faults.iter().take(LISTED).map(|(name, remark)| format!("{}{remark}", original(name)));
    let named = named.collect::<Vec<_>>().join(", ");
    let (count, noun) = (faults.len(), if faults.len() == 1 { "tensor" } else { "tensors" });
    let more = if count > LISTED { format!(", and {} more", count - LISTED) } else { String::new() };
    Some(format!("{count} {noun} {what}: {named}{more}"))
}

impl ParamSource for CheckpointSource {
    fn tensor(&mut self, name: &str, role: Role, shape: &[usize]) -> Result<Tensor> {
        match self.tensors.remove(name) {
            Some(tensor) if tensor.shape() == shape => {
                if role == Role::Variance && tensor.data().iter().any(|v| *v < 0.0) {
                    self.faults.negative.push((name.to_owned(), String::new()));
                }
                return Ok(tensor);
            }
            Some(tensor) => {
                let remark = format!(" is {:?}, expected {shape:?}", tensor.shape());
                self.faults.misshapen.push((name.to_owned(), remark));
            }
            None => self.faults.missing.push((name.to_owned(), String::new())),
        }
        self.stand_in(role, shape)
    }
}
