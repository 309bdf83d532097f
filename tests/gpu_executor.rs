//! The GPU executor beside its arithmetic: limits, loss, several frames and outputs, borrowed
//! devices, canaries.

mod cases;
mod device;
mod oracle;

use cases::Builder;
use cases::Case;
use foveate::gpu::{Backend, DeviceRequest, ExecutorOptions, GpuContext, GpuExecutor, adapters, select_adapter};
use foveate::ops::{Activation, Add, Conv2d};
use foveate::plan::Plan;
use foveate::{Error, Graph, NodeId, Result, Shape, Tensor};
use pollster::block_on;

/// stem 3×3 stride 2 → ReLU'd sum with its own 1×1: three steps, 6 channels.
fn small(batch: usize) -> (Case, [NodeId; 2]) {
    let mut b = Builder::new("small", 3, 9, 7);
    let weights = [b.weight(&[6, 3, 3, 3]), b.weight(&[6, 6, 1, 1])];
    let stem = b.add(Conv2d::new(weights[0], None).stride(2).padding([1, 1]), &[b.input()]);
    let mixed = b.add(Conv2d::new(weights[1], None), &[stem]);
    let sum = b.add(Add { activation: Activation::Relu }, &[stem, mixed]);
    (b.finish(sum, batch), [stem, mixed])
}

fn build(context: &GpuContext, case: &Case, wanted: &[NodeId], options: ExecutorOptions) -> Result<GpuExecutor> {
    let plan = Plan::new(&case.graph, case.input.shape()[0], wanted)?;
    block_on(GpuExecutor::new(context, plan, options))
}

fn first_samples(input: &Tensor, samples: usize) -> Tensor {
    let shape: Vec<usize> = [&[samples], &input.shape()[1..]].concat();
    let len = shape.iter().product();
    Tensor::new(shape, input.data()[..len].to_vec()).unwrap()
}

#[test]
fn wanted_values_are_read_back_beside_the_output() {
    let (case, wanted) = small(2);
    let exact = oracle::run(&case.graph, &case.input);
    for context in device::contexts() {
        let options = ExecutorOptions { canaries: true, ..Default::default() };
        let mut executor = build(context, &case, &[wanted[0], wanted[1], wanted[0]], options).unwrap();
        let found = block_on(executor.run_tensor(&case.input)).unwrap();
        let nodes = [case.graph.output(), wanted[0], wanted[1], wanted[0]];
        assert_eq!(found.len(), nodes.len());
        for (found, node) in found.iter().zip(nodes) {
            assert!(oracle::relative_l2(found, &exact[node.index()]) <= 1e-5);
        }
    }
}

#[test]
fn several_frames_under_way_do_not_disturb_each_other() {
    let (case, _) = small(3);
    for context in device::contexts() {
        let mut executor = build(context, &case, &[], ExecutorOptions::default()).unwrap();
        let inputs: Vec<Tensor> = (1..=7).map(|i| first_samples(&case.input, 1 + i % 3)).collect();
        let scaled = inputs.iter().zip(1..).map(|(input, i)| {
            let data = input.data().iter().map(|v| v * i as f32).collect();
            Tensor::new(input.shape(), data).unwrap()
        });
        let inputs: Vec<Tensor> = scaled.collect();
        let pending: Vec<_> = inputs.iter().map(|input| executor.submit_tensor(input).unwrap()).collect();
        // The last first: frames do not have to be read in order, nor all of them.
        for (input, pending) in inputs.iter().zip(pending).rev().skip(1) {
            let found = block_on(pending.wait()).unwrap().swap_remove(0);
            assert!(oracle::relative_l2(&found, &oracle::output(&case.graph, input)) <= 1e-5);
        }
    }
}

#[test]
fn checked_shaders_and_borrowed_devices_compute_the_same() {
    let (case, _) = small(1);
    for context in device::contexts() {
        let borrowed = GpuContext::from_device(context.device().clone(), context.queue().clone());
        assert!(borrowed.is_borrowed() && !context.is_borrowed());
        assert_eq!((borrowed.summary().index, &borrowed.summary().name), (None, &context.summary().name));
        let safe = ExecutorOptions { safe_shaders: true, ..Default::default() };
        let mut plain = build(context, &case, &[], ExecutorOptions::default()).unwrap();
        let mut safe = build(&borrowed, &case, &[], safe).unwrap();
        assert_eq!(plain.pipeline_count(), 3);
        assert!(plain.timings().compile.as_nanos() > 0);
        let [plain, safe] =
            [&mut plain, &mut safe].map(|e| block_on(e.run_tensor(&case.input)).unwrap().swap_remove(0));
        assert!(oracle::relative_l2(&plain, &oracle::output(&case.graph, &case.input)) <= 1e-5);
        assert!(oracle::relative_l2(&safe, &oracle::output(&case.graph, &case.input)) <= 1e-5);
    }
}

#[test]
fn wrong_inputs_are_refused_with_both_shapes() {
    let (case, _) = small(2);
    for context in device::contexts().iter().take(1) {
        let mut executor = build(context, &case, &[], ExecutorOptions::default()).unwrap();
        for shape in [vec![3, 3, 9, 7], vec![0, 3, 9, 7], vec![1, 3, 7, 9], vec![3, 9, 7]] {
            let message = block_on(executor.run_tensor(&Tensor::zeros(shape.clone()))).unwrap_err().to_string();
            assert!(message.contains(&format!("{shape:?}")) && message.contains("[n, 3, 9, 7]"), "{message}");
        }
        let message = block_on(executor.check_canaries()).unwrap_err().to_string();
        assert!(message.contains("without canaries"), "{message}");
    }
}

#[test]
fn a_value_beyond_the_limits_is_refused_before_anything_is_allocated() {
    // 21 GB a value: an allocation would fail otherwise, and with another error.
    let mut graph = Graph::new("vast", Shape::new(3, 18_000, 18_000));
    let out = graph.add("vast sum", Add::default(), &[graph.input(), graph.input()]).unwrap();
    graph.set_output(out);
    for context in device::contexts() {
        let plan = Plan::new(&graph, 4, &[]).unwrap();
        let result = block_on(GpuExecutor::new(context, plan, ExecutorOptions::default()));
        let Err(Error::Limit { needed, limit, limit_name, .. }) = result else { panic!("not refused") };
        assert_eq!(needed, 4 * 18_000 * 18_000 * 16);
        assert!(limit < needed && limit_name == "max_storage_buffer_binding_size", "{limit} {limit_name}");
    }
}

#[test]
fn a_grid_beyond_the_limits_is_refused_by_the_kernels_name() {
    let (case, _) = small(1);
    for context in device::contexts().iter().take(1) {
        let mut plan = Plan::new(&case.graph, 1, &[]).unwrap();
        plan.steps[1].grid[1] = 1 << 30;
        let result = block_on(GpuExecutor::new(context, plan, ExecutorOptions::default()));
        let message = result.err().unwrap().to_string();
        assert!(message.contains("kernel pointwise of node") && message.contains("1073741824"), "{message}");
        assert!(message.contains("max_compute_workgroups_per_dimension"), "{message}");
    }
}

#[test]
fn a_lost_device_is_an_error_before_during_and_after_a_run() {
    let (case, _) = small(1);
    let lost = |result: Result<Vec<Tensor>>| assert!(matches!(result, Err(Error::DeviceLost { .. })), "{result:?}");
    for borrow in [false, true] {
        let Some(own) = device::fresh() else { return };
        let context = if borrow { GpuContext::from_device(own.device().clone(), own.queue().clone()) } else { own };
        let mut executor = build(&context, &case, &[], ExecutorOptions::default()).unwrap();
        block_on(executor.run_tensor(&case.input)).unwrap();
        let under_way = executor.submit_tensor(&case.input).unwrap();
        context.device().destroy();
        // What was submitted before may still arrive; it must not hang or panic.
        match block_on(under_way.wait()) {
            Ok(outputs) => assert_eq!(outputs.len(), 1),
            Err(error) => assert!(matches!(error, Error::DeviceLost { .. }), "{error}"),
        }
        lost(block_on(executor.run_tensor(&case.input)));
        lost(block_on(executor.run_tensor(&case.input)));
        assert!(context.lost().is_some());
        let again = build(&context, &case, &[], ExecutorOptions::default());
        assert!(matches!(again, Err(Error::DeviceLost { .. })));
    }
}

#[test]
fn canaries_notice_a_kernel_that_writes_too_far() {
    let (case, _) = small(1);
    for context in device::contexts() {
        let mut plan = Plan::new(&case.graph, 1, &[]).unwrap();
        // One pixel less than the kernels write.
        let slot = plan.memory.slot_of(plan.outputs[0].tensor);
        plan.memory.slots[slot].bytes -= 16;
        let name = plan.tensors[plan.memory.slots[slot].tensors[0].0 as usize].name.clone();
        let options = ExecutorOptions { canaries: true, ..Default::default() };
        let mut executor = block_on(GpuExecutor::new(context, plan, options)).unwrap();
        block_on(executor.run_tensor(&case.input)).unwrap();
        let message = block_on(executor.check_canaries()).unwrap_err().to_string();
        assert!(message.contains("wrote beyond") && message.contains(&name), "{message}");
    }
}

#[test]
fn a_shader_that_the_driver_refuses_is_an_error_naming_kernel_and_node() {
    let (case, _) = small(1);
    for context in device::contexts().iter().take(1) {
        let mut plan = Plan::new(&case.graph, 1, &[]).unwrap();
        // No constants: the shader names what nobody defines.
        plan.steps[0].constants.clear();
        let node = plan.steps[0].node.clone();
        let Err(Error::Gpu { what, reason }) = block_on(GpuExecutor::new(context, plan, ExecutorOptions::default()))
        else {
            panic!("not refused")
        };
        assert!(what.contains("kernel conv") && what.contains(&node), "{what}");
        assert!(reason.contains("no definition in scope"), "{reason}");
    }
}

#[test]
fn software_adapters_are_listed_but_taken_only_when_asked_for() {
    let all = block_on(adapters());
    assert!(all.iter().enumerate().all(|(i, choice)| choice.summary.index == Some(i)));
    let json = serde_json::to_value(all.iter().map(|choice| &choice.summary).collect::<Vec<_>>()).unwrap();
    for (choice, json) in all.iter().zip(json.as_array().unwrap()) {
        assert!(json["limits"]["max_buffer_size"].as_u64().unwrap() > 0 && json["features"]["dot4"].is_boolean());
        let index = DeviceRequest::Index(choice.summary.index.unwrap());
        assert_eq!(block_on(select_adapter(&index, None)).unwrap().summary, choice.summary);
    }
    match block_on(select_adapter(&DeviceRequest::Gpu, None)) {
        Ok(choice) => assert!(!choice.summary.is_software() && !choice.reason.is_empty()),
        Err(Error::Device { reason }) => {
            assert!(all.iter().all(|c| reason.contains(&c.summary.to_string())), "{reason}")
        }
        Err(other) => panic!("{other}"),
    }
    let nobody = DeviceRequest::Named("no such adapter".to_owned());
    let message = block_on(select_adapter(&nobody, Some(Backend::Gl))).unwrap_err().to_string();
    assert!(message.contains("no such adapter") && message.contains("gl"), "{message}");
}

#[test]
#[cfg(not(target_arch = "wasm32"))]
fn executors_and_their_futures_can_move_between_threads() {
    fn send<T: Send>(_: &T) {}
    let (case, _) = small(1);
    for context in device::contexts().iter().take(1) {
        let mut executor = build(context, &case, &[], ExecutorOptions::default()).unwrap();
        send(&executor);
        let future = executor.run_tensor(&case.input);
        send(&future);
        drop(future);
        let pending = executor.submit_tensor(&case.input).unwrap();
        send(&pending);
        let found = std::thread::spawn(move || block_on(pending.wait())).join().unwrap().unwrap().swap_remove(0);
        assert!(oracle::relative_l2(&found, &oracle::output(&case.graph, &case.input)) <= 1e-5);
    }
}
