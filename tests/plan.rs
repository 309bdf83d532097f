//! Plans of every named network: snapshots of steps and memory, and a simulation that shows that
//! no tensor is overwritten while somebody still needs it.

use std::collections::HashMap;

use foveate::kernels::{Access, Binding, Target, TensorId};
use foveate::models::{self, Architecture, Form, Zeros};
use foveate::plan::Plan;
use foveate::{Graph, Shape, passes};

fn fused(name: &str) -> Graph {
    let architecture = Architecture::named(name).unwrap();
    let graph = architecture.build(Form::Fused, &mut Zeros).unwrap();
    passes::fuse(&graph).unwrap().0
}

/// Runs the plan's bindings without a device: every tensor that is read must be the one last
/// written to its buffer, and no dispatch may read and write one buffer.
fn simulate(plan: &Plan) {
    let mut held: HashMap<usize, TensorId> = HashMap::from([(plan.memory.slot_of(plan.input), plan.input)]);
    for step in &plan.steps {
        assert!(step.grid.iter().all(|&n| (1..=65535).contains(&n)), "{}: {step}", plan.name);
        let mut written = Vec::new();
        let mut read = Vec::new();
        for (slot, binding) in step.kernel.arguments.iter().zip(&step.bindings) {
            let Binding::Tensor(tensor) = binding else { continue };
            let buffer = plan.memory.slot_of(*tensor);
            assert!(plan.memory.slots[buffer].bytes >= plan.tensors[tensor.0 as usize].bytes());
            match slot.access {
                Access::Read => {
                    assert_eq!(
                        held.get(&buffer),
                        Some(tensor),
                        "{}: {} reads a lost tensor: {step}",
                        plan.name,
                        step.node
                    );
                    read.push(buffer);
                }
                Access::Write => written.push((buffer, *tensor)),
            }
        }
        assert_eq!(written.len(), 1, "{}: {step}", plan.name);
        for (buffer, tensor) in written {
            assert!(!read.contains(&buffer), "{}: {} reads and writes buffer {buffer}: {step}", plan.name, step.node);
            held.insert(buffer, tensor);
        }
    }
    for output in &plan.outputs {
        assert_eq!(
            held.get(&plan.memory.slot_of(output.tensor)),
            Some(&output.tensor),
            "{}: an output is lost",
            plan.name
        );
    }
}

#[test]
fn every_network_has_the_plan_of_its_snapshot_and_loses_no_tensor() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    let names: Vec<&str> = models::names().collect();
    assert!(names.len() >= 40, "{names:?}");
    for name in names {
        let graph = fused(name);
        let plan = Plan::new(&graph, 1, &[]).unwrap();
        simulate(&plan);
        settings.bind(|| insta::assert_snapshot!(name, plan.to_string()));
    }
}

#[test]
fn batches_and_other_sizes_lose_no_tensor_either() {
    for name in ["repvgg-a0", "repnext-m0", "repnext-m2", "repnext-m1e", "mobileone-s4"] {
        for (batch, input) in [(3, Shape::new(3, 96, 65)), (1, Shape::new(3, 33, 160)), (2, Shape::new(3, 32, 32))] {
            let graph = fused(name).with_input(input).unwrap();
            let taps: Vec<_> = graph.taps().iter().map(|tap| tap.1).collect();
            assert!(taps.len() >= 5, "{name}");
            let plan = Plan::new(&graph, batch, &taps).unwrap();
            assert_eq!(plan.outputs.len(), 1 + taps.len());
            assert_eq!(plan.macs(), graph.macs() * batch as u64, "{name}");
            simulate(&plan);
        }
    }
}

#[test]
fn memory_is_reused() {
    let plan = Plan::new(&fused("repvgg-a0"), 1, &[]).unwrap();
    let without: u64 = plan.tensors.iter().map(|t| t.bytes()).sum();
    assert!(plan.memory.slots.len() <= 3, "a chain of convolutions needs two buffers and the input's");
    assert!(plan.memory.bytes() * 2 < without);
}

fn count(plan: &Plan, kernel: &str) -> usize {
    plan.steps.iter().filter(|s| s.kernel.name == kernel).count()
}

/// DESIGN: one dispatch per token mixer, the identity chunk is not copied, and nothing is gathered
/// where chunks are whole planes. One dispatch per MLP where its weights are few enough.
#[test]
fn repnext_costs_two_dispatches_a_block() {
    let m1 = Plan::new(&fused("repnext-m1"), 1, &[]).unwrap();
    assert_eq!((count(&m1, "token_mixer"), count(&m1, "copy_conv"), count(&m1, "gather")), (23, 3, 0));
    assert_eq!((count(&m1, "mlp"), count(&m1, "gemm") - 1), (23, 2 * 3), "the last stage has 2.4 MB an MLP");
    assert_eq!(m1.steps.len(), 23 + 3 + 23 + 2 * 3 + 2 + 2, "two stem convolutions, pool, head");
    assert!(m1.steps.len() <= 60);
    let m0 = Plan::new(&fused("repnext-m0"), 1, &[]).unwrap();
    assert_eq!(count(&m0, "gather"), 1, "chunks of ten channels end at the first downsampling");
}

/// Software drivers fuse the stages of many pixels and few channels.
#[test]
fn repnext_on_a_software_driver() {
    let graph = fused("repnext-m1");
    let plan = Plan::for_target(&graph, 1, &[], Target::software()).unwrap();
    simulate(&plan);
    assert_eq!((count(&plan, "mlp"), count(&plan, "mlp_direct"), count(&plan, "pointwise")), (0, 3 + 4, 2 * (16 + 3)));
    assert_eq!(plan.macs(), graph.macs());
}

#[test]
fn repvgg_costs_a_dispatch_a_layer() {
    let a0 = Plan::new(&fused("repvgg-a0"), 1, &[]).unwrap();
    assert_eq!((count(&a0, "conv"), count(&a0, "gemm")), (1, 2 + 4 + 14 + 1), "the sums of the first are short");
    assert!(a0.steps.len() <= 24, "{}", a0.steps.len());
}

/// Three dispatches for each layer of stride 1.
#[test]
fn repvgg_on_a_software_driver() {
    let graph = fused("repvgg-a0");
    for target in [Target::software(), Target::software_with_subgroups(8)] {
        let plan = Plan::for_target(&graph, 1, &[], target).unwrap();
        simulate(&plan);
        let steps = ["winograd_input", "winograd_matmul", "winograd_output"].map(|kernel| count(&plan, kernel));
        assert_eq!(steps, [1 + 3 + 13; 3]);
        assert_eq!((count(&plan, "conv"), plan.steps.len()), (5, 5 + 3 * 17 + 2));
        assert_eq!(plan.macs(), graph.macs());
    }
}

/// A hidden layer that somebody asks for is not fused away, and its neighbours still are.
#[test]
fn a_wanted_hidden_layer_is_computed_by_itself() {
    let graph = fused("repnext-m1");
    let all = Plan::new(&graph, 1, &[]).unwrap();
    let first = "stages.1.blocks.0.channel_mixer.0";
    let hidden = graph.ids().find(|id| graph.node(*id).name == first).unwrap();
    let plan = Plan::new(&graph, 1, &[hidden]).unwrap();
    simulate(&plan);
    assert_eq!(plan.steps.iter().filter(|step| step.node == first).count(), 1);
    assert!(all.steps.iter().all(|step| step.node != first));
    assert_eq!(plan.steps.len(), all.steps.len() + 1);
    assert_eq!(count(&plan, "mlp"), count(&all, "mlp") - 1);
    assert_eq!(plan.macs(), all.macs());
}
