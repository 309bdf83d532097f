//! Writing files whole or not at all.

use std::fs::{self, File};
use std::io::{Error as IoError, Result as IoResult, Write};
use std::path::{Path, PathBuf};

use super::part::{abandoned, create, rename};
use crate::error::{Error, Result};

/// End of the names of files that are being written.
const PART: &str = ".part";

/// Links that are followed; as many as Linux does.
const MAX_LINKS: usize = 40;

/// Writes a file: beside its place first, then renamed. What was there keeps its permissions; of a
/// link the target is replaced, not the link. What runs that were killed have left beside it is
/// removed.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let fail = |source: IoError| Error::io("cannot write", path, source);
    let (place, found) = target(path).map_err(fail)?;
    remove_stale(&place);
    let beside = beside(&place);
    let written = fill(&beside, bytes, found.as_ref()).and_then(|file| {
        rename(&beside, &place)?;
        // Until now it was held: somebody was at work.
        drop(file);
        Ok(())
    });
    written.map_err(|source| {
        // Nothing to be done if even that fails: the first error is the one to report.
        let _ = fs::remove_file(&beside);
        fail(source)
    })
}

/// Writes what was asked for to where it was asked for: a file as [`write`] does; a pipe or a device such as
/// `/dev/stdout`, `/dev/null` or a shell's `>(…)` is written into as it is.
///
/// # Errors
/// [`Error::Io`] if it cannot be written.
pub fn output(path: &Path, bytes: &[u8]) -> Result<()> {
    if !is_stream(path) {
        return write(path, bytes);
    }
    let written = File::options().write(true).open(path).and_then(|mut stream| stream.write_all(bytes));
    written.map_err(|source| Error::io("cannot write", path, source))
}

/// Whether [`output`] could write there; leaves everything as it was. Of a pipe or device that shows when it is done.
///
/// # Errors
/// [`Error::Io`] if it could not.
pub fn check_output(path: &Path) -> Result<()> {
    // Who reads a pipe would see that somebody opened it and left.
    if is_stream(path) {
        return Ok(());
    }
    let attempt = || {
        let (place, _) = target(path)?;
        remove_stale(&place);
        let beside = beside(&place);
        // Held while it is removed, as by everybody.
        let _file = create(&beside)?;
        fs::remove_file(&beside)
    };
    attempt().map_err(|source: IoError| Error::io("cannot write", path, source))
}

/// Whether there is a pipe or a device at this place, after all links.
pub fn is_stream(path: &Path) -> bool {
    #[cfg(unix)]
    if let Ok(about) = fs::metadata(path) {
        use std::os::unix::fs::FileTypeExt;
        return about.file_type().is_fifo() || about.file_type().is_char_device();
    }
    let _ = path;
    false
}

/// Where the file is to be, and the file that is there, which must be one.
fn target(path: &Path) -> IoResult<(PathBuf, Option<fs::Metadata>)> {
    let place = place(path)?;
    let found = fs::symlink_metadata(&place).ok();
    // Renaming over a device or a pipe would destroy it.
    match &found {
        Some(found) if found.is_dir() => Err(IoError::other("there is a folder of that name")),
        Some(found) if !found.is_file() => Err(IoError::other("there is a pipe, a device or a socket of that name")),
        _ => Ok((place, found)),
    }
}

/// Where the file is written before it is whole.
fn beside(place: &Path) -> PathBuf {
    with_end(place, &format!(".{}{PART}", std::process::id()))
}

/// Where the file is, after all links; a link may lead to where nothing is yet.
fn place(path: &Path) -> IoResult<PathBuf> {
    let mut place = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        let Ok(target) = fs::read_link(&place) else { return Ok(place) };
        place = place.parent().map_or_else(|| target.clone(), |folder| folder.join(&target));
    }
    Err(IoError::other("too many symbolic links"))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// A new file with these contents and the permissions of the old one, held.
fn fill(path: &Path, bytes: &[u8], old: Option<&fs::Metadata>) -> IoResult<File> {
    let mut file = create(path)?;
    if let Some(old) = old.filter(|_| cfg!(unix)) {
        // Before anything is in it: the old file may be nobody else's to read.
        file.set_permissions(old.permissions())?;
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(file)
}

/// Removes what runs that were killed left beside a file: parts that nobody holds.
/// Failing is no harm.
fn remove_stale(place: &Path) {
    let (Some(folder), Some(name)) = (place.parent(), place.file_name()) else { return };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if !is_part(&entry.file_name(), name) || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        // Held until the file is gone, so that nobody takes it in between.
        if let Some(_held) = abandoned(&path) {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Whether a file name is that of a part of another: the name, a number, the end.
fn is_part(candidate: &std::ffi::OsStr, name: &std::ffi::OsStr) -> bool {
    let middle = candidate.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
    let number = middle.and_then(|m| m.strip_prefix(b".")).and_then(|m| m.strip_suffix(PART.as_bytes()));
    number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn what_killed_runs_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        for name in ["net.safetensors.12.part", "net.safetensors.7.part"] {
            fs::write(folder.path().join(name), "left over").unwrap();
        }
        let others = ["net.part", "net.safetensors.1x.part", "net.safetensors..part", "other.safetensors.12.part"];
        others.iter().for_each(|name| fs::write(folder.path().join(name), "not ours").unwrap());
        fs::create_dir(folder.path().join("net.safetensors.99.part")).unwrap();
        // One that a run is still writing.
        let busy = fill(&folder.path().join("net.safetensors.8.part"), b"half", None).unwrap();
        write(&path, b"whole").unwrap();
        let mut expected: Vec<&str> = others
            .into_iter()
            .chain(["net.safetensors", "net.safetensors.8.part", "net.safetensors.99.part"])
            .collect();
        expected.sort_unstable();
        assert_eq!(names(folder.path()), expected);
        drop(busy);
        write(&path, b"again").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"again");
        assert!(!names(folder.path()).contains(&"net.safetensors.8.part".to_owned()));
    }

    /// Parts of threads differ in name, as those of processes do.
    #[test]
    fn parts_that_others_take_for_left_over_are_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("net");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let place = &place;
                scope.spawn(move || {
                    let part = with_end(place, &format!(".{thread}{PART}"));
                    // Where a file in use cannot be replaced at once, rounds wait for one another.
                    for _ in 0..if cfg!(windows) { 25 } else { 500 } {
                        remove_stale(place);
                        let held = fill(&part, b"whole", None).unwrap();
                        rename(&part, place).unwrap();
                        drop(held);
                    }
                });
            }
        });
        assert_eq!(names(folder.path()), ["net"]);
        assert_eq!(fs::read(&place).unwrap(), b"whole");
    }

    #[test]
    fn what_could_not_be_written_is_known_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("old"), "old").unwrap();
        for good in ["old", "new"] {
            check_output(&path(good)).unwrap();
        }
        assert_eq!(names(folder.path()), ["old"]);
        assert_eq!(fs::read(path("old")).unwrap(), b"old");
        assert!(check_output(&path("none/new")).unwrap_err().to_string().contains("none"));
        assert!(check_output(folder.path()).unwrap_err().to_string().contains("there is a folder of that name"));
    }

    /// In a folder of this test's own: a mistake with the machine's devices would be the end of them.
    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_written_into_and_never_replaced() {
        use std::os::unix::fs::FileTypeExt;
        use std::process::Command;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        std::os::unix::fs::symlink("pipe", path("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        // Only root may, and not everywhere.
        let made = Command::new("mknod").arg(path("null")).args(["c", "1", "3"]).output();
        let device = made.is_ok_and(|made| made.status.success());
        let before = names(folder.path());
        for name in ["pipe", "link"] {
            check_output(&path(name)).unwrap();
            std::thread::scope(|scope| {
                let read = scope.spawn(|| fs::read(path("pipe")).unwrap());
                output(&path(name), b"whole").unwrap();
                assert_eq!(read.join().unwrap(), b"whole");
            });
            let error = write(&path(name), b"").unwrap_err().to_string();
            assert!(error.contains("a pipe, a device or a socket of that name"), "{error}");
        }
        assert!(check_output(&path("socket")).is_err() && output(&path("socket"), b"").is_err());
        if device {
            check_output(&path("null")).unwrap();
            // Where devices of this file system work at all.
            let _ = output(&path("null"), b"gone");
            assert!(write(&path("null"), b"").is_err());
            assert!(fs::symlink_metadata(path("null")).unwrap().file_type().is_char_device());
        }
        assert!(fs::symlink_metadata(path("pipe")).unwrap().file_type().is_fifo());
        assert_eq!(names(folder.path()), before, "nothing is left beside them");
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_on_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("models")).unwrap();
        fs::write(path("models/net"), "old").unwrap();
        fs::set_permissions(path("models/net"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("models/net", path("link")).unwrap();
        symlink(path("link"), path("link of a link")).unwrap();
        write(&path("link of a link"), b"new").unwrap();
        assert_eq!(fs::read(path("models/net")).unwrap(), b"new");
        assert_eq!(fs::metadata(path("models/net")).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(path("link")).unwrap().is_symlink());
        assert_eq!(names(&path("models")), ["net"]);
        // A link to where nothing is yet, and one to itself.
        symlink("models/later", path("dangling")).unwrap();
        write(&path("dangling"), b"first").unwrap();
        assert_eq!(fs::read(path("models/later")).unwrap(), b"first");
        symlink("circle", path("circle")).unwrap();
        assert!(write(&path("circle"), b"").unwrap_err().to_string().contains("too many symbolic links"));
        assert!(write(&path("models"), b"").is_err() && write(&path("none/net"), b"").is_err());
    }
}
