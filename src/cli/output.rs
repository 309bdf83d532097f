//! Output files: looked at before any work is done for them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use foveate::checkpoint::model_file;
use foveate::{Error, Result, files};

/// Refuses a file that is there already, unless `force` is set, and one that could not be written. What a pipe or a
/// device takes replaces nothing.
pub fn check(path: &Path, force: bool) -> Result<()> {
    if files::is_stream(path) {
        STDOUT.fetch_or(is_stdout(path), Relaxed);
    } else if path.exists() && !force {
        let reason = format!("{} is there already; --force overwrites it", path.display());
        return Err(Error::argument(reason));
    }
    model_file::check_writable(path)
}

/// Whether an output goes to stdout.
static STDOUT: AtomicBool = AtomicBool::new(false);

/// Whether an output goes to stdout (`-o /dev/stdout`), so that lines must go elsewhere.
pub fn takes_stdout() -> bool {
    STDOUT.load(Relaxed)
}

/// Whether a pipe or device is the one that stdout leads to.
fn is_stdout(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        use std::os::unix::fs::MetadataExt;
        let stdout = std::io::stdout().as_fd().try_clone_to_owned().map(std::fs::File::from);
        if let (Ok(there), Ok(stdout)) = (path.metadata(), stdout.and_then(|stdout| stdout.metadata())) {
            return (there.dev(), there.ino()) == (stdout.dev(), stdout.ino());
        }
    }
    let _ = path;
    false
}
