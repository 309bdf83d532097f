//! A spinner or a bar on stderr for what takes long; nothing where stderr is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Runs `work` with a spinner that says `what`.
pub fn during<T>(what: &str, work: impl FnOnce() -> T) -> T {
    // indicatif draws on stderr, and not at all if that is no terminal.
    let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(100));
    let result = work();
    spinner.finish_and_clear();
    result
}

/// A bar of bytes that come in, of a number that may become known; the caller clears it.
pub fn bytes(what: &str) -> ProgressBar {
    let template = "{msg} {wide_bar} {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";
    let bar = ProgressBar::no_length().with_message(what.to_owned());
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A bar over that many pictures. Lines on stderr go through its `suspend` while it stands.
pub fn pictures(count: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} pictures, {per_sec}, {eta} left");
    let bar = ProgressBar::new(count as u64);
    // The template is a constant; if it were wrong, the plain bar would do.
    style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}

/// A bar over runs of a benchmark, whose number becomes known; the caller clears it.
pub fn runs() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} runs, {elapsed}");
    let bar = ProgressBar::new(0);
    style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}

/// The length of a [`share`] bar.
pub const SHARE: u64 = 1000;

/// A bar over a share of something, in parts of [`SHARE`], with what is being done; the caller clears it.
pub fn share() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {elapsed} {wide_msg}");
    let bar = ProgressBar::new(SHARE);
    style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}

/// A bar over a network's layers, whose number becomes known; the caller clears it.
pub fn layers(what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} layers");
    let bar = ProgressBar::new(0).with_message(what.to_owned());
    style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}
