//! The public API with arguments that nobody means: each call returns, an error if need be, and takes no more
//! memory than what it was given is worth. Files' contents are tests/fuzz's affair.
//!
//! A test program of its own, because it counts the largest allocation of the process.

mod device;
#[path = "no_panic/gpu.rs"]
mod gpu;
#[path = "no_panic/gpu_parts.rs"]
mod gpu_parts;
#[path = "no_panic/measuring.rs"]
mod measuring;
#[path = "no_panic/rewrites.rs"]
mod rewrites;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foveate::eval::Tally;
use foveate::features::{self, Style};
use foveate::kernels::{Target, Tile};
use foveate::ops::*;
use foveate::plan::Plan;
use foveate::preprocess::{Filter, Resize};
use foveate::quant::{CalibrationSet, Options, quantize};
use foveate::{
    DeviceChoice, Error, Graph, Model, Picture, Precision, Preprocess, Session, SessionBuilder, Shape, Tensor, labels,
};
use pollster::block_on;
use proptest::collection::vec;
use proptest::prelude::*;

struct Counting;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system allocator's; it is only looked at.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

/// The most that is allocated at once by anything here: the built-in network's file is less than a megabyte.
const MOST: usize = 64 << 20;

fn modest() {
    let largest = LARGEST.load(Relaxed);
    assert!(largest <= MOST, "{largest} bytes were allocated at once");
}

/// Sizes: small ones, powers of two and their neighbours, and the largest.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0usize..9,
        2 => 0usize..300,
        2 => (0u32..64, 0usize..3).prop_map(|(bit, less)| (1usize << bit).saturating_add(1).saturating_sub(less)),
        1 => Just(usize::MAX),
    ]
}

fn side() -> impl Strategy<Value = u32> {
    size().prop_map(|size| u32::try_from(size).unwrap_or(u32::MAX))
}

fn float() -> impl Strategy<Value = f32> {
    prop_oneof![3 => -2f32..2.0, 1 => proptest::num::f32::ANY]
}

fn name() -> impl Strategy<Value = String> {
    let known = ["", "stage0", "stage9", "repvgg-cifar", "repvgg-a0", "mobileone-s0", "imagenet1k", "fc", "ö\u{0}%s{}"];
    prop_oneof![2 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "[a-zé/ .\u{0}-]{0,12}"]
}

fn preprocess() -> impl Strategy<Value = Preprocess> {
    let filter = prop_oneof![Just(Filter::Bilinear), Just(Filter::Bicubic)];
    (side(), filter, [side(), side()], [float(), float(), float()], [float(), float(), float()]).prop_map(
        |(shorter, filter, crop, mean, std)| Preprocess { resize: Resize { shorter, filter }, crop, mean, std },
    )
}

/// As many values as fit the shape, where there are few of them.
fn filled(shape: Vec<usize>, value: f32) -> Option<Tensor> {
    let count = shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side));
    // Some sizes may be anything where another is zero.
    let count = if shape.contains(&0) { 0 } else { count.filter(|count| *count < 1 << 16)? };
    Tensor::new(shape, vec![value; count]).ok()
}

fn tensor() -> impl Strategy<Value = Option<Tensor>> {
    (vec(size(), 0..6), float()).prop_map(|(shape, value)| filled(shape, value))
}

/// The built-in network's.
fn plan() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| Plan::new(Model::builtin().unwrap().graph(), 1, &[]).unwrap())
}

/// Errors say something, and nothing has taken much memory.
fn judge<T>(result: Result<T, Error>) -> Option<T> {
    modest();
    result.map_err(|error| assert!(error.to_string().len() > 10, "{error:?}")).ok()
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn pictures(width in side(), height in side(), bytes in vec(any::<u8>(), 0..70)) {
        judge(Picture::from_rgb(width, height, &bytes));
        judge(Picture::from_rgba(width, height, bytes));
    }

    #[test]
    fn preprocessing(preprocess in preprocess(), width in side(), height in side(), small in [1u32..40, 1u32..40]) {
        judge(preprocess.validate());
        judge(preprocess.resized(width, height));
        preprocess.levels();
        modest();
        let [width, height] = small;
        let picture = Picture::from_rgb(width, height, &vec![7; (width * height * 3) as usize]).unwrap();
        // What it makes has the size that it is told; that is the caller's to choose.
        if preprocess.crop.iter().all(|side| *side < 300) {
            judge(preprocess.apply(&picture));
            judge(preprocess.apply_into(&picture, &mut [0.0; 3]));
        }
    }

    #[test]
    fn operators(
        attributes in vec(size(), 8), shape in [size(), size(), size()], weights in vec(size(), 0..5), op in 0usize..12,
        factor in float(),
    ) {
        let [a, b, c, d, e, f, g, h]: [usize; 8] = attributes.try_into().unwrap();
        let mut graph = Graph::new("any", Shape::new(shape[0], shape[1], shape[2]));
        let weight = graph.param("weight", filled(weights, factor).unwrap_or_else(|| Tensor::zeros([1, 1, 1, 1])));
        let bias = (a % 2 == 0).then_some(weight);
        let depthwise = Depthwise { weight, bias: weight };
        let activation = Activation::Relu;
        let input = graph.input();
        let made: Op = match op {
            0 => {
                let (stride, padding, dilation) = ([a, b], [c, d], [e, f]);
                Conv2d { weight, bias, stride, padding, dilation, groups: g, activation }.into()
            }
            1 => AvgPool { kernel: a, stride: b, padding: c }.into(),
            2 => Linear { weight, bias, activation }.into(),
            3 => Slice { start: a, channels: h }.into(),
            4 => Scale { factor }.into(),
            5 => {
                let (gamma, beta, mean, variance) = (weight, weight, weight, weight);
                BatchNorm { gamma, beta, mean, variance, eps: factor, activation }.into()
            }
            6 => CopyConv { small: depthwise, medium: depthwise }.into(),
            7 => ChunkConv { small: depthwise, medium: depthwise, wide: depthwise, tall: depthwise }.into(),
            8 => Concat.into(),
            9 => Add { activation }.into(),
            10 => Gate { activation }.into(),
            _ => GlobalAvgPool.into(),
        };
        let inputs = vec![input; if op < 8 { 1 } else { a % 4 }];
        if let Some(made) = judge(graph.add("op", made, &inputs)) {
            graph.set_output(made);
            let _ = (graph.macs(), graph.weight_bytes(), graph.parameter_count());
            judge(graph.with_input(Shape::new(c, d, e)));
            // Plans have tables of channels: of millions, they take more than anything else may.
            let tables = |channels: usize| !(1 << 20..1 << 32).contains(&channels);
            if graph.nodes().iter().all(|node| tables(node.shape.channels)) {
                for target in [Target::default(), Target::software()] {
                    judge(Plan::for_target(&graph, h, &[input], target));
                }
            }
            let small = graph.nodes().iter().all(|node| node.shape.len() < 1 << 16);
            let sample = graph.input_shape();
            if small && let Some(executor) = judge(foveate::cpu::CpuExecutor::new(graph)) {
                judge(executor.run(&Tensor::zeros([1, sample.channels, sample.height, sample.width])));
                judge(executor.run(&Tensor::zeros([1, 1, 1, 1])));
            }
        }
    }

    #[test]
    fn tensors(
        tensor in tensor(), to in vec(size(), 0..5), part in size(), channels in size(), preprocess in preprocess(),
    ) {
        let Some(tensor) = tensor else { return Ok(()) };
        let style = Style { channels, ..Style::default() };
        judge(tensor.clone().reshape(to));
        judge(features::split_channels(&tensor, part));
        judge(features::draw_grid(&tensor, part, &style));
        judge(features::draw_input(&tensor, part, &preprocess));
        features::Stats::of(tensor.data());
        judge(CalibrationSet::new(vec![tensor.clone(), tensor]));
    }

    #[test]
    fn names(name in name(), bytes in vec(any::<u8>(), 0..200), prove in any::<bool>()) {
        judge(Model::from_bytes(&bytes, &name, Some(name.as_str()), prove));
        judge(Model::from_model_file(&bytes, &name));
        judge(labels::parse(&bytes, &name));
        let _ = (labels::named(&name), labels::normalised(&name));
        judge(foveate::gpu::parse_backend(&name));
        judge(foveate::predict::device(&name));
    }

    #[test]
    fn tiles(at in size(), pixels in size(), planes in size(), workgroup in side()) {
        let steps = &plan().steps;
        if let Some(step) = steps[at % steps.len()].with_tile(Tile { pixels, planes, workgroup }) {
            prop_assert!(step.shader().len() > 100 && step.workgroup() == workgroup);
        }
        modest();
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn sessions(
        batch in size(), sides in prop::option::of([size(), size()]), wanted in vec(name(), 0..3),
        names in prop::option::of(vec(name(), 0..12)), count in size(), tensor in tensor(), precision in 0usize..4,
        budget in any::<u64>(), stages in any::<bool>(),
    ) {
        let precision = [Precision::F32, Precision::F16, Precision::W8, Precision::W8a8][precision];
        let builder: SessionBuilder = Session::builder().device(DeviceChoice::Cpu).batch(batch).precision(precision);
        let mut builder = builder.features(wanted).memory_budget(budget);
        if let Some([height, width]) = sides {
            // As large as the caller says is no defect.
            if height.saturating_mul(width) < 1 << 12 || height > 8192 || width > 8192 {
                builder = builder.input_size(height, width);
            }
        }
        builder = if stages { builder.stage_features() } else { builder };
        builder = names.into_iter().fold(builder, SessionBuilder::labels);
        let Some(mut session) = judge(block_on(builder.load())) else { return Ok(()) };
        let picture = Picture::from_rgb(3, 2, &[9; 18]).unwrap();
        judge(block_on(session.classify(&picture, count)));
        judge(block_on(session.classify_batch(&[] as &[Picture], count)));
        judge(block_on(session.run_batch(&[picture.clone(), picture.clone()])));
        judge(block_on(session.features(&picture)));
        if let Some(answer) = judge(block_on(session.run(&picture))) {
            answer.top(count);
        }
        if let Some(tensor) = tensor {
            judge(block_on(session.run_tensor(&tensor)));
            judge(block_on(session.features_of_tensor(&tensor)));
        }
        if let Some(flight) = judge(session.submit(std::slice::from_ref(&picture), count)) {
            judge(block_on(flight.wait()));
        }
    }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn quantising(
        count in size(), shape in [size(), size(), size()], percentile in any::<f64>(), keep in vec(name(), 0..3),
        seed in any::<u64>(),
    ) {
        let model = Model::builtin().unwrap();
        let shape = Shape::new(shape[0], shape[1], shape[2]);
        let values = shape.channels.saturating_mul(shape.height).saturating_mul(shape.width).saturating_mul(count);
        // Noise of a size that is asked for is made; far more than there is memory for is not.
        let sensible = (values > 0 && values < 1 << 16) || values > 1 << 40;
        if sensible && let Some(set) = judge(CalibrationSet::noise(shape, count, seed)) {
            judge(set.part(count));
            set.spread(count);
            judge(quantize(&model, set, Options::plain()));
        }
        let set = CalibrationSet::noise(model.graph().input_shape(), 2, seed).unwrap();
        judge(quantize(&model, set, Options { percentile, keep_float: keep, ..Options::plain() }));
    }

    #[test]
    fn networks(name in name(), sides in [side(), side()], logits in vec(float(), 0..9), truth in size(), batch in size()) {
        let mut tally = Tally::new(logits.len());
        judge(tally.add(truth, &logits));
        let _ = (tally.all(), tally.confusions(), tally.matrix());
        let Some(architecture) = judge(foveate::models::Architecture::named(&name)) else { return Ok(()) };
        let preprocess = Preprocess { crop: sides, ..architecture.preprocess.clone() };
        judge(architecture.with_preprocess(preprocess));
        judge(foveate::predict::Demand::of(Model::builtin().unwrap().graph(), batch, true));
    }
}

/// What this found, once.
#[test]
fn found_before() {
    // A tile whose sizes overflow.
    for step in &plan().steps {
        for (pixels, planes) in [(usize::MAX, 0), (usize::MAX, 1), (1 << 63, 1), (1, usize::MAX), (1 << 62, 1 << 62)] {
            assert_eq!(step.with_tile(Tile { pixels, planes, workgroup: 1 }), None);
        }
    }
    // A window that reaches into the padding of a map of nothing.
    for (height, width) in [(0, 0), (0, 5), (usize::MAX, usize::MAX)] {
        let mut graph = Graph::new("empty", Shape::new(1, height, width));
        let error = graph.add("op", AvgPool { kernel: 1, stride: 1, padding: 1 }, &[graph.input()]).unwrap_err();
        assert!(error.to_string().contains("its input would"), "{error}");
    }
    // Sizes beside a zero.
    let tensor = Tensor::new([0, 2, usize::MAX, 2], vec![]).unwrap();
    assert!(features::split_channels(&tensor, 1).is_err());
    // As many tensors as there are numbers.
    let endless = Tensor::new([0, usize::MAX, 1, 1], vec![]).unwrap();
    assert!(features::split_channels(&endless, usize::MAX).is_err());
    judge(features::draw_grid(&tensor, 0, &Style::default()));
    let all = Shape::new(usize::MAX, usize::MAX, 2);
    assert!(CalibrationSet::noise(all, 1, 0).is_err() && Plan::new(&Graph::new("all", all), 1, &[]).is_err());
}

/// A panic and a large allocation would be noticed.
#[test]
fn this_test_can_fail() {
    assert!(std::panic::catch_unwind(|| Tensor::zeros([usize::MAX, 2])).is_err());
    drop(std::hint::black_box(Vec::<u8>::with_capacity(MOST / 2)));
    assert!(LARGEST.load(Relaxed) >= MOST / 2);
}
