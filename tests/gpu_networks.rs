//! Whole networks at full size, fused: the GPU's logits against the CPU's.

mod device;

use foveate::cpu::{CpuExecutor, settle_batch_norms};
use foveate::gpu::{ExecutorOptions, GpuContext, GpuExecutor};
use foveate::plan::Plan;
use foveate::{Graph, Tensor};
use pollster::block_on;

fn input(graph: &Graph) -> Tensor {
    let shape = graph.input_shape();
    let mut input = Tensor::zeros([1, shape.channels, shape.height, shape.width]);
    let mut state = 1u32;
    for value in input.data_mut() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value = (state >> 8) as f32 / (1 << 22) as f32 - 2.0;
    }
    input
}

fn top(logits: &[f32]) -> Option<usize> {
    (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]))
}

fn compare(context: &GpuContext, name: &str) {
    let mut graph = foveate::models::random(name, 0).unwrap();
    let input = input(&graph);
    settle_batch_norms(&mut graph, &input).unwrap();
    let (graph, _) = foveate::passes::fuse(&graph).unwrap();
    let expected = CpuExecutor::new(graph.clone()).unwrap().run(&input).unwrap();
    let plan = Plan::new(&graph, 1, &[]).unwrap();
    let mut executor = block_on(GpuExecutor::new(context, plan, ExecutorOptions::default())).unwrap();
    let found = block_on(executor.run_tensor(&input)).unwrap().swap_remove(0);
    assert_eq!(found.shape(), expected.shape());
    let largest = expected.data().iter().fold(0.0f32, |most, v| most.max(v.abs()));
    let off = found.data().iter().zip(expected.data()).map(|(f, e)| f64::from((f - e).abs()));
    // A NaN is not below anything, so it must not be lost in a maximum.
    let off = off.fold(0.0, |most, v| if v <= most { most } else { v });
    eprintln!("{name}: off by {:e} of the largest logit, {:?}", off / f64::from(largest), executor.timings());
    assert!(largest > 0.0 && off <= 1e-4 * f64::from(largest), "{name}: {off} of {largest}");
    assert_eq!(top(found.data()), top(expected.data()), "{name}");
}

#[test]
fn full_size_networks_agree_with_the_cpu() {
    for context in device::contexts().iter().take(1) {
        ["repvgg-a0", "repnext-m0", "mobileone-s0"].iter().for_each(|name| compare(context, name));
    }
}
