//! The graph under rewriting, with fused weights in f64 until the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::linear_conv::{LinearConv, Values};
use crate::error::Result;
use crate::graph::{Graph, NodeId, ParamId};
use crate::ops::{Activation, Conv2d, Linear, Op};
use crate::passes::report::{Note, Report};
use crate::passes::{live_uses, names};
use crate::tensor::Tensor;

/// The largest window of an average pool that becomes a kernel with weights.
const LARGEST_POOL: usize = 15;

/// A graph and the f64 values of the parameters that rewriting has made. However many rules touch
/// a convolution, its weights are rounded to f32 once, from these.
pub(super) struct Workspace {
    pub graph: Graph,
    /// How often each value is read by nodes that matter; being the output or a tap counts.
    uses: Vec<usize>,
    exact: BTreeMap<ParamId, Vec<f64>>,
    /// Name of a fused node → names of what it was made from.
    absorbed: BTreeMap<String, Vec<String>>,
    pub report: Report,
}

impl Values for Workspace {
    fn shape(&self, id: ParamId) -> &[usize] {
        self.graph.params().shape(id)
    }

    fn values(&self, id: ParamId) -> Vec<f64> {
        self.exact.get(&id).cloned().unwrap_or_else(|| self.graph.params().values(id))
    }
}

/// A fused convolution or fully connected layer to be put into the graph.
pub(super) struct Fused<'a> {
    pub map: LinearConv,
    /// [`Linear`] rather than [`Conv2d`].
    pub fully_connected: bool,
    pub activation: Activation,
    /// The value it reads, and the residual if it has one.
    pub inputs: &'a [NodeId],
    /// The nodes whose work it takes over and that it is to be named after, the most telling
    /// first; none if the node keeps its name.
    pub named_after: &'a [NodeId],
    /// What was done, for the report.
    pub what: String,
}

impl Workspace {
    pub fn new(graph: &Graph) -> Self {
        let (graph, uses) = (graph.clone(), live_uses(graph));
        Workspace { graph, uses, exact: BTreeMap::new(), absorbed: BTreeMap::new(), report: Report::default() }
    }

    /// Whether nothing depends on the value: another node has taken over its work.
    pub fn is_dead(&self, id: NodeId) -> bool {
        self.uses[id.index()] == 0
    }

    /// Whether only one reader sees the value, so that it may change along with that reader.
    pub fn single_use(&self, id: NodeId) -> bool {
        self.uses[id.index()] == 1
    }

    /// The node's own linear map and its activation, if it is a convolution (its residual left
    /// aside), a fully connected layer, a batch norm, a factor or an average pool. Pools over large
    /// windows are left as they are: nothing in a file pays for the weights that they would get.
    pub fn linear_part(&self, id: NodeId) -> Result<Option<(LinearConv, Activation)>> {
        let node = self.graph.node(id);
        Ok(Some(match &node.op {
            Op::Conv2d(conv) => (LinearConv::conv2d(conv, self)?, conv.activation),
            Op::Linear(linear) => (LinearConv::linear(linear, self)?, linear.activation),
            Op::BatchNorm(norm) => (LinearConv::batch_norm(norm, self.graph.params()), norm.activation),
            Op::Scale(scale) => {
                (LinearConv::dirac(node.shape.channels).scale(f64::from(scale.factor)), Activation::None)
            }
            Op::AvgPool(pool) if pool.kernel <= LARGEST_POOL => {
                (LinearConv::avg_pool(pool, node.shape.channels)?, Activation::None)
            }
            _ => return Ok(None),
        }))
    }

    /// Puts a fused layer in a node's place.
    pub fn put(&mut self, id: NodeId, fused: Fused<'_>) -> Result<()> {
        let [out, per_group, kh, kw] = fused.map.shape();
        let node = self.graph.node(id).name.clone();
        let shape = if fused.fully_connected { vec![out, per_group] } else { vec![out, per_group, kh, kw] };
        let weight = self.exact_param(format!("{node}.weight"), shape, fused.map.kernel.clone())?;
        let bias = Some(self.exact_param(format!("{node}.bias"), vec![out], fused.map.bias.clone())?);
        let (activation, map) = (fused.activation, &fused.map);
        let op: Op = if fused.fully_connected {
            Linear { weight, bias, activation }.into()
        } else {
            let (stride, padding, dilation) = (map.stride, map.padding, map.dilation);
            Conv2d { weight, bias, stride, padding, dilation, groups: map.groups, activation }.into()
        };
        let origins: Vec<String> = fused.named_after.iter().flat_map(|id| self.origins(*id)).collect();
        self.forget(id);
        fused.named_after.iter().for_each(|id| self.forget(*id));
        self.graph.replace(id, op, fused.inputs)?;
        self.note(id, origins, fused.what);
        Ok(())
    }

    /// Puts another operator that has no new weights in a node's place.
    pub fn replace(
        &mut self,
        id: NodeId,
        op: Op,
        inputs: &[NodeId],
        named_after: &[NodeId],
        what: String,
    ) -> Result<()> {
        let origins: Vec<String> = named_after.iter().flat_map(|id| self.origins(*id)).collect();
        self.graph.replace(id, op, inputs)?;
        self.note(id, origins, what);
        Ok(())
    }

    fn note(&mut self, id: NodeId, origins: Vec<String>, what: String) {
        let node = self.graph.node(id).name.clone();
        let shown = names::common_prefix(origins.iter().map(String::as_str)).unwrap_or_else(|| node.clone());
        if !origins.is_empty() {
            self.absorbed.insert(node, origins);
        }
        self.report.folded.push(Note { node: shown, what });
        self.uses = live_uses(&self.graph);
    }

    /// Whether two nodes are parts of one module, so that the first one fused with the second may
    /// take its name: `stage0.rbr_dense` for its `conv` and `bn`, but not the whole block's for
    /// `token_mixer.conv` and the block's `norm`.
    pub fn same_module(&self, first: NodeId, second: NodeId) -> bool {
        let prefix = |names: &[String]| names::common_prefix(names.iter().map(String::as_str));
        let parts = |name: Option<String>| name.map_or(0, |name| name.split('.').count());
        let alone = self.origins(first);
        let both = [alone.clone(), self.origins(second)].concat();
        parts(prefix(&both)) + 1 >= parts(prefix(&alone))
    }

    fn origins(&self, id: NodeId) -> Vec<String> {
        let name = &self.graph.node(id).name;
        self.absorbed.get(name).cloned().unwrap_or_else(|| vec![name.clone()])
    }

    fn exact_param(&mut self, name: String, shape: Vec<usize>, values: Vec<f64>) -> Result<ParamId> {
        let rounded = values.iter().map(|v| *v as f32).collect();
        let id = self.graph.param(name, Tensor::new(shape, rounded)?);
        self.exact.insert(id, values);
        Ok(id)
    }

    /// Frees the f64 values of a node that is being replaced; no other node reads them.
    fn forget(&mut self, id: NodeId) {
        for (_, param) in self.graph.node(id).op.params() {
            self.exact.remove(&param);
        }
    }

    /// Drops what was absorbed and names what was fused; new parameters are `<node>.<role>`.
    pub fn finish(mut self) -> Result<Workspace> {
        // Sweeping renumbers parameters, so the new ones are recognised by their tensors.
        let made: BTreeSet<*const Tensor> =
            self.exact.keys().map(|id| Arc::as_ptr(&self.graph.params().get(*id).tensor)).collect();
        self.graph.sweep();
        names::rename_fused(&mut self.graph, &self.absorbed);
        let is_made = |graph: &Graph, id| made.contains(&Arc::as_ptr(&graph.params().get(id).tensor));
        let kept = self.graph.params().iter().filter(|(id, _)| !is_made(&self.graph, *id));
        let mut taken: BTreeSet<String> = kept.map(|(_, p)| p.name.clone()).collect();
        for id in self.graph.ids() {
            let node = self.graph.node(id).clone();
            let mut renamed = BTreeMap::new();
            for (role, param) in node.op.params() {
                if is_made(&self.graph, param) {
                    let tensor = self.graph.params().get(param).tensor.clone();
                    let name = names::unique(format!("{}.{role}", node.name), &mut taken);
                    renamed.insert(param, self.graph.param(name, tensor));
                }
            }
            if !renamed.is_empty() {
                let mut op = node.op;
                op.remap(&mut |param| renamed.get(&param).copied().unwrap_or(param));
                self.graph.replace(id, op, &node.inputs)?;
            }
        }
        self.graph.sweep();
        let (uses, exact, absorbed) = (live_uses(&self.graph), BTreeMap::new(), BTreeMap::new());
        Ok(Workspace { uses, exact, absorbed, ..self })
    }
}
