//! Our fuse of the training form against the official deploy form.

use std::path::{Path, PathBuf};

use foveate::checkpoint::{Checkpoint, load_file};
use foveate::cpu::CpuExecutor;
use foveate::graph::Graph;
use foveate::ops::Op;
use foveate::passes::fuse;
use foveate::proof::{prove, prove_at};
use foveate::{Shape, Tensor};

fn golden(file: String) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden").join(file)
}

/// Names of all golden sets.
fn sets() -> Vec<String> {
    let files =
        std::fs::read_dir(golden(String::new())).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    let mut sets: Vec<String> = files.filter_map(|f| Some(f.strip_suffix(".train.safetensors")?.to_owned())).collect();
    sets.sort();
    assert_eq!(sets.len(), 16);
    sets
}

fn load(set: &str, form: &str) -> Graph {
    load_file(golden(format!("{set}.{form}.safetensors")), None).unwrap_or_else(|error| panic!("{error}")).graph
}

/// max |a − b| / max |a|.
fn relative(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.len(), b.len());
    // `f32::max` passes over NaN.
    let apart = |(a, b): (&f32, &f32)| if (a - b).is_nan() { f32::INFINITY } else { (a - b).abs() };
    let apart = a.data().iter().zip(b.data()).map(apart).fold(0.0, f32::max);
    apart / a.data().iter().fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()))
}

#[test]
fn fusing_the_training_form_gives_the_official_deploy_form() {
    for set in sets() {
        // What the official fuse leaves standing (RepNeXt's norms) is folded by ours.
        let ((ours, report), (official, _)) =
            (fuse(&load(&set, "train")).unwrap(), fuse(&load(&set, "deploy")).unwrap());
        assert!(report.refused.is_empty(), "{set}: {report}");
        assert_eq!(ours.nodes().len(), official.nodes().len(), "{set}: {ours}\n{official}");
        assert_eq!(ours.parameter_count(), official.parameter_count(), "{set}");
        let mut weights = 0;
        for (a, b) in ours.nodes().iter().zip(official.nodes()) {
            let text = |op: &Op, graph: &Graph| format!("{}{}", op.name(), op.attributes(graph.params()));
            assert_eq!((text(&a.op, &ours), &a.inputs), (text(&b.op, &official), &b.inputs), "{set}: {}", a.name);
            for ((role, ours_id), (_, official_id)) in a.op.params().into_iter().zip(b.op.params()) {
                let (x, y) = (official.params().tensor(official_id), ours.params().tensor(ours_id));
                assert!(relative(x, y) <= 1e-5, "{set}: {} {role}: {}", a.name, relative(x, y));
                weights += 1;
            }
        }
        assert!(weights > 10, "{set}: {weights} tensors were compared");
    }
}

#[test]
fn no_branch_is_left() {
    let allowed = ["input", "conv2d", "chunk_conv", "copy_conv", "global_avg_pool", "linear", "gate"];
    for set in sets() {
        let (fused, _) = fuse(&load(&set, "train")).unwrap();
        for node in fused.nodes() {
            assert!(allowed.contains(&node.op.name()), "{set}: {fused}");
        }
    }
}

#[test]
fn every_fuse_is_proved() {
    for set in sets() {
        for form in ["train", "deploy"] {
            let graph = load(&set, form);
            let (fused, _) = fuse(&graph).unwrap();
            let proof = prove(&graph, &fused, 0).unwrap();
            assert!(proof.max_rel <= 1e-5 && proof.same_top1, "{set}.{form}: {proof}");
            let taller = prove_at(&graph, &fused, Shape::new(3, 96, 65), 1).unwrap();
            assert!(taller.max_rel <= 1e-5 && taller.same_top1, "{set}.{form}: {taller}");
        }
    }
}

#[test]
fn fused_networks_compute_the_reference_logits() {
    for set in sets() {
        let path = golden(format!("{set}.io.safetensors"));
        let io = Checkpoint::read(&std::fs::read(&path).unwrap(), &set).unwrap();
        let (input, logits) = (&io.tensors["input"], &io.tensors["logits"]);
        let (fused, _) = fuse(&load(&set, "train")).unwrap();
        let &[_, channels, height, width] = input.shape() else { panic!("{set}: {:?}", input.shape()) };
        let fused = fused.with_input(Shape::new(channels, height, width)).unwrap();
        let found = CpuExecutor::new(fused).unwrap().run(input).unwrap();
        assert!(relative(logits, &found) <= 1e-4, "{set}: {}", relative(logits, &found));
    }
}
