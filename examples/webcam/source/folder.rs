//! Pictures of a folder, again and again, or one picture.

use std::path::{Path, PathBuf};

use foveate::Picture;

use super::{Pace, Source, named_as_picture};
use crate::frame::Frame;

pub struct Folder {
    files: Vec<PathBuf>,
    at: usize,
    pace: Pace,
    /// The last one decoded, so that a single picture is decoded once.
    last: Option<(usize, Picture)>,
}

impl Folder {
    /// The pictures of a folder, by name; a damaged one is said when its turn comes.
    pub fn open(path: &Path, pace: Pace) -> Result<Folder, String> {
        let fail = |e: std::io::Error| format!("cannot read the folder {}: {e}", path.display());
        let entries = std::fs::read_dir(path).map_err(fail)?.collect::<Result<Vec<_>, _>>().map_err(fail)?;
        let hidden = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
        files.retain(|path| path.is_file() && !hidden(path) && named_as_picture(path));
        files.sort();
        if files.is_empty() {
            return Err(format!("the folder {} holds no pictures", path.display()));
        }
        Ok(Folder { files, at: 0, pace, last: None })
    }

    /// One picture.
    pub fn of(path: &Path, pace: Pace) -> Result<Folder, String> {
        let mut folder = Folder { files: vec![path.to_owned()], at: 0, pace, last: None };
        folder.decode(0)?;
        Ok(folder)
    }

    fn decode(&mut self, at: usize) -> Result<&Picture, String> {
        if self.last.as_ref().is_none_or(|(known, _)| *known != at) {
            self.last = Some((at, Picture::open(&self.files[at]).map_err(|e| e.to_string())?));
        }
        self.last.as_ref().map(|(_, picture)| picture).ok_or_else(|| "no picture".to_owned())
    }
}

impl Source for Folder {
    fn name(&self) -> String {
        match self.files.as_slice() {
            [one] => one.display().to_string(),
            [first, ..] => {
                let folder = first.parent().unwrap_or(Path::new(""));
                format!("{} ({} files)", folder.display(), self.files.len())
            }
            [] => String::new(),
        }
    }

    fn next(&mut self) -> Result<(Frame, Option<String>), String> {
        self.pace.wait();
        let at = self.at;
        self.at = (self.at + 1) % self.files.len();
        let name = self.files[at].file_name().map(|name| name.to_string_lossy().into_owned());
        Ok((Frame::of(self.decode(at)?), name))
    }
}
