//! What a run says: logits, probabilities, the best classes.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::kernels::Ranking;
use crate::order;

/// One class with its probability.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Top {
    /// Index of the class.
    pub class: usize,
    /// Its name, or `class N` if the model has no labels.
    pub label: String,
    /// Softmax probability, 0 to 1.
    pub score: f32,
}

/// The network's answer for one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    logits: Vec<f32>,
    labels: Arc<[String]>,
}

impl Answer {
    /// `labels` has a name for each logit.
    ///
    /// # Errors
    /// [`Error::NotFinite`]: an answer with a NaN or an infinity would be meaningless.
    pub(super) fn new(network: &str, logits: Vec<f32>, labels: Arc<[String]>) -> Result<Self> {
        match logits.iter().position(|v| !v.is_finite()) {
            Some(class) => Err(Error::NotFinite { network: network.to_owned(), class, value: logits[class] }),
            None => Ok(Answer { logits, labels }),
        }
    }

    /// The raw outputs, one per class.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// The `count` most probable classes, best first; of equal ones the lower index first.
    pub fn top(&self, count: usize) -> Vec<Top> {
        best(&rank(&self.logits, count), count, &self.labels)
    }
}

/// The `count` best classes of finite logits.
fn rank(logits: &[f32], count: usize) -> Ranking {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum = logits.iter().map(|v| f64::from(v - greatest).exp()).sum();
    let mut best: Vec<(usize, f32)> = logits.iter().copied().enumerate().collect();
    order::sort_by(&mut best, |(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
    best.truncate(count);
    Ranking { best, sum, not_finite: None }
}

/// The `count` best classes of a ranking with names and probabilities.
pub(super) fn best(ranking: &Ranking, count: usize, labels: &[String]) -> Vec<Top> {
    let greatest = ranking.best.first().map_or(0.0, |(_, logit)| *logit);
    let named = ranking.best.iter().take(count).filter_map(|&(class, logit)| {
        let score = (f64::from(logit - greatest).exp() / ranking.sum) as f32;
        Some(Top { class, label: labels.get(class)?.clone(), score })
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_is_softmax_sorted_and_ties_go_to_the_lower_class() {
        let labels: Arc<[String]> = ["a", "b", "c", "d"].map(str::to_owned).into();
        let answer = Answer::new("test", vec![1.0, 3.0, 3.0, -1000.0], labels.clone()).unwrap();
        let top = answer.top(9);
        assert_eq!(top.iter().map(|t| t.class).collect::<Vec<_>>(), [1, 2, 0, 3]);
        assert_eq!(top.iter().map(|t| t.label.as_str()).collect::<Vec<_>>(), ["b", "c", "a", "d"]);
        let total: f32 = top.iter().map(|t| t.score).sum();
        assert!((total - 1.0).abs() < 1e-6 && top[3].score == 0.0);
        assert!((top[0].score - 1.0 / (2.0 + (-2f32).exp())).abs() < 1e-6);
        let error = Answer::new("test", vec![1.0, f32::NAN, 3.0, 0.0], labels).unwrap_err().to_string();
        assert!(error.contains("class 1 is NaN"), "{error}");
    }
}
