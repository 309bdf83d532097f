//! Nothing is kept, and every node is computed by its general implementation: for a module whose CPU executor only
//! checks what a GPU computes, and that has to be small.

use super::StepTime;
use crate::graph::Graph;
use crate::tensor::Tensor;

#[derive(Debug, Default)]
pub(in crate::cpu) struct Prepared;

impl Prepared {
    pub(in crate::cpu) fn prepare(&self, _: &Graph) {}

    pub(in crate::cpu) fn run(&self, _: &Graph, _: &Tensor) -> Option<Tensor> {
        None
    }

    pub(in crate::cpu) fn run_timed(&self, _: &Graph, _: &Tensor) -> Option<(Tensor, Vec<StepTime>)> {
        None
    }
}
