//! Warnings of the library on stderr. wgpu and its drivers are chatty (a missing display server is
//! an "error" to them); what matters of theirs comes back as errors. `FOVEATE_LOG=1` shows it all.

use super::tell;
use log::{LevelFilter, Log, Metadata, Record};

struct Stderr {
    everything: bool,
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.everything || metadata.target().starts_with("foveate")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            tell(format_args!("{}: {}", record.level().as_str().to_lowercase(), record.args()));
        }
    }

    fn flush(&self) {}
}

/// Installs it.
pub fn install() {
    let everything = std::env::var_os("FOVEATE_LOG").is_some_and(|value| value != "0");
    if log::set_boxed_logger(Box::new(Stderr { everything })).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
