//! The cuts are the smallest set that satisfies every operator: found here by asking all of them
//! again and again until none wants more.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::*;
use crate::graph::Shape;
use crate::ops::{Activate, Activation, Add, AvgPool, ChunkConv, Concat, CopyConv, Depthwise, Slice};
use crate::tensor::Tensor;

fn by_asking(graph: &Graph) -> Vec<Layout> {
    let mut cuts: Vec<Cuts> = vec![Cuts::new(); graph.nodes().len()];
    while graph.ids().skip(1).fold(false, |changed, id| ask(graph, id, &mut cuts) | changed) {}
    graph.ids().map(|id| layout(&cuts[id.index()], graph.node(id).shape.channels)).collect()
}

/// Adds the cuts that one node asks for; says whether there were new ones.
fn ask(graph: &Graph, id: NodeId, cuts: &mut [Cuts]) -> bool {
    let node = graph.node(id);
    let mut wanted: Vec<(NodeId, Cuts)> = Vec::new();
    let mut alike = |a: NodeId, b: NodeId| {
        let both: Cuts = cuts[a.index()].union(&cuts[b.index()]).copied().collect();
        wanted.extend([(a, both.clone()), (b, both)]);
    };
    match &node.op {
        Op::Add(_)
        | Op::BatchNorm(_)
        | Op::Activate(_)
        | Op::Scale(_)
        | Op::Gate(_)
        | Op::AvgPool(_)
        | Op::GlobalAvgPool(_) => {
            node.inputs.iter().for_each(|input| alike(*input, id));
        }
        Op::Conv2d(conv) => {
            node.inputs.iter().skip(1).for_each(|residual| alike(*residual, id));
            if conv.is_depthwise(graph.params()) {
                alike(node.inputs[0], id);
            }
        }
        Op::ChunkConv(_) => {
            alike(node.inputs[0], id);
            let chunk = node.shape.channels / 4;
            wanted.push((id, (1..4).map(|i| i * chunk).collect()));
        }
        Op::CopyConv(_) => {
            // Both halves read the same input, so they have to be alike.
            let half = node.shape.channels / 2;
            let folded: Cuts = cuts[id.index()].iter().map(|cut| cut % half).filter(|cut| *cut > 0).collect();
            let halves = folded.iter().flat_map(|cut| [*cut, cut + half]).chain([half]);
            wanted.push((id, halves.collect()));
        }
        Op::Slice(slice) => {
            let (input, end) = (node.inputs[0], slice.start + slice.channels);
            let inner = slice.start + 1..end;
            let own = cuts[input.index()].range(inner).map(|cut| cut - slice.start).collect();
            let outer = [slice.start, end].into_iter().chain(cuts[id.index()].iter().map(|cut| cut + slice.start));
            wanted.extend([(id, own), (input, outer.collect())]);
        }
        Op::Concat(_) => {
            let mut start = 0;
            let mut all = Cuts::new();
            for &input in &node.inputs {
                let channels = graph.node(input).shape.channels;
                all.extend(cuts[input.index()].iter().map(|cut| cut + start).chain([start]));
                let own = cuts[id.index()].range(start + 1..start + channels).map(|cut| cut - start).collect();
                wanted.push((input, own));
                start += channels;
            }
            wanted.push((id, all));
        }
        Op::Input(_) | Op::Linear(_) => {}
    }
    let mut changed = false;
    for (id, add) in wanted {
        let channels = graph.node(id).shape.channels;
        for cut in add.into_iter().filter(|cut| (1..channels).contains(cut)) {
            // The input comes from outside, in one segment; who wants it cut gathers it.
            changed |= id != graph.input() && cuts[id.index()].insert(cut);
        }
    }
    changed
}

#[test]
fn residual_chains_agree_on_the_cuts_of_a_split() {
    let mut graph = Graph::new("test", Shape::new(12, 5, 3));
    let a = graph.add("a", Activate(Activation::Relu), &[graph.input()]).unwrap();
    let left = graph.add("left", Slice { start: 0, channels: 6 }, &[a]).unwrap();
    let right = graph.add("right", Slice { start: 6, channels: 6 }, &[a]).unwrap();
    let both = graph.add("both", Concat, &[left, right]).unwrap();
    let sum = graph.add("sum", Add::default(), &[a, both]).unwrap();
    graph.set_output(sum);
    let layouts = assign(&graph, None);
    assert_eq!(layouts[0], Layout::new([12]));
    for id in [a, both, sum] {
        assert_eq!(layouts[id.index()], Layout::new([6, 6]));
    }
}

fn depthwise(graph: &mut Graph, channels: usize, kernel: [usize; 2]) -> Depthwise {
    let weight = graph.param("weight", Tensor::zeros([channels, 1, kernel[0], kernel[1]]));
    Depthwise { weight, bias: graph.param("bias", Tensor::zeros([channels])) }
}

/// A network of splits, joins and what is between them.
fn random_network(rng: &mut Pcg64Mcg) -> Graph {
    let relu = || Activate(Activation::Relu);
    let mut graph = Graph::new("test", Shape::new(rng.random_range(2..20), 1, 1));
    for n in 0..rng.random_range(3..30) {
        let any = |rng: &mut Pcg64Mcg| NodeId(rng.random_range(0..=n));
        let (a, b) = (any(rng), any(rng));
        let channels = graph.node(a).shape.channels;
        let start = rng.random_range(0..channels);
        let slice = Slice { start, channels: rng.random_range(1..=channels - start) };
        let name = format!("n{n}");
        let added = match rng.random_range(0..7) {
            0 | 1 => graph.add(name, slice, &[a]),
            2 if channels < 200 => graph.add(name, Concat, &[a, b]),
            3 => graph.add(name.clone(), Add::default(), &[a, b]).or_else(|_| graph.add(name, relu(), &[a])),
            4 if channels.is_multiple_of(4) => {
                let parts = [[3, 3], [5, 5], [1, 7], [7, 1]].map(|size| depthwise(&mut graph, channels / 4, size));
                let [small, medium, wide, tall] = parts;
                graph.add(name, ChunkConv { small, medium, wide, tall }, &[a])
            }
            5 if channels < 200 => {
                let (small, medium) =
                    (depthwise(&mut graph, channels, [3, 3]), depthwise(&mut graph, channels, [7, 7]));
                graph.add(name, CopyConv { small, medium }, &[a])
            }
            _ => graph.add(name, AvgPool { kernel: 1, stride: 1, padding: 0 }, &[a]),
        };
        added.unwrap();
    }
    graph
}

#[test]
fn passing_cuts_on_is_as_good_as_asking_again_and_again() {
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let mut cut = 0;
    for _ in 0..500 {
        let graph = random_network(&mut rng);
        let layouts = assign(&graph, None);
        assert_eq!(layouts, by_asking(&graph), "{graph}");
        cut += layouts.iter().filter(|layout| **layout != Layout::new([layout.channels()])).count();
    }
    assert!(cut > 1000, "{cut} values are cut: the networks are too simple");
}

#[test]
fn hundreds_of_splits_of_thousands_of_channels() {
    const CHANNELS: usize = 4001;
    let mut graph = Graph::new("test", Shape::new(CHANNELS, 1, 1));
    let mut last = graph.add("first", Activate(Activation::Relu), &[graph.input()]).unwrap();
    for n in 0..500 {
        let left = Slice { start: 0, channels: 7 * n + 1 };
        let right = Slice { start: 7 * n + 1, channels: CHANNELS - 7 * n - 1 };
        let left = graph.add(format!("left{n}"), left, &[last]).unwrap();
        let right = graph.add(format!("right{n}"), right, &[last]).unwrap();
        last = graph.add(format!("both{n}"), Concat, &[left, right]).unwrap();
    }
    graph.set_output(last);
    let layouts = assign(&graph, None);
    // Each pair's cut reaches all others, and those that fall on a whole plane vanish.
    assert_eq!(layouts[last.index()], layouts[1]);
    assert!(layouts[1] != Layout::new([CHANNELS]) && layouts[1].channels() == CHANNELS);
}
