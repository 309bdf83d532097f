//! What a [`CpuExecutor`](super::CpuExecutor) keeps between runs.

#[cfg_attr(foveate_module = "gpu", path = "absent.rs")]
mod fast;

use std::time::Duration;

use crate::graph::NodeId;

pub(super) use fast::Prepared;

/// How long one node took.
#[derive(Clone, Debug)]
pub struct StepTime {
    /// The node.
    pub node: NodeId,
    /// The kernel that computed it.
    pub kernel: &'static str,
    /// Wall-clock time.
    pub time: Duration,
}
