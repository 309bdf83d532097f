//! The GPU executor against the oracle, on every backend: all activation memory is filled with NaN
//! before a run, and canaries lie behind every buffer.

mod cases;
mod device;
mod oracle;

use cases::Case;
use foveate::gpu::{ExecutorOptions, GpuContext, GpuExecutor};
use foveate::plan::Plan;
use foveate::{Result, Tensor};
use pollster::block_on;

/// Relative L2 distance that the design allows.
const BOUND: f64 = 1e-5;

fn run(context: &GpuContext, case: &Case) -> Result<Tensor> {
    let plan = Plan::new(&case.graph, case.input.shape()[0], &[])?;
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
    for context in device::contexts() {
        let mut worst = (0.0, "");
        for case in &cases {
            match run(context, case) {
                Ok(found) => {
                    let error = oracle::relative_l2(&found, &oracle::output(&case.graph, &case.input));
                    if error.is_nan() || error > BOUND {
                        wrong.push(format!("{}: {}: relative error {error:e}", context.summary(), case.name));
                    }
                    worst = if error > worst.0 { (error, &case.name) } else { worst };
                }
                Err(error) => wrong.push(format!("{}: {}: {error}", context.summary(), case.name)),
            }
        }
        eprintln!("{}: largest relative error {:e} ({})", context.summary(), worst.0, worst.1);
    }
    assert!(wrong.is_empty(), "{} failures:\n{}", wrong.len(), wrong.join("\n"));
}
