//! Times the GPU executor: `cargo run --release --example gpu_times -- --device llvmpipe NETWORK …`.
//!
//! | option | what it does |
//! |---|---|
//! | `--device NAME` | part of the adapter's name, or its index; the best GPU if not given |
//! | `--buffers`, `--textures` | where activations and weights lie; what suits the device if not given |
//! | `--sums N` | how many sums (vec4s) an invocation keeps at most |
//! | `--save FOLDER` | only writes each network with its random weights to `FOLDER/NETWORK.safetensors` |
//! | `--serve` | reads a number per line and answers with the milliseconds of so many runs, for `bench/ncnn/compare.py` |

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use foveate::gpu::{DeviceRequest, ExecutorOptions, GpuContext, GpuExecutor, select_adapter};
use foveate::kernels::Target;
use foveate::plan::Plan;
use foveate::{Model, Tensor};
use pollster::block_on;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (mut names, mut serve, mut save, mut target) = (Vec::new(), false, None, None);
    let mut device = DeviceRequest::Gpu;
    let mut sums = None;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--serve" => serve = true,
            "--save" => save = Some(args.next().ok_or("--save needs a folder")?),
            "--device" => device = DeviceRequest::Named(args.next().ok_or("--device needs a name")?),
            "--buffers" => target = Some(Target::default()),
            "--textures" => target = Some(Target::software()),
            "--sums" => sums = Some(args.next().ok_or("--sums needs a number")?.parse()?),
            _ => names.push(arg),
        }
    }
    if names.is_empty() {
        return Err("name a network: gpu_times repvgg-a0".into());
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
        let context = block_on(async { GpuContext::request(&select_adapter(&device, None).await?).await })?;
        let mut target = target.clone().unwrap_or(context.target());
        target.sums = sums.unwrap_or(target.sums);
        let plan = Plan::for_target(model.graph(), 1, &[], target)?;
        let mut executor = block_on(GpuExecutor::new(&context, plan, ExecutorOptions::default()))?;
        let output = block_on(executor.run_tensor(&input))?;
        if serve {
            answer(&mut executor, &input, &output[0])?;
        } else {
            let times = times(&mut executor, &input, 15)?;
            println!("{name}: median {:.2} ms, least {:.2} ms, {}", times[7], times[0], context.summary());
        }
    }
    Ok(())
}

/// Milliseconds of that many runs, sorted.
fn times(executor: &mut GpuExecutor, input: &Tensor, runs: usize) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        block_on(executor.run_tensor(input))?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// First the output, then the times of as many runs as each line asks for; JSON arrays.
fn answer(executor: &mut GpuExecutor, input: &Tensor, output: &Tensor) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(output.data())?)?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let times = times(executor, input, line?.trim().parse()?)?;
        writeln!(out, "{}", serde_json::to_string(&times)?)?;
        out.flush()?;
    }
    Ok(())
}
