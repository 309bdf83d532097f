//! Finding pictures in folders.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{count, fault, some};
use crate::error::{Error, Result};

/// What picture files are called. Whether they are pictures shows when they are read.
const EXTENSIONS: [&str; 17] = [
    "png", "jpg", "jpeg", "jfif", "gif", "webp", "bmp", "dib", "tif", "tiff", "ppm", "pgm", "pbm", "pnm", "tga", "ico",
    "qoi",
];

/// What lies in a folder.
#[derive(Default)]
pub(super) struct Found {
    /// Files that are called like pictures, links to nowhere too: reading them will tell. Sorted.
    pub pictures: Vec<PathBuf>,
    /// Folders in it, sorted. Empty after [`deep`].
    pub folders: Vec<PathBuf>,
    /// Number of files that are called otherwise.
    pub others: usize,
    /// Pipes, sockets and devices, whatever they are called: opening one may wait for ever. Sorted.
    pub special: Vec<PathBuf>,
}

impl Found {
    /// What to say of pipes, sockets and devices, if there are some.
    pub fn passed_over(&self) -> Option<String> {
        let names = self.special.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy());
        let names: Vec<_> = names.collect();
        let shown = some(names.iter().map(|name| &**name));
        (!names.is_empty()).then(|| format!("passed over: pipes, sockets or devices ({}): {shown}", names.len()))
    }
}

/// All pictures under a folder, in folders at any depth, sorted by path. Hidden files and folders
/// are passed over; links are followed, but not to a folder that this one lies in, and no folder is
/// read twice, so loops end. Pipes, sockets and devices are passed over, with a warning in the log.
///
/// # Errors
/// [`Error::Io`] if a folder cannot be read; [`Error::Dataset`] if there is no picture.
pub fn pictures(dir: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let dir = dir.as_ref();
    let found = deep(dir)?;
    if let Some(passed_over) = found.passed_over() {
        log::warn!("{}: {passed_over}", dir.display());
    }
    some_pictures(dir, found)
}

/// How many pictures [`pictures`] finds, without a word about what is passed over.
///
/// # Errors
/// As there.
pub(crate) fn count_pictures(dir: &Path) -> Result<usize> {
    some_pictures(dir, deep(dir)?).map(|pictures| pictures.len())
}

fn some_pictures(dir: &Path, found: Found) -> Result<Vec<PathBuf>> {
    if found.pictures.is_empty() {
        let others = count(found.others + found.special.len(), "other file");
        return Err(fault(dir, format!("there is no picture in this folder ({others})")));
    }
    Ok(found.pictures)
}

/// What lies in this folder itself.
pub(super) fn shallow(dir: &Path) -> Result<Found> {
    let fail = |source| Error::io("cannot read folder", dir, source);
    let mut found = Found::default();
    for entry in std::fs::read_dir(dir).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if is_hidden(&path) {
            continue;
        }
        match std::fs::metadata(&path) {
            Ok(about) if about.is_dir() => found.folders.push(path),
            Ok(about) if !about.is_file() => found.special.push(path),
            _ if is_called_picture(&path) => found.pictures.push(path),
            _ => found.others += 1,
        }
    }
    found.pictures.sort();
    found.folders.sort();
    found.special.sort();
    Ok(found)
}

/// What lies in this folder and those below.
pub(super) fn deep(dir: &Path) -> Result<Found> {
    let real = |folder: &Path| folder.canonicalize().map_err(|e| Error::io("cannot read folder", folder, e));
    let (mut found, mut seen, mut open) = (Found::default(), HashSet::new(), vec![dir.to_owned()]);
    // A link that leads up would bring what lies beside: the pictures of the other classes.
    seen.extend(real(dir)?.ancestors().skip(1).map(Path::to_owned));
    while let Some(folder) = open.pop() {
        if !seen.insert(real(&folder)?) {
            continue;
        }
        let here = shallow(&folder)?;
        found.pictures.extend(here.pictures);
        found.others += here.others;
        found.special.extend(here.special);
        // The last is taken first: alphabetical order decides which of two ways to one folder counts.
        open.extend(here.folders.into_iter().rev());
    }
    found.pictures.sort();
    found.special.sort();
    Ok(found)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn is_called_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(root: &Path, paths: &[PathBuf]) -> Vec<String> {
        let name = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        paths.iter().map(|path| name(path).replace(std::path::MAIN_SEPARATOR, "/")).collect()
    }

    #[test]
    fn pictures_are_found_at_any_depth_and_in_order() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        std::fs::create_dir_all(root.join("b/deep/er")).unwrap();
        std::fs::create_dir_all(root.join(".hidden")).unwrap();
        std::fs::create_dir_all(root.join("folder.png")).unwrap();
        for file in ["z.JPEG", "a.png", "b/deep/er/x.Webp", "notes.txt", "png", ".a.png", ".hidden/b.png"] {
            std::fs::write(root.join(file), "").unwrap();
        }
        assert_eq!(names(root, &pictures(root).unwrap()), ["a.png", "b/deep/er/x.Webp", "z.JPEG"]);
        assert_eq!(deep(root).unwrap().others, 2);
        let error = pictures(root.join("folder.png")).unwrap_err().to_string();
        assert!(error.contains("no picture") && error.contains("folder.png"), "{error}");
        assert!(pictures(root.join("none")).unwrap_err().to_string().contains("none"));
        assert!(pictures(root.join("a.png")).is_err(), "a file is no folder");
    }

    #[cfg(unix)]
    #[test]
    fn loops_of_links_end_and_links_to_nowhere_are_kept() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        // Twenty levels of two links each: a million ways to the last folder.
        for level in 0..20 {
            std::fs::create_dir(root.join(format!("d{level}"))).unwrap();
            for side in ["l", "r"] {
                symlink(root.join(format!("d{}", level + 1)), root.join(format!("d{level}/{side}"))).unwrap();
            }
        }
        std::fs::create_dir(root.join("d20")).unwrap();
        std::fs::write(root.join("d20/x.png"), "").unwrap();
        symlink(root, root.join("d20/back")).unwrap();
        symlink("nowhere.png", root.join("gone.png")).unwrap();
        symlink("self.png", root.join("self.png")).unwrap();
        let found = names(root, &pictures(root).unwrap());
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.contains(&"gone.png".to_owned()) && found.contains(&"self.png".to_owned()));
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_up_bring_nothing() {
        let root = tempfile::tempdir().unwrap();
        for class in ["cat", "dog"] {
            std::fs::create_dir(root.path().join(class)).unwrap();
            std::fs::write(root.path().join(class).join("x.png"), "").unwrap();
        }
        std::os::unix::fs::symlink("..", root.path().join("cat/up")).unwrap();
        assert_eq!(names(root.path(), &pictures(root.path().join("cat")).unwrap()), ["cat/x.png"]);
        std::os::unix::fs::symlink("../dog", root.path().join("cat/others")).unwrap();
        assert_eq!(pictures(root.path().join("cat")).unwrap().len(), 2, "a link to elsewhere is followed");
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_sockets_are_passed_over_and_said() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        assert_eq!(deep(root.path()).unwrap().passed_over(), None);
        let _socket = std::os::unix::net::UnixListener::bind(path("b.png")).unwrap();
        std::fs::create_dir(path("deep")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path("deep/a.png")).status().unwrap().success());
        std::os::unix::fs::symlink("/dev/zero", path("c.png")).unwrap();
        let error = pictures(root.path()).unwrap_err().to_string();
        assert!(error.contains("no picture in this folder (3 other files)"), "{error}");
        std::fs::write(path("d.png"), "").unwrap();
        assert_eq!(names(root.path(), &pictures(root.path()).unwrap()), ["d.png"]);
        assert_eq!(count_pictures(root.path()).unwrap(), 1);
        let said = deep(root.path()).unwrap().passed_over().unwrap();
        assert_eq!(said, "passed over: pipes, sockets or devices (3): \"b.png\", \"c.png\", \"a.png\"");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn names_need_not_be_text() {
        use std::os::unix::ffi::OsStrExt;
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join(OsStr::from_bytes(b"\xff\xfe.png")), "").unwrap();
        assert_eq!(pictures(root.path()).unwrap().len(), 1);
    }
}
