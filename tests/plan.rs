//! Plans of every named network: snapshots of steps and memory, and a simulation that shows that
//! no tensor is overwritten while somebody still needs it.

use std::collections::{BTreeMap, HashMap};

use foveate::kernels::{Access, Binding, Element, Format, Step, Target, TensorId};
use foveate::models::{self, Architecture, Form, Zeros};
use foveate::ops::Conv2d;
use foveate::plan::{Plan, WeightBlob};
use foveate::{Graph, Shape, Tensor, passes};

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
        for (slot, binding) in step.arguments().zip(&step.bindings) {
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

fn snapshots() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings
}

/// A line: how many steps of each kernel, what they cost.
fn summary(plan: &Plan) -> String {
    let mut kernels: BTreeMap<&str, usize> = BTreeMap::new();
    plan.steps.iter().for_each(|step| *kernels.entry(step.kernel.name).or_default() += 1);
    let kernels: Vec<String> = kernels.iter().map(|(name, steps)| format!("{steps} {name}")).collect();
    let (macs, activations, weights) = (plan.macs(), plan.memory.bytes(), plan.weight_bytes());
    let (name, steps, kernels) = (&plan.name, plan.steps.len(), kernels.join(", "));
    format!("{name}: {macs} multiplications, {activations} B + {weights} B; {steps} steps: {kernels}\n")
}

/// A line for each network, and the whole plan of one network of each kind.
#[test]
fn every_network_has_the_plan_of_its_snapshot_and_loses_no_tensor() {
    let whole = [
        "repvgg-a0",
        "repvgg-b1g4",
        "repvgg-d2se",
        "qarepvgg-cifar",
        "repnext-m0",
        "repnext-m1e",
        "repnext-m5",
        "mobileone-s0",
        "mobileone-s4",
    ];
    let names: Vec<&str> = models::names().collect();
    assert!(names.len() >= 40 && whole.iter().all(|name| names.contains(name)), "{names:?}");
    let mut lines = String::new();
    for name in names {
        let plan = Plan::new(&fused(name), 1, &[]).unwrap();
        simulate(&plan);
        lines += &summary(&plan);
        if whole.contains(&name) {
            snapshots().bind(|| insta::assert_snapshot!(name, plan.to_string()));
        }
    }
    snapshots().bind(|| insta::assert_snapshot!("summary", lines));
}

/// One network of each family in 16 bits, on the kind of device that has buffers and the kind that has
/// textures, as a snapshot for one.
#[test]
fn formats_change_memory_and_nothing_else() {
    for name in ["repvgg-a0", "qarepvgg-b1g4", "repnext-m0", "mobileone-s4"] {
        let graph = fused(name);
        let mut quantised = graph.clone();
        assert!(passes::quantize_weights(&mut quantised).unwrap() > 10, "{name}");
        for target in [Target::default(), Target::software()] {
            let plan = |graph: &Graph, f16: bool| {
                let plan = Plan::for_target(graph, 1, &[], Target { f16, ..target.clone() }).unwrap();
                simulate(&plan);
                plan
            };
            let (f32, f16) = (plan(&graph, false), plan(&graph, true));
            let (w8, both) = (plan(&quantised, false), plan(&quantised, true));
            for other in [&f16, &w8, &both] {
                let same = |a: &Step, b: &Step| (&a.node, a.kernel, &a.constants) == (&b.node, b.kernel, &b.constants);
                assert!(f32.steps.iter().zip(&other.steps).all(|(a, b)| same(a, b)), "{name}");
                assert_eq!((f32.steps.len(), f32.macs()), (other.steps.len(), other.macs()), "{name}");
            }
            // The input and the output stay f32, and so do biases.
            let share = |part: u64, whole: u64| part as f64 / whole as f64;
            assert!(share(f16.weight_bytes(), f32.weight_bytes()) < 0.52, "{name}");
            assert!(share(w8.weight_bytes(), f32.weight_bytes()) < 0.30, "{name}");
            assert_eq!(w8.weight_bytes(), both.weight_bytes(), "{name}");
            let activations = |plan: &Plan| plan.tensors.iter().map(|t| t.bytes()).sum::<u64>();
            assert!(share(activations(&f16), activations(&f32)) < 0.56, "{name}");
            assert_eq!(activations(&w8), activations(&f32), "{name}");
            assert_eq!(f16.tensors[f16.input.0 as usize].format, Format::HOST);
            assert!(f16.outputs.iter().all(|output| f16.tensors[output.tensor.0 as usize].format == Format::HOST));
            assert!(f16.tensors.iter().filter(|t| t.format.element == Element::F16).count() > 10, "{name}");
        }
    }
    let target = Target { f16: true, ..Target::software() };
    let plan = Plan::for_target(&fused("repnext-m0"), 1, &[], target).unwrap();
    snapshots().bind(|| insta::assert_snapshot!("repnext-m0-f16-textures", plan.to_string()));
}

/// RepVGG-A0's weights on a device with buffers: 8.3 million, of which each took 4 bytes.
#[test]
fn weights_of_8_bits_take_a_quarter_of_the_memory() {
    let graph = fused("repvgg-a0");
    let mut quantised = graph.clone();
    passes::quantize_weights(&mut quantised).unwrap();
    let [f32, w8] = [&graph, &quantised].map(|graph| Plan::new(graph, 1, &[]).unwrap().weight_bytes());
    assert!(f32 > 33_000_000 && w8 < f32 * 26 / 100, "{f32} and {w8} bytes");
}

#[test]
fn weights_beyond_16_bits_stay_in_32() {
    let mut graph = fused("repvgg-cifar");
    let (id, tensor) = graph.params().iter().find(|(_, p)| p.tensor.shape().len() == 4).unwrap();
    let mut tensor = Tensor::clone(&tensor.tensor);
    tensor.data_mut()[0] = 65_505.0;
    graph.set_param(id, tensor).unwrap();
    let plan = Plan::for_target(&graph, 1, &[], Target { f16: true, ..Target::default() }).unwrap();
    let large = |blob: &WeightBlob| blob.words.contains(&65_505f32.to_bits());
    assert!(plan.weights.iter().any(large));
    assert!(plan.weights.iter().all(|blob| !large(blob) || blob.format.element == Element::F32));
    assert!(plan.weights.iter().any(|blob| blob.format.element == Element::F16));
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
    assert_eq!(m1.steps.len(), 23 + 3 + 23 + 2 * 3 + 2 + 1, "two stem convolutions, pool and head");
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

/// Weights that several nodes share are packed and uploaded once; those packed otherwise, again.
#[test]
fn shared_weights_are_uploaded_once() {
    let weight = |seed: usize| {
        let data = (0..8 * 8 * 9).map(|i| ((i * seed) % 23) as f32).collect();
        Tensor::new([8, 8, 3, 3], data).unwrap()
    };
    let mut graph = Graph::new("shared", Shape::new(8, 6, 6));
    let [one, two] = [7, 11].map(|seed| graph.param(format!("weight{seed}"), weight(seed)));
    let mut x = graph.input();
    for (i, weight) in [one, two, one, one].into_iter().enumerate() {
        x = graph.add(format!("conv{i}"), Conv2d::new(weight, None).padding([1, 1]), &[x]).unwrap();
    }
    graph.set_output(x);
    for target in [Target::default(), Target::software()] {
        let plan = Plan::for_target(&graph, 1, &[], target).unwrap();
        assert_eq!(plan.weights.len(), 3, "two weights, and a bias of zeros");
        let bound: Vec<u32> = plan
            .steps
            .iter()
            .flat_map(|step| &step.bindings)
            .filter_map(|binding| match binding {
                Binding::Weights(id) => Some(id.0),
                _ => None,
            })
            .collect();
        assert_eq!(bound, [0, 1, 2, 1, 0, 1, 0, 1]);
    }
}

#[test]
fn repvgg_costs_a_dispatch_a_layer() {
    let a0 = Plan::new(&fused("repvgg-a0"), 1, &[]).unwrap();
    assert_eq!((count(&a0, "conv"), count(&a0, "gemm")), (1, 2 + 4 + 14 + 1), "the sums of the first are short");
    assert!(a0.steps.len() <= 24, "{}", a0.steps.len());
}

/// Three dispatches for each layer of stride 1 where subgroups share weights, one elsewhere.
#[test]
fn repvgg_on_a_software_driver() {
    let graph = fused("repvgg-a0");
    for (target, layers) in [(Target::software(), 0), (Target::software_with_subgroups(8), 1 + 3 + 13)] {
        let plan = Plan::for_target(&graph, 1, &[], target).unwrap();
        simulate(&plan);
        let steps = ["winograd_input", "winograd_matmul", "winograd_output"].map(|kernel| count(&plan, kernel));
        assert_eq!(steps, [layers; 3]);
        assert_eq!((count(&plan, "conv"), plan.steps.len()), (22 - layers, 22 + 2 * layers + 2));
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
