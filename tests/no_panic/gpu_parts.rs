//! Parts of what runs on a GPU, each with arguments that nobody means: steps, textures, adapters, verifying, and values
//! that no network expects. Without a device nothing runs: `tests/device`.

use std::cell::RefCell;

use super::gpu::{builder, context, run};
use super::*;
use foveate::gpu::{Bench, DeviceRequest, ExecutorOptions, GpuContext, GpuExecutor, Stepwise, select_adapter};
use foveate::kernels::{Storage, TensorId};
use foveate::verify::{self, Subject, verify};
use foveate::wgpu::{Extent3d, Texture, TextureDescriptor, TextureDimension, TextureFormat, TextureUsages};

const PRECISIONS: [Precision; 4] = [Precision::F32, Precision::F16, Precision::W8, Precision::W8a8];

/// The built-in network in integers.
fn quantized() -> Model {
    let model = Model::builtin().unwrap();
    let set = CalibrationSet::noise(model.graph().input_shape(), 2, 0).unwrap();
    quantize(&model, set, Options::plain()).unwrap()
}

#[test]
fn steps_that_nobody_means() {
    let Some(context) = context() else { return };
    let plan = Plan::for_target(Model::builtin().unwrap().graph(), 1, &[], context.target()).unwrap();
    let steps = plan.steps.len();
    let preprocess = Some(Model::builtin().unwrap().preprocess().clone());
    let options = ExecutorOptions { preprocess, ..ExecutorOptions::default() };
    let executor = RefCell::new(block_on(GpuExecutor::new(context, plan, options)).unwrap());
    let place = prop_oneof![0usize..40, size()];
    let strategy = (place.clone(), vec(any::<u32>(), 0..70), [place.clone(), place], 0usize..3, 0usize..3);
    run(60, strategy, |(tensor, words, [from, to], count, how)| {
        let mut executor = executor.borrow_mut();
        let tensor = TensorId(u32::try_from(tensor).unwrap_or(u32::MAX));
        judge(block_on(executor.write_tensor(tensor, &words)));
        judge(block_on(executor.read_tensor(tensor)));
        let ran = judge(block_on(executor.run_steps(from..to))).is_some();
        prop_assert_eq!(ran, from <= to && to <= steps);
        let pictures = vec![Picture::from_rgb(3, 2, &[9; 18]).unwrap(); count];
        prop_assert_eq!(judge(block_on(executor.prepare_pictures(&pictures))).is_some(), count == 1);
        let stepwise = [Stepwise::InsidePass, Stepwise::Passes, Stepwise::Repeated][how];
        // Devices need not have each of them.
        judge(block_on(executor.time_steps(&pictures, stepwise)));
        judge(block_on(executor.profile_pictures(&pictures)));
        judge(block_on(executor.check_canaries()));
        Ok(())
    });
}

/// Executors for other pictures, other devices and no memory.
#[test]
fn executors_that_nobody_means() {
    let Some(context) = context() else { return };
    let graph = Model::builtin().unwrap().graph().clone();
    let all = Target { f16: true, subgroup: 8, activations: Storage::Texture, brief: true, ..Target::default() };
    let strategy = (prop::option::of(preprocess()), any::<[bool; 4]>(), prop::option::of(size()), 0usize..4);
    run(24, strategy, |(preprocess, [safe_shaders, top, canaries, whole], budget, target)| {
        let target = [context.target(), Target::default(), Target::software(), all.clone()][target].clone();
        let memory_budget = budget.map(|bytes| bytes as u64);
        // Large crops are refused for the network's own; those that fit it are made.
        let options = ExecutorOptions { preprocess, safe_shaders, top, canaries, memory_budget, ..Default::default() };
        let Some(plan) = judge(Plan::for_target(&graph, 1, &[], target)) else { return Ok(()) };
        let plan = if whole { plan.without_reuse() } else { plan };
        let Some(mut executor) = judge(block_on(GpuExecutor::new(context, plan, options))) else { return Ok(()) };
        judge(block_on(executor.run_tensor(&Tensor::zeros([1, 3, 32, 32]))));
        judge(block_on(executor.run_tensor(&Tensor::zeros([0, 3, 32, 32]))));
        judge(block_on(executor.top_tensor(&Tensor::zeros([1, 3, 32, 32]))));
        judge(block_on(executor.run_pictures(&[] as &[Picture])));
        Ok(())
    });
}

fn texture(context: &GpuContext, size: [u32; 2], format: TextureFormat, usage: TextureUsages) -> Texture {
    let size = Extent3d { width: size[0], height: size[1], depth_or_array_layers: 1 };
    let (dimension, label) = (TextureDimension::D2, None);
    let (mip_level_count, sample_count, view_formats) = (1, 1, &[][..]);
    let about =
        TextureDescriptor { label, size, mip_level_count, sample_count, dimension, format, usage, view_formats };
    context.device().create_texture(&about)
}

/// Pictures as textures of any format, of a device that is not the session's, and that are gone.
#[test]
fn textures_that_nobody_means() {
    let Some(context) = context() else { return };
    let mut session = block_on(builder(context).load()).unwrap();
    let plain = TextureUsages::TEXTURE_BINDING;
    let good = texture(context, [5, 4], TextureFormat::Rgba8Unorm, TextureUsages::COPY_SRC);
    assert!(judge(block_on(session.classify(&good, 3))).is_some());
    for (format, usage) in [
        (TextureFormat::Rgba8Unorm, plain),
        (TextureFormat::Rgba8Snorm, plain | TextureUsages::COPY_SRC),
        (TextureFormat::Bgra8Unorm, TextureUsages::COPY_SRC),
        (TextureFormat::R32Float, TextureUsages::COPY_SRC),
    ] {
        let texture = texture(context, [5, 4], format, usage);
        assert!(judge(block_on(session.classify(&texture, 3))).is_none(), "{format:?}");
        assert!(judge(session.submit(std::slice::from_ref(&texture), 3)).is_none(), "{format:?}");
    }
    assert!(judge(block_on(session.classify_batch(&[&good, &good], 3))).is_none());
    // Mixed with pictures in memory, on the CPU, of another device.
    let mut cpu = block_on(Session::builder().device(DeviceChoice::Cpu).load()).unwrap();
    assert!(judge(block_on(cpu.classify(&good, 3))).is_none());
    // Two devices of one instance; wgpu itself panics where instances are mixed.
    let named = DeviceRequest::Named(context.summary().name.clone());
    let choice = block_on(select_adapter(&named, foveate::gpu::parse_backend(context.summary().backend).ok())).unwrap();
    let [one, other] = [(); 2].map(|()| block_on(GpuContext::request(&choice)).unwrap());
    let foreign = texture(&other, [5, 4], TextureFormat::Rgba8Unorm, TextureUsages::COPY_SRC);
    let mut on_one = block_on(builder(&one).load()).unwrap();
    assert!(judge(block_on(on_one.classify(&foreign, 3))).is_none());
    assert!(judge(block_on(on_one.run_batch(std::slice::from_ref(&foreign)))).is_none());
    good.destroy();
    assert!(judge(block_on(session.classify(&good, 3))).is_none());
    // The session goes on.
    let picture = Picture::from_rgb(2, 2, &[200; 12]).unwrap();
    assert!(judge(block_on(session.classify(&picture, 3))).is_some());
}

/// Numbers that no picture gives, on every device and in every number format: an error or an answer.
#[test]
fn values_that_no_network_expects() {
    let model = quantized();
    for context in device::contexts() {
        for precision in PRECISIONS {
            let mut session = block_on(builder(context).model(model.clone()).precision(precision).load()).unwrap();
            for value in
                [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-45, 70_000.0, -0.0]
            {
                let input = Tensor::full([1, 3, 32, 32], value);
                judge(block_on(session.run_tensor(&input)));
                judge(block_on(session.features_of_tensor(&input)));
                let mut one = Tensor::zeros([1, 3, 32, 32]);
                one.data_mut()[1000] = value;
                judge(block_on(session.run_tensor(&one)));
            }
            assert!(judge(block_on(session.run_tensor(&Tensor::zeros([1, 3, 32, 32])))).is_some());
        }
    }
}

/// And on the CPU.
#[test]
fn values_that_no_network_expects_on_the_processor() {
    let model = quantized();
    for precision in PRECISIONS {
        let builder = Session::builder().device(DeviceChoice::Cpu).model(model.clone()).precision(precision);
        let mut session = block_on(builder.stage_features().load()).unwrap();
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-45, 70_000.0, -0.0] {
            let input = Tensor::full([1, 3, 32, 32], value);
            judge(block_on(session.run_tensor(&input)));
            judge(block_on(session.features_of_tensor(&input)));
        }
    }
}

#[test]
fn adapters_that_are_not_there() {
    let strategy = (name(), size());
    run(12, strategy, |(name, index)| {
        // An empty name is part of every name.
        if !name.is_empty() {
            judge(block_on(select_adapter(&DeviceRequest::Named(name.clone()), None)));
        }
        prop_assert!(index < 9 || judge(block_on(select_adapter(&DeviceRequest::Index(index), None))).is_none());
        judge(block_on(select_adapter(&DeviceRequest::Gpu, Some(foveate::gpu::Backend::Noop))));
        DeviceChoice::parse(&name).request();
        Ok(())
    });
}

/// A session that is given another device: one that is gone, and its own again.
#[test]
fn devices_that_a_session_is_given() {
    let (Some(context), Some(gone)) = (context(), device::fresh()) else { return };
    let mut session = block_on(builder(context).load()).unwrap();
    assert!(judge(block_on(session.reopen())).is_none(), "the device is the caller's");
    gone.device().destroy();
    assert!(judge(block_on(session.rebuild(gone.device().clone(), gone.queue().clone()))).is_none());
    let picture = Picture::from_rgb(2, 2, &[200; 12]).unwrap();
    assert!(judge(block_on(session.classify(&picture, 3))).is_some(), "the session stays as it was");
    assert!(judge(block_on(session.rebuild(context.device().clone(), context.queue().clone()))).is_some());
    assert!(judge(block_on(session.classify(&picture, 3))).is_some());
    assert!(session.node("no such").is_none());
    let _ = (session.compiled_pipelines(), GpuContext::from_device(gone.device().clone(), gone.queue().clone()));
}

#[test]
fn verifying_that_nobody_means() {
    let Some(context) = context() else { return };
    let (float, integers) = (Model::builtin().unwrap(), quantized());
    let picture = Picture::from_rgb(3, 2, &[9; 18]).unwrap();
    assert!(judge(Subject::new(&float, Precision::F32, &[])).is_none());
    assert!(judge(Subject::new(&float, Precision::W8a8, std::slice::from_ref(&picture))).is_none());
    let subject = judge(Subject::new(&integers, Precision::W8a8, std::slice::from_ref(&picture))).unwrap();
    for layer in [None, Some("no such layer"), Some("")] {
        let options = verify::Options { layer: layer.map(str::to_owned), ..verify::Options::default() };
        judge(block_on(verify(context, &subject, &[], &options)));
        judge(block_on(verify(context, &subject, &[picture.clone(), picture.clone()], &options)));
    }
}

/// Another plan's steps, and times of nothing.
#[test]
fn benches_that_nobody_means() {
    let Some(context) = context() else { return };
    let steps = &plan().steps;
    assert!(steps.iter().all(|step| Bench::fits(context, step)));
    for (at, step) in steps.iter().enumerate() {
        let tile = Tile { pixels: usize::MAX >> at, planes: 1 << at.min(62), workgroup: u32::MAX };
        step.with_tile(tile).map(|step| Bench::fits(context, &step));
    }
    let bench = block_on(Bench::new(context, plan().clone(), true)).unwrap();
    let _ = (bench.least(), bench.plan());
}
