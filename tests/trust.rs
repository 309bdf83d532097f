//! What a session does about drivers that compute wrongly, devices that go away, and memory that does not do.

mod device;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use foveate::gpu::{GpuContext, Moment, Sabotage, parse_backend};
use foveate::kernels::Choices;
use foveate::{
    DeviceChoice, DeviceKind, DriverTests, Error, Model, OnRebuild, Picture, Precision, Session, SessionBuilder,
    TestDriver,
};
use pollster::block_on;

fn cat() -> Picture {
    Picture::open(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/cat.png")).unwrap()
}

fn on(context: &GpuContext) -> SessionBuilder {
    let choice = DeviceChoice::Named(context.summary().name.clone());
    Session::builder().device(choice).backend(parse_backend(context.summary().backend).unwrap())
}

fn expected() -> Vec<f32> {
    let mut cpu = block_on(Session::builder().device(DeviceChoice::Cpu).load()).unwrap();
    block_on(cpu.run(&cat())).unwrap().logits().to_vec()
}

fn same(found: &[f32], expected: &[f32]) {
    let largest = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
    assert!(found.len() == expected.len() && !found.is_empty());
    // Preprocessing on the GPU may be off by half a grey level.
    found.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() <= 1e-3 * largest, "{a} {b}"));
}

/// Everything stored by shaders for which `is` is true is twice what it should be.
fn doubled(is: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Sabotage {
    Sabotage::shaders(move |step, text| match is(step.kernel.name, &text) {
        true => text.replacen(PUT, "fn y_put(i: u32, v_: vec4<f32>) { let v = v_ * 2.0;", 1),
        false => text,
    })
}

const PUT: &str = "fn y_put(i: u32, v: vec4<f32>) {";

/// The shaders of the ordinary convolutions of the built-in network, as it is planned for a device.
fn shaders(context: &GpuContext, kernel: &str) -> Vec<String> {
    let graph = Model::builtin().unwrap().graph().clone();
    let plan = foveate::plan::Plan::for_target(&graph, 1, &[], context.target()).unwrap();
    plan.steps.iter().filter(|step| step.kernel.name == kernel).map(|step| step.shader()).collect()
}

#[test]
fn a_variant_that_a_driver_computes_wrongly_is_gone_around_and_said_once() {
    let expected = expected();
    for context in device::contexts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/drivers.json");
        let wrong = shaders(context, "conv").pop().unwrap();
        let builder = |when| {
            let wrong = wrong.clone();
            let sabotage = doubled(move |_, text| text == wrong);
            on(context).sabotage(sabotage).driver_tests(DriverTests { when, file: Some(file.clone()) })
        };
        // Untested, the answer is wrong.
        let mut session = block_on(builder(TestDriver::Never).load()).unwrap();
        let spoiled = block_on(session.run(&cat())).unwrap();
        assert!(spoiled.logits().iter().zip(&expected).any(|(a, b)| (a - b).abs() > 0.1), "{spoiled:?}");
        assert!(session.device().faults.is_empty() && !file.exists());
        drop(session);
        // Tested, it is right, and the first start says why.
        let mut session = block_on(builder(TestDriver::Always).load()).unwrap();
        same(block_on(session.run(&cat())).unwrap().logits(), &expected);
        let device = session.device().clone();
        assert_eq!((device.faults.len(), device.detours), (1, 1), "{device:?}");
        assert!(device.faults[0].contains("kernel conv wrongly") && device.faults[0].contains("relative error 1.0e0"));
        assert!(device.to_string().contains("gone around"), "{device}");
        drop(session);
        // The second start knows, and nothing is said again.
        let mut session = block_on(builder(TestDriver::Always).load()).unwrap();
        assert!(session.gpu().unwrap().plan().steps.iter().all(|step| step.shader() != wrong));
        same(block_on(session.run(&cat())).unwrap().logits(), &expected);
        assert_eq!((session.device().faults.len(), session.device().detours), (0, 1));
        // What a file may hold is no error, and no reason to believe anything.
        std::fs::write(&file, "{\"schema_version\": 1, \"devices\": [{\"device\": 7}]}").unwrap();
        let session = block_on(builder(TestDriver::Always).load()).unwrap();
        assert_eq!(session.device().faults.len(), 1);
    }
}

#[test]
fn a_kernel_that_is_wrong_with_every_tile_is_replaced_by_another() {
    let expected = expected();
    let Some(context) = device::contexts().first() else { return };
    for wrong in ["winograd_output", "conv"] {
        let planned = shaders(context, wrong);
        assert!(!planned.is_empty() && planned.iter().all(|text| text.contains(PUT)), "{wrong} is not planned here");
        let sabotage = doubled(move |kernel, _| kernel == wrong);
        let tests = DriverTests { when: TestDriver::Always, file: None };
        let mut session = block_on(on(context).sabotage(sabotage).driver_tests(tests).load()).unwrap();
        same(block_on(session.run(&cat())).unwrap().logits(), &expected);
        assert!(!session.device().faults.is_empty());
        let kernels: Vec<&str> = session.gpu().unwrap().plan().steps.iter().map(|step| step.kernel.name).collect();
        assert!(!kernels.contains(&wrong), "{kernels:?}");
    }
}

/// Where nothing can stand in, that is an error by name.
#[test]
fn without_a_way_around_it_is_refused_by_name() {
    let Some(context) = device::contexts().first() else { return };
    let tests = DriverTests { when: TestDriver::Always, file: None };
    let builder = on(context).sabotage(doubled(|_, _| true)).driver_tests(tests);
    let error = block_on(builder.load()).err().unwrap();
    let Error::Gpu { what, reason } = error else { panic!("{error}") };
    assert!(what.contains("kernel ") && what.contains(" of node"), "{what}");
    assert!(reason.contains("computes it wrongly") && reason.contains("foveate verify"), "{reason}");
}

/// Values beyond what 16-bit floats or any floats hold are the network's, not the driver's.
#[test]
fn what_no_number_format_holds_is_not_blamed_on_the_driver() {
    let Some(context) = device::contexts().first() else { return };
    for (factor, precision) in [(1e6, Precision::F16), (1e38, Precision::F32)] {
        let mut loaded = Model::builtin().unwrap().details().clone();
        let first = loaded.graph.nodes().iter().find(|node| !node.op.params().is_empty()).unwrap();
        let weight = first.op.params()[0].1;
        let scaled: Vec<f32> = loaded.graph.params().tensor(weight).data().iter().map(|v| v * factor).collect();
        let shape = loaded.graph.params().tensor(weight).shape().to_vec();
        loaded.graph.set_param(weight, foveate::Tensor::new(shape, scaled).unwrap()).unwrap();
        let model = Model::unfused(loaded).unwrap();
        let tests = DriverTests { when: TestDriver::Always, file: None };
        let session = block_on(on(context).model(model).precision(precision).driver_tests(tests).load()).unwrap();
        assert!(session.device().faults.is_empty(), "{:?}", session.device());
        assert_eq!(session.precision(), Precision::F32);
        let note = session.precision_note().unwrap_or_default();
        assert_eq!(note.contains("failed their self-test"), precision == Precision::F16, "{note}");
    }
}

/// In a deep network rounding adds up to more than other networks may be off; a fault that no layer shows does too.
#[test]
fn sixteen_bits_are_refused_for_faults_and_for_what_they_lose_but_not_for_rounding() {
    let Some(context) = device::contexts().first() else { return };
    let model = Model::random("mobileone-s0", 1, false).unwrap();
    let load = |stored: &'static str| {
        let sabotage = Sabotage::shaders(move |_, text| {
            let halves = text.contains("(pack2x16float") || text.contains("rgba16float, write");
            assert!(!halves || text.contains(PUT), "the accessor is called otherwise by now:\n{text}");
            let put = format!("fn y_put(i: u32, v_: vec4<f32>) {{ let v = {stored};");
            if halves { text.replacen(PUT, &put, 1) } else { text }
        });
        let tests = DriverTests { when: TestDriver::Never, file: None };
        let builder = on(context).model(model.clone()).precision(Precision::F16).sabotage(sabotage).driver_tests(tests);
        let session = block_on(builder.load()).unwrap();
        (session.precision(), session.precision_note().unwrap_or_default().to_owned())
    };
    let (precision, note) = load("v_");
    assert!(precision == Precision::F16 && note.contains("rounding alone makes"), "{note}");
    let (precision, note) = load("v_ * 1.002");
    assert!(precision == Precision::F32 && note.contains("at most") && note.contains("twice the "), "{note}");
    // Rounding towards zero is none, but too far off.
    let (precision, note) = load("bitcast<vec4<f32>>(bitcast<vec4<u32>>(v_) & vec4<u32>(0xffffe000u))");
    assert!(precision == Precision::F32 && note.contains("from f32"), "{note}");
}

#[test]
fn integers_are_gone_around_too() {
    let model = Model::builtin().unwrap();
    let input = model.preprocess().apply(&cat()).unwrap();
    let set = foveate::quant::CalibrationSet::new(vec![input.clone()]).unwrap();
    let quantized = foveate::quant::quantize(&model, set, foveate::quant::Options::default()).unwrap();
    let mut cpu = block_on(Session::builder().model(quantized.clone()).device(DeviceChoice::Cpu).load()).unwrap();
    let expected = block_on(cpu.run_tensor(&input)).unwrap();
    let Some(context) = device::contexts().first() else { return };
    let tests = || DriverTests { when: TestDriver::Always, file: None };
    // Sound, nothing is found.
    let session = block_on(on(context).model(quantized.clone()).driver_tests(tests()).load()).unwrap();
    assert_eq!((session.precision(), session.device().faults.len()), (Precision::W8a8, 0));
    // One that is wrong in textures only: the other kind of memory is taken.
    let sabotage = Sabotage::shaders(|step, text| match text.split_once("fn y_put(i: u32, v: vec4<i32>) {") {
        Some((head, tail)) if step.kernel.name.starts_with("int8/conv") && text.contains("texture_storage_2d") => {
            format!("{head}fn y_put(i: u32, v_: vec4<i32>) {{ let v = v_ + vec4<i32>(1);{tail}")
        }
        _ => text,
    });
    let builder = on(context).model(quantized).sabotage(sabotage).driver_tests(tests());
    let mut session = block_on(builder.load()).unwrap();
    assert_eq!(session.precision(), Precision::W8a8, "{:?}", session.precision_note());
    assert!(session.device().faults.iter().any(|fault| fault.contains("int8/conv")), "{:?}", session.device());
    assert_eq!(block_on(session.run_tensor(&input)).unwrap().data(), expected.data());
}

#[test]
fn a_lost_device_is_replaced_at_any_moment_and_the_run_repeated() {
    let expected = expected();
    let Some(context) = device::contexts().first() else { return };
    for (moment, after) in [
        (Moment::Load, 0),
        (Moment::Compile, 0),
        (Moment::Run, 0),
        (Moment::Run, 2),
        (Moment::Readback, 0),
        (Moment::Readback, 1),
        (Moment::Tune, 0),
    ] {
        let events = Arc::new(Mutex::new(Vec::new()));
        let told = events.clone();
        let mut builder = on(context)
            .sabotage(Sabotage::loses(moment, after, 1))
            .on_rebuild(OnRebuild::new(move |rebuilt| told.lock().unwrap().push(rebuilt.clone())));
        if moment == Moment::Tune {
            builder = builder.tune(Duration::ZERO);
        }
        let mut session = block_on(builder.load()).unwrap_or_else(|error| panic!("{moment:?}: {error}"));
        let input = session.model().preprocess().apply(&cat()).unwrap();
        for _ in 0..2 {
            same(block_on(session.run(&cat())).unwrap().logits(), &expected);
            assert_eq!(block_on(session.classify(&cat(), 1)).unwrap()[0].label, "cat");
            same(block_on(session.run_tensor(&input)).unwrap().data(), &expected);
        }
        let events = events.lock().unwrap();
        assert_eq!(events.len(), 1, "{moment:?}");
        assert_eq!(events[0].device.kind, DeviceKind::Gpu);
        assert!(!events[0].reason.is_empty() && events[0].took > Duration::ZERO);
    }
}

#[test]
fn a_second_loss_within_a_short_time_is_an_error() {
    let Some(context) = device::contexts().first() else { return };
    for (moment, recover, times) in [(Moment::Run, true, 2), (Moment::Readback, true, 2), (Moment::Run, false, 1)] {
        let builder = on(context).sabotage(Sabotage::loses(moment, 0, times)).recover(recover);
        let mut session = block_on(builder.load()).unwrap();
        let error = block_on(session.run(&cat())).unwrap_err();
        assert!(matches!(error, Error::DeviceLost { .. }), "{moment:?}: {error}");
        // It can still be asked for by hand.
        block_on(session.reopen()).unwrap();
        assert_eq!(block_on(session.run(&cat())).unwrap().top(1)[0].label, "cat");
    }
    let twice = on(context).sabotage(Sabotage::loses(Moment::Load, 0, 2));
    assert!(matches!(block_on(twice.load()).err(), Some(Error::DeviceLost { .. })));
}

#[test]
fn a_device_that_is_destroyed_between_runs_is_replaced() {
    let Some(context) = device::contexts().first() else { return };
    let mut session = block_on(on(context).load()).unwrap();
    session.gpu().unwrap().context().device().destroy();
    assert_eq!(block_on(session.run(&cat())).unwrap().top(1)[0].label, "cat");
}

#[test]
fn a_network_beyond_the_budget_is_refused_with_numbers_before_it_is_uploaded() {
    let Some(context) = device::contexts().first() else { return };
    let model = Model::builtin().unwrap();
    let plan = foveate::plan::Plan::for_target(model.graph(), 1, &[], context.target()).unwrap();
    let needs = plan.weight_bytes() + plan.memory.bytes();
    let load = |budget: u64, batch| block_on(on(context).memory_budget(budget).batch(batch).load());
    let error = load(needs / 2, 1).err().unwrap();
    let Error::Limit { what, needed, limit, limit_name, .. } = &error else { panic!("{error}") };
    assert!(*needed >= needs && *limit == needs / 2 && *limit_name == "memory budget in bytes");
    let weights = format!("{} of weights", plan.weight_bytes());
    assert!(what.contains("qarepvgg-cifar at batch 1") && what.contains(&weights), "{what}");
    assert!(load(needed + 1, 1).is_ok(), "what it says is what it needs");
    assert!(load(needed - 1, 1).is_err());
    assert!(load(needed + 1, 4).is_err(), "a batch needs more");
    // In w8 the weights take a quarter, so less does.
    let small = on(context).memory_budget(needed - 1).precision(Precision::W8);
    assert!(block_on(small.load()).is_ok());
    // Choices play no part in that.
    assert!(block_on(on(context).memory_budget(1).choices(Choices::default()).load()).is_err());
}
