//! Where frames come from: a camera, pictures, an animation, or a scene of our own.

mod animation;
mod camera;
mod folder;
mod synthetic;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::frame::Frame;

pub use camera::cameras;

/// What `--source` says, or was dropped on the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    /// The camera of that number, in the order of the system.
    Camera(u32),
    /// A moving scene that needs no hardware.
    Synthetic,
    /// A picture, an animated GIF, or a folder of pictures.
    Path(PathBuf),
}

impl Spec {
    /// `camera`, `camera:1`, `synthetic`, or a path.
    ///
    /// # Errors
    /// A sentence for a camera that is no number.
    pub fn parse(text: &str) -> Result<Spec, String> {
        match text.split_once(':') {
            _ if text == "camera" => Ok(Spec::Camera(0)),
            _ if text == "synthetic" => Ok(Spec::Synthetic),
            Some(("camera", number)) => number
                .parse()
                .map(Spec::Camera)
                .map_err(|_| format!("{number:?} is no camera's number; use camera:0, camera:1, …")),
            _ => Ok(Spec::Path(text.into())),
        }
    }

    /// Opens it. Pictures and scenes deliver `rate` frames a second, or as fast as they can without one; cameras their
    /// own.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what to do.
    pub fn open(&self, rate: Option<f64>) -> Result<Box<dyn Source>, String> {
        Ok(match self {
            Spec::Camera(index) => Box::new(camera::Camera::open(*index)?),
            Spec::Synthetic => Box::new(synthetic::Scene::new(Pace::new(rate))),
            Spec::Path(path) if path.is_dir() => Box::new(folder::Folder::open(path, Pace::new(rate))?),
            Spec::Path(path) if animation::is_gif(path) => Box::new(animation::Animation::open(path, rate.is_some())?),
            Spec::Path(path) => Box::new(folder::Folder::of(path, Pace::new(rate))?),
        })
    }
}

impl std::fmt::Display for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Spec::Camera(index) => write!(f, "camera {index}"),
            Spec::Synthetic => write!(f, "synthetic scene"),
            Spec::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Delivers frames, one after the other. Stays on the thread that opened it: cameras are not `Send`.
pub trait Source {
    /// What it is, for the window's status line: name, size, format.
    fn name(&self) -> String;

    /// Waits for the next frame, with the name of the picture where it has one.
    ///
    /// # Errors
    /// A sentence. The source may be asked again if it is one of several pictures; a camera has to be opened anew.
    fn next(&mut self) -> Result<(Frame, Option<String>), String>;

    /// Whether it goes on after an error of [`next`](Source::next).
    fn goes_on(&self) -> bool {
        true
    }
}

/// Keeps to a number of frames a second.
pub struct Pace {
    every: Option<Duration>,
    next: Option<Instant>,
}

impl Pace {
    pub fn new(rate: Option<f64>) -> Pace {
        let every = rate.map(|rate| Duration::from_secs_f64(1.0 / rate.clamp(0.01, 10_000.0)));
        Pace { every, next: None }
    }

    /// Sleeps until the next frame is due. What was missed is not made up for.
    pub fn wait(&mut self) {
        let Some(every) = self.every else { return };
        let now = Instant::now();
        let due = self.next.unwrap_or(now).max(now);
        std::thread::sleep(due - now);
        self.next = Some(due + every);
    }
}
