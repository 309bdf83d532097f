//! Where frames come from: a camera, pictures, an animation, or a scene of our own.

mod animation;
mod camera;
mod folder;
mod synthetic;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use image::ImageFormat;

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
            Spec::Path(path) => open_path(path, rate)?,
        })
    }
}

fn open_path(path: &Path, rate: Option<f64>) -> Result<Box<dyn Source>, String> {
    let found = std::fs::metadata(path).map_err(|e| format!("cannot open {}: {e}", path.display()))?;
    if found.is_dir() {
        return Ok(Box::new(folder::Folder::open(path, Pace::new(rate))?));
    }
    // Reading from a pipe could wait for ever.
    if !found.is_file() {
        return Err(format!(
            "{} is no picture, animated GIF or folder; a camera is camera:N (--list-cameras names them)",
            path.display()
        ));
    }
    match kind(path) {
        Some(ImageFormat::Gif) => Ok(Box::new(animation::Animation::open(path, rate.is_some())?)),
        _ => Ok(Box::new(folder::Folder::of(path, Pace::new(rate))?)),
    }
}

/// Whether something dropped on the window is to be looked at; else it may be a model.
pub fn is_source(path: &Path) -> bool {
    path.is_dir() || path.is_file() && (kind(path).is_some() || named_as_picture(path))
}

/// What kind of picture a file begins like.
fn kind(path: &Path) -> Option<ImageFormat> {
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(32).read_to_end(&mut start)).ok()?;
    image::guess_format(&start).ok()
}

/// Whether a file's name ends as those of pictures do that can be decoded.
fn named_as_picture(path: &Path) -> bool {
    ImageFormat::from_path(path).is_ok_and(|format| format.reading_enabled())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A GIF that claims that size, with a first picture of one pixel if `filled`.
    fn gif(width: u16, height: u16, filled: bool) -> Vec<u8> {
        let mut bytes = [&b"GIF89a"[..], &width.to_le_bytes(), &height.to_le_bytes(), &[0, 0, 0]].concat();
        if filled {
            // A descriptor of 1×1 at 0, 0 with two colours of its own; then the pixel and the picture's end.
            bytes.extend([b',', 0, 0, 0, 0, 1, 0, 1, 0, 0x80, 0, 0, 0, 255, 255, 255, 2, 2, 0x44, 1, 0]);
        }
        bytes.push(b';');
        bytes
    }

    fn open(path: &Path) -> Result<Box<dyn Source>, String> {
        Spec::Path(path.into()).open(None)
    }

    #[test]
    fn what_is_no_source_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let frame = |path: &Path| open(path).and_then(|mut source| source.next()).map(|(frame, _)| frame.size());
        let said = |path: &Path| open(path).err().expect("it was opened");
        assert!(said(folder.path()).contains("holds no pictures"));
        assert!(said(&folder.path().join("missing")).contains("missing"));
        let huge = folder.path().join("huge.gif");
        std::fs::write(&huge, gif(u16::MAX, u16::MAX, true)).unwrap();
        assert!(said(&huge).contains("65535×65535"), "{}", said(&huge));
        let empty = folder.path().join("empty.gif");
        std::fs::write(&empty, gif(4, 4, false)).unwrap();
        assert!(frame(&empty).unwrap_err().contains("empty.gif"));
        let small = folder.path().join("small.gif");
        std::fs::write(&small, gif(4, 4, true)).unwrap();
        assert_eq!(frame(&small), Ok([4, 4]));
        #[cfg(unix)]
        assert!(said(Path::new("/dev/null")).contains("/dev/null is no picture"));
    }

    #[test]
    fn dropped_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        assert!(is_source(folder.path()));
        assert!(is_source(&file("named otherwise", &gif(1, 1, true))));
        assert!(is_source(&file("damaged.png", b"")));
        assert!(!is_source(&file("model.safetensors", b"\x08\0\0\0\0\0\0\0{}")));
        assert!(!is_source(&folder.path().join("missing.safetensors")));
    }

    #[test]
    fn sources_are_named_as_the_help_says() {
        assert_eq!(Spec::parse("camera"), Ok(Spec::Camera(0)));
        assert_eq!(Spec::parse("camera:3"), Ok(Spec::Camera(3)));
        assert_eq!(Spec::parse("synthetic"), Ok(Spec::Synthetic));
        assert_eq!(Spec::parse("c:\\cat.png"), Ok(Spec::Path("c:\\cat.png".into())));
        assert!(Spec::parse("camera:front").unwrap_err().contains("camera:0"));
    }
}
