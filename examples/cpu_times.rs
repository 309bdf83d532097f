//! Times the CPU executor: `cargo run --release --no-default-features --example cpu_times -- NETWORK …`.
//!
//! | option | what it does |
//! |---|---|
//! | `--steps` | the time of each step instead of whole runs |
//! | `--w8a8` | the network in integers (ranges from seeded noise) beside itself in f32, run by run in turn |
//! | `--save FOLDER` | only writes each network with its random weights to `FOLDER/NETWORK.safetensors` |
//! | `--serve` | reads a number per line and answers with the milliseconds of so many runs, for `bench/ort/compare.py` |
//!
//! `RAYON_NUM_THREADS` sets the number of threads.

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use foveate::cpu::{self, CpuExecutor, Int8Executor, StepTime};
use foveate::quant::{CalibrationSet, Options, Quantizer};
use foveate::{Graph, Model, Tensor, int8};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (mut names, mut steps, mut serve, mut w8a8, mut save) = (Vec::new(), false, false, false, None);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--steps" => steps = true,
            "--serve" => serve = true,
            "--w8a8" => w8a8 = true,
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
        if w8a8 {
            compare(name, &model, &executor, &input, steps)?;
        } else if serve {
            answer(&executor, &input)?;
        } else if steps {
            print_steps(executor.graph(), || Ok(executor.run_timed(&input)?.1))?;
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

/// Times f32 and integers in turn, by the time that the thread was running where the system tells.
fn compare(name: &str, model: &Model, f32: &CpuExecutor, input: &Tensor, steps: bool) -> Result<(), Box<dyn Error>> {
    let set = CalibrationSet::noise(model.graph().input_shape(), 2, 1)?;
    let quantized = Quantizer::new(model, Some(set), Options::plain(), &mut |_, _, _| {})?;
    let quantized = quantized.quantize(&[], &mut |_, _, _| {})?.model;
    let quantization = quantized.quantization().ok_or("the quantised network has no scales")?;
    let executor = Int8Executor::new(int8::lower(quantized.graph(), quantization)?);
    executor.run(input)?;
    if steps {
        return print_steps(f32.graph(), || Ok(executor.run_timed(input)?.1));
    }
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..30 {
        times[0].push(timed(|| f32.run(input))?);
        times[1].push(timed(|| executor.run(input))?);
    }
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    let [[a, a_least], [b, b_least]] = times.map(|times| [times[15], times[0]]);
    let set = executor.instruction_set();
    println!(
        "{name}: f32 {a:.2} (least {a_least:.2}) ms, w8a8 {b:.2} ({b_least:.2}) ms, ratio {:.2} ({:.2}), {set}",
        b / a,
        b_least / a_least
    );
    Ok(())
}

/// Milliseconds that the calling thread was running on one thread, of wall time on several.
fn timed<T>(work: impl FnOnce() -> foveate::Result<T>) -> Result<f64, Box<dyn Error>> {
    let running = || -> Option<f64> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        Some(text.split_whitespace().next()?.parse::<f64>().ok()? * 1e-6)
    };
    let (start, before) = (Instant::now(), running());
    work()?;
    let ran = before.zip(running()).map(|(before, after)| after - before).filter(|_| cpu::threads() == 1);
    Ok(ran.unwrap_or(start.elapsed().as_secs_f64() * 1e3))
}

/// Least time of each step over some runs, with its rate.
fn print_steps(graph: &Graph, run: impl Fn() -> foveate::Result<Vec<StepTime>>) -> Result<(), Box<dyn Error>> {
    let mut best = run()?;
    for _ in 0..40 {
        best.iter_mut().zip(run()?).for_each(|(best, step)| best.time = best.time.min(step.time));
    }
    for step in &best {
        let (node, macs) = (graph.node(step.node), graph.node_macs(step.node) as f64);
        let (us, gflops) = (step.time.as_secs_f64() * 1e6, 2e-9 * macs / step.time.as_secs_f64());
        println!("{us:9.1} µs {gflops:7.1} GFLOP/s  {:12} {} {}", step.kernel, node.shape, node.name);
    }
    println!("{:9.1} µs in all", best.iter().map(|step| step.time.as_secs_f64() * 1e6).sum::<f64>());
    Ok(())
}
