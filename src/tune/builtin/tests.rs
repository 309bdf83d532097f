//! The committed tables against the kernels as they are now.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::kernels::Target;
use crate::models::{Architecture, Form, Zeros};
use crate::plan::Plan;
use crate::{Graph, Model, passes};

/// The networks that the tables were made for.
const NETWORKS: [&str; 5] = ["repvgg-a0", "repnext-m0", "repnext-m1", "repnext-m4", "mobileone-s0"];

const AGAIN: &str = "make the table anew: foveate tune --model repvgg-a0,repnext-m0,repnext-m1,repnext-m4,mobileone-s0,\
                     builtin --random --device llvmpipe -o assets/tuning/llvmpipe.json";

fn graphs() -> Vec<Graph> {
    let named = |name: &&str| {
        let graph = Architecture::named(name).unwrap().build(Form::Fused, &mut Zeros).unwrap();
        passes::fuse(&graph).unwrap().0
    };
    let builtin = Model::builtin().unwrap().graph().clone();
    NETWORKS.iter().map(named).chain([builtin]).collect()
}

#[test]
fn every_entry_still_applies() {
    let graphs = graphs();
    assert!(!TABLES.is_empty());
    for json in TABLES {
        let table = Table::parse(json).expect("a committed table is one");
        assert!(!table.drivers.is_empty() && !table.measured.is_empty());
        let Choices { kernels, tiles } = table.choices.clone();
        assert!(!tiles.is_empty() || !kernels.is_empty(), "a table without entries");
        let target = Target { choices: Arc::new(table.choices), ..Target::software() };
        let (mut used, mut decided) = (BTreeSet::new(), BTreeSet::new());
        for graph in &graphs {
            let plan = Plan::for_target(graph, 1, &[], target.clone()).unwrap();
            for step in &plan.steps {
                if let Some(tile) = tiles.get(&step.key()) {
                    assert_eq!(step.tile, Some(*tile), "{}: not a tile of its kernel; {AGAIN}", step.key());
                    used.insert(step.key());
                }
            }
            for decision in plan.decisions {
                if let Some(kernel) = kernels.get(&decision.key) {
                    assert_eq!(decision.taken, kernel, "{}: no such kernel; {AGAIN}", decision.key);
                    decided.insert(decision.key);
                }
            }
        }
        let stale: Vec<&String> = tiles.keys().filter(|key| !used.contains(*key)).collect();
        assert!(stale.is_empty(), "no network has such steps any more: {stale:#?}; {AGAIN}");
        let stale: Vec<&String> = kernels.keys().filter(|key| !decided.contains(*key)).collect();
        assert!(stale.is_empty(), "no network has such decisions any more: {stale:#?}; {AGAIN}");
    }
}

#[test]
fn tables_are_for_drivers_of_their_name() {
    let json = r#"{"schema_version":1,"drivers":["LLVMpipe"],"measured":"x","kernels":{},"tiles":{
        "a":{"pixels":7,"planes":0,"workgroup":64},"b":{"pixels":7,"planes":1,"workgroup":64}}}"#;
    assert!(Table::parse(json).is_none_or(|table| table.choices.tiles.len() == 1));
    assert!(Table::parse("{}").is_none());
    assert!(Table::parse(&json.replace(":1,\"drivers", ":2,\"drivers")).is_none());
}
