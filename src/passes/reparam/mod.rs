//! Structural reparameterisation: multi-branch training form → one convolution per block.
//!
//! There is no code per model. A few rules on linear maps ([`LinearConv`], calculated in f64) are
//! applied to any graph until none changes it:
//!
//! | rule | exact |
//! |---|---|
//! | `norm(conv(x))` → `conv'(x)` | always |
//! | `Σ branch(x)` → `conv'(x)`, over branches made of convolutions, norms, factors, identity | strides and centres agree; serial pairs inside without bias before padding |
//! | `norm(concat(conv(x), conv(y)))` → `concat(conv'(x), conv'(y))` | every piece is a convolution |
//! | `conv(norm(x))` → `conv'(x)` | without padding, or without shift |
//!
//! Fully connected layers count as convolutions of a 1×1 map. A rule only touches values with one
//! reader, so outputs and taps keep their values. What would be inexact stays as it is and is
//! named in the report: a norm behind a squeeze-excite gate, a serial pair with a bias before the
//! second one's padding. A lone serial pair is not composed even if it could be, since 1×k then k×1
//! costs less than k×k.
//!
//! However many rules touch a layer, its weights are rounded to f32 once, at the end.

mod compose;
mod explain;
mod fold_affine;
mod linear_conv;
mod sum;
mod sum_branches;
#[cfg(test)]
mod tests;
mod workspace;

pub use linear_conv::{LinearConv, MAX_WINDOW, Values};

use self::workspace::Workspace;
use super::report::Report;
use crate::error::Result;
use crate::graph::{Graph, NodeId};

type Rule = fn(&mut Workspace, NodeId) -> Result<bool>;

/// Tried at every node in this order. Backward comes before forward because it is always exact.
const RULES: [Rule; 4] = [
    fold_affine::fold_backward,
    sum_branches::sum_branches,
    fold_affine::fold_through_concat,
    fold_affine::fold_forward,
];

/// Fuses every linear branch that can be fused exactly; see the [module](self).
///
/// # Errors
/// [`Error::Graph`](crate::Error::Graph) if the graph is not consistent; what cannot be fused is no error but
/// named in [`Report::refused`].
pub fn reparameterise(graph: &Graph) -> Result<(Graph, Report)> {
    let mut ws = Workspace::new(graph);
    // Nodes come in topological order, so one round settles nearly everything; every application
    // removes a reader or a node from what the output depends on, so the rounds come to an end.
    loop {
        let mut changed = false;
        for id in ws.graph.ids() {
            // Dead nodes, absorbed by others, are left alone.
            while !ws.is_dead(id) && apply_one(&mut ws, id)? {
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    let mut ws = ws.finish()?;
    explain::explain(&mut ws)?;
    Ok((ws.graph, ws.report))
}

fn apply_one(ws: &mut Workspace, id: NodeId) -> Result<bool> {
    for rule in RULES {
        if rule(ws, id)? {
            return Ok(true);
        }
    }
    Ok(false)
}
