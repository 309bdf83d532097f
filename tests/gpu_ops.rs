//! The GPU executor against the oracle, on every backend: all activation memory is filled with NaN
//! before a run, and canaries lie behind every buffer.

mod cases;
mod device;
mod oracle;

use cases::Case;
use cases::convolutions::ConvSpec;
use foveate::gpu::{ExecutorOptions, GpuContext, GpuExecutor};
use foveate::kernels::Target;
use foveate::plan::Plan;
use foveate::{Result, Tensor};
use pollster::block_on;
use proptest::prelude::*;

/// Whatever a plan may be made for; every device computes each of them.
fn targets() -> [Target; 2] {
    [Target::default(), Target::software()]
}

/// Relative L2 distance that the design allows.
const BOUND: f64 = 1e-5;

fn run(context: &GpuContext, case: &Case, target: &Target) -> Result<Tensor> {
    let plan = Plan::for_target(&case.graph, case.input.shape()[0], &[], target.clone())?;
    let options = ExecutorOptions { canaries: true, ..Default::default() };
    block_on(async {
        let mut executor = GpuExecutor::new(context, plan, options).await?;
        let output = executor.run_tensor(&case.input).await?.swap_remove(0);
        executor.check_canaries().await?;
        Ok(output)
    })
}

#[test]
fn every_case_is_within_the_bound_on_every_backend() {
    let cases = cases::all();
    assert!(cases.len() >= 100, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for (context, target) in device::contexts().iter().flat_map(|context| targets().map(|target| (context, target))) {
        let mut worst = (0.0, "");
        for case in &cases {
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
            for target in targets() {
                let found = run(context, &case, &target).unwrap_or_else(|e| panic!("{}: {e}", case.name));
                let error = oracle::relative_l2(&found, &oracle::output(&case.graph, &case.input));
                assert!(error <= BOUND, "{}: {}: relative error {error:e}", context.summary(), case.name);
            }
        }
    }
}

proptest! {
    // Each case compiles a shader or two, which is what costs time here.
    #![proptest_config(ProptestConfig { cases: 48, max_global_rejects: 4096, failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_convolutions_are_within_the_bound(spec in cases::convolutions::any(), target in 0..2usize) {
        let Some(context) = device::contexts().first() else { return Ok(()) };
        let case = spec.case();
        prop_assume!(case.is_ok());
        let case = case.unwrap();
        let found = run(context, &case, &targets()[target]).unwrap();
        let error = oracle::relative_l2(&found, &oracle::output(&case.graph, &case.input));
        prop_assert!(error <= BOUND, "{}: relative error {error:e}", case.name);
    }
}
