//! A spinner on stderr for what takes long; nothing where stderr is no terminal.

use std::time::Duration;

use indicatif::ProgressBar;

/// Runs `work` with a spinner that says `what`.
pub fn during<T>(what: &str, work: impl FnOnce() -> T) -> T {
    // indicatif draws on stderr, and not at all if that is no terminal.
    let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(100));
    let result = work();
    spinner.finish_and_clear();
    result
}
