//! Every model, precision, batch and device that the arguments name, opened.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use foveate::bench::{Device, Frames, Key, Measured, Network, Protocol};
use foveate::{DeviceChoice, Error, Model, Precision, Result};

use super::Bench;
use crate::cli::args::{DeviceArgs, ModelArgs, PrecisionArg};
use crate::cli::{device, source, tell};

/// What is measured, or why it is not.
pub enum Opened {
    Network(Box<Network>),
    Failed(Box<Measured>),
}

/// One subject by its arguments.
struct Wanted<'a> {
    device: &'a DeviceArgs,
    precision: Option<PrecisionArg>,
    batch: usize,
}

/// Opens them one after the other, models first: what is wrong with those is said before anything runs. If
/// more than one is wanted, one that cannot be opened is told and does not keep the others from being
/// measured.
///
/// # Errors
/// What is wrong with a model, or with the only subject.
pub fn all(args: &Bench, protocol: &Protocol, frames: &Rc<Frames>, stop: &AtomicBool) -> Result<Vec<Opened>> {
    let models = args.models().iter().map(load).collect::<Result<Vec<_>>>()?;
    let (devices, precisions) = (args.devices(), args.precisions());
    if devices.is_empty() {
        return Err(Error::Device { reason: "no adapter was found on that backend".to_owned() });
    }
    let count = models.len() * devices.len() * precisions.len() * args.batch.len();
    if args.sustained.is_some() && count > 1 {
        let what = "--sustained runs one model in one precision and batch on one device";
        return Err(Error::argument(format!("{what}; {count} were named: measure them one after the other")));
    }
    let mut subjects = Vec::with_capacity(count);
    let mut seen: Vec<(usize, usize, Key)> = Vec::new();
    for (of, (model, weights)) in models.iter().enumerate() {
        for &precision in &precisions {
            // Once for all devices and batches: calibrating takes its time.
            let start = Instant::now();
            let held = args.format(precision).apply(model.clone(), args.random);
            let quantised = held.as_ref().is_ok_and(|held| held.precision() == Precision::W8a8)
                && model.precision() != Precision::W8a8;
            let quantize_ms = quantised.then(|| start.elapsed().as_secs_f64() * 1e3);
            for (at, device) in devices.iter().enumerate() {
                for &batch in &args.batch {
                    if stop.load(Ordering::Relaxed) {
                        return Ok(subjects);
                    }
                    let wanted = Wanted { device, precision, batch };
                    let opened = match &held {
                        Ok(held) => open(held, weights, &wanted, frames, protocol).map(|mut network| {
                            network.quantized_in(quantize_ms);
                            network
                        }),
                        Err(error) => Err(Error::argument(error)),
                    };
                    if let Ok(network) = &opened {
                        // Devices fall back to other number formats; two models or devices of one name are two.
                        let key = (of, at, Key::of(network.described()));
                        if seen.contains(&key) {
                            let same = super::show::subject(network.described());
                            tell(format_args!("left out: that is {same} once more"));
                            continue;
                        }
                        seen.push(key);
                    }
                    subjects.push(match opened {
                        Ok(network) => Opened::Network(Box::new(network)),
                        Err(error) if count == 1 => return Err(error),
                        Err(error) => {
                            let failed = failed(model, weights, &wanted, &error);
                            tell(format_args!("error: {}: {error}", super::show::subject(&failed)));
                            Opened::Failed(Box::new(failed))
                        }
                    });
                }
            }
        }
    }
    Ok(subjects)
}

/// A model, and where its weights are from.
fn load(args: &ModelArgs) -> Result<(Model, String)> {
    let model = source::load(args)?;
    let weights = match &args.model {
        None => "built in".to_owned(),
        Some(_) if args.random => format!("random, seed {}", args.seed),
        Some(path) => {
            let hash: String = model.details().source_sha256.chars().take(12).collect();
            format!("{}, sha256 {hash}…", path.display())
        }
    };
    Ok((model, weights))
}

fn open(model: &Model, weights: &str, wanted: &Wanted, frames: &Rc<Frames>, protocol: &Protocol) -> Result<Network> {
    let session = device::open(model.clone(), wanted.device, wanted.precision, wanted.batch)?;
    let network = Network::new(session, weights, wanted.device.safe_shaders, frames.clone(), protocol.mode);
    pollster::block_on(network)
}

/// What is known of a subject that could not be opened.
fn failed(model: &Model, weights: &str, wanted: &Wanted, error: &Error) -> Measured {
    let name = match &wanted.device.device {
        DeviceChoice::Auto => "auto".to_owned(),
        DeviceChoice::Gpu => "gpu".to_owned(),
        DeviceChoice::Cpu => "cpu".to_owned(),
        DeviceChoice::Named(name) => name.clone(),
        DeviceChoice::Index(index) => format!("adapter {index}"),
    };
    let precision = wanted.precision.and_then(PrecisionArg::named).unwrap_or(model.precision());
    Measured {
        model: model.name().to_owned(),
        weights: weights.to_owned(),
        precision: precision.to_string(),
        batch: wanted.batch,
        device: Device { name, ..Device::default() },
        load_ms: model.loading().as_secs_f64() * 1e3,
        error: Some(error.to_string()),
        ..Measured::default()
    }
}
