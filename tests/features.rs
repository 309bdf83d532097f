//! Intermediate values: those of the reference implementations, the same on CPU and GPU, branches,
//! strides, other input sizes, names.

mod device;

use std::path::{Path, PathBuf};

use foveate::checkpoint::Checkpoint;
use foveate::cpu::CpuExecutor;
use foveate::features::{self, Features};
use foveate::gpu::GpuContext;
use foveate::{DeviceChoice, Error, Model, Picture, Session, SessionBuilder, Shape, Tensor, checkpoint};
use pollster::block_on;

/// DESIGN 7: values of whole networks, of the largest.
const BOUND: f32 = 1e-4;

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden").join(file)
}

fn picture(file: &str) -> Picture {
    Picture::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(file)).unwrap()
}

fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.shape(), expected.shape(), "{what}");
    let largest = expected.data().iter().fold(0f32, |m, v| m.max(v.abs()));
    let apart = found.data().iter().zip(expected.data()).map(|(a, b)| (a - b).abs());
    let worst = apart.fold(0f32, |m, d| if d.is_nan() { f32::INFINITY } else { m.max(d) });
    assert!(largest > 0.0 && worst <= BOUND * largest, "{what}: off by {worst}, largest value {largest}");
}

/// A session on the CPU, and one on the first GPU.
fn everywhere(builder: &SessionBuilder) -> Vec<(String, Session)> {
    sessions(builder, device::contexts().get(..1).unwrap_or_default())
}

/// A session on the CPU, and one on each of these. Tests run at the same time, and wgpu waits no
/// more than a second for a GL device that another thread uses: only one test may take that.
fn sessions(builder: &SessionBuilder, contexts: &[GpuContext]) -> Vec<(String, Session)> {
    let mut sessions = vec![("CPU".to_owned(), block_on(builder.clone().device(DeviceChoice::Cpu).load()).unwrap())];
    for context in contexts {
        let borrowed = builder.clone().wgpu(context.device().clone(), context.queue().clone());
        sessions.push((context.summary().backend.to_owned(), block_on(borrowed.load()).unwrap()));
    }
    sessions
}

#[test]
fn stage_outputs_are_those_of_the_reference_implementations() {
    let index: serde_json::Value = serde_json::from_slice(&std::fs::read(golden("index.json")).unwrap()).unwrap();
    let mut compared = 0;
    for set in index.as_object().unwrap().keys().filter(|set| !set.starts_with("timm")) {
        let io = Checkpoint::read(&std::fs::read(golden(&format!("{set}.io.safetensors"))).unwrap(), set).unwrap();
        let &[n, _, h, w] = io.tensors["input"].shape() else { panic!("{set}") };
        let model = Model::open(golden(&format!("{set}.train.safetensors")), None, false).unwrap();
        let builder = Session::builder().model(model).input_size(h, w).batch(n).stage_features();
        for (place, mut session) in everywhere(&builder) {
            let found = block_on(session.features_of_tensor(&io.tensors["input"])).unwrap();
            assert_close(
                &format!("{set}, logits, {place}"),
                found.output(),
                &io.tensors["logits"].clone().reshape([n, 10, 1, 1]).unwrap(),
            );
            assert_eq!(found.iter().len(), 5, "{set}");
            for stage in 0..5 {
                let name = format!("stage{stage}");
                let map = found.get(&name).unwrap();
                assert_eq!(map.stage(), Some(name.as_str()));
                assert_close(&format!("{set}, {name}, {place}"), map.tensor(), &io.tensors[&name]);
                compared += usize::from(place == "CPU");
            }
        }
    }
    assert_eq!(compared, 13 * 5);
}

/// What the branches of the unfused mixers make of the same input. Chunks of 2 and of 3 channels lie
/// in planes of four on the GPU.
#[test]
fn branches_of_a_token_mixer_are_those_of_the_unfused_network() {
    let mut compared = 0;
    for set in ["repnext_tiny", "repnext_tiny_c12"] {
        let file = golden(&format!("{set}.train.safetensors"));
        let model = Model::open(&file, None, false).unwrap().with_input_size(64, 96).unwrap();
        let input = model.preprocess().apply(&picture("coffee.jpg")).unwrap();
        let train = checkpoint::load_file(&file, None).unwrap().graph.with_input(Shape::new(3, 64, 96)).unwrap();
        let mixers = features::mixers(model.graph());
        assert_eq!(mixers.len(), 8, "{mixers:?}");
        let parts = |mixer: &str| match mixer.contains("downsample") {
            true => vec![("S", "conv_s.add"), ("M", "conv_m.add")],
            false => vec![("identity", "chunk.identity"), ("S", "conv_s.add"), ("M", "conv_m.add"), ("L", "conv_l.1")],
        };
        let wanted: Vec<_> = mixers
            .iter()
            .flat_map(|mixer| parts(mixer).into_iter().map(move |(_, part)| format!("{mixer}.{part}")))
            .map(|name| train.find(&name).unwrap_or_else(|| panic!("{name}")))
            .collect();
        let (_, expected) = CpuExecutor::new(train.clone()).unwrap().run_with(&input, &wanted).unwrap();
        for (place, mut session) in everywhere(&Session::builder().model(model).features(&mixers)) {
            let found = block_on(session.features_of_tensor(&input)).unwrap();
            let mut expected = expected.iter();
            for mixer in &mixers {
                let branches = found.get(mixer).unwrap().branches().unwrap();
                let names: Vec<&str> = branches.iter().map(|b| b.name).collect();
                assert_eq!(names, parts(mixer).iter().map(|p| p.0).collect::<Vec<_>>());
                for branch in &branches {
                    // The norm of downsampling is folded back into its branches.
                    let expected = expected.next().unwrap();
                    if !mixer.contains("downsample") {
                        assert_close(&format!("{set}, {mixer}, {}, {place}", branch.name), &branch.tensor, expected);
                        compared += 1;
                    }
                    assert_eq!(branch.tensor.shape(), expected.shape());
                }
            }
        }
    }
    assert_eq!(compared, 2 * 5 * 4 * (1 + device::contexts().len().min(1)));
}

#[test]
fn kernels_of_branches_are_named() {
    let model = Model::open(golden("repnext_tiny.deploy.safetensors"), None, false).unwrap();
    let names = ["stages.0.blocks.0.token_mixer", "stages.1.downsample.token_mixer", "stage1"];
    let mut session =
        block_on(Session::builder().model(model).features(names).device(DeviceChoice::Cpu).load()).unwrap();
    let found = block_on(session.features(&picture("cat.png"))).unwrap();
    let kernels = |name: &str| -> Vec<String> {
        found.get(name).unwrap().branches().unwrap().into_iter().map(|b| format!("{} {}", b.name, b.kernel)).collect()
    };
    assert_eq!(kernels(names[0]), ["identity ", "S 3×3", "M 7×7", "L 1×11→11×1"]);
    assert_eq!(kernels(names[1]), ["S 3×3", "M 7×7"]);
    assert!(kernels("stage1").is_empty(), "no mixer");
}

#[test]
fn heads_get_their_maps_by_stride_at_any_input_size() {
    let model = Model::open(golden("repnext_tiny.train.safetensors"), None, false).unwrap();
    let builder = Session::builder().model(model).input_size(64, 160).stage_features().batch(2);
    let pictures = ["coffee.jpg", "cat.png"].map(picture);
    let mut expected: Option<Features> = None;
    for (place, mut session) in everywhere(&builder) {
        assert_eq!(session.model().preprocess().crop, [64, 160]);
        let found = block_on(session.features_batch(&pictures)).unwrap();
        for (stride, channels) in [(4, 8), (8, 16), (16, 32), (32, 64)] {
            let map = found.at_stride(stride).unwrap();
            assert_eq!(map.tensor().shape(), [2, channels, 64 / stride, 160 / stride], "{place}");
            assert_eq!(map.stride(), Some([stride; 2]));
            if let Some(expected) = &expected {
                assert_close(
                    &format!("stride {stride}, {place}"),
                    map.tensor(),
                    expected.at_stride(stride).unwrap().tensor(),
                );
            }
        }
        assert_eq!(found.at_stride(4).unwrap().stage(), Some("stage1"), "the deeper of stem and first stage");
        assert!(found.at_stride(2).is_none() && found.at_stride(64).is_none());
        // Keeping values changes no answer.
        let mut plain = block_on(builder_without_features().load()).unwrap();
        let (kept, plain) = (block_on(session.run(&pictures[0])).unwrap(), block_on(plain.run(&pictures[0])).unwrap());
        assert_eq!(kept.top(1)[0].class, plain.top(1)[0].class);
        expected.get_or_insert(found);
    }
}

fn builder_without_features() -> SessionBuilder {
    let model = Model::open(golden("repnext_tiny.train.safetensors"), None, false).unwrap();
    Session::builder().model(model).input_size(64, 160).device(DeviceChoice::Cpu)
}

#[test]
fn strides_do_not_depend_on_the_input_size() {
    let model = Model::open(golden("repvgg_tiny.deploy.safetensors"), None, false).unwrap();
    for side in [7, 33, 224] {
        let model = model.clone().with_input_size(side, side).unwrap();
        let strides: Vec<_> = features::select(model.graph(), &features::stages(model.graph())).unwrap();
        let strides: Vec<_> = strides.iter().map(|s| s.stride).collect();
        assert_eq!(strides, [2, 4, 8, 16, 32].map(|s| Some([s; 2])), "{side}");
        let ends = features::select(model.graph(), &["input", "linear"]).unwrap();
        assert_eq!((ends[0].stride, ends[1].stride), (Some([1; 2]), None));
    }
}

#[test]
fn any_node_can_be_kept_the_input_too() {
    let names = ["linear", "stage1", "input", "stage1.1", "gap"];
    let cat = picture("cat.png");
    let input = Model::builtin().unwrap().preprocess().apply(&cat).unwrap();
    for (place, mut session) in sessions(&Session::builder().features(names), device::contexts()) {
        let found = block_on(session.features(&cat)).unwrap();
        assert_eq!(found.iter().map(|map| map.node()).collect::<Vec<_>>(), ["linear", "stage1.1", "input", "gap"]);
        assert_eq!(found.get("stage1").unwrap().tensor(), found.get("stage1.1").unwrap().tensor());
        assert_eq!(found.get("linear").unwrap().tensor(), found.output(), "{place}");
        assert_close(&place, found.get("input").unwrap().tensor(), &input);
        assert!(found.get("stage2").is_none() && found.at_stride(4).is_none());
        assert_eq!(found.at_stride(2).unwrap().node(), "stage1.1");
    }
}

#[test]
fn wrong_names_and_sizes_are_refused_with_a_way_out() {
    let refused = |builder: SessionBuilder| block_on(builder.load()).err().unwrap().to_string();
    let mixer =
        || Session::builder().model(Model::open(golden("repnext_tiny.train.safetensors"), None, false).unwrap());
    for (builder, wants) in [
        (Session::builder().features(["stage7"]), vec!["no node \"stage7\"", "stage1", "--list"]),
        (Session::builder().features([""]), vec!["no node \"\""]),
        (Session::builder().features(["stage1.0.rbr_dense.conv"]), vec!["folded", "ask for \"stage1.0\""]),
        (mixer().features(["stages.0.blocks.0.token_mixer.conv_s.add"]), vec!["\"stages.0.blocks.0.token_mixer\""]),
        (mixer().features(["stages.0.blocks.0.norm"]), vec!["folded", "stages.0.blocks.0.channel_mixer.0"]),
        (Session::builder().input_size(0, 32), vec!["crop rows is 0"]),
        (Session::builder().input_size(32, 100_000), vec!["resize.shorter is 100000", "8192"]),
        (Session::builder().input_size(usize::MAX, 32), vec!["8192"]),
    ] {
        let message = refused(builder);
        wants.iter().for_each(|want| assert!(message.contains(want), "{want:?} is not in: {message}"));
    }
    let mut session = block_on(Session::builder().device(DeviceChoice::Cpu).load()).unwrap();
    let error = block_on(session.features(&picture("cat.png"))).unwrap_err();
    assert!(matches!(&error, Error::Argument(m) if m.contains("stage_features")), "{error}");
    let mut session = block_on(Session::builder().device(DeviceChoice::Cpu).stage_features().load()).unwrap();
    assert!(block_on(session.features_batch::<Picture>(&[])).is_err());
    assert!(block_on(session.features_of_tensor(&Tensor::zeros([2, 3, 32, 32]))).is_err());
}

#[test]
fn the_crop_keeps_its_share_of_the_picture() {
    let mut model = Model::open(golden("repnext_tiny.train.safetensors"), None, false).unwrap();
    let before = model.preprocess().clone();
    for [height, width] in [[320, 480], [480, 320], [1, 1], [224, 224]] {
        model = model.with_input_size(height as usize, width as usize).unwrap();
        let now = model.preprocess();
        assert_eq!(now.crop, [height, width]);
        let wanted = f64::from(before.resize.shorter) / f64::from(before.crop[0]) * f64::from(height.max(width));
        // Each change rounds up once.
        assert!((0.0..=3.0).contains(&(f64::from(now.resize.shorter) - wanted)) || height == 224, "{now:?}");
        now.validate().unwrap();
    }
}

#[test]
fn values_go_to_safetensors_and_pictures_to_png() {
    let mut session = block_on(Session::builder().stage_features().device(DeviceChoice::Cpu).load()).unwrap();
    let runs =
        ["cat", "horse"].map(|name| (name, block_on(session.features(&picture(&format!("{name}.png")))).unwrap()));
    let file = Checkpoint::read(&features::to_safetensors(&runs).unwrap(), "features").unwrap();
    assert_eq!(file.tensors.len(), 8);
    for (name, found) in &runs {
        for map in found {
            assert_eq!(&file.tensors[&format!("{name}/{}", map.node())], map.tensor());
        }
    }
    let stages: std::collections::BTreeMap<String, String> = serde_json::from_str(&file.metadata["stages"]).unwrap();
    assert_eq!(stages["stage2"], "stage2.2");
    let [(_, cat), (_, horse)] = runs;
    let same = features::to_safetensors(&[("", cat), ("", horse)]).unwrap_err().to_string();
    assert!(same.contains("stage0"), "{same}");
    let drawn = picture("cat.png");
    assert_eq!(Picture::decode(&drawn.to_png().unwrap(), "again").unwrap(), drawn);
}
