//! What a run says: logits, probabilities, the best classes.

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
    labels: Vec<String>,
}

impl Answer {
    pub(super) fn new(logits: Vec<f32>, labels: Option<&[String]>) -> Self {
        let name =
            |class: usize| labels.and_then(|l| l.get(class).cloned()).unwrap_or_else(|| format!("class {class}"));
        let labels = (0..logits.len()).map(name).collect();
        Answer { logits, labels }
    }

    /// The raw outputs, one per class.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// The `count` most probable classes, best first; of equal ones the lower index first.
    pub fn top(&self, count: usize) -> Vec<Top> {
        let max = self.logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exps: Vec<f64> = self.logits.iter().map(|v| f64::from(v - max).exp()).collect();
        let sum: f64 = exps.iter().sum();
        let mut order: Vec<usize> = (0..exps.len()).collect();
        order.sort_by(|&a, &b| self.logits[b].total_cmp(&self.logits[a]).then(a.cmp(&b)));
        let top = |class: usize| Top { class, label: self.labels[class].clone(), score: (exps[class] / sum) as f32 };
        order.into_iter().take(count).map(top).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_is_softmax_sorted_and_ties_go_to_the_lower_class() {
        let labels = ["a".to_owned(), "b".to_owned()];
        let answer = Answer::new(vec![1.0, 3.0, 3.0, -1000.0], Some(&labels));
        let top = answer.top(9);
        assert_eq!(top.iter().map(|t| t.class).collect::<Vec<_>>(), [1, 2, 0, 3]);
        assert_eq!(top.iter().map(|t| t.label.as_str()).collect::<Vec<_>>(), ["b", "class 2", "a", "class 3"]);
        let total: f32 = top.iter().map(|t| t.score).sum();
        assert!((total - 1.0).abs() < 1e-6 && top[3].score == 0.0);
        assert!((top[0].score - 1.0 / (2.0 + (-2f32).exp())).abs() < 1e-6);
    }
}
