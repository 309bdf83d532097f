//! The verdict in words.

use super::verdict::{Condition, Verdict};

/// Layers that a sentence names before it counts the rest.
const NAMED: usize = 4;

impl Verdict {
    /// Which condition holds or fails, by which criterion, in which layers and why: a sentence or two
    /// for each.
    pub fn sentences(&self) -> Vec<String> {
        let mut said = vec![condition("C1", "all weights in 8 bits, a scale for each output channel,", &self.weights)];
        if self.weights.holds && !self.weights_per_tensor.holds {
            let Condition { left_db, layers, .. } = &self.weights_per_tensor;
            let worst = layers.first().map(|at| format!(", worst in {}: {}", at.layer, at.why)).unwrap_or_default();
            said.push(format!("With one scale for each weight tensor C1 would fail ({left_db:.1} dB{worst})."));
        }
        said.push(condition("C2", "all activations in 8 bits, one scale for each tensor,", &self.activations));
        said.push(format!("Together they let expect at least about {:.1} dB at the output.", self.expected_db));
        said.extend(self.causes.iter().map(|cause| format!("{cause}.")));
        said
    }
}

fn condition(name: &str, what: &str, condition: &Condition) -> String {
    let Condition { holds, left_db, budget_db, share_db, layers } = condition;
    if *holds {
        return format!(
            "{name} holds: {what} leave {left_db:.1} dB of signal over noise; {budget_db:.0} dB are wanted."
        );
    }
    let named: Vec<String> =
        layers.iter().take(NAMED).map(|at| format!("{} ({:.1} dB: {})", at.layer, at.sqnr_db, at.why)).collect();
    let more = layers.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!(
        "{name} fails: {what} leave only {left_db:.1} dB of signal over noise; {budget_db:.0} dB are wanted. Below a \
         layer's share of {share_db:.1} dB: {}{more}.",
        named.join(", ")
    )
}
