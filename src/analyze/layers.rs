//! The layers that have weights, in a graph whose activations stand apart: what quantisation acts on,
//! and where values before activation can be read.

use crate::error::Result;
use crate::graph::{Graph, NodeId, ParamId};
use crate::ops::{Activate, Activation, Op};
use crate::quant::Quantization;

/// A fused graph with its activations standing apart, and its layers.
pub(super) struct Layers {
    /// The same network; a node's value is that before its activation.
    pub graph: Graph,
    /// Its layers with weights, from the input to the output.
    pub all: Vec<Layer>,
}

/// A layer with weights.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// The node.
    pub id: NodeId,
    /// The value that its weights are applied to.
    pub input: NodeId,
    /// Its weights, each with its role (`weight`, `small.weight`).
    pub weights: Vec<(&'static str, ParamId)>,
}

impl Layers {
    /// Splits every activation off the node that computes it.
    ///
    /// # Errors
    /// None for a graph that is consistent.
    pub fn of(fused: &Graph) -> Result<Layers> {
        let mut graph = Graph::new(&fused.name, fused.input_shape());
        // Parameters keep their order, so nodes need no renumbering.
        fused.params().iter().for_each(|(_, param)| {
            graph.param(&param.name, param.tensor.clone());
        });
        let mut now = vec![graph.input()];
        for node in &fused.nodes()[1..] {
            let inputs: Vec<NodeId> = node.inputs.iter().map(|id| now[id.index()]).collect();
            let mut op = node.op.clone();
            let split = match &op {
                Op::Activate(_) => Activation::None,
                _ => op.activation_mut().map(std::mem::take).unwrap_or_default(),
            };
            let mut id = graph.add(&node.name, op, &inputs)?;
            if split != Activation::None {
                id = graph.add(format!("{}.{}", node.name, split.name()), Activate(split), &[id])?;
            }
            now.push(id);
        }
        graph.set_output(now[fused.output().index()]);
        let all = graph.ids().filter_map(|id| layer(&graph, id)).collect();
        Ok(Layers { graph, all })
    }

    /// The name of the fused graph's node that makes a value: activations count to the node before.
    pub fn maker(&self, id: NodeId) -> &str {
        let node = self.graph.node(id);
        match (&node.op, node.inputs.first()) {
            (Op::Activate(_), Some(before)) => &self.graph.node(*before).name,
            _ => &node.name,
        }
    }
}

fn layer(graph: &Graph, id: NodeId) -> Option<Layer> {
    let node = graph.node(id);
    let weights = Quantization::quantizable(&node.op);
    let input = *node.inputs.first()?;
    (!weights.is_empty()).then_some(Layer { id, input, weights })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::CpuExecutor;
    use crate::models::{Zeros, names};
    use crate::tensor::Tensor;
    use crate::{Model, models, passes};

    #[test]
    fn splitting_changes_no_value() {
        let model = Model::builtin().unwrap();
        let layers = Layers::of(model.graph()).unwrap();
        assert_eq!(layers.all.len(), 8, "seven blocks and the classifier");
        assert!(layers.graph.find("stage2.1.relu").is_some());
        let input = Tensor::new([1, 3, 32, 32], (0..3072).map(|i| (i as f32 * 0.37).sin()).collect()).unwrap();
        let first = model.graph().find("stage0").unwrap();
        let (expected, values) = CpuExecutor::new(model.graph().clone()).unwrap().run_with(&input, &[first]).unwrap();
        let split = CpuExecutor::new(layers.graph.clone()).unwrap();
        let (output, before) = split.run_with(&input, &[layers.all[0].id]).unwrap();
        assert_eq!(output, expected);
        assert!(before[0].data().iter().any(|v| *v < 0.0));
        assert!(before[0].data().iter().zip(values[0].data()).all(|(before, after)| before.max(0.0) == *after));
    }

    #[test]
    fn every_known_network_has_layers() {
        let mut seen = 0;
        for name in names().filter(|name| !name.contains("-b")) {
            let architecture = models::Architecture::named(name).unwrap();
            let (graph, _) = passes::fuse(&architecture.build(models::Form::Fused, &mut Zeros).unwrap()).unwrap();
            let layers = Layers::of(&graph).unwrap();
            let taken: usize = layers.all.iter().map(|layer| layer.weights.len()).sum();
            let weights = graph.nodes().iter().flat_map(|node| node.op.params());
            assert_eq!(taken, weights.filter(|(_, id)| graph.params().shape(*id).len() > 1).count(), "{name}");
            seen += 1;
        }
        assert!(seen > 10, "{seen}");
    }
}
