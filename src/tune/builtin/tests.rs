//! The committed tables against the kernels as they are now.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::kernels::{Target, Tile};
use crate::models::{Architecture, Form, Zeros};
use crate::plan::Plan;
use crate::{Graph, Model, passes};

/// The networks that the tables were made for.
const NETWORKS: [&str; 5] = ["repvgg-a0", "repnext-m0", "repnext-m1", "repnext-m4", "mobileone-s0"];

const AGAIN: &str = "make the table anew: MESA_SHADER_CACHE_DISABLE=true foveate tune --reset --budget 600 --model \
                     repvgg-a0,repnext-m0,repnext-m1,repnext-m4,mobileone-s0,builtin --random --device llvmpipe \
                     --backend vulkan -o assets/tuning/llvmpipe.json --force";

fn graphs() -> Vec<Graph> {
    let named = |name: &&str| {
        let graph = Architecture::named(name).unwrap().build(Form::Fused, &mut Zeros).unwrap();
        passes::fuse(&graph).unwrap().0
    };
    let builtin = Model::builtin().unwrap().graph().clone();
    NETWORKS.iter().map(named).chain([builtin]).collect()
}

/// The entries of a table that no plan takes: no network has such a step or decision, or its kernel does
/// not take the tile, or there is no such kernel.
fn stale(choices: &Choices, graphs: &[Graph]) -> Vec<String> {
    let mut used = BTreeSet::new();
    let gl = Target::for_software("gl", ["llvmpipe", ""], 0);
    let targets = [gl, Target::software_with_subgroups(8)];
    for (graph, target) in graphs.iter().flat_map(|graph| targets.iter().map(move |target| (graph, target))) {
        let target = Target { choices: Arc::new(choices.clone()), ..target.clone() };
        let plan = Plan::for_target(graph, 1, &[], target).unwrap();
        let taken =
            |step: &&crate::kernels::Step| step.tile.is_some() && choices.tiles.get(&step.key()) == step.tile.as_ref();
        used.extend(plan.steps.iter().filter(taken).map(|step| step.key()));
        let decided = |made: &crate::kernels::Decision| choices.kernels.get(&made.key).is_some_and(|k| k == made.taken);
        used.extend(plan.decisions.into_iter().filter(decided).map(|made| made.key));
    }
    choices.tiles.keys().chain(choices.kernels.keys()).filter(|key| !used.contains(*key)).cloned().collect()
}

#[test]
fn every_entry_of_the_tables_still_applies() {
    let graphs = graphs();
    assert!(!TABLES.is_empty());
    for json in TABLES {
        let table = Table::parse(json).expect("a committed table is one");
        assert!(!table.drivers.is_empty() && !table.measured.is_empty());
        let stale = stale(&table.choices, &graphs);
        assert!(stale.is_empty(), "these apply no more: {stale:#?}; {AGAIN}");
    }
}

#[test]
fn entries_that_apply_no_more_are_found() {
    let graphs = [Model::builtin().unwrap().graph().clone()];
    let plan = Plan::for_target(&graphs[0], 1, &[], Target::software()).unwrap();
    let step = plan.steps.iter().find(|step| step.candidates().len() > 2).unwrap();
    let right = step.candidates()[1];
    let with = |key: String, tile| Choices { tiles: [(key, tile)].into(), ..Choices::default() };
    assert!(stale(&with(step.key(), right), &graphs).is_empty());
    assert_eq!(stale(&with(step.key(), Tile { pixels: 1000, ..right }), &graphs), [step.key()], "no such tile");
    assert_eq!(stale(&with("conv of old".to_owned(), right), &graphs), ["conv of old"]);
    let decision = plan.decisions.first().expect("the built-in network has 3×3 convolutions");
    let decided = |kernel: &str| {
        let kernels = [(decision.key.clone(), kernel.to_owned())].into();
        stale(&Choices { kernels, ..Choices::default() }, &graphs)
    };
    assert!(decided(decision.options[1]).is_empty());
    assert_eq!(decided("gone"), std::slice::from_ref(&decision.key));
}

#[test]
fn tables_are_for_drivers_of_their_name() {
    let json = r#"{"schema_version":1,"drivers":["LLVMpipe"],"measured":"x","kernels":{},"tiles":{
        "b":{"pixels":7,"planes":1,"workgroup":64}}}"#;
    assert_eq!(Table::parse(json).unwrap().choices.tiles.len(), 1);
    assert!(Table::parse("{}").is_none());
    assert!(Table::parse(&json.replace(":1,\"drivers", ":2,\"drivers")).is_none());
    let zero = Table::parse(&json.replace("\"planes\":1", "\"planes\":0"));
    assert!(zero.is_none_or(|table| table.choices.tiles.is_empty()), "a tile of nothing");
}
