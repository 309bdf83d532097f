//! The verdict in words.

use serde::Serialize;

use super::verdict::{Condition, Verdict};

/// One part of a verdict in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was found, a sentence or two.
    pub text: String,
    /// The layers at fault, the worst first, each with what is wrong with it.
    pub layers: Vec<String>,
}

/// Layers that are named before the rest is counted.
const NAMED: usize = 6;

impl Verdict {
    /// Which condition holds or fails, by which criterion, in which layers and why.
    pub fn findings(&self) -> Vec<Finding> {
        let plain = |text: String| Finding { text, layers: Vec::new() };
        let mut found = vec![condition("C1", "all weights in 8 bits, a scale for each output channel,", &self.weights)];
        if self.weights.holds && !self.weights_per_tensor.holds {
            let Condition { left_db, layers, .. } = &self.weights_per_tensor;
            let worst = layers.first().map(|at| format!(", worst in {}: {}", at.layer, at.why)).unwrap_or_default();
            found.push(plain(format!("With one scale for each weight tensor C1 would fail ({left_db:.1} dB{worst}).")));
        }
        found.push(condition("C2", "all activations in 8 bits, one scale for each tensor,", &self.activations));
        let both = format!("Together they let expect about {:.1} dB at the output, or more.", self.expected_db);
        found.push(plain(both));
        found.extend(self.causes.iter().map(|cause| plain(format!("{cause}."))));
        found
    }

    /// [`Verdict::findings`] as plain text, the layers among the words.
    pub fn sentences(&self) -> Vec<String> {
        let sentence = |Finding { text, layers }: Finding| {
            if layers.is_empty() { text } else { format!("{text} {}.", layers.join("; ")) }
        };
        self.findings().into_iter().map(sentence).collect()
    }
}

fn condition(name: &str, what: &str, condition: &Condition) -> Finding {
    let Condition { holds, left_db, budget_db, share_db, layers } = condition;
    if *holds {
        let text =
            format!("{name} holds: {what} leave {left_db:.1} dB of signal over noise; {budget_db:.0} dB are wanted.");
        return Finding { text, layers: Vec::new() };
    }
    let text = format!(
        "{name} fails: {what} leave only {left_db:.1} dB of signal over noise; {budget_db:.0} dB are wanted. Below a \
         layer's share of {share_db:.1} dB:"
    );
    let named = layers.iter().take(NAMED).map(|at| format!("{} ({:.1} dB): {}", at.layer, at.sqnr_db, at.why));
    let more = layers.len().saturating_sub(NAMED);
    let more = (more > 0).then(|| format!("and {more} more"));
    Finding { text, layers: named.chain(more).collect() }
}
