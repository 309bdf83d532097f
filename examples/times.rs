//! Times networks: `cargo run --release --example times -- [--device NAME] NETWORK|FILE …`.
//!
//! | option | what it does |
//! |---|---|
//! | `--device DEVICE` | `auto`, `gpu`, `cpu`, an index, or part of an adapter's name (software adapters too) |
//! | `--batch N` | pictures per run |
//! | `--steps` | the least time of each step instead of whole runs |
//! | `--save FOLDER` | only writes each fused network to `FOLDER/NETWORK.safetensors`, for other programs |
//! | `--serve` | answers with times whenever it is asked, for `bench/compare.py` |
//!
//! A network without a file gets seeded random weights. `RAYON_NUM_THREADS` sets the threads of the CPU executor.

#[path = "bench/serve.rs"]
mod serve;

use std::path::Path;
use std::process::ExitCode;

use foveate::{DeviceChoice, Model, Picture, Session, Tensor};
use pollster::block_on;
use serve::{Outcome, report, wave};

fn main() -> ExitCode {
    serve::done(time())
}

fn time() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let (mut networks, mut steps, mut serves, mut save) = (Vec::new(), false, false, None);
    let (mut device, mut batch) = (DeviceChoice::Auto, 1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--device" => device = DeviceChoice::parse(&value()?),
            "--batch" => batch = value()?.parse()?,
            "--save" => save = Some(value()?),
            "--steps" => steps = true,
            "--serve" => serves = true,
            option if option.starts_with('-') => return Err(format!("{option} is no option").into()),
            _ => networks.push(arg),
        }
    }
    if networks.is_empty() {
        return Err("name a network or a file: times repvgg-a0".into());
    }
    for name in &networks {
        let model =
            if Path::new(name).exists() { Model::open(name, None, false)? } else { Model::random(name, 0, false)? };
        if let Some(folder) = &save {
            let file = Path::new(folder).join(format!("{}.safetensors", model.name()));
            std::fs::write(file, model.to_bytes()?)?;
            continue;
        }
        let session = Session::builder().model(model).device(device.clone()).batch(batch);
        let mut session = block_on(session.load())?;
        if steps {
            print_steps(&mut session)?;
            continue;
        }
        let shape = session.model().graph().input_shape();
        let input = Tensor::new([batch, shape.channels, shape.height, shape.width], wave(batch * shape.len()))?;
        let device = session.device().to_string();
        let mut run = || Ok(block_on(session.run_tensor(&input))?.into_data());
        run()?;
        if serves { serve::serve(&device, run)? } else { report(name, &device, run)? }
    }
    Ok(())
}

/// Least time of each step over some runs, with its rate.
fn print_steps(session: &mut Session) -> Outcome<()> {
    let [height, width] = session.model().preprocess().crop;
    let picture = Picture::from_rgba(width, height, vec![128; width as usize * height as usize * 4])?;
    let mut best = block_on(session.profile(&picture))?;
    for _ in 0..40 {
        let steps = block_on(session.profile(&picture))?;
        best.iter_mut().zip(steps).for_each(|(best, step)| best.time = best.time.min(step.time));
    }
    for step in &best {
        let us = step.time.as_secs_f64() * 1e6;
        println!("{us:9.1} µs {:7.1} GFLOP/s  {:16} {}", 2e-3 * step.macs as f64 / us, step.kernel, step.node);
    }
    println!("{:9.1} µs in all", best.iter().map(|step| step.time.as_secs_f64() * 1e6).sum::<f64>());
    Ok(())
}
