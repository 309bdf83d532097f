//! Some steps of a plan, to be run on their own.

use std::collections::BTreeMap;

use super::{Memory, Plan};
use crate::kernels::{Binding, Place, Step, TensorId, WeightsId};

/// Some steps of a plan with the tensors and weights that they bind. No two tensors share memory, so
/// whatever is put into them stays there while the steps run, over and over.
#[derive(Clone)]
pub struct Excerpt {
    /// The steps, as a plan without outputs; tensors and weights are numbered anew.
    pub plan: Plan,
    /// The new numbers of the plan's tensors.
    tensors: BTreeMap<TensorId, TensorId>,
}

impl Excerpt {
    /// The steps of `plan` for which `wanted` is true.
    pub fn new(plan: &Plan, wanted: impl Fn(&Step) -> bool) -> Self {
        let mut steps: Vec<Step> = plan.steps.iter().filter(|step| wanted(step)).cloned().collect();
        let (mut tensors, mut weights) = (BTreeMap::new(), BTreeMap::new());
        let (mut infos, mut blobs) = (Vec::new(), Vec::new());
        for binding in steps.iter_mut().flat_map(|step| &mut step.bindings) {
            match binding {
                Binding::Tensor(id) => {
                    *id = *tensors.entry(*id).or_insert_with(|| {
                        infos.push(plan.tensors[id.0 as usize].clone());
                        TensorId(infos.len() as u32 - 1)
                    });
                }
                Binding::Weights(id) => {
                    *id = *weights.entry(*id).or_insert_with(|| {
                        blobs.push(plan.weights[id.0 as usize].clone());
                        WeightsId(blobs.len() as u32 - 1)
                    });
                }
                Binding::Picture | Binding::Tables | Binding::Lines | Binding::Best => {}
            }
        }
        let plan = Plan {
            name: plan.name.clone(),
            batch: plan.batch,
            memory: Memory::separate(&infos),
            tensors: infos,
            weights: blobs,
            steps,
            input: TensorId(0),
            input_shape: plan.input_shape,
            outputs: Vec::new(),
            decisions: Vec::new(),
            places: plan.places.clone(),
        };
        Excerpt { plan, tensors }
    }

    /// Which planes of a place are here: the first plane within the value, the tensor, the first plane
    /// within the tensor, and how many.
    pub fn planes(&self, place: &Place) -> Vec<(usize, TensorId, usize, usize)> {
        let mut first = 0;
        let mut found = Vec::new();
        for piece in &place.pieces {
            if let Some(tensor) = self.tensors.get(&piece.tensor) {
                found.push((first, *tensor, piece.first_plane, piece.planes));
            }
            first += piece.planes;
        }
        found
    }
}
