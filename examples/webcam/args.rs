//! The command line.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::Parser;
use foveate::gpu::{Backend, parse_backend};
use foveate::{DeviceChoice, Precision};

use crate::models::Named;
use crate::source::Spec;

/// Classifies what a camera, a folder of pictures, an animation or a synthetic scene shows, live in a window.
#[derive(Clone, Debug, Parser)]
#[command(name = "webcam", version)]
pub struct Args {
    /// Where frames come from: camera, camera:N, synthetic, a picture, an animated GIF, or a folder of pictures.
    #[arg(long, default_value = "camera", value_parser = Spec::parse)]
    pub source: Spec,
    /// Print the cameras that the system sees, and end.
    #[arg(long)]
    pub list_cameras: bool,
    /// A checkpoint or model file, or with --random a network's name; the built-in network if not given.
    #[arg(long, value_name = "FILE|NAME")]
    pub model: Option<PathBuf>,
    /// Take the named network with seeded random weights.
    #[arg(long, requires = "model")]
    pub random: bool,
    /// The architecture, where a checkpoint's keys cannot tell it.
    #[arg(long, requires = "model")]
    pub arch: Option<String>,
    /// Names of the classes: imagenet1k, cifar10, or a file with one name per line.
    #[arg(long, requires = "model")]
    pub labels: Option<String>,
    /// The number format: f32, f16, w8 or w8a8.
    #[arg(long, value_parser = parse_precision)]
    pub precision: Option<Precision>,
    /// auto, gpu, cpu (the network alone: the window needs a GPU), an index, or part of an adapter's name.
    #[arg(long, default_value = "auto", value_parser = parse_device)]
    pub device: DeviceChoice,
    /// Look at one backend only: vulkan, metal, dx12 or gl.
    #[arg(long, value_parser = |text: &str| parse_backend(text).map_err(|e| e.to_string()))]
    pub backend: Option<Backend>,
    /// Frames per second of pictures and the synthetic scene.
    #[arg(long, default_value_t = 30.0, value_parser = parse_rate)]
    pub rate: f64,
    /// Do not mirror the picture, which is done for cameras.
    #[arg(long)]
    pub no_mirror: bool,
    /// Where screenshots are written.
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub screenshots: PathBuf,
    /// Destroy the device after so many seconds, to see the window recover.
    #[arg(long, hide = true, value_name = "SECONDS")]
    pub lose_device_after: Option<f64>,
    /// Classify so many frames without a window, print the figures, and end. Every frame of pictures counts then: none
    /// is dropped, and --rate does not hold them back.
    #[arg(long, value_name = "N")]
    pub frames: Option<NonZeroU64>,
    /// With --frames: print one line of JSON.
    #[arg(long, requires = "frames")]
    pub json: bool,
}

impl Args {
    pub fn named(&self) -> Named {
        match &self.model {
            None => Named::Builtin,
            Some(name) if self.random => Named::Random { name: name.to_string_lossy().into_owned() },
            Some(path) => Named::File { path: path.clone(), arch: self.arch.clone(), labels: self.labels.clone() },
        }
    }
}

pub const PRECISIONS: [Precision; 4] = [Precision::F32, Precision::F16, Precision::W8, Precision::W8a8];

fn parse_precision(text: &str) -> Result<Precision, String> {
    let known = PRECISIONS.into_iter().find(|precision| precision.to_string() == text.to_ascii_lowercase());
    known.ok_or_else(|| "use f32, f16, w8 or w8a8".to_owned())
}

fn parse_device(text: &str) -> Result<DeviceChoice, String> {
    Ok(DeviceChoice::parse(text))
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "it must be a number".to_owned())?;
    if (0.01..=10_000.0).contains(&rate) { Ok(rate) } else { Err("it must be from 0.01 to 10000".to_owned()) }
}
