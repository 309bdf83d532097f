//! Rewriting of graphs, pure: `Graph → Graph`, values of the output and of taps unchanged
//! ([`quantize_weights`] aside).
//!
//! [`fuse`] is the whole way from training form to deploy form. Each pass is there alone as well,
//! and [`prove`](crate::proof::prove) checks any of them by running both graphs.

mod epilogue;
mod names;
pub mod reparam;
mod report;
mod single_branch;
mod token_mixer;
mod weights;

pub use epilogue::fuse_epilogues;
pub use reparam::reparameterise;
pub use report::{Note, Report};
pub use single_branch::single_branch;
pub use token_mixer::fuse_token_mixers;
pub use weights::{forget_scales, quantize_weights};

use crate::error::Result;
use crate::graph::Graph;

/// Training form → deploy form, in this order:
///
/// 1. [`reparameterise`]: branches, norms and serial pairs into single convolutions, while
///    activations and residual sums still stand apart and hide nothing from the rules;
/// 2. [`fuse_token_mixers`]: RepNeXt's slices, depthwise convolutions and concats, each of which
///    is one node now, into one operator;
/// 3. [`fuse_epilogues`]: activations and residual sums into what comes before them, last, since a
///    layer with an epilogue is not linear any more.
///
/// A graph already in deploy form comes back with at most its epilogues fused.
///
/// # Errors
/// [`Error::Graph`](crate::Error::Graph) if the graph is not consistent. What cannot be fused
/// exactly is no error: it stays and is named in [`Report::refused`].
pub fn fuse(graph: &Graph) -> Result<(Graph, Report)> {
    let (graph, mut report) = reparameterise(graph)?;
    let (graph, mixers) = fuse_token_mixers(&graph)?;
    let (graph, epilogues) = fuse_epilogues(&graph)?;
    report.extend(mixers);
    report.extend(epilogues);
    // A pair inside a token mixer runs as one operator after all.
    report.refused.retain(|note| graph.find(&note.node).is_some());
    Ok((graph, report))
}

/// [`Graph::uses`] without the readings by nodes that nothing depends on any more.
fn live_uses(graph: &Graph) -> Vec<usize> {
    let mut uses = vec![0; graph.nodes().len()];
    uses[graph.output().index()] += 1;
    graph.taps().iter().for_each(|(_, id)| uses[id.index()] += 1);
    for (i, node) in graph.nodes().iter().enumerate().rev() {
        if uses[i] > 0 {
            node.inputs.iter().for_each(|id| uses[id.index()] += 1);
        }
    }
    uses
}
