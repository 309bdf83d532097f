//! Times networks: `cargo run --release --example times -- [--device NAME] NETWORK|FILE …`.
//!
//! | option | what it does |
//! |---|---|
//! | `--device DEVICE` | `auto`, `gpu`, `cpu`, an index, or part of an adapter's name (software adapters too) |
//! | `--batch N` | pictures per run |
//! | `--precision FORMAT,…` | `f32`, `f16`, `w8` or `w8a8`; several are timed in turn, with their ratio to the first |
//! | `--steps` | the least time of each step instead of whole runs |
//! | `--save FOLDER` | only writes each fused network to `FOLDER/NETWORK.safetensors`, for other programs; with `--precision w8a8` in 8 bits, to `FOLDER/NETWORK-w8a8.safetensors` |
//! | `--serve` | answers with times whenever it is asked, for `bench/compare.py` |
//!
//! A network without a file gets seeded random weights; for `w8a8` a float one is calibrated on noise. `RAYON_NUM_THREADS` sets the threads of the CPU executor.

#[path = "bench/serve.rs"]
mod serve;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use foveate::{DeviceChoice, Model, Picture, Precision, Session, Tensor, quant};
use pollster::block_on;
use serve::{Outcome, report, wave};

fn main() -> ExitCode {
    serve::done(time())
}

fn time() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let (mut networks, mut steps, mut serves, mut save) = (Vec::new(), false, false, None);
    let (mut device, mut batch, mut precisions) = (DeviceChoice::Auto, 1, Vec::new());
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--device" => device = DeviceChoice::parse(&value()?),
            "--batch" => batch = value()?.parse()?,
            "--precision" => precisions = value()?.split(',').map(precision).collect::<Outcome<_>>()?,
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
        let calibrated = |precision: &Precision| {
            let calibrates = *precision == Precision::W8a8 && model.precision() != Precision::W8a8;
            if calibrates { quant::calibrated_on_noise(&model) } else { Ok(model.clone()) }
        };
        if let Some(folder) = &save {
            let own = [Precision::F32];
            for precision in if precisions.is_empty() { &own } else { &precisions[..] } {
                let format = if *precision == Precision::W8a8 { "-w8a8" } else { "" };
                let file = Path::new(folder).join(format!("{}{format}.safetensors", model.name()));
                std::fs::write(file, calibrated(precision)?.to_bytes()?)?;
            }
            continue;
        }
        let wanted = if precisions.is_empty() { vec![model.precision()] } else { precisions.clone() };
        let open = |precision: &Precision| -> Outcome<Session> {
            let session = Session::builder().model(calibrated(precision)?).device(device.clone()).batch(batch);
            Ok(block_on(session.precision(*precision).load())?)
        };
        let mut sessions = wanted.iter().map(open).collect::<Outcome<Vec<_>>>()?;
        if steps {
            sessions.iter_mut().try_for_each(print_steps)?;
            continue;
        }
        let shape = sessions[0].model().graph().input_shape();
        let input = Tensor::new([batch, shape.channels, shape.height, shape.width], wave(batch * shape.len()))?;
        let device = sessions[0].device().to_string();
        let run = |session: &mut Session| Ok(block_on(session.run_tensor(&input))?.into_data());
        match &mut sessions[..] {
            [session] => {
                let mut run = || run(session);
                run()?;
                if serves { serve::serve(&device, run)? } else { report(name, &device, run)? }
            }
            _ if serves => return Err("--serve takes one precision".into()),
            sessions => {
                println!("{name}: {device}");
                compare(sessions, &wanted, run)?;
            }
        }
    }
    Ok(())
}

fn precision(name: &str) -> Outcome<Precision> {
    let all = [Precision::F32, Precision::F16, Precision::W8, Precision::W8a8];
    let found = all.into_iter().find(|precision| precision.to_string() == name);
    found.ok_or_else(|| format!("{name:?} is no precision; f32, f16, w8 and w8a8 are").into())
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

/// A line for each precision, timed in turn, so that whatever else the machine does meets all of them alike: medians, and
/// the median of the ratios to the first, round by round.
fn compare(
    sessions: &mut [Session],
    precisions: &[Precision],
    mut run: impl FnMut(&mut Session) -> Outcome<Vec<f32>>,
) -> Outcome<()> {
    let mut rounds = Vec::new();
    for round in 0..41 {
        let mut times = Vec::with_capacity(sessions.len());
        for session in &mut *sessions {
            let start = Instant::now();
            run(session)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        // The first warms caches up.
        if round > 0 {
            rounds.push(times);
        }
    }
    let median = |of: &dyn Fn(&Vec<f64>) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    for (i, precision) in precisions.iter().enumerate() {
        let (time, ratio) = (median(&|times| times[i]), median(&|times| times[i] / times[0]));
        println!("  {:5} median {time:8.2} ms, ratio {ratio:.2}", precision.to_string());
    }
    Ok(())
}
