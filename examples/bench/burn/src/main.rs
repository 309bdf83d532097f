//! Times burn's wgpu backend on the networks that foveate runs: the same fused graphs, the same weights.
//!
//! `cargo run --release -- [--device NAME] [--batch N] [--serve] NETWORK|FILE …`; `--device` is part of the adapter's
//! name, burn's default if not given. `--serve` is for `../compare.py`; without it, the largest difference to foveate's
//! CPU executor is printed as well.

mod network;
#[path = "../../serve.rs"]
mod serve;

use std::path::Path;
use std::process::ExitCode;

use burn::tensor::wgpu::WgpuSetup;
use burn::tensor::{Device, DeviceKind};
use foveate::{DeviceChoice, Model, Session, Tensor};
use network::Network;
use pollster::block_on;
use serve::{Outcome, report, wave};

fn main() -> ExitCode {
    serve::done(time())
}

fn time() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let (mut networks, mut serves, mut wanted, mut batch) = (Vec::new(), false, String::new(), 1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--device" => wanted = value()?.to_lowercase(),
            "--batch" => batch = value()?.parse()?,
            "--serve" => serves = true,
            option if option.starts_with('-') => return Err(format!("{option} is no option").into()),
            _ => networks.push(arg),
        }
    }
    if networks.is_empty() {
        return Err("name a network or a file: foveate-bench-burn repvgg-a0".into());
    }
    let (device, setup) = open(&wanted)?;
    let adapter = setup.adapter.get_info();
    let place = format!("{}, {:?}, {}", adapter.name, setup.backend, adapter.driver_info);
    for name in &networks {
        let model =
            if Path::new(name).exists() { Model::open(name, None, false)? } else { Model::random(name, 0, false)? };
        let shape = model.graph().input_shape();
        let shape = [batch, shape.channels, shape.height, shape.width];
        let input = wave(shape.iter().product());
        let network = Network::new(model.graph(), &device)?;
        let run = || network.run(&input, shape);
        // Kernels are tuned in the first runs.
        let output = run()?;
        run()?;
        if serves {
            serve::serve(&place, run)?;
            continue;
        }
        report(name, &place, run)?;
        let session = Session::builder().model(model).device(DeviceChoice::Cpu).batch(batch);
        let ours = block_on(block_on(session.load())?.run_tensor(&Tensor::new(shape, input.clone())?))?;
        let largest = ours.data().iter().fold(0f32, |most, v| most.max(v.abs()));
        let apart = output.iter().zip(ours.data()).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
        println!("outputs are {apart:.1e} apart, {:.1e} of the largest", apart / largest);
    }
    Ok(())
}

/// The first adapter whose name contains `wanted`. burn knows adapters by their kind and a number only.
fn open(wanted: &str) -> Outcome<(Device, WgpuSetup)> {
    use DeviceKind::*;
    let mut seen = Vec::new();
    for kind in [DefaultDevice, DiscreteGpu(0), DiscreteGpu(1), IntegratedGpu(0), VirtualGpu(0), Cpu] {
        let Ok((device, setup)) = Device::wgpu_options().device_kind(kind).init_with_setup() else { continue };
        let name = setup.adapter.get_info().name;
        if name.to_lowercase().contains(wanted) {
            return Ok((device, setup));
        }
        seen.push(name);
    }
    Err(format!("burn finds no adapter with {wanted:?} in its name; it finds {seen:?}").into())
}
