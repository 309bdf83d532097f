//! `foveate features --list`: the nodes that can be asked for.

use foveate::features::{self, Selected};
use foveate::{Error, Shape};
use serde::Serialize;

use crate::cli::table::shown;
use crate::cli::{Outcome, plan, say};

/// A node's line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    schema_version: u32,
    node: &'a str,
    stages: &'a [String],
    op: &'a str,
    /// Channels, rows, columns.
    shape: [usize; 3],
    stride: Option<[usize; 2]>,
}

pub fn run(args: &super::Features) -> Outcome {
    let mut graph = plan::graph(&args.model)?;
    if let Some([height, width]) = args.size {
        graph = graph.with_input(Shape { height, width, ..graph.input_shape() })?;
    }
    let names: Vec<&str> = graph.nodes().iter().map(|node| node.name.as_str()).collect();
    let nodes = features::select(&graph, &names)?;
    let width = |text: fn(&Selected) -> String| nodes.iter().map(|n| text(n).chars().count()).max().unwrap_or(0);
    let (name_width, shape_width) = (width(|n| shown(&n.node)), width(|n| n.shape.to_string()));
    for node in &nodes {
        let op = graph.node(node.id).op.name();
        let Selected { stages, shape, stride, .. } = node;
        if args.json {
            let shape = [shape.channels, shape.height, shape.width];
            let line = Line { schema_version: 1, node: &node.node, stages, op, shape, stride: *stride };
            say(serde_json::to_string(&line).map_err(Error::argument)?);
            continue;
        }
        let stride = stride.map_or(String::new(), |[rows, columns]| match rows == columns {
            true => format!("stride {rows}"),
            false => format!("stride {rows}×{columns}"),
        });
        let stages: String = stages.iter().map(|stage| format!("  → {}", shown(stage))).collect();
        let (name, shape) = (shown(&node.node), shape.to_string());
        say(format!("{name:name_width$}  {shape:shape_width$}  {stride:9}  {op}{stages}").trim_end());
    }
    Ok(())
}
