//! The folder that pictures go to: names that are safe on every system, files whole or not at all.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use foveate::checkpoint::model_file;
use foveate::{Error, Picture, Result};

/// Most bytes of a file name that are made from a node's or a picture's name.
const LONGEST: usize = 100;

/// The output folder.
pub struct Folder {
    path: PathBuf,
    /// Names that are taken, in lower case: some file systems tell no difference.
    taken: BTreeSet<String>,
}

impl Folder {
    /// Looks at the folder, before any work is done for it.
    ///
    /// # Errors
    /// If it is a file, or has something in it and `force` is not set.
    pub fn check(path: &Path, force: bool) -> Result<Self> {
        let fail = |source: io::Error| Error::io("cannot write to", path, source);
        match std::fs::read_dir(path) {
            Ok(mut entries) => {
                if let Some(entry) = entries.next().transpose().map_err(fail)?.filter(|_| !force) {
                    return Err(Error::argument(format!(
                        "{} has something in it ({}); choose another folder, or --force to write beside it",
                        path.display(),
                        entry.file_name().display()
                    )));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
        }
        let taken = ["index.html", "features.safetensors"].map(str::to_owned).into();
        Ok(Folder { path: path.to_owned(), taken })
    }

    /// Makes it, if it is not there.
    pub fn create(&self) -> Result<()> {
        std::fs::create_dir_all(&self.path).map_err(|e| Error::io("cannot make the folder", &self.path, e))
    }

    /// A folder within for one of several pictures, named after it.
    pub fn sub(&mut self, image: &Path) -> Result<String> {
        let stem = image.file_stem().map_or_else(|| "picture".into(), |stem| stem.to_string_lossy());
        let name = self.claim("", &stem, "");
        let path = self.path.join(&name);
        std::fs::create_dir_all(&path).map_err(|e| Error::io("cannot make the folder", path, e))?;
        Ok(name)
    }

    /// Writes a picture under a name made from `title`, in a folder of [`Folder::sub`] or, if that
    /// is empty, in this one. Returns the file, relative to this folder and with slashes.
    pub fn picture(&mut self, sub: &str, title: &str, picture: &Picture) -> Result<String> {
        let name = self.claim(sub, title, ".png");
        let file = if sub.is_empty() { name } else { format!("{sub}/{name}") };
        self.write(&file, &picture.to_png()?)?;
        Ok(file)
    }

    /// Writes a file; returns where.
    pub fn write(&self, file: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.path(file);
        model_file::write_file(&path, bytes)?;
        Ok(path)
    }

    /// Where a file of this folder is.
    pub fn path(&self, file: &str) -> PathBuf {
        self.path.join(file)
    }

    /// A name like `title` that nothing else in `sub` has.
    fn claim(&mut self, sub: &str, title: &str, ending: &str) -> String {
        let safe = safe(title);
        let mut name = format!("{safe}{ending}");
        let mut count = 1;
        while !self.taken.insert(format!("{sub}/{name}").trim_start_matches('/').to_lowercase()) {
            count += 1;
            name = format!("{safe}-{count}{ending}");
        }
        name
    }
}

/// A name without anything that a file system or a page's links could take for something else.
fn safe(title: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let mut name: String = title.chars().take(LONGEST).map(plain).collect();
    while name.len() > LONGEST {
        name.pop();
    }
    // No hidden files, no `..`, no ending that Windows drops.
    let name = name.trim_matches('.');
    // Windows keeps these for devices, whatever follows the first dot.
    let first = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let device = matches!(first.as_str(), "con" | "prn" | "aux" | "nul")
        || (first.len() == 4 && (first.starts_with("com") || first.starts_with("lpt")));
    if name.is_empty() || device { format!("_{name}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_folder_and_apart() {
        let folder = tempfile::tempdir().unwrap();
        let mut names = Folder::check(folder.path(), false).unwrap();
        let long = "x".repeat(5000);
        let titles =
            ["../../etc/passwd", "a/b\\c", "", "..", "Nul.txt", "stage0", "STAGE0", "stage0", "a\u{0}\n\"<b>", &long];
        for title in titles {
            let name = names.claim("", title, ".png");
            assert!(!name.starts_with('.') && name.len() <= LONGEST + 10, "{title:?}: {name:?}");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)), "{title:?}: {name:?}");
            std::fs::write(folder.path().join(&name), "x").unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), titles.len());
        assert_eq!(names.claim("", "index", ".html"), "index-2.html");
        assert_eq!(names.claim("cat", "stage0", ".png"), "stage0.png", "each picture's folder has its own names");
    }
}
