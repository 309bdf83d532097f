use super::*;
use crate::ops::{Activate, Activation, Add, Scale};

fn relu() -> Activate {
    Activate(Activation::Relu)
}

#[test]
fn sweep_drops_dead_nodes_and_keeps_taps() {
    let mut graph = Graph::new("test", Shape::new(3, 4, 5));
    let a = graph.add("a", relu(), &[graph.input()]).unwrap();
    let dead = graph.add("dead", relu(), &[a]).unwrap();
    let tapped = graph.add("tapped", Scale { factor: 2.0 }, &[a]).unwrap();
    let sum = graph.add("sum", Add::default(), &[a, a]).unwrap();
    graph.set_output(sum);
    graph.tap("stage0", tapped);
    graph.sweep();
    assert_eq!(graph.nodes().iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["input", "a", "tapped", "sum"]);
    assert_eq!(graph.taps(), &[("stage0".to_owned(), NodeId(2))]);
    assert_eq!(graph.output(), NodeId(3));
    assert_eq!(graph.uses(), [1, 3, 1, 1]);
    assert!(graph.find("dead").is_none() && dead == NodeId(2));
}

#[test]
fn a_replacement_may_not_change_the_shape_or_read_later_values() {
    let mut graph = Graph::new("test", Shape::new(4, 2, 2));
    let a = graph.add("a", relu(), &[graph.input()]).unwrap();
    let b = graph.add("b", relu(), &[a]).unwrap();
    assert!(graph.replace(a, relu(), &[b]).unwrap_err().to_string().contains("does not come before"));
    let slice = crate::ops::Slice { start: 0, channels: 2 };
    assert!(graph.replace(a, slice, &[graph.input()]).unwrap_err().to_string().contains("from 4×2×2 to 2×2×2"));
}
