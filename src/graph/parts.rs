//! A graph from the parts that a file holds: nothing is believed, everything is checked.

use std::collections::BTreeSet;

use super::{Graph, Node, NodeId, Param, Params};
use crate::error::{Error, Result};
use crate::ops::{Input, Op};

impl Graph {
    /// A graph from its parts, as a file holds them; everything is checked.
    ///
    /// `nodes` are in topological order, the first is the input and each gives the shape that its
    /// operator infers; names are unique and not empty, those of taps too.
    ///
    /// # Errors
    /// [`Error::Graph`] naming the node at fault, [`Error::Argument`] for output, taps, names of
    /// parameters, and graphs that are far larger than the weights that they come with.
    pub fn from_parts(
        name: impl Into<String>,
        nodes: Vec<Node>,
        params: Vec<Param>,
        output: NodeId,
        taps: Vec<(String, NodeId)>,
    ) -> Result<Graph> {
        let mut claimed = nodes.into_iter();
        let first = claimed.next().ok_or_else(|| Error::argument("the graph has no nodes"))?;
        let fail = |node: &Node, reason: String| Error::Graph { node: node.name.clone(), op: node.op.name(), reason };
        if first.op != Op::from(Input) || !first.inputs.is_empty() {
            return Err(fail(&first, "the first node must be the input, without inputs of its own".into()));
        }
        first.shape.check().map_err(|reason| fail(&first, format!("the input {reason}")))?;
        unique(params.iter().map(|p| p.name.as_str()), "parameter")?;
        let mut graph = Graph::new(name, first.shape);
        graph.nodes[0].name = first.name;
        graph.params = Params(params);
        for node in claimed {
            let id = graph.add(node.name.clone(), node.op.clone(), &node.inputs)?;
            let inferred = graph.node(id).shape;
            if inferred != node.shape {
                return Err(fail(&node, format!("its shape is given as {}, but is {inferred}", node.shape)));
            }
        }
        check_size(&graph)?;
        unique(graph.nodes.iter().map(|n| n.name.as_str()), "node")?;
        unique(taps.iter().map(|(name, _)| name.as_str()), "tap")?;
        let named = [("output", output)].into_iter().chain(taps.iter().map(|(name, id)| (name.as_str(), *id)));
        for (what, id) in named {
            if id.index() >= graph.nodes.len() {
                let count = graph.nodes.len();
                return Err(Error::argument(format!("{what} is node {}, but the graph has {count} nodes", id.0)));
            }
        }
        (graph.output, graph.taps) = (output, taps);
        Ok(graph)
    }

    /// A graph whose nodes have the shapes that they say, whatever their operators would infer.
    pub(crate) fn outline(name: &str, nodes: Vec<Node>, params: Params, output: NodeId) -> Graph {
        Graph { name: name.to_owned(), nodes, params, output, taps: Vec::new() }
    }
}

/// The most channels that all nodes of a file may have together; the largest network of these
/// families, in training form, has a quarter of it. What is prepared per channel stays small.
const MAX_CHANNELS: usize = 1 << 22;

/// The nodes of a file may share weights, as long as each would not need a copy many times as large
/// as the file: fusing and planning make one per node.
const MAX_SHARING: usize = 2;

/// Refuses graphs that are far larger than their file.
fn check_size(graph: &Graph) -> Result<()> {
    let channels = graph.nodes.iter().fold(0usize, |sum, node| sum.saturating_add(node.shape.channels));
    if channels > MAX_CHANNELS {
        let count = graph.nodes.len();
        return Err(Error::argument(format!(
            "its {count} nodes have {channels} channels together; networks of these families have at most {MAX_CHANNELS}"
        )));
    }
    let held: usize = graph.params.iter().map(|(_, param)| param.tensor.len()).sum();
    let wanted = graph.nodes.iter().flat_map(|node| node.op.params());
    let wanted = wanted.fold(0usize, |sum, (_, id)| sum.saturating_add(graph.params.tensor(id).len()));
    if wanted > held.saturating_mul(MAX_SHARING).saturating_add(1 << 20) {
        return Err(Error::argument(format!(
            "its nodes share their weights so often that they use {wanted} values, of {held} in the file; \
             at most {MAX_SHARING} times as many are taken"
        )));
    }
    Ok(())
}

/// Refuses names that are empty or there twice.
fn unique<'a>(names: impl Iterator<Item = &'a str>, what: &str) -> Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() || !seen.insert(name) {
            return Err(Error::argument(format!("the {what} name {name:?} is empty or there twice")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Shape;
    use crate::ops::{Activate, Activation, Conv2d, Slice};
    use crate::tensor::Tensor;

    fn node(name: &str, op: impl Into<Op>, inputs: &[u32], shape: Shape) -> Node {
        Node { name: name.into(), op: op.into(), inputs: inputs.iter().copied().map(NodeId).collect(), shape }
    }

    fn input(shape: Shape) -> Node {
        node("input", Input, &[], shape)
    }

    fn relu(name: &str, inputs: &[u32]) -> Node {
        node(name, Activate(Activation::Relu), inputs, Shape::new(2, 3, 4))
    }

    fn refused(nodes: Vec<Node>, output: u32, taps: &[(&str, u32)]) -> String {
        let taps = taps.iter().map(|(name, id)| (name.to_string(), NodeId(*id))).collect();
        Graph::from_parts("test", nodes, vec![], NodeId(output), taps).unwrap_err().to_string()
    }

    #[test]
    fn parts_of_a_graph_make_the_same_graph() {
        let mut graph = Graph::new("test", Shape::new(2, 3, 4));
        let weight = graph.param("w", Tensor::full([4, 2, 1, 1], 0.5));
        let conv = graph.add("conv", Conv2d::new(weight, None), &[graph.input()]).unwrap();
        graph.set_output(conv);
        graph.tap("stage0", conv);
        let params = graph.params().iter().map(|(_, p)| p.clone()).collect();
        let again = Graph::from_parts("test", graph.nodes().to_vec(), params, conv, graph.taps().to_vec());
        assert_eq!(again.unwrap(), graph);
    }

    #[test]
    fn references_have_to_be_earlier_and_to_exist() {
        let shape = Shape::new(2, 3, 4);
        assert!(refused(vec![], 0, &[]).contains("no nodes"));
        assert!(refused(vec![relu("a", &[])], 0, &[]).contains("first node must be the input"));
        assert!(refused(vec![input(shape), relu("a", &[1])], 1, &[]).contains("does not come before"));
        assert!(refused(vec![input(shape), relu("a", &[2]), relu("b", &[1])], 2, &[]).contains("does not come before"));
        assert!(refused(vec![input(shape), relu("a", &[u32::MAX])], 1, &[]).contains("does not come before"));
        assert!(refused(vec![input(shape), input(shape)], 1, &[]).contains("only node 0 is the input"));
        assert!(refused(vec![input(shape), relu("a", &[0])], 2, &[]).contains("output is node 2"));
        assert!(refused(vec![input(shape)], 0, &[("stage0", 9)]).contains("stage0 is node 9"));
        let conv = node("c", Conv2d::new(crate::graph::ParamId(7), None), &[0], shape);
        assert!(refused(vec![input(shape), conv], 1, &[]).contains("not in the parameter table"));
    }

    #[test]
    fn names_are_unique_and_shapes_are_those_that_operators_infer() {
        let shape = Shape::new(2, 3, 4);
        assert!(refused(vec![input(shape), relu("a", &[0]), relu("a", &[0])], 1, &[]).contains("\"a\" is empty or"));
        assert!(refused(vec![input(shape)], 0, &[("t", 0), ("t", 0)]).contains("tap name \"t\""));
        let slice = node("s", Slice { start: 0, channels: 1 }, &[0], shape);
        assert!(refused(vec![input(shape), slice], 1, &[]).contains("given as 2×3×4, but is 1×3×4"));
    }

    #[test]
    fn every_network_is_far_from_the_bound_on_channels() {
        let mut most = 0;
        for name in crate::models::names() {
            let architecture = crate::models::Architecture::named(name).unwrap();
            let graph = architecture.build(crate::models::Form::Train, &mut crate::models::Zeros).unwrap();
            check_size(&graph).unwrap();
            most = most.max(graph.nodes().iter().map(|node| node.shape.channels).sum());
        }
        assert!((MAX_CHANNELS / 32..MAX_CHANNELS / 4).contains(&most), "{most}");
    }

    #[test]
    fn huge_and_empty_sizes_are_refused_without_overflow() {
        let huge = usize::MAX;
        assert!(refused(vec![input(Shape::new(huge, huge, huge))], 0, &[]).contains("more than"));
        assert!(refused(vec![input(Shape::new(huge, 0, 4))], 0, &[]).contains("empty"));
        let weight = Param { name: "w".into(), tensor: Tensor::zeros([1, 2, 1, 1]).into(), scales: None };
        let mut seen = 0;
        for [stride, padding, dilation] in
            [[0, 0, 1], [1, huge / 2, 1], [1, huge, 1], [huge, 0, 1], [1, 0, huge], [1, 0, 0]]
        {
            let conv = Conv2d { dilation: [dilation; 2], ..Conv2d::new(crate::graph::ParamId(0), None) };
            let conv = conv.stride(stride).padding([padding; 2]);
            let nodes = vec![input(Shape::new(2, 3, 4)), node("c", conv, &[0], Shape::new(1, 3, 4))];
            assert!(Graph::from_parts("test", nodes, vec![weight.clone()], NodeId(1), vec![]).is_err());
            seen += 1;
        }
        assert_eq!(seen, 6);
        let long = Param { name: "w".into(), tensor: Tensor::zeros([1, 1, 1, 4099]).into(), scales: None };
        let conv = Conv2d::new(crate::graph::ParamId(0), None).padding([0, 2049]);
        let nodes = vec![input(Shape::new(1, 3, 4)), node("c", conv, &[0], Shape::new(1, 3, 4))];
        let message = Graph::from_parts("test", nodes, vec![long], NodeId(1), vec![]).unwrap_err().to_string();
        assert!(message.contains("a 1×4099 kernel is over 4096"), "{message}");
        let slice = node("s", Slice { start: huge, channels: 2 }, &[0], Shape::new(2, 3, 4));
        assert!(refused(vec![input(Shape::new(2, 3, 4)), slice], 1, &[]).contains("are not all in"));
    }
}
