//! `foveate models`.

use foveate::models;

use super::{Outcome, say};

pub fn run() -> Outcome {
    models::names().for_each(say);
    Ok(())
}
