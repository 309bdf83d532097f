//! An animated GIF, with its own pauses, again and again.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder, Frames, ImageDecoder};

use super::Source;
use crate::frame::{Frame, Layout};

/// A GIF without pauses is meant to be shown at ten a second, as browsers do.
const DEFAULT_PAUSE: Duration = Duration::from_millis(100);
/// The largest side: a GIF may claim 65,535, and every frame takes the whole picture's memory.
const MOST: u32 = 8192;

pub struct Animation {
    path: String,
    frames: Frames<'static>,
    paced: bool,
    pause: Duration,
    size: (u32, u32),
    /// Whether this round had a frame, so that a file without any does not go round for ever.
    any: bool,
}

impl Animation {
    /// With its own pauses if `paced`, else as fast as it is decoded.
    pub fn open(path: &Path, paced: bool) -> Result<Animation, String> {
        let (frames, size) = decoder(path)?;
        let path = path.display().to_string();
        Ok(Animation { path, frames, paced, pause: Duration::ZERO, size, any: false })
    }
}

fn decoder(path: &Path) -> Result<(Frames<'static>, (u32, u32)), String> {
    let fail = |e: &dyn std::fmt::Display| format!("cannot read {}: {e}", path.display());
    let file = File::open(path).map_err(|e| fail(&e))?;
    let decoder = GifDecoder::new(BufReader::new(file)).map_err(|e| fail(&e))?;
    let (width, height) = decoder.dimensions();
    if width.max(height) > MOST {
        return Err(fail(&format_args!("it is {width}×{height}, {MOST}×{MOST} is the most; scale it down first")));
    }
    Ok((decoder.into_frames(), (width, height)))
}

impl Source for Animation {
    fn name(&self) -> String {
        format!("{}, {}×{}", self.path, self.size.0, self.size.1)
    }

    fn next(&mut self) -> Result<(Frame, Option<String>), String> {
        if self.paced {
            std::thread::sleep(self.pause);
        }
        let frame = match self.frames.next() {
            Some(frame) => frame,
            None if self.any => {
                self.frames = decoder(Path::new(&self.path))?.0;
                self.any = false;
                return self.next();
            }
            None => return Err(format!("{} holds no frames", self.path)),
        };
        let frame = frame.map_err(|e| format!("{} is damaged: {e}", self.path))?;
        self.any = true;
        let pause = Duration::from(frame.delay());
        self.pause = if pause.is_zero() { DEFAULT_PAUSE } else { pause };
        let rgba = frame.into_buffer();
        let (width, height) = rgba.dimensions();
        Ok((Frame::new(Layout::Rgba, width, height, rgba.into_raw())?, None))
    }

    fn goes_on(&self) -> bool {
        // A decoder that failed once has lost its place.
        false
    }
}
