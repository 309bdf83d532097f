//! Sessions, executors, tuning and profiles on a GPU, with arguments that nobody means. Without a device nothing runs:
//! `tests/device`.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use foveate::bench::{Device, Frames, Mode, Network};
use foveate::gpu::{Bench, ExecutorOptions, GpuContext, GpuExecutor, PipelineCache, Stepwise};
use foveate::kernels::TensorId;
use foveate::profile;
use foveate::roofline::{self, Ceilings};
use foveate::session::precision;
use foveate::tune;
use proptest::test_runner::{TestCaseError, TestRunner};

use super::*;

/// Sessions of the first device.
pub(super) fn builder(context: &GpuContext) -> SessionBuilder {
    Session::builder().wgpu(context.device().clone(), context.queue().clone())
}

/// One device is enough: what is looked at here is the host's.
pub(super) fn context() -> Option<&'static GpuContext> {
    device::contexts().first()
}

pub(super) fn run<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    TestRunner::new(config(cases)).run(&strategy, test).unwrap();
}

#[test]
fn sessions_that_nobody_means() {
    let Some(context) = context() else { return };
    let strategy = (
        prop_oneof![2 => 1usize..4, 1 => size()],
        prop::option::of([prop_oneof![1usize..70, size()], prop_oneof![1usize..70, size()]]),
        vec(name(), 0..2),
        prop_oneof![1 => Just(u64::MAX), 1 => any::<u64>(), 1 => 0u64..4096],
        vec(any::<u8>(), 0..70),
        0usize..4,
    );
    run(16, strategy, |(batch, sides, wanted, budget, compiled, precision)| {
        let precision = [Precision::F32, Precision::F16, Precision::W8, Precision::W8a8][precision];
        let mut made = builder(context).batch(batch).precision(precision).features(wanted).memory_budget(budget);
        made = made.pipeline_cache(PipelineCache::Bytes(compiled));
        if let Some([height, width]) = sides {
            // As large as the caller says is no defect.
            if height.saturating_mul(width) < 1 << 12 || height > 1 << 20 || width > 1 << 20 {
                made = made.input_size(height, width);
            }
        }
        let Some(mut session) = judge(block_on(made.load())) else { return Ok(()) };
        let picture = Picture::from_rgb(3, 2, &[9; 18]).unwrap();
        prop_assert_eq!(judge(block_on(session.classify(&picture, usize::MAX))).map(|top| top.len()), Some(10));
        Ok(())
    });
}

#[test]
fn runs_that_nobody_means() {
    let Some(context) = context() else { return };
    let session = RefCell::new(block_on(builder(context).batch(2).stage_features().load()).unwrap());
    let strategy = (
        (prop_oneof![1u32..9, 1000u32..9000], 1u32..9),
        0usize..4,
        size(),
        prop_oneof![tensor(), (0usize..4, float()).prop_map(|(n, value)| filled(vec![n, 3, 32, 32], value))],
        any::<bool>(),
    );
    run(60, strategy, |((width, height), count, top, tensor, stamped)| {
        let mut session = session.borrow_mut();
        let picture = Picture::from_rgb(width, height, &vec![width as u8; (width * height * 3) as usize]).unwrap();
        let pictures = vec![picture; count];
        let right = (1..=2).contains(&count);
        judge(block_on(session.stamp_runs(stamped)));
        prop_assert_eq!(judge(block_on(session.classify_batch(&pictures, top))).is_some(), right);
        prop_assert_eq!(judge(block_on(session.run_batch(&pictures))).is_some(), right);
        prop_assert_eq!(judge(block_on(session.features_batch(&pictures))).is_some(), right);
        judge(block_on(session.gpu_time()));
        let flights = [(); 3].map(|()| judge(session.submit(&pictures, top)));
        for flight in flights.into_iter().flatten().skip(1) {
            judge(block_on(flight.wait()));
        }
        if let Some(tensor) = tensor {
            judge(block_on(session.run_tensor(&tensor)));
            judge(block_on(session.features_of_tensor(&tensor)));
            let executor = session.gpu().unwrap();
            judge(block_on(executor.top_tensor(&tensor)));
            judge(executor.submit_tensor(&tensor));
        }
        let executor = session.gpu().unwrap();
        judge(block_on(executor.read_tensor(TensorId(top as u32))));
        judge(block_on(executor.profile_pictures(&pictures)));
        Ok(())
    });
}

/// A run goes on when its session is dropped; a device that is gone is an error, however often it is asked.
#[test]
fn what_is_gone_is_an_error() {
    let Some(context) = device::fresh() else { return };
    let picture = Picture::from_rgb(2, 2, &[200; 12]).unwrap();
    let mut session = block_on(builder(&context).load()).unwrap();
    let flight = session.submit(std::slice::from_ref(&picture), 3).unwrap();
    drop(session);
    assert_eq!(block_on(flight.wait()).unwrap().answers[0].len(), 3);
    let mut session = block_on(builder(&context).load()).unwrap();
    let flight = judge(session.submit(std::slice::from_ref(&picture), 3));
    context.device().destroy();
    flight.map(|flight| judge(block_on(flight.wait())));
    for _ in 0..2 {
        assert!(judge(block_on(session.classify(&picture, 3))).is_none());
        assert!(judge(block_on(session.run_tensor(&Tensor::zeros([1, 3, 32, 32])))).is_none());
        judge(block_on(session.stamp_runs(true)));
        judge(block_on(session.gpu_time()));
        assert!(judge(block_on(session.gpu().unwrap().read_tensor(TensorId(0)))).is_none());
        assert!(judge(block_on(session.reopen())).is_none());
        assert!(judge(block_on(builder(&context).load())).is_none());
    }
    let plan = Plan::for_target(Model::builtin().unwrap().graph(), 1, &[], context.target()).unwrap();
    assert!(judge(block_on(GpuExecutor::new(&context, plan.clone(), ExecutorOptions::default()))).is_none());
    assert!(judge(block_on(Bench::new(&context, plan, false))).is_none());
}

/// Tensors and steps of another plan.
#[test]
fn what_is_another_plans_is_an_error() {
    let Some(context) = context() else { return };
    let plan = Plan::for_target(Model::builtin().unwrap().graph(), 1, &[], context.target()).unwrap();
    let mut small = Graph::new("small", Shape::new(4, 2, 2));
    let pool = small.add("pool", GlobalAvgPool, &[small.input()]).unwrap();
    small.set_output(pool);
    let small = Plan::for_target(&small, 1, &[], context.target()).unwrap();
    let mut bench = block_on(Bench::new(context, small, false)).unwrap();
    for tensor in [TensorId(99), TensorId(u32::MAX)] {
        assert!(judge(block_on(bench.read(tensor))).is_none());
        assert!(judge(block_on(bench.write(tensor, &[1.0]))).is_none());
    }
    for values in [0, 1, 15, 16] {
        assert!(judge(block_on(bench.write(TensorId(0), &vec![f32::NAN; values]))).is_some(), "{values}");
    }
    assert!(judge(block_on(bench.write(TensorId(0), &vec![0.5; 1 << 20]))).is_none());
    assert!(judge(block_on(bench.compile(&plan.steps))).is_none());
    let compiled = judge(block_on(bench.compile(&[]))).unwrap();
    judge(block_on(bench.run(&[&compiled], 1000)));
    judge(block_on(bench.run(&[], 0)));
    judge(block_on(bench.profile(&compiled)));
}

#[test]
fn tuning_and_profiling_that_nobody_means() {
    let Some(context) = context() else { return };
    let graph = Model::builtin().unwrap().graph().clone();
    let whole = prop::sample::select(vec![Duration::ZERO, Duration::from_millis(50), Duration::MAX]);
    let bound = prop::sample::select(vec![0.0, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE]);
    let strategy = (prop_oneof![2 => Just(1usize), 1 => size()], whole, bound, any::<u64>(), 0usize..40);
    run(8, strategy, |(batch, time, bound, seed, left)| {
        let target = context.target();
        let (repay, max_compile) = (Some(bound), time);
        let options =
            tune::Options { batch, budget: time, bound, repay, max_compile, seed, ..tune::Options::new(&target) };
        // What is too large for the device it says; what is only large takes its time.
        if (9..1 << 20).contains(&batch) {
            return Ok(());
        }
        let mut left = left;
        let watch = &mut |_: tune::Progress<'_>| {
            left = left.saturating_sub(1);
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        if let Some(outcome) = judge(block_on(tune::tune(context, &graph, &target, &options, watch))) {
            outcome.changes();
        }
        Ok(())
    });
    let mut session = block_on(builder(context).load()).unwrap();
    let picture = Picture::from_rgb(3, 2, &[9; 18]).unwrap();
    let ceilings = Ceilings { read_gb_s: f64::NAN, dispatch_us: f64::INFINITY, ..Ceilings::default() };
    for stepwise in [None, Some(Stepwise::InsidePass), Some(Stepwise::Passes), Some(Stepwise::Repeated)] {
        for count in 0..3 {
            let options = profile::Options { warm_ups: count, runs: 0, most: Duration::ZERO, stepwise };
            let pictures = vec![picture.clone(); count];
            let device = Device::default();
            judge(block_on(profile::profile(&mut session, device, &pictures, Some(ceilings), &options)));
        }
    }
    let options = roofline::Options { bytes: 0, least: Duration::ZERO, runs: 0 };
    judge(block_on(roofline::measure(context, &options)));
    let frames = Rc::new(Frames::new([1, 1]).unwrap());
    let mut network = judge(block_on(Network::new(session, "", true, frames, Mode::Throughput))).unwrap();
    network.quantized_in(Some(f64::NAN));
    for runs in [0, 1] {
        judge(block_on(foveate::bench::Subject::burst(&mut network, runs)));
    }
}

#[test]
fn formats_that_nobody_measures() {
    let Some(context) = context() else { return };
    let model = Model::builtin().unwrap();
    for batch in [0, usize::MAX, 1 << 40] {
        let device = DeviceChoice::Named(context.summary().name.clone());
        let (budget, store) = (Duration::ZERO, tune::Store::default());
        let options = precision::Options { device, backend: None, batch, budget, safe_shaders: false, store };
        assert!(judge(block_on(precision::measure(&model, &options))).is_none());
    }
}
