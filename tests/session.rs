//! The library's front door: from a picture to labels on each device, batches, borrowed devices
//! that are lost and replaced.

mod device;

use std::path::Path;

use foveate::{Answer, DeviceChoice, DeviceKind, Error, Model, Picture, Precision, Session, Tensor, Top, wgpu};
use pollster::block_on;

fn picture(name: &str) -> Picture {
    Picture::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)).unwrap()
}

fn on_cpu(batch: usize) -> Session {
    block_on(Session::builder().device(DeviceChoice::Cpu).batch(batch).load()).unwrap()
}

fn assert_same(found: &Answer, expected: &Answer) {
    let largest = expected.logits().iter().fold(0f32, |m, v| m.max(v.abs()));
    assert_eq!(found.logits().len(), 10);
    for (a, b) in found.logits().iter().zip(expected.logits()) {
        // Preprocessing on the GPU may be off by half a grey level.
        assert!((a - b).abs() <= 1e-3 * largest, "{a} {b}");
    }
    assert_eq!(found.top(1)[0].label, expected.top(1)[0].label);
}

/// The same classes in the same order; a GPU's exponentials are those of f32.
fn assert_top(found: &[Top], expected: &[Top]) {
    assert!(!found.is_empty() && found.len() == expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert_eq!((a.class, &a.label), (b.class, &b.label));
        assert!((a.score - b.score).abs() <= 1e-6 + 1e-5 * b.score, "{a:?} {b:?}");
    }
}

#[test]
fn pictures_get_their_labels_on_the_cpu() {
    let mut session = on_cpu(1);
    assert_eq!(session.device().kind, DeviceKind::Cpu);
    for (file, label) in [("cat.png", "cat"), ("horse.png", "horse")] {
        let answer = block_on(session.run(&picture(file))).unwrap();
        assert_eq!(answer.top(5)[0].label, label);
        assert_eq!(answer.top(99).len(), 10);
    }
    assert!(session.timing().load > 0.0);
}

#[test]
fn a_batch_answers_in_order_whatever_its_size() {
    let pictures = ["cat.png", "horse.png", "coffee.jpg"].map(picture);
    let mut single = on_cpu(1);
    let expected = pictures.each_ref().map(|p| block_on(single.run(p)).unwrap());
    let mut sessions = vec![on_cpu(3)];
    for context in device::contexts() {
        let choice = DeviceChoice::Named(context.summary().name.clone());
        let backend = foveate::gpu::parse_backend(context.summary().backend).unwrap();
        sessions.push(block_on(Session::builder().device(choice).backend(backend).batch(3).load()).unwrap());
    }
    for session in &mut sessions {
        for count in [3, 1, 2] {
            let answers = block_on(session.run_batch(&pictures[..count])).unwrap();
            assert_eq!(answers.len(), count);
            answers.iter().zip(&expected).for_each(|(a, b)| assert_same(a, b));
            // More than there are, and more than the device finds.
            for k in [1, 3, 11, 99] {
                let best = block_on(session.classify_batch(&pictures[..count], k)).unwrap();
                assert_eq!(best.len(), count);
                best.iter().zip(&answers).for_each(|(best, answer)| assert_top(best, &answer.top(k)));
            }
        }
        for wrong in [&[][..], &[picture("cat.png"), picture("cat.png"), picture("cat.png"), picture("cat.png")]] {
            let error = block_on(session.run_batch(wrong)).unwrap_err().to_string();
            assert!(error.contains("1 to 3"), "{error}");
        }
    }
}

#[test]
fn wrong_arguments_are_errors() {
    let error = block_on(Session::builder().batch(0).load()).err().unwrap().to_string();
    assert!(error.contains("at least one sample"), "{error}");
    let error = block_on(Session::builder().precision(Precision::W8a8).load()).err().unwrap().to_string();
    assert!(error.contains("w8a8") && error.contains("f32") && error.contains("ranges"), "{error}");
    let error = block_on(Session::builder().labels(vec!["one".into()]).load()).err().unwrap().to_string();
    assert!(error.contains("1 labels") && error.contains("10 classes"), "{error}");
    let error = block_on(Session::builder().bytes(&b"nothing"[..]).load()).err().unwrap();
    assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
    let error = block_on(Session::builder().random("repvgg-a9", 0).load()).err().unwrap();
    assert!(matches!(error, Error::UnknownModel { .. }), "{error}");
    let error = block_on(on_cpu(1).run_tensor(&Tensor::zeros([1, 3, 31, 32]))).unwrap_err().to_string();
    assert!(error.contains("[1, 3, 31, 32]"), "{error}");
}

fn on_gpu(context: &foveate::gpu::GpuContext, model: Model, precision: Precision) -> Session {
    let choice = DeviceChoice::Named(context.summary().name.clone());
    let backend = foveate::gpu::parse_backend(context.summary().backend).unwrap();
    let builder = Session::builder().model(model).device(choice).backend(backend).precision(precision);
    block_on(builder.load()).unwrap()
}

#[test]
fn other_precisions_give_the_same_label_and_say_what_they_are() {
    let model = || Model::builtin().unwrap();
    let cat = picture("cat.png");
    for (precision, has, note) in
        [(Precision::F16, Precision::F32, "the CPU executor computes in f32"), (Precision::W8, Precision::W8, "8 bits")]
    {
        let builder = Session::builder().model(model()).device(DeviceChoice::Cpu).precision(precision);
        let mut session = block_on(builder.load()).unwrap();
        assert_eq!(session.precision(), has);
        assert!(session.precision_note().unwrap().contains(note));
        assert_eq!(block_on(session.run(&cat)).unwrap().top(1)[0].label, "cat");
    }
    assert_eq!((on_cpu(1).precision(), on_cpu(1).precision_note()), (Precision::F32, None));
    for context in device::contexts() {
        for (precision, note) in [(Precision::F16, "self-test passed: relative error"), (Precision::W8, "8 bits")] {
            let mut session = on_gpu(context, model(), precision);
            assert_eq!(session.precision(), precision);
            let said = session.precision_note().unwrap();
            assert!(said.contains(note), "{said}");
            assert_eq!(block_on(session.run(&cat)).unwrap().top(1)[0].label, "cat");
        }
    }
}

/// The first layer's values are beyond 65504 and the last takes the factor back: nothing that f32 minds.
#[test]
fn a_network_that_16_bit_floats_cannot_hold_runs_in_f32_and_says_so() {
    let model = Model::builtin().unwrap();
    let mut loaded = model.details().clone();
    let graph = &mut loaded.graph;
    let layers: Vec<_> = graph.nodes().iter().filter(|node| !node.op.params().is_empty()).collect();
    let [first, last] = [layers[0], layers[layers.len() - 1]].map(|node| node.op.params());
    // All between are ReLU networks without a scale of their own but for biases, which are zeroed.
    let scaled = |graph: &foveate::Graph, id, factor: f32| {
        let tensor = graph.params().tensor(id);
        Tensor::new(tensor.shape(), tensor.data().iter().map(|v| v * factor).collect::<Vec<f32>>()).unwrap()
    };
    let biases: Vec<_> = layers.iter().flat_map(|node| node.op.params()).filter(|(role, _)| *role == "bias").collect();
    let changed: Vec<_> = (biases.iter().map(|(_, id)| (*id, 0.0)))
        .chain([(first[0].1, 1e6), (last[0].1, 1e-6)])
        .map(|(id, factor)| (id, scaled(graph, id, factor)))
        .collect();
    changed.into_iter().for_each(|(id, tensor)| graph.set_param(id, tensor).unwrap());
    let model = Model::unfused(loaded).unwrap();
    let logits = |session: &mut Session| block_on(session.run(&picture("cat.png"))).unwrap();
    let mut cpu = block_on(Session::builder().model(model.clone()).device(DeviceChoice::Cpu).load()).unwrap();
    let expected = logits(&mut cpu);
    for context in device::contexts() {
        let mut session = on_gpu(context, model.clone(), Precision::F16);
        assert_eq!(session.precision(), Precision::F32);
        let said = session.precision_note().unwrap().to_owned();
        assert!(said.contains("failed their self-test") && said.ends_with("f32 instead"), "{said}");
        assert_same(&logits(&mut session), &expected);
    }
}

#[test]
fn weights_of_8_bits_can_be_run_as_floats() {
    let w8 = Model::builtin().unwrap().with_precision(Precision::W8).unwrap();
    assert_eq!(w8.precision(), Precision::W8);
    let f32 = w8.clone().with_precision(Precision::F32).unwrap();
    assert_eq!(f32.precision(), Precision::F32);
    let first = |model: &Model| model.graph().params().iter().next().unwrap().1.tensor.clone();
    assert_eq!(first(&w8), first(&f32));
    assert_ne!(first(&w8), first(&Model::builtin().unwrap()));
}

fn own_device() -> (wgpu::Device, wgpu::Queue) {
    let context = device::fresh().unwrap();
    (context.device().clone(), context.queue().clone())
}

#[test]
fn a_borrowed_device_that_is_lost_is_reported_and_can_be_replaced() {
    if device::contexts().is_empty() {
        return;
    }
    let (device, queue) = own_device();
    let mut session = block_on(Session::builder().wgpu(device.clone(), queue).load()).unwrap();
    assert_eq!(session.device().kind, DeviceKind::Gpu);
    let cat = picture("cat.png");
    let expected = block_on(on_cpu(1).run(&cat)).unwrap();
    assert_same(&block_on(session.run(&cat)).unwrap(), &expected);
    device.destroy();
    for _ in 0..2 {
        let error = block_on(session.run(&cat)).unwrap_err();
        assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
    }
    let (device, queue) = own_device();
    block_on(session.rebuild(device, queue)).unwrap();
    assert_same(&block_on(session.run(&cat)).unwrap(), &expected);
}

#[test]
fn a_model_file_written_and_read_back_is_the_same_network() {
    let model = Model::builtin().unwrap();
    let again = Model::from_bytes(&model.to_bytes().unwrap(), "copy", None, true).unwrap();
    assert_eq!(again.details(), model.details());
    assert!(again.fusion().is_none(), "it was fused before it was written");
}

#[test]
fn the_builtin_network_is_what_fuse_makes_of_the_training_checkpoint() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let model = Model::open(root.join("tests/data/cifar/S4.safetensors"), Some("qarepvgg-cifar"), true).unwrap();
    let proof = model.fusion().unwrap().proof.clone().unwrap();
    assert!(proof.max_rel > 0.0 && proof.max_rel < 1e-5, "{proof}");
    assert_eq!(model.to_bytes().unwrap(), std::fs::read(root.join("assets/cifar10-qarepvgg.safetensors")).unwrap());
}

/// Official checkpoints in both forms: whatever is rewritten is proved while loading.
#[test]
fn loading_a_checkpoint_proves_its_rewriting() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden");
    let mut loaded = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".train.safetensors") || name.ends_with(".deploy.safetensors") {
            let model = Model::open(&path, None, true).unwrap();
            let proof = model.fusion().unwrap().proof.clone().unwrap();
            assert!(proof.max_rel <= 1e-5 && proof.same_top1 && !proof.layer_by_layer, "{name}: {proof}");
            let again = Model::from_bytes(&model.to_bytes().unwrap(), name, None, true).unwrap();
            assert!(again.fusion().is_none() && again.graph() == model.graph(), "{name}");
            loaded += 1;
        }
    }
    assert_eq!(loaded, 32);
}

/// Whoever opens the file that `fuse` wrote need not know where the network came from.
#[test]
fn model_files_carry_imagenets_class_names() {
    let model = Model::random("mobileone-s0", 0, false).unwrap();
    assert_eq!((model.classes(), model.labels().unwrap()[281].as_str()), (1000, "tabby"));
    let again = Model::from_bytes(&model.to_bytes().unwrap(), "again", None, false).unwrap();
    assert_eq!(again.labels(), model.labels());
    let other = model.clone().with_labels((0..1000).map(|class| format!("own {class}")).collect()).unwrap();
    let again = Model::from_bytes(&other.to_bytes().unwrap(), "again", None, false).unwrap();
    assert_eq!(again.labels().unwrap()[281], "own 281");
}

/// A network runs in training form too, and says which form it has.
#[test]
fn an_unfused_model_runs_as_it_was_loaded() {
    use foveate::models::Form;
    let loaded = Model::random_checkpoint("repvgg-cifar", 5).unwrap();
    let [train, fused] = [Model::unfused(loaded.clone()).unwrap(), Model::fused(loaded.clone(), true).unwrap()];
    assert_eq!((train.details().form, fused.details().form), (Form::Train, Form::Fused));
    assert!(train.fusion().is_none() && fused.fusion().is_some());
    assert_eq!(*train.graph(), loaded.graph);
    assert!(fused.graph().nodes().len() < train.graph().nodes().len());
    let picture = picture("cat.png");
    let logits = |model: Model| {
        let mut session = block_on(Session::builder().model(model).device(DeviceChoice::Cpu).load()).unwrap();
        block_on(session.run(&picture)).unwrap().logits().to_vec()
    };
    let (a, b) = (logits(train), logits(fused));
    let largest = a.iter().fold(0f32, |m, v| m.max(v.abs()));
    let apart = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(apart > 0.0 && apart < 1e-5 * largest, "{apart} of {largest}");
}

/// An answer that means nothing is refused, whether all logits are read back or only the best.
#[test]
fn logits_that_overflow_are_refused_on_every_device() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(root.join("tests/data/cifar/S4.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let huge: Vec<u8> =
        std::iter::repeat_n(f32::MAX.to_le_bytes(), tensors.tensor("linear.weight").unwrap().data().len() / 4)
            .flatten()
            .collect();
    let changed = tensors.tensors().into_iter().map(|(name, view)| {
        let data = if name == "linear.weight" { &huge } else { view.data() };
        let view = safetensors::tensor::TensorView::new(view.dtype(), view.shape().to_vec(), data).unwrap();
        (name, view)
    });
    let changed = safetensors::serialize(changed, None).unwrap();
    let model = Model::from_bytes(&changed, "huge", Some("qarepvgg-cifar"), false).unwrap();
    let builder = || Session::builder().model(model.clone());
    let mut sessions = vec![block_on(builder().device(DeviceChoice::Cpu).load()).unwrap()];
    for context in device::contexts() {
        let choice = DeviceChoice::Named(context.summary().name.clone());
        let backend = foveate::gpu::parse_backend(context.summary().backend).unwrap();
        sessions.push(block_on(builder().device(choice).backend(backend).load()).unwrap());
    }
    let cat = picture("cat.png");
    for session in &mut sessions {
        let errors = [block_on(session.run(&cat)).err(), block_on(session.classify(&cat, 3)).err()];
        for error in errors {
            let Some(Error::NotFinite { class, value, .. }) = error else { panic!("{}: {error:?}", session.device()) };
            assert_eq!((class, value), (0, f32::INFINITY));
        }
    }
}
