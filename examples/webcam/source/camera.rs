//! A camera, through nokhwa: V4L2 on Linux, AVFoundation on macOS, Media Foundation on Windows.

use image::codecs::jpeg::JpegDecoder;
use image::{ColorType, ImageDecoder};
use nokhwa::pixel_format::RgbFormat;
use nokhwa::utils::{
    ApiBackend, CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType, Resolution,
};

use super::Source;
use crate::frame::{Frame, Layout};

/// What is asked for; the camera has the last word.
const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
const RATE: u32 = 30;

pub struct Camera {
    camera: nokhwa::Camera,
    name: String,
}

/// The cameras that the system sees, by number and name.
///
/// # Errors
/// A sentence that says what to do.
pub fn cameras() -> Result<Vec<(u32, String)>, String> {
    let found = nokhwa::query(ApiBackend::Auto).map_err(|e| advice("cannot list the cameras", &e.to_string()))?;
    let mut cameras: Vec<(u32, String)> =
        found.iter().filter_map(|info| Some((info.index().as_index().ok()?, info.human_name()))).collect();
    cameras.sort();
    Ok(cameras)
}

impl Camera {
    pub fn open(index: u32) -> Result<Camera, String> {
        // macOS asks the user once; elsewhere this is done at once.
        let (asked, answer) = std::sync::mpsc::channel();
        nokhwa::nokhwa_initialize(move |granted| {
            let _ = asked.send(granted);
        });
        if cfg!(target_os = "macos") && answer.recv() != Ok(true) {
            return Err(
                "the system does not allow this program to use the camera; allow it under Privacy & Security, \
                        Camera"
                    .to_owned(),
            );
        }
        let known = cameras()?;
        if known.is_empty() {
            return Err("no camera was found; plug one in (it is looked for again every second), or use --source \
                        synthetic, a picture or a folder"
                .to_owned());
        }
        if !known.iter().any(|(number, _)| *number == index) {
            let list: Vec<String> = known.iter().map(|(number, name)| format!("{number}: {name}")).collect();
            return Err(format!("there is no camera {index}; there is {}", list.join(", ")));
        }
        let wanted = CameraFormat::new(Resolution::new(WIDTH, HEIGHT), FrameFormat::YUYV, RATE);
        let formats =
            [FrameFormat::YUYV, FrameFormat::NV12, FrameFormat::MJPEG, FrameFormat::GRAY, FrameFormat::RAWRGB];
        let requests = [
            RequestedFormat::with_formats(RequestedFormatType::Closest(wanted), &formats),
            RequestedFormat::new::<RgbFormat>(RequestedFormatType::AbsoluteHighestFrameRate),
        ];
        let fail = |e: nokhwa::NokhwaError| advice(&format!("cannot open camera {index}"), &e.to_string());
        let mut opened = Err("no format was asked for".to_owned());
        for request in requests {
            opened = nokhwa::Camera::new(CameraIndex::Index(index), request).map_err(fail);
            if opened.is_ok() {
                break;
            }
        }
        let mut camera = opened?;
        camera.open_stream().map_err(fail)?;
        let format = camera.camera_format();
        let name = format!(
            "{}, {}×{} {:?} at {}/s",
            camera.info().human_name(),
            format.width(),
            format.height(),
            format.format(),
            format.frame_rate()
        );
        Ok(Camera { camera, name })
    }
}

impl Source for Camera {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn next(&mut self) -> Result<(Frame, Option<String>), String> {
        let buffer = self.camera.frame().map_err(|e| advice("the camera stopped", &e.to_string()))?;
        let Resolution { width_x: width, height_y: height } = buffer.resolution();
        let bytes = buffer.buffer();
        let layout = match buffer.source_frame_format() {
            FrameFormat::MJPEG => return Ok((from_jpeg(bytes)?, None)),
            FrameFormat::YUYV => Layout::Yuyv,
            FrameFormat::NV12 => Layout::Nv12,
            FrameFormat::GRAY => Layout::Gray,
            FrameFormat::RAWRGB => Layout::Rgb,
            FrameFormat::RAWBGR => Layout::Bgr,
        };
        Ok((Frame::new(layout, width, height, bytes.to_vec())?, None))
    }

    fn goes_on(&self) -> bool {
        false
    }
}

/// One frame of motion JPEG.
fn from_jpeg(bytes: &[u8]) -> Result<Frame, String> {
    let fail = |e: image::ImageError| format!("the camera sent a damaged JPEG: {e}");
    let decoder = JpegDecoder::new(std::io::Cursor::new(bytes)).map_err(fail)?;
    let ((width, height), colour) = (decoder.dimensions(), decoder.color_type());
    let layout = match colour {
        ColorType::Rgb8 => Layout::Rgb,
        ColorType::L8 => Layout::Gray,
        other => return Err(format!("the camera sent a JPEG of {other:?}, which cannot be shown")),
    };
    let size = layout.bytes(width, height).filter(|size| *size <= 1 << 28);
    let mut pixels = vec![0; size.ok_or_else(|| format!("the camera sent a JPEG of {width}×{height}"))?];
    decoder.read_image(&mut pixels).map_err(fail)?;
    Frame::new(layout, width, height, pixels)
}

/// What went wrong, and what to do about it.
fn advice(what: &str, reason: &str) -> String {
    let lower = reason.to_lowercase();
    let todo = if lower.contains("permission") || lower.contains("denied") || lower.contains("os error 13") {
        "this user may not use it: on Linux, add the user to the group `video`; on macOS and Windows, allow it under \
         the system's privacy settings"
    } else if lower.contains("busy") || lower.contains("os error 16") {
        "another program uses it: close that first"
    } else if lower.contains("no such device") || lower.contains("os error 19") {
        "it was unplugged: plug it in again"
    } else {
        "see whether another program can use it; --source synthetic, a picture or a folder need no camera"
    };
    format!("{what}: {reason} ({todo})")
}
