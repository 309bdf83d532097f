//! What rewriting did, and what it refused to do.

use std::fmt;

use serde::Serialize;

/// A remark on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Name of the node.
    pub node: String,
    /// What was done to it, or why nothing was.
    pub what: String,
}

/// What rewriting did, and what it refused to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Every fold, in the order in which they were made.
    pub folded: Vec<Note>,
    /// Linear nodes that remain although they follow or stand beside others, with the reason.
    pub refused: Vec<Note>,
}

impl Report {
    /// Appends another pass's report.
    pub fn extend(&mut self, other: Report) {
        self.folded.extend(other.folded);
        self.refused.extend(other.refused);
    }
}

impl fmt::Display for Report {
    /// A line with the number of folds, and one for each refusal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rewrites", self.folded.len())?;
        self.refused.iter().try_for_each(|note| write!(f, "\nkept {}: {}", note.node, note.what))
    }
}
