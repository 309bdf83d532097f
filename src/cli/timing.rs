//! `--timing`: how long each step takes on the device.

use std::time::Duration;

use foveate::gpu::StepTime;
use foveate::{Picture, Result, Session};
use serde::Serialize;

use super::say;
use super::table::{Align, Table};

/// Runs whose median is shown.
const RUNS: usize = 7;

/// A step in JSON.
#[derive(Serialize)]
pub struct Step {
    node: String,
    kernel: &'static str,
    macs: u64,
    us: f64,
}

/// Each step's median time.
pub fn steps(session: &mut Session, picture: &Picture) -> Result<Vec<Step>> {
    let runs = (0..RUNS).map(|_| pollster::block_on(session.profile(picture))).collect::<Result<Vec<_>>>()?;
    let Some(first) = runs.first() else { return Ok(Vec::new()) };
    let median = |step: usize| {
        let mut times: Vec<Duration> = runs.iter().filter_map(|run| Some(run.get(step)?.time)).collect();
        times.sort();
        times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    let named = first.iter().enumerate().map(|(i, StepTime { node, kernel, macs, .. })| Step {
        node: node.clone(),
        kernel,
        macs: *macs,
        us: median(i),
    });
    Ok(named.collect())
}

/// Prints the steps as a table.
pub fn show(steps: &[Step]) {
    let total: f64 = steps.iter().map(|step| step.us).sum();
    let columns = ["step", "kernel", "µs", "share", "GFLOP/s"];
    let align = [Align::Left, Align::Left, Align::Right, Align::Right, Align::Right];
    let mut table = Table::new(std::array::from_fn::<_, 5, _>(|i| (columns[i], align[i])));
    for Step { node, kernel, macs, us } in steps {
        let share = if total > 0.0 { 100.0 * us / total } else { 0.0 };
        // Two operations to a multiply-accumulate; 10⁹ a second are 10³ a microsecond.
        let rate = if *macs > 0 && *us > 0.0 { format!("{:.1}", 2e-3 * *macs as f64 / us) } else { "".into() };
        table.row([node.clone(), (*kernel).to_owned(), format!("{us:.1}"), format!("{share:.1} %"), rate]);
    }
    table.lines().iter().for_each(|line| say(format_args!("  {line}")));
    say(format_args!(
        "  {} steps, {:.2} ms one by one (medians of {RUNS} runs; together, steps overlap and take less)",
        steps.len(),
        total / 1e3
    ));
}
