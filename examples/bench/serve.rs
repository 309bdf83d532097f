//! What the programs that `compare.py` times share: the input, timing, and their side of the conversation.

use std::error::Error;
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::Instant;

pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// Tells an error.
pub fn done(outcome: Outcome<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// An input of that many values, the same for every peer (`wave` in `compare.py`).
pub fn wave(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i % 255) as f32 / 127.0 - 1.0).collect()
}

/// Milliseconds of each of so many runs, from the input in memory to the output in memory.
pub fn times(runs: usize, mut run: impl FnMut() -> Outcome<Vec<f32>>) -> Outcome<Vec<f64>> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// Writes a line with the device and the output; then reads lines, each with a number of runs, and answers each with a
/// line of their times. All lines are JSON.
pub fn serve(device: &str, mut run: impl FnMut() -> Outcome<Vec<f32>>) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::json!({ "device": device, "output": run()? }))?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let times = times(line?.trim().parse()?, &mut run)?;
        writeln!(out, "{}", serde_json::json!(times))?;
        out.flush()?;
    }
    Ok(())
}

/// One line for people.
pub fn report(name: &str, device: &str, run: impl FnMut() -> Outcome<Vec<f32>>) -> Outcome<()> {
    let mut times = times(15, run)?;
    times.sort_by(f64::total_cmp);
    println!("{name}: median {:.2} ms, least {:.2} ms, {device}", times[times.len() / 2], times[0]);
    Ok(())
}
