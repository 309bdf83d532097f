//! The GPU executor against the oracle, on every backend: all activation memory is filled with NaN
//! before a run, and canaries lie behind every buffer.

mod cases;
mod device;
mod oracle;

use cases::Case;
use cases::convolutions::ConvSpec;
use foveate::gpu::{ExecutorOptions, GpuContext, GpuExecutor};
use foveate::kernels::{Step, Target};
use foveate::plan::Plan;
use foveate::{NodeId, Result, Tensor};
use pollster::block_on;
use proptest::prelude::*;

/// Whatever a plan may be made for; every device computes each of them.
fn all_targets() -> [Target; 4] {
    let (gpu, software) = (Target::default(), Target::software());
    [gpu.clone(), software.clone(), Target { software: false, ..software }, Target { software: true, ..gpu }]
}

/// Relative L2 distance that the design allows.
const BOUND: f64 = 1e-5;

fn plan(case: &Case, wanted: &[NodeId], target: &Target) -> Result<Plan> {
    Plan::for_target(&case.graph, case.input.shape()[0], wanted, target.clone())
}

/// The network's output and what is wanted besides.
fn execute(context: &GpuContext, plan: Plan, input: &Tensor) -> Result<Vec<Tensor>> {
    let options = ExecutorOptions { canaries: true, ..Default::default() };
    block_on(async {
        let mut executor = GpuExecutor::new(context, plan, options).await?;
        let outputs = executor.run_tensor(input).await?;
        executor.check_canaries().await?;
        Ok(outputs)
    })
}

fn run(context: &GpuContext, case: &Case, target: &Target) -> Result<Tensor> {
    Ok(execute(context, plan(case, &[], target)?, &case.input)?.swap_remove(0))
}

/// The targets of which a case's plan has other steps than of those before.
fn targets(case: &Case) -> Vec<Target> {
    let mut seen: Vec<Vec<Step>> = Vec::new();
    let mut is_new = |target: &Target| match plan(case, &[], target) {
        Ok(plan) if seen.contains(&plan.steps) => false,
        Ok(plan) => {
            seen.push(plan.steps);
            true
        }
        // Running it says why.
        Err(_) => true,
    };
    all_targets().into_iter().filter(|target| is_new(target)).collect()
}

#[test]
fn every_case_is_within_the_bound_on_every_backend() {
    let cases = cases::all();
    assert!(cases.len() >= 100, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for (context, target) in device::contexts().iter().flat_map(|context| all_targets().map(|target| (context, target)))
    {
        let mut worst = (0.0, "");
        for case in cases.iter().filter(|case| targets(case).contains(&target)) {
            match run(context, case, &target) {
                Ok(found) => {
                    let error = oracle::relative_l2(&found, &oracle::output(&case.graph, &case.input));
                    if error.is_nan() || error > BOUND {
                        wrong.push(format!(
                            "{}, {target:?}: {}: relative error {error:e}",
                            context.summary(),
                            case.name
                        ));
                    }
                    worst = if error > worst.0 { (error, &case.name) } else { worst };
                }
                Err(error) => wrong.push(format!("{}, {target:?}: {}: {error}", context.summary(), case.name)),
            }
        }
        eprintln!("{}, {target:?}: largest relative error {:e} ({})", context.summary(), worst.0, worst.1);
    }
    assert!(wrong.is_empty(), "{} failures:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn long_strides_and_wide_dilations_are_within_the_bound() {
    let dense = ConvSpec::new(2, [5, 3, 40], 6, [3, 3]);
    let mut specs = vec![];
    for (groups, input, out) in [(1, [5, 3, 40], 6), (5, [5, 3, 40], 5)] {
        let spec = ConvSpec { groups, input, out, ..dense.clone() };
        specs.push(ConvSpec { padding: [300, 300], dilation: [300, 300], ..spec.clone() });
        specs.push(ConvSpec { padding: [4, 250], dilation: [2, 240], stride: [1, 90], ..spec.clone() });
        specs.push(ConvSpec { padding: [0, 6], dilation: [1, 6], stride: [1, 4], ..spec });
    }
    for context in device::contexts() {
        for spec in &specs {
            let case = spec.case().unwrap();
            for target in all_targets() {
                let found = run(context, &case, &target).unwrap_or_else(|e| panic!("{}: {e}", case.name));
                let error = oracle::relative_l2(&found, &oracle::output(&case.graph, &case.input));
                assert!(error <= BOUND, "{}: {}: relative error {error:e}", context.summary(), case.name);
            }
        }
    }
}

/// What is asked for is computed, fused or not, and nothing else changes.
#[test]
fn wanted_hidden_layers_are_within_the_bound() {
    let fused = |step: &&Step| step.kernel.name.starts_with("mlp") || step.kernel.name == "pool_linear";
    let count = |plan: &Plan| plan.steps.iter().filter(fused).count();
    let chain = |case: &Case| ["mlp in a chain", "head in a chain"].iter().any(|name| case.name.starts_with(name));
    let cases: Vec<Case> = cases::all().into_iter().filter(chain).collect();
    assert!(cases.len() >= 10, "only {}", cases.len());
    assert!(cases.iter().any(|case| count(&plan(case, &[], &Target::default()).unwrap()) > 0), "none is fused");
    for (context, case) in device::contexts().iter().flat_map(|context| cases.iter().map(move |case| (context, case))) {
        for target in targets(case) {
            let all: Vec<NodeId> = case.graph.ids().collect();
            let plan = plan(case, &all, &target).unwrap();
            assert_eq!(count(&plan), 0, "{}: every hidden layer is wanted", case.name);
            let found = execute(context, plan, &case.input).unwrap();
            for (id, found) in all.iter().zip(&found[1..]) {
                let mut graph = case.graph.clone();
                graph.set_output(*id);
                let error = oracle::relative_l2(found, &oracle::output(&graph, &case.input));
                assert!(error <= BOUND, "{}: {}: node {}: {error:e}", context.summary(), case.name, id.0);
            }
        }
    }
}

proptest! {
    // Each case compiles a shader or two, which is what costs time here.
    #![proptest_config(ProptestConfig { cases: 48, max_global_rejects: 4096, failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_convolutions_are_within_the_bound(spec in cases::convolutions::any(), target in 0..4usize) {
        let Some(context) = device::contexts().first() else { return Ok(()) };
        let case = spec.case();
        prop_assume!(case.is_ok());
        let case = case.unwrap();
        let found = run(context, &case, &all_targets()[target]).unwrap();
        let error = oracle::relative_l2(&found, &oracle::output(&case.graph, &case.input));
        prop_assert!(error <= BOUND, "{}: relative error {error:e}", case.name);
    }
}
