//! Whole networks: golden sets on the GPU, full-size networks CPU against GPU, proofs of fusing,
//! and the built-in network's accuracy.
//!
//! `NETWORKS=all cargo test --test networks full_size` does both for every named network instead of one
//! of each family, `NETWORKS=repvgg-b3,repnext-m5` for some.

mod device;

use std::path::{Path, PathBuf};

use foveate::checkpoint::{self, Checkpoint};
use foveate::cpu::CpuExecutor;
use foveate::gpu::{ExecutorOptions, GpuContext, GpuExecutor};
use foveate::kernels::Target;
use foveate::plan::Plan;
use foveate::{Graph, Model, NodeId, Picture, Precision, Shape, Tensor, models, passes};
use pollster::block_on;
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

/// DESIGN 7: network outputs, f32, of the largest value.
const BOUND: f32 = 1e-4;

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.data().iter().fold(0f32, |m, v| m.max(v.abs()));
    let worst = found.data().iter().zip(expected.data()).map(|(a, b)| (a - b).abs());
    let worst = worst.fold(0f32, |m, d| if d.is_nan() { f32::INFINITY } else { m.max(d) });
    assert!(largest > 0.0 && worst <= BOUND * largest, "{what}: off by {worst}, largest value {largest}");
}

fn top1(logits: &Tensor) -> Vec<usize> {
    let classes = logits.len() / logits.shape()[0];
    let best = |row: &[f32]| (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    logits.data().chunks(classes).map(best).collect()
}

fn run_gpu(context: &GpuContext, graph: &Graph, input: &Tensor, wanted: &[NodeId]) -> Vec<Tensor> {
    let plan = Plan::for_target(graph, input.shape()[0], wanted, context.target()).unwrap();
    let options = ExecutorOptions { canaries: true, ..Default::default() };
    block_on(async {
        let mut executor = GpuExecutor::new(context, plan, options).await.unwrap();
        let outputs = executor.run_tensor(input).await.unwrap();
        executor.check_canaries().await.unwrap();
        outputs
    })
}

fn golden_sets() -> Vec<String> {
    let index: serde_json::Value = serde_json::from_slice(&std::fs::read(data("golden/index.json")).unwrap()).unwrap();
    let sets: Vec<String> = index.as_object().unwrap().keys().cloned().collect();
    assert_eq!(sets.len(), 16);
    sets
}

fn golden(set: &str, form: &str) -> (Graph, Checkpoint) {
    let io = Checkpoint::read(&std::fs::read(data(&format!("golden/{set}.io.safetensors"))).unwrap(), set).unwrap();
    let &[_, c, h, w] = io.tensors["input"].shape() else { panic!("{set}") };
    let model = checkpoint::load_file(data(&format!("golden/{set}.{form}.safetensors")), None).unwrap();
    (model.graph.with_input(Shape::new(c, h, w)).unwrap(), io)
}

/// Stage outputs and logits of `graph` on the GPU against the reference implementation's.
/// Returns how many stage outputs there were to compare.
fn compare_with_golden(context: &GpuContext, what: &str, graph: &Graph, io: &Checkpoint) -> usize {
    let mut compared = 0;
    let ids: Vec<NodeId> = graph.taps().iter().map(|tap| tap.1).collect();
    let outputs = run_gpu(context, graph, &io.tensors["input"], &ids);
    assert_close(&format!("{what} logits"), &outputs[0], &io.tensors["logits"]);
    assert_eq!(top1(&outputs[0]), top1(&io.tensors["logits"]), "{what}");
    assert_eq!(ids.len(), 5);
    for ((tap, _), value) in graph.taps().iter().zip(&outputs[1..]) {
        if let Some(expected) = io.tensors.get(tap) {
            assert_close(&format!("{what} {tap}"), value, expected);
            compared += 1;
        }
    }
    compared
}

/// DESIGN 7: 16-bit floats, relative L2.
const F16_BOUND: f64 = 5e-3;

fn run_format(context: &GpuContext, graph: &Graph, input: &Tensor, f16: bool) -> Tensor {
    let plan = Plan::for_target(graph, input.shape()[0], &[], Target { f16, ..context.target() }).unwrap();
    let options = ExecutorOptions { canaries: true, ..Default::default() };
    block_on(async {
        let mut executor = GpuExecutor::new(context, plan, options).await.unwrap();
        let output = executor.run_tensor(input).await.unwrap().swap_remove(0);
        executor.check_canaries().await.unwrap();
        output
    })
}

fn relative_l2(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.len(), expected.len());
    let squared = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
    let apart = squared(&mut found.data().iter().zip(expected.data()).map(|(a, b)| a - b));
    (apart / squared(&mut expected.data().iter().copied())).sqrt()
}

/// Each family in 16 bits, with weights of 8 bits, and with both.
#[test]
fn golden_networks_in_other_formats_are_within_the_bound() {
    for context in device::contexts().iter().take(1) {
        for set in ["repvgg_tiny_g2", "qarepvgg_tiny_S4", "repnext_tiny_c12", "mobileone_tiny_se"] {
            let (train, io) = golden(set, "train");
            let graph = passes::fuse(&train).unwrap().0;
            let input = &io.tensors["input"];
            let f16 = run_format(context, &graph, input, true);
            let error = relative_l2(&f16, &io.tensors["logits"]);
            assert!(error > 1e-6 && error <= F16_BOUND, "{set}: {error:e}");
            assert_eq!(top1(&f16), top1(&io.tensors["logits"]), "{set}");
            // What rounding weights to 8 bits costs is another question: the CPU has the rounded ones too.
            let mut quantised = graph.clone();
            passes::quantize_weights(&mut quantised).unwrap();
            let expected = CpuExecutor::new(quantised.clone()).unwrap().run(input).unwrap();
            assert_close(&format!("{set}, w8"), &run_format(context, &quantised, input, false), &expected);
            let both = run_format(context, &quantised, input, true);
            assert!(relative_l2(&both, &expected) <= F16_BOUND, "{set}, w8 and f16");
        }
    }
}

#[test]
fn golden_networks_on_the_gpu_compute_what_the_reference_computed() {
    for (i, context) in device::contexts().iter().enumerate() {
        let mut compared = 0;
        for set in golden_sets() {
            let (train, io) = golden(&set, "train");
            let (fused, _) = passes::fuse(&train).unwrap();
            compared += compare_with_golden(context, &format!("{set} fused here"), &fused, &io);
            // Kernels are the same: one backend is enough for the official fuse's weights.
            if i == 0 {
                let (deploy, _) = golden(&set, "deploy");
                compare_with_golden(
                    context,
                    &format!("{set} fused officially"),
                    &passes::fuse(&deploy).unwrap().0,
                    &io,
                );
            }
        }
        assert_eq!(compared, 13 * 5, "the timm sets have no stage outputs");
    }
}

/// A graph in training form runs on the GPU branch by branch.
#[test]
fn training_form_runs_on_the_gpu() {
    for context in device::contexts().iter().take(1) {
        for set in ["repnext_tiny_c12", "qarepvgg_tiny_S4", "mobileone_tiny_se"] {
            let (train, io) = golden(set, "train");
            assert_eq!(compare_with_golden(context, &format!("{set} in training form"), &train, &io), 5);
        }
    }
}

/// Those that `NETWORKS` names (`all`, or names with commas between them); one of each family if it is
/// not set.
fn full_size() -> Vec<String> {
    match std::env::var("NETWORKS") {
        Ok(all) if all == "all" => models::names().map(str::to_owned).collect(),
        Ok(names) => names.split(',').map(str::to_owned).collect(),
        Err(_) => ["repvgg-a0", "repnext-m0", "mobileone-s0"].map(str::to_owned).to_vec(),
    }
}

/// What [`Model::random`] takes the running statistics from, one sample of it.
fn familiar(shape: Shape, seed: u64) -> Tensor {
    let noise = StandardNormal.sample_iter(Pcg64::seed_from_u64(seed)).take(shape.len()).collect();
    Tensor::new([1, shape.channels, shape.height, shape.width], noise).unwrap()
}

/// The largest difference over the largest expected value; infinite if anything is NaN, which
/// `f32::max` would pass over.
fn relative(found: &Tensor, expected: &Tensor) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.data().iter().fold(0f32, |m, v| m.max(v.abs()));
    let apart = found.data().iter().zip(expected.data()).map(|(a, b)| (a - b).abs());
    let apart = apart.fold(0f32, |m, d| if d.is_nan() { f32::INFINITY } else { m.max(d) });
    if largest > 0.0 { apart / largest } else { f32::INFINITY }
}

#[test]
fn full_size_networks_agree_on_cpu_and_gpu() {
    for context in device::contexts().iter().take(1) {
        let mut wrong = Vec::new();
        for name in &full_size() {
            let model = Model::random(name, 1, false).unwrap();
            let input = familiar(model.graph().input_shape(), 1);
            let cpu = CpuExecutor::new(model.graph().clone()).unwrap().run(&input).unwrap();
            let gpu = run_gpu(context, model.graph(), &input, &[]).swap_remove(0);
            let apart = relative(&gpu, &cpu);
            eprintln!("{name}: CPU and GPU differ by {apart:.1e} of the largest logit");
            if apart > BOUND || top1(&gpu) != top1(&cpu) {
                wrong.push(format!("{name}: {apart:.1e}"));
            }
        }
        assert!(wrong.is_empty(), "beyond {BOUND:.0e} of the largest logit:\n{}", wrong.join("\n"));
    }
}

/// The proof is part of `Model::random`: a relative difference above 1e-4 fails. Networks that differ
/// from these in widths and groups alone are left to `NETWORKS`.
#[test]
fn fusing_full_size_networks_is_proved() {
    let some = [
        "qarepvgg-d2se",
        "repvgg-a0",
        "repvgg-b1g4",
        "repvgg-d2se",
        "qarepvgg-a1",
        "repnext-m0",
        "repnext-m2",
        "repnext-m0e",
        "mobileone-s0",
        "mobileone-s4",
    ];
    let named = std::env::var_os("NETWORKS").is_some();
    let names = if named { full_size() } else { some.map(str::to_owned).to_vec() };
    for name in names {
        let model = Model::random(&name, 2, true).unwrap_or_else(|e| panic!("{name}: {e}"));
        let proof = model.fusion().unwrap().proof.clone().unwrap();
        eprintln!("{name}: {proof}");
        assert!(
            !proof.layer_by_layer && proof.max_rel > 0.0 && proof.max_rel <= 1e-4 && proof.same_top1,
            "{name}: {proof}"
        );
    }
}

fn cifar() -> Vec<(usize, Picture)> {
    let classes = Model::builtin().unwrap().labels().unwrap().to_vec();
    let mut pictures = Vec::new();
    for (class, label) in classes.iter().enumerate() {
        for entry in std::fs::read_dir(data("cifar10").join(label)).unwrap() {
            pictures.push((class, Picture::open(entry.unwrap().path()).unwrap()));
        }
    }
    assert_eq!(pictures.len(), 100);
    pictures
}

/// PyTorch's count on the same hundred pictures is 86.
#[test]
fn the_builtin_network_is_as_accurate_as_in_training() {
    let model = Model::builtin().unwrap();
    let pictures = cifar();
    let input = model.preprocess().apply_batch(&pictures.iter().map(|p| &p.1).collect::<Vec<_>>()).unwrap();
    let right =
        |logits: &Tensor| top1(logits).iter().zip(&pictures).filter(|(found, (class, _))| *found == class).count();
    let cpu = CpuExecutor::new(model.graph().clone()).unwrap().run(&input).unwrap();
    assert_eq!(right(&cpu), 86);
    let agree = |a: &Tensor, b: &Tensor| top1(a).iter().zip(top1(b)).filter(|(a, b)| *a == b).count();
    let quantised = model.clone().with_precision(Precision::W8).unwrap();
    let rounded = CpuExecutor::new(quantised.graph().clone()).unwrap().run(&input).unwrap();
    let pairs = (agree(&rounded, &cpu), right(&rounded));
    assert!(pairs.0 >= 97 && pairs.1 >= 84 && rounded != cpu, "{pairs:?}");
    for context in device::contexts() {
        let gpu = run_gpu(context, model.graph(), &input, &[]).swap_remove(0);
        assert_close("built-in network", &gpu, &cpu);
        assert_eq!(right(&gpu), 86);
        let f16 = run_format(context, model.graph(), &input, true);
        assert!(relative_l2(&f16, &cpu) <= F16_BOUND);
        assert!(agree(&f16, &cpu) >= 99, "{}", agree(&f16, &cpu));
        let w8 = run_format(context, quantised.graph(), &input, false);
        assert_close("built-in network, w8", &w8, &rounded);
    }
}
