//! A moving scene that needs no hardware: pictures of the ten classes that the built-in network knows cannot be drawn,
//! so this is for frame rates and memory, not for labels.

use super::{Pace, Source};
use crate::frame::{Frame, Layout};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;

/// A disc on its way round over a gradient that drifts, as a camera would send it (YUYV).
pub struct Scene {
    pace: Pace,
    at: u32,
}

impl Scene {
    pub fn new(pace: Pace) -> Scene {
        Scene { pace, at: 0 }
    }
}

impl Source for Scene {
    fn name(&self) -> String {
        format!("synthetic scene, {WIDTH}×{HEIGHT} YUYV")
    }

    fn next(&mut self) -> Result<(Frame, Option<String>), String> {
        self.pace.wait();
        let at = self.at;
        self.at = self.at.wrapping_add(1);
        let turn = (at % 360) as f32 / 180.0 * std::f32::consts::PI;
        let centre = [320.0 + 180.0 * turn.cos(), 240.0 + 120.0 * turn.sin()];
        let mut bytes = Vec::with_capacity((WIDTH * HEIGHT * 2) as usize);
        for y in 0..HEIGHT {
            for pair in 0..WIDTH / 2 {
                let x = pair * 2;
                let (dx, dy) = (x as f32 - centre[0], y as f32 - centre[1]);
                let inside = dx * dx + dy * dy < 80.0 * 80.0;
                let drift = ((x + at) / 4 % 160) as u8;
                let (luma, blue, red) = if inside { (210, 90, 170) } else { (40 + drift, 128 + (y / 16) as u8, 118) };
                bytes.extend([luma, blue, luma, red]);
            }
        }
        Ok((Frame::new(Layout::Yuyv, WIDTH, HEIGHT, bytes)?, None))
    }
}
