//! Batch norms of networks in training form (QARepVGG, Figs 4 and 12): what each multiplies its
//! channels with when it is folded, and what it adds.

use serde::Serialize;

use super::spread::Quantiles;
use crate::describe::{block_of, forks};
use crate::graph::{Graph, NodeId};
use crate::ops::{BatchNorm, Op};

/// One batch norm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NormReport {
    /// Its node.
    pub node: String,
    /// The block that it belongs to.
    pub block: String,
    /// Where it stands: the branch's kernels (`3×3`, `1×1`, `identity`), `post-BN` after a sum of
    /// branches, or `norm` outside of any.
    pub place: String,
    /// `γ/√(σ²+ε)` of each channel: what folding multiplies the branch's weights with.
    pub scale: Quantiles,
    /// β of each channel.
    pub shift: Quantiles,
}

/// The batch norms of a network in training form, in topological order; none if it has none.
pub(super) fn norms(graph: &Graph) -> Vec<NormReport> {
    let places = places(graph);
    let report = |id: NodeId| {
        let node = graph.node(id);
        let Op::BatchNorm(norm) = &node.op else { return None };
        let place = places.iter().find(|(at, _)| *at == id).map_or("norm", |(_, place)| place.as_str());
        let (scale, shift) = (Quantiles::of(&scale(norm, graph))?, Quantiles::of(&values(graph, norm.beta))?);
        let block = block_of(&node.name).to_owned();
        Some(NormReport { node: node.name.clone(), block, place: place.to_owned(), scale, shift })
    };
    graph.ids().filter_map(report).collect()
}

/// Which branch each norm of a fork is on.
fn places(graph: &Graph) -> Vec<(NodeId, String)> {
    let mut places = Vec::new();
    for fork in forks(graph) {
        for arm in fork.arms {
            places.extend(arm.norms.into_iter().map(|norm| (norm, arm.path.clone())));
        }
        places.extend(fork.post.map(|norm| (norm, "post-BN".to_owned())));
    }
    places
}

fn values(graph: &Graph, id: crate::ParamId) -> Vec<f64> {
    graph.params().tensor(id).data().iter().map(|v| f64::from(*v)).collect()
}

fn scale(norm: &BatchNorm, graph: &Graph) -> Vec<f64> {
    norm.affine(graph.params()).into_iter().map(|(scale, _)| scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;

    #[test]
    fn norms_are_told_by_branch_and_scales_are_gamma_over_deviation() {
        let train = Model::random_checkpoint("repvgg-cifar", 3).unwrap().graph;
        let reports = norms(&train);
        // Three branches, less the four blocks that change width and have no identity.
        assert_eq!(reports.len(), 3 * 7 - 4);
        let found = reports.iter().find(|r| r.block == "stage2.1" && r.place == "identity").unwrap();
        let Op::BatchNorm(norm) = &train.node(train.find(&found.node).unwrap()).op else { panic!("no norm") };
        let [gamma, beta, variance] = [norm.gamma, norm.beta, norm.variance].map(|id| values(&train, id));
        let mut naive: Vec<f64> =
            gamma.iter().zip(&variance).map(|(g, v)| g / (v + f64::from(norm.eps)).sqrt()).collect();
        naive.sort_by(f64::total_cmp);
        assert_eq!(found.scale.count, 64);
        for (a, b) in found.scale.sorted.iter().zip(&naive) {
            assert!((a - b).abs() < 1e-12);
        }
        assert_eq!(found.shift.widest.abs(), beta.iter().fold(0.0, |max: f64, b| max.max(b.abs())));
        let quant = norms(&Model::random_checkpoint("qarepvgg-cifar", 3).unwrap().graph);
        let mut places: Vec<&str> = quant.iter().map(|r| r.place.as_str()).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places, ["3×3", "post-BN"]);
        let next = norms(&Model::random_checkpoint("repnext-m0", 3).unwrap().graph);
        assert!(!next.is_empty() && next.iter().all(|r| r.place == "norm"), "its branches have none");
        assert!(norms(Model::builtin().unwrap().graph()).is_empty());
    }
}
