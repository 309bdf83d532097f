//! Files that are being written: who is at work on one, and giving it its name. A run that was killed holds nothing.

use std::fs::{self, File};
use std::io::{Error as IoError, Result as IoResult};
use std::path::Path;

/// A new file, held: [`abandoned`] leaves it alone until it is dropped.
pub(super) fn create(path: &Path) -> IoResult<File> {
    /// Other runs would have to come between that often.
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        // A new file's way of opening follows no link that somebody may have put there.
        let file = hold::create_new(path)?;
        // Before it was held, another run may have removed it.
        if path.exists() {
            return Ok(file);
        }
    }
    Err(IoError::other("other runs keep removing it"))
}

/// The file at this place if nobody holds it; held then, so that nobody else takes it before it is dropped.
pub(super) fn abandoned(path: &Path) -> Option<File> {
    hold::take(path)
}

/// Gives a file its name, in place of one that has it.
///
/// Windows may refuse while another program has either of the two open, a virus scanner or a second run: that is over
/// in a moment as a rule.
pub(super) fn rename(from: &Path, to: &Path) -> IoResult<()> {
    /// Waits in milliseconds, growing: 0.6 s together.
    const WAITS: [u64; 7] = [1, 5, 10, 50, 100, 200, 250];
    for wait in WAITS {
        match fs::rename(from, to) {
            Err(error) if in_use(&error) => std::thread::sleep(std::time::Duration::from_millis(wait)),
            done => return done,
        }
    }
    fs::rename(from, to)
}

/// Whether the reason may be that somebody has the file open.
fn in_use(error: &IoError) -> bool {
    /// `ERROR_ACCESS_DENIED`, `ERROR_SHARING_VIOLATION`, `ERROR_LOCK_VIOLATION`, `ERROR_USER_MAPPED_FILE`.
    const CODES: [i32; 4] = [5, 32, 33, 1224];
    cfg!(windows) && error.raw_os_error().is_some_and(|code| CODES.contains(&code))
}

/// On Windows a lock keeps others from reading, and is still there when the file has its name. That nobody else may
/// write is as good a sign of somebody at work, is there from the first moment, and lets them read and rename.
#[cfg(windows)]
mod hold {
    use std::fs::File;
    use std::io::Result as IoResult;
    use std::os::windows::fs::OpenOptionsExt;
    use std::path::Path;

    /// What others may do meanwhile: `FILE_SHARE_READ | FILE_SHARE_DELETE`, the latter for renaming too.
    const SHARED: u32 = 1 | 4;

    pub fn create_new(path: &Path) -> IoResult<File> {
        File::options().write(true).create_new(true).share_mode(SHARED).open(path)
    }

    /// Whoever holds it would have to let others write.
    pub fn take(path: &Path) -> Option<File> {
        File::options().write(true).share_mode(SHARED).open(path).ok()
    }
}

/// Elsewhere a lock, which keeps nobody from reading.
#[cfg(not(windows))]
mod hold {
    use std::fs::{self, File};
    use std::io::Result as IoResult;
    use std::path::Path;

    pub fn create_new(path: &Path) -> IoResult<File> {
        let file = File::create_new(path)?;
        // Not every file system has locks; without one a second run might take it for left over.
        let _ = file.lock();
        Ok(file)
    }

    /// Before the lock it may have been renamed to where it belongs, and another part made in its place, which is
    /// somebody's.
    pub fn take(path: &Path) -> Option<File> {
        File::open(path).ok().filter(|file| file.try_lock().is_ok() && is_at(file, path))
    }

    /// Whether an open file is the one at this place.
    fn is_at(file: &File, place: &Path) -> bool {
        let (Ok(file), Ok(there)) = (file.metadata(), fs::symlink_metadata(place)) else { return false };
        #[cfg(unix)]
        let same = {
            use std::os::unix::fs::MetadataExt;
            (file.dev(), file.ino()) == (there.dev(), there.ino())
        };
        #[cfg(not(unix))]
        let same = (file.created().ok(), file.modified().ok()) == (there.created().ok(), there.modified().ok());
        same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_part_keeps_it_and_others_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let [part, place] = ["net.1.part", "net"].map(|name| folder.path().join(name));
        let mut file = create(&part).unwrap();
        std::io::Write::write_all(&mut file, b"whole").unwrap();
        assert!(create(&part).is_err(), "there is one");
        assert!(abandoned(&part).is_none(), "somebody is at work");
        assert_eq!(fs::read(&part).unwrap(), b"whole");
        rename(&part, &place).unwrap();
        // Its name is there before it is let go of.
        assert_eq!(fs::read(&place).unwrap(), b"whole");
        fs::write(&part, "left over").unwrap();
        drop(file);
        let taken = abandoned(&part).unwrap();
        assert!(abandoned(&part).is_none(), "somebody else is removing it");
        drop(taken);
        assert!(abandoned(&folder.path().join("none")).is_none());
    }

    #[test]
    fn a_file_that_another_has_open_for_a_moment_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let [part, place] = ["net.1.part", "net"].map(|name| folder.path().join(name));
        fs::write(&place, "old").unwrap();
        fs::write(&part, "new").unwrap();
        let reader = File::open(&place).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(50));
                drop(reader);
            });
            rename(&part, &place).unwrap();
        });
        assert_eq!(fs::read(&place).unwrap(), b"new");
        assert!(rename(&part, &place).unwrap_err().kind() == std::io::ErrorKind::NotFound, "and is said at once");
    }
}
