//! `foveate models`.

use foveate::models;
use foveate::registry::Registry;

use super::{Outcome, say, tell};

pub fn run() -> Outcome {
    let registry = Registry::builtin()?;
    let width = models::names().map(str::len).max().unwrap_or(0);
    for name in models::names() {
        match registry.get(name) {
            Some(entry) => say(format_args!("{name:width$}  {}", entry.name)),
            None => say(name),
        }
    }
    tell("(the second column: published weights that `foveate pull NAME` fetches; `foveate pull --list` shows all)");
    Ok(())
}
