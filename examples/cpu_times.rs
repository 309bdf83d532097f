//! Times the CPU executor: `cargo run --release --no-default-features --example cpu_times -- NETWORK …`.
//!
//! | option | what it does |
//! |---|---|
//! | `--steps` | the time of each step instead of whole runs |
//! | `--save FOLDER` | only writes each network with its random weights to `FOLDER/NETWORK.safetensors` |
//! | `--serve` | reads a number per line and answers with the milliseconds of so many runs, for `bench/ort/compare.py` |
//!
//! `RAYON_NUM_THREADS` sets the number of threads.

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use foveate::cpu::{self, CpuExecutor};
use foveate::{Model, Tensor};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (mut names, mut steps, mut serve, mut save) = (Vec::new(), false, false, None);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--steps" => steps = true,
            "--serve" => serve = true,
            "--save" => save = Some(args.next().ok_or("--save needs a folder")?),
            _ => names.push(arg),
        }
    }
    if names.is_empty() {
        return Err("name a network: cpu_times repvgg-a0".into());
    }
    for name in &names {
        let model =
            if Path::new(name).exists() { Model::open(name, None, false)? } else { Model::random(name, 0, false)? };
        if let Some(folder) = &save {
            std::fs::write(Path::new(folder).join(format!("{name}.safetensors")), model.to_bytes()?)?;
            continue;
        }
        let shape = model.graph().input_shape();
        // The same values as in compare.py, which looks at the results too.
        let wave = |i: usize| (i % 255) as f32 / 127.0 - 1.0;
        let values = (0..shape.len()).map(wave).collect();
        let input = Tensor::new([1, shape.channels, shape.height, shape.width], values)?;
        let executor = CpuExecutor::new(model.graph().clone())?;
        executor.run(&input)?;
        if serve {
            answer(&executor, &input)?;
        } else if steps {
            print_steps(&executor, &input)?;
        } else {
            let times = times(&executor, &input, 30)?;
            println!("{name}: median {:.2} ms, least {:.2} ms, {} threads", times[15], times[0], cpu::threads());
        }
    }
    Ok(())
}

/// Milliseconds of that many runs, sorted.
fn times(executor: &CpuExecutor, input: &Tensor, runs: usize) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        executor.run(input)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// First the output, then the times of as many runs as each line asks for; JSON arrays.
fn answer(executor: &CpuExecutor, input: &Tensor) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(executor.run(input)?.data())?)?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let times = times(executor, input, line?.trim().parse()?)?;
        writeln!(out, "{}", serde_json::to_string(&times)?)?;
        out.flush()?;
    }
    Ok(())
}

/// Least time of each step over some runs, with its rate.
fn print_steps(executor: &CpuExecutor, input: &Tensor) -> Result<(), Box<dyn Error>> {
    let (_, mut best) = executor.run_timed(input)?;
    for _ in 0..40 {
        let (_, steps) = executor.run_timed(input)?;
        best.iter_mut().zip(steps).for_each(|(best, step)| best.time = best.time.min(step.time));
    }
    let graph = executor.graph();
    for step in &best {
        let (node, macs) = (graph.node(step.node), graph.node_macs(step.node) as f64);
        let (us, gflops) = (step.time.as_secs_f64() * 1e6, 2e-9 * macs / step.time.as_secs_f64());
        println!("{us:9.1} µs {gflops:7.1} GFLOP/s  {:12} {} {}", step.kernel, node.shape, node.name);
    }
    println!("{:9.1} µs in all", best.iter().map(|step| step.time.as_secs_f64() * 1e6).sum::<f64>());
    Ok(())
}
